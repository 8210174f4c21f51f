import Ethereum
import Quantities
import RiskCore
import Systems

// Which prices a market needs, what they make together, and what a second source would make.

extension MoolahBook {
  /// What each oracle answered.
  var prices: [PriceKey: PriceAnswer] {
    get { board.answers }
    set { board.answers = newValue }
  }

  /// The prices of a market: of the collateral and the loan token, or of the pair.
  func priceKeys(of market: BookMarket) -> [PriceKey] {
    let p = market.row.parameters
    switch dialect {
    case .morphoBlue: return [PriceKey(oracle: p.oracle, token: nil)]
    case .moolah:
      return [p.collateralToken, p.loanToken].map { PriceKey(oracle: p.oracle, token: $0) }
    }
  }

  /// The prices of all markets, each once, in the markets' order.
  var priceKeys: [PriceKey] {
    var seen: Set<PriceKey> = []
    return markets.flatMap(priceKeys(of:)).filter { seen.insert($0).inserted }
  }

  /// The prices that are only needed to judge others.
  var companionPrices: [PriceKey] {
    board.companions(of: Set(priceKeys)).sorted {
      ($0.oracle, $0.token ?? .zero) < ($1.oracle, $1.token ?? .zero)
    }
  }

  /// Oracles of Moolah answer dollars with eight decimals.
  private static let peekDecimals = 8

  /// How a market reads its prices; nil while the decimals of its tokens are unknown.
  private func priceDecimals(of market: BookMarket) -> Int? {
    if dialect == .moolah { return Self.peekDecimals }
    let p = market.row.parameters
    guard let loan = tokens[p.loanToken]?.decimals,
      let collateral = tokens[p.collateralToken]?.decimals
    else { return nil }
    return 36 + loan - collateral
  }

  // MARK: Judging prices

  /// Judges every answer, once all are there. Judging again, with more answers, replaces it.
  mutating func checkPrices() {
    var scales: [PriceKey: Set<Int>] = [:]
    for market in markets {
      guard let decimals = priceDecimals(of: market) else { continue }
      for key in priceKeys(of: market) { scales[key, default: []].insert(decimals) }
    }
    board.check(at: block.timestamp, scales: scales)
  }

  /// Whether the market's prices were ever seen beside a second source.
  func decimalsCheck(of market: BookMarket) -> DecimalsCheck {
    guard let decimals = priceDecimals(of: market) else { return .unchecked }
    return .joined(
      priceKeys(of: market).map {
        board.decimalsCheck(of: DecimalsKey(price: $0, decimals: decimals))
      })
  }

  /// Collateral price in loan units, scaled by 1e36, or why it is not taken.
  func price(of market: BookMarket) -> Result<U256, UnknownReason> {
    pricing(of: market).mapError(\.reason)
  }

  /// The figures behind the reason; empty when it says all.
  func priceDetail(of market: BookMarket) -> String {
    guard case .failure(let refusal) = pricing(of: market) else { return "" }
    let isOfToken = dialect == .moolah && !refusal.detail.isEmpty
    guard isOfToken, let token = priceKeys(of: market).first(where: { isRefused($0) })?.token
    else { return refusal.detail }
    return "\(tokens[token]?.short ?? token.description): \(refusal.detail)"
  }

  /// What is said of a market from which nobody has borrowed: nothing, unless wrong decimals wait
  /// there for the first who does.
  func quarantine(of market: BookMarket) -> MarketJudgement? {
    guard case .failure(let refusal) = pricing(of: market), refusal.reason == .quarantined else {
      return nil
    }
    var found = MarketJudgement(marketID: market.id, market: market.key, price: nil)
    found.unknownReason = .quarantined
    found.unknownDetail = priceDetail(of: market)
    return found
  }

  private func isRefused(_ key: PriceKey) -> Bool {
    if case .failure = board.price(of: key) { return true }
    return false
  }

  private func pricing(of market: BookMarket) -> Result<U256, PriceRefusal> {
    if case .quarantined(let detail) = decimalsCheck(of: market) {
      return .failure(PriceRefusal(.quarantined, detail))
    }
    var values: [U256] = []
    for key in priceKeys(of: market) {
      switch board.price(of: key) {
      case .failure(let refusal): return .failure(refusal)
      case .success(let value): values.append(value)
      }
    }
    if dialect == .morphoBlue { return .success(values[0]) }
    guard let price = pairPrice(values[0], values[1], of: market) else {
      return .failure(PriceRefusal(.missingPrice))
    }
    return price
  }

  /// Nil while the decimals of a token are unknown.
  private func pairPrice(
    _ base: U256, _ quote: U256, of market: BookMarket
  ) -> Result<U256, PriceRefusal>? {
    let p = market.row.parameters
    guard let loanDecimals = tokens[p.loanToken]?.decimals.flatMap(UInt8.init(exactly:)),
      let collateralDecimals = tokens[p.collateralToken]?.decimals.flatMap(UInt8.init(exactly:))
    else { return nil }
    guard
      let price = try? MoolahMath.pairPrice(
        basePeek: base, quotePeek: quote, loanDecimals: loanDecimals,
        collateralDecimals: collateralDecimals)
    else { return .failure(PriceRefusal(.arithmeticOverflow)) }
    return price.isZero ? .failure(PriceRefusal(.zeroPrice)) : .success(price)
  }
}

// MARK: - The second source's view

