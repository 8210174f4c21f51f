import Ethereum
import Quantities
import RiskCore
import Systems

/// Every position with debt of a deployment, and what its judgement needs, at one block.
///
/// Positions are columns, ordered by market: a verdict over a million of them walks arrays.
public struct MoolahBook: Sendable {
  public let deployment: Deployment
  public let block: BlockMark
  let dialect: Dialect
  /// Derived for a block below the mirror's.
  var isPast = false
  var markets: [BookMarket]
  var tokens: [Address: TokenLabel]
  var newTokens: Set<Address> = []
  var facts: Facts
  var board = PriceBoard()
  /// Nil: not answered.
  var isPaused: Bool?
  var positions = BookPositions()
  /// The brokers of its markets.
  var brokers: [Address: BookBroker] = [:]
  /// Rounds of questions to the brokers that were answered.
  var brokerRounds = 0

  /// The smallest loan that may be left, USD with 8 decimals; nil: not known.
  var minLoanValue: U256? { facts[.minLoanValue, .contract(deployment.address)] }

  mutating func learn(_ token: Address, decimals: Int) {
    tokens[token] = TokenLabel(address: token, symbol: tokens[token]?.symbol, decimals: decimals)
    newTokens.insert(token)
  }

  mutating func learn(_ token: Address, symbol: String?) {
    guard let known = tokens[token] else { return }
    tokens[token] = TokenLabel(address: token, symbol: symbol, decimals: known.decimals)
  }
}

/// Columns of the positions with debt.
struct BookPositions: Sendable {
  var ids: [Int64] = []
  var users: [Address] = []
  var borrowShares: [UInt128] = []
  var collateral: [UInt128] = []

  /// Adds the positions with debt, and says where they stand.
  mutating func append(
    _ rows: [Dictionary<PositionKey, PositionRow>.Element]
  ) -> Range<Int> {
    let start = ids.count
    for (key, row) in rows where row.state.borrowShares > 0 {
      ids.append(row.id ?? 0)
      users.append(key.user)
      borrowShares.append(row.state.borrowShares)
      collateral.append(row.state.collateral)
    }
    return start..<ids.count
  }

  func state(_ index: Int) -> PositionState {
    PositionState(
      supplyShares: .zero, borrowShares: borrowShares[index], collateral: collateral[index])
  }
}

extension BookPositions {
  /// Brings the columns into the order of the markets, keeping the order within each, and returns
  /// where each market's positions stand now. `marketOf` is the index of each position's market,
  /// below `markets`.
  mutating func order(by marketOf: [Int32], markets: Int) -> [Range<Int>] {
    var ends = [Int](repeating: 0, count: markets)
    for market in marketOf { ends[Int(market)] += 1 }
    var ranges: [Range<Int>] = []
    var start = 0
    for market in 0..<markets {
      ranges.append(start..<(start + ends[market]))
      start += ends[market]
      ends[market] = ranges[market].lowerBound
    }
    let places = marketOf.map { market in
      defer { ends[Int(market)] += 1 }
      return ends[Int(market)]
    }
    ids = placed(ids, at: places)
    users = placed(users, at: places)
    borrowShares = placed(borrowShares, at: places)
    collateral = placed(collateral, at: places)
    return ranges
  }
}

/// The column with each value moved to its place. The places are those of the column, each once.
private func placed<Value>(_ column: [Value], at places: [Int]) -> [Value] {
  var order = [Int](repeating: 0, count: places.count)
  for (index, place) in places.enumerated() { order[place] = index }
  return order.map { column[$0] }
}

/// A market of a book.
struct BookMarket: Sendable {
  let id: Int32
  let key: Bytes32
  let row: MarketRow
  let isSetAside: Bool
  /// Where its positions stand in the columns.
  var positions: Range<Int> = 0..<0
  /// What `borrowRateView` answered at the book's block.
  var askedRate: Wad?
  /// Whether anyone may liquidate; nil: not answered.
  var isOpenToAll: Bool?
  /// Who is in its lists; nil: not known, since the deployment began in mid-chain.
  var members: MarketMembers?

  var subject: FactSubject { .market(key, irm: row.parameters.irm) }

  /// The stored state with the fee that was asked for.
  func state(_ facts: Facts) -> MarketState {
    var state = row.state
    if !row.isFeeKnown, let fee = facts[.fee, subject] { state.fee = Wad(raw: fee) }
    return state
  }
}

// MARK: - Rates and accrual

extension MoolahBook {
  /// The average rate from the market's last update to `timestamp`.
  ///
  /// At the book's block the contract's own answer counts. At another second it is the local
  /// model's, and only if the model agrees with the contract at the block. Where the contract's
  /// model does not answer, the contract itself cannot accrue, so the rate is unknown; only at the
  /// last update itself is none needed.
  func rate(of market: BookMarket, at timestamp: UInt64) -> Result<Wad, UnknownReason> {
    if market.row.parameters.irm == .zero { return .success(Wad(raw: .zero)) }
    if timestamp == block.timestamp, let asked = market.askedRate { return .success(asked) }
    if timestamp == market.row.state.lastUpdate { return .success(Wad(raw: .zero)) }
    guard let asked = market.askedRate,
      let check = try? localRate(of: market, at: block.timestamp), check == asked,
      let local = try? localRate(of: market, at: timestamp)
    else { return .failure(.unknownRate) }
    return .success(local)
  }