extension MoolahBook {
  /// What the market would be at its second source's price, and what else should be looked at.
  func look(
    at market: BookMarket, in state: MarketState, at timestamp: UInt64,
    into found: inout MarketJudgement
  ) {
    found.isDecimalsUnchecked = decimalsCheck(of: market) == .unchecked
    for key in priceKeys(of: market) {
      for warning in board.samples[key]?.warnings ?? []
      where !found.warnings.contains(where: { $0.code == warning.code }) {
        found.warnings.append(warning)
      }
    }
    if let price = secondPrice(of: market) {
      let (shadow, isNews) = shadow(
        of: market, in: state, price: price, official: found.price, at: timestamp)
      found.shadow = shadow
      if isNews {
        let who = shadow.liquidatable == 1 ? "position that owes" : "positions that owe"
        found.warnings.append(
          PriceWarning(
            .shadowLiquidatable,
            "\(shadow.liquidatable) \(who) \(amount(shadow.debt, in: market)) would be "
              + "liquidatable at the second source's price"))
      }
    }
    found.warnings += strain(on: market, in: state, at: timestamp)
  }

  private func amount(_ debt: U256, in market: BookMarket) -> String {
    let token = market.row.parameters.loanToken
    let label = tokens[token] ?? TokenLabel(address: token, symbol: nil, decimals: nil)
    return label.amount(debt) ?? debt.description
  }

  /// The price that the second sources make; nil if none of the market's prices has one.
  ///
  /// A token without a second source counts with its oracle's answer.
  func secondPrice(of market: BookMarket) -> U256? {
    guard let decimals = priceDecimals(of: market) else { return nil }
    let keys = priceKeys(of: market)
    let seconds = keys.map { key -> SecondPrice? in
      if case .success(let price)? = board.second(of: key) { price } else { nil }
    }
    guard seconds.contains(where: { $0 != nil }) else { return nil }
    let parts = zip(keys, seconds).compactMap { key, second in
      second
        ?? board.answers[key]?.value.map { SecondPrice(value: $0, decimals: decimals) }
    }
    guard parts.count == keys.count else { return nil }
    if dialect == .morphoBlue { return parts[0].value(decimals: decimals) }
    guard let (base, quote) = parts[0].aligned(with: parts[1]), !quote.isZero,
      case .success(let price)? = pairPrice(base, quote, of: market)
    else { return nil }
    return price
  }

  /// Every position at the second price. `isNews` says whether one is over its line there and not
  /// at the official price, or the official price is not known.
  private func shadow(
    of market: BookMarket, in state: MarketState, price: U256, official: U256?,
    at timestamp: UInt64
  ) -> (Shadow, isNews: Bool) {
    var shadow = Shadow(price: price)
    var isNews = false
    for index in market.positions {
      guard let debt = debt(at: index, in: market, state, at: timestamp),
        isOver(index, in: market, debt: debt, price: price)
      else { continue }
      shadow.liquidatable += 1
      shadow.debt = (try? shadow.debt.adding(debt)) ?? .max
      if !isNews {
        isNews = official.map { !isOver(index, in: market, debt: debt, price: $0) } ?? true
      }
    }
    return (shadow, isNews)
  }

  /// What a position owes: to the market, or to its broker; nil if that is not known.
  private func debt(
    at index: Int, in market: BookMarket, _ state: MarketState, at timestamp: UInt64
  ) -> U256? {
    if market.row.broker == nil {
      return try? state.borrowed(positions.state(index).borrowShares)
    }
    return try? brokerDebt(of: positions.users[index], in: market, at: timestamp).get()
  }

  private func isOver(_ index: Int, in market: BookMarket, debt: U256, price: U256) -> Bool {
    let capacity = try? MoolahMath.maxBorrow(
      collateral: positions.state(index).collateral, price: price,
      lltv: market.row.parameters.lltv)
    return capacity.map { Health(capacity: $0, debt: debt).isLiquidatable } ?? false
  }

  private static let secondsPerYear: U256 = 31_536_000

  /// A market that lenders cannot leave, or that charges what nobody means to pay.
  private func strain(
    on market: BookMarket, in state: MarketState, at timestamp: UInt64
  ) -> [PriceWarning] {
    var warnings: [PriceWarning] = []
    if state.totalSupplyAssets > 0,
      let lent = try? BasisPoints.divDown(
        U256(state.totalBorrowAssets), by: U256(state.totalSupplyAssets)),
      lent >= board.settings.utilisationWarning
    {
      warnings.append(
        PriceWarning(.highUtilisation, "\(Self.percent(lent)) of the supply is lent"))
    }
    if state.totalBorrowAssets > 0, case .success(let rate) = rate(of: market, at: timestamp),
      let yearly = try? rate.raw.multiplied(by: Self.secondsPerYear),
      let share = try? U256.fullMulDivDown(yearly, BasisPoints.scale, Wad.scale),
      BasisPoints(raw: share) >= board.settings.borrowRateWarning
    {
      warnings.append(
        PriceWarning(.highBorrowRate, "\(Self.percent(BasisPoints(raw: share))) a year"))
    }
    return warnings
  }

  private static func percent(_ share: BasisPoints) -> String {
    "\(share.raw.decimalFraction(digits: 2)) %"
  }
}

extension Moolah {
  public func outsidePrices(for book: MoolahBook) -> Set<String> {
    book.board.outsideSources(for: Set(book.priceKeys))
  }

  public func take(
    _ prices: [String: Result<SecondPrice, SecondProblem>], into book: inout MoolahBook
  ) {
    book.board.take(prices)
    book.checkPrices()
  }
}