  /// Nil if neither model is the market's.
  private func localRate(of market: BookMarket, at timestamp: UInt64) throws -> Wad? {
    let bounds = bounds(of: market)
    if let rateAtTarget = market.row.rateAtTarget {
      return try AdaptiveCurve.rates(
        of: state(of: market), at: timestamp, rateAtTarget: rateAtTarget, bounds: bounds
      ).averageRate
    }
    // A broker's market has a fixed rate of 0 as a rule: its interest is the broker's. Elsewhere a
    // model that says 0 to all may be of any kind.
    if let stored = facts[.fixedRate, market.subject],
      !stored.isZero || (market.row.broker != nil && bounds != nil)
    {
      return FixedRate.rate(stored: Wad(raw: stored), bounds: bounds ?? RateBounds())
    }
    return nil
  }

  /// Lista's bounds of a market's rate; nil for a model that has no `rateCap`, as Morpho Blue's.
  private func bounds(of market: BookMarket) -> RateBounds? {
    guard let cap = facts[.rateCap, market.subject] else { return nil }
    return RateBounds(
      cap: Wad(raw: cap),
      minCap: Wad(raw: facts[.minCap, .irm(market.row.parameters.irm)] ?? .zero),
      floor: Wad(raw: facts[.rateFloor, market.subject] ?? .zero))
  }

  func state(of market: BookMarket) -> MarketState { market.state(facts) }

  /// The market's totals with interest up to `timestamp`, and the rate that made it.
  func accrued(
    _ market: BookMarket, to timestamp: UInt64
  ) -> Result<(state: MarketState, rate: Wad), UnknownReason> {
    if market.isSetAside { return .failure(.marketSetAside) }
    if timestamp < market.row.state.lastUpdate { return .failure(.unknownRate) }
    switch rate(of: market, at: timestamp) {
    case .failure(let reason): return .failure(reason)
    case .success(let rate):
      guard let accrued = try? state(of: market).accrued(to: timestamp, rate: rate) else {
        return .failure(.arithmeticOverflow)
      }
      return .success((accrued.state, rate))
    }
  }
}

// MARK: - Verdicts

extension Moolah {
  public func labels(of book: MoolahBook) -> [Bytes32: MarketLabel] {
    func label(_ token: Address) -> TokenLabel {
      book.tokens[token] ?? TokenLabel(address: token, symbol: nil, decimals: nil)
    }
    return Dictionary(
      book.markets.map { market in
        let p = market.row.parameters
        return (
          market.key, MarketLabel(loan: label(p.loanToken), collateral: label(p.collateralToken))
        )
      }, uniquingKeysWith: { first, _ in first })
  }

  public func judge(_ book: MoolahBook, at timestamp: UInt64, next: UInt64?) -> Judgement {
    var judgement = Judgement()
    for market in book.markets {
      if market.positions.isEmpty {
        if let found = book.quarantine(of: market) { judgement.markets.append(found) }
      } else if market.row.broker != nil {
        judgeBrokered(market, of: book, at: timestamp, next: next, into: &judgement)
      } else {
        judge(market, of: book, at: timestamp, next: next, into: &judgement)
      }
    }
    judgement.notes = brokerNotes(on: book)
    return judgement
  }

  private func judge(
    _ market: BookMarket, of book: MoolahBook, at timestamp: UInt64, next: UInt64?,
    into judgement: inout Judgement
  ) {
    let price = book.price(of: market)
    var found = MarketJudgement(
      marketID: market.id, market: market.key, price: try? price.get())
    defer { judgement.markets.append(found) }

    func giveUp(_ reason: UnknownReason) {
      found.unknown = market.positions.count
      found.unknownReason = reason
    }
    let state: MarketState
    switch book.accrued(market, to: timestamp) {
    case .failure(let reason): return giveUp(reason)
    case .success(let accrued): state = accrued.state
    }
    book.look(at: market, in: state, at: timestamp, into: &found)
    guard case .success(let price) = price else {
      if case .failure(let reason) = price { giveUp(reason) }
      found.unknownDetail = book.priceDetail(of: market)
      return
    }
    let later = next.flatMap { try? book.accrued(market, to: $0).get().state }
    let outcome = outcome(market, paused: book.isPaused)
    let lltv = market.row.parameters.lltv

    for index in market.positions {
      let position = book.positions.state(index)
      guard
        let health = try? MoolahMath.health(of: position, in: state, price: price, lltv: lltv)
      else {
        found.giveUp(on: book.positions.users[index], .arithmeticOverflow)
        continue
      }
      var line: (Certainty, Health)?
      if health.isLiquidatable {
        found.liquidatable += 1
        line = (.verified, health)
      } else {
        found.healthy += 1
        let then = later.flatMap {
          try? MoolahMath.health(of: position, in: $0, price: price, lltv: lltv)
        }
        if let then, then.isLiquidatable {
          found.actionable += 1
          line = (.actionable, then)
        }
        if next != nil, then == nil { found.actionableUnknown += 1 }
      }
      guard let (certainty, health) = line else { continue }
      judgement.candidates.append(
        Candidate(
          marketID: market.id, market: market.key, user: book.positions.users[index],
          certainty: certainty, outcome: outcome, health: health,
          collateral: U256(position.collateral), price: price,
          triggerPrice: trigger(debt: health.debt, position, lltv)))
    }
  }

  func outcome(_ market: BookMarket, paused: Bool?) -> Outcome {
    guard dialect == .moolah else { return .open }
    guard let paused, let open = market.isOpenToAll else { return .permissionUnknown }
    return paused ? .paused : open ? .open : .whitelistOnly
  }

  func trigger(debt: U256, _ position: PositionState, _ lltv: Wad) -> U256? {
    switch MoolahMath.triggerPrice(debt: debt, collateral: position.collateral, lltv: lltv) {
    case .at(let price): price
    case .noDebt, .always: nil
    }
  }
}
