import Ethereum
import Quantities
import RiskCore
import Systems

/// How the candidates of a judgement would be liquidated, while it is being worked out.
///
/// What it needs beyond the book is asked at the book's block, in two rounds at most: prices of
/// pre-liquidation contracts tell who stands in their bands, and then everybody's permissions.
public struct MoolahPlanning: Sendable {
  let book: MoolahBook
  let timestamp: UInt64
  /// The later second at which `actionable` candidates are over their line.
  let next: UInt64?
  let settings: PlanSettings
  var judgement: Judgement
  /// Each market with candidates or a band, accrued to the moment.
  var markets: [Bytes32: PlannedMarket] = [:]
  /// The contracts in whose band each position stands, in the order of the configuration.
  var bands: [CandidateMemory.Key: [PreLiquidationContract]] = [:]
  var answers: [PlanQuestion: CallResult] = [:]
  /// Bands are sought once their prices are there.
  var areBandsKnown = false

  /// Users whose own permission is asked for at most; that of others is unknown.
  static let askedUsersMax = 10_000
}

/// A market as a plan needs it.
struct PlannedMarket: Sendable {
  let market: BookMarket
  let state: MarketState
  /// Accrued to the later second.
  let later: MarketState?
  /// The place of each candidate's position in the book.
  var places: [Address: Int] = [:]
}

extension Moolah {
  public func planning(
    for judgement: Judgement, of book: MoolahBook, at timestamp: UInt64, next: UInt64?,
    by settings: PlanSettings
  ) -> MoolahPlanning {
    var planning = MoolahPlanning(
      book: book, timestamp: timestamp, next: next, settings: settings, judgement: judgement)
    planning.prepareMarkets()
    planning.seekBands()
    return planning
  }

  public func questions(for planning: MoolahPlanning) -> [Call] {
    planning.missing.map { $0.call(core: planning.book.deployment.address) }
  }

  public func take(_ answers: [CallResult], into planning: inout MoolahPlanning) {
    let missing = planning.missing
    precondition(missing.count == answers.count, "one answer for each question")
    for (question, answer) in zip(missing, answers) { planning.answers[question] = answer }
    planning.seekBands()
  }

  public func judgement(from planning: MoolahPlanning) -> Judgement {
    var judgement = planning.judgement
    planning.dropDoubted(from: &judgement)
    for index in judgement.candidates.indices {
      planning.plan(&judgement.candidates[index])
    }
    return judgement
  }
}

// MARK: - Markets and bands

extension MoolahPlanning {
  /// Contracts of markets that are judged, where the market could have such a contract.
  var bandContracts: [(contract: PreLiquidationContract, market: BookMarket)] {
    settings.preLiquidations.compactMap { contract in
      book.markets.first { $0.key == contract.market }.map { (contract, $0) }
    }
  }

  mutating func prepareMarkets() {
    var users: [Bytes32: Set<Address>] = [:]
    for candidate in judgement.candidates {
      users[candidate.market, default: []].insert(candidate.user)
    }
    for (_, market) in bandContracts where users[market.key] == nil { users[market.key] = [] }
    for market in book.markets {
      guard let wanted = users[market.key],
        case .success(let accrued) = book.accrued(market, to: timestamp)
      else { continue }
      var planned = PlannedMarket(
        market: market, state: accrued.state,
        later: next.flatMap { try? book.accrued(market, to: $0).get().state })
      for index in market.positions where wanted.contains(book.positions.users[index]) {
        planned.places[book.positions.users[index]] = index
      }
      markets[market.key] = planned
    }
  }

  /// Adds a candidate for each healthy position that stands in a band, as soon as the prices are
  /// there.
  mutating func seekBands() {
    if areBandsKnown { return }
    let contracts = bandContracts
    guard contracts.allSatisfy({ isPriceAnswered($0.contract) }) else { return }
    areBandsKnown = true
    let taken = Set(
      judgement.candidates.filter { $0.certainty == .verified }.compactMap(\.memoryKey)
        .map { CandidateMemory.Key(market: $0.market, user: $0.user, kind: .preLiquidation) })
    for (contract, market) in contracts {
      guard let planned = markets[market.key], market.row.broker == nil,
        let terms = PreLiquidation(contract.terms, lltv: market.row.parameters.lltv),
        let price = bandPrice(of: contract, market),
        let marketPrice = try? book.price(of: market).get()
      else {
        judgement.unknownBands.insert(market.key)
        continue
      }
      seek(contract, terms, price: price, marketPrice: marketPrice, in: planned, without: taken)
    }
  }

  private mutating func seek(
    _ contract: PreLiquidationContract, _ terms: PreLiquidation, price: U256, marketPrice: U256,
    in planned: PlannedMarket, without taken: Set<CandidateMemory.Key>
  ) {
    let market = planned.market
    for index in market.positions {
      let position = book.positions.state(index)
      let user = book.positions.users[index]
      let key = CandidateMemory.Key(market: market.key, user: user, kind: .preLiquidation)
      do {
        _ = try terms.offer(for: position, in: planned.state, price: price)
      } catch {
        if case .arithmetic = error { judgement.unknownBands.insert(market.key) }
        continue
      }
      guard !taken.contains(key),
        let health = try? MoolahMath.health(
          of: position, in: planned.state, price: marketPrice, lltv: market.row.parameters.lltv)
      else { continue }
      bands[key, default: []].append(contract)
      if bands[key]?.count != 1 { continue }
      markets[market.key]?.places[user] = index
      judgement.candidates.append(
        Candidate(
          marketID: market.id, market: market.key, user: user, certainty: .preLiquidatable,
          outcome: bandOutcome, health: health, collateral: U256(position.collateral),
          price: marketPrice,
          triggerPrice: Moolah(book.dialect).trigger(
            debt: health.debt, position, market.row.parameters.lltv)))
    }
  }

  /// A pre-liquidation calls `repay` and `withdrawCollateral` of the core, which Moolah can pause.
  private var bandOutcome: Outcome {
    guard book.dialect == .moolah else { return .open }
    guard let isPaused = book.isPaused else { return .permissionUnknown }
    return isPaused ? .paused : .open
  }

  private func isPriceAnswered(_ contract: PreLiquidationContract) -> Bool {
    guard let oracle = contract.oracle else { return true }
    return answers[.pairPrice(oracle)] != nil
  }

  /// What the contract's oracle says; nil: not known.
  func bandPrice(of contract: PreLiquidationContract, _ market: BookMarket) -> U256? {
    guard let oracle = contract.oracle else { return try? book.price(of: market).get() }
    return word(.pairPrice(oracle))
  }
}

// MARK: - One candidate

extension MoolahPlanning {
  /// Works out path, plan and value of a candidate.
  func plan(_ candidate: inout Candidate) {
    guard let planned = markets[candidate.market], let index = planned.places[candidate.user] else {
      return
    }
    value(&candidate, in: planned.market)
    candidate.loanToValue = loanToValue(of: candidate)
    choosePath(for: &candidate, in: planned.market)
    let position = book.positions.state(index)
    if candidate.certainty == .preLiquidatable {
      planBand(&candidate, position, in: planned)
      return
    }
    let p = planned.market.row.parameters
    // What is over its line one block later is planned with that block's debt.
    let state = candidate.certainty == .actionable ? planned.later : planned.state
    let isBrokered = planned.market.row.broker != nil
    // A broker's contract sizes with the user's own price: without it there are no amounts.
    guard let state, let price = isBrokered ? candidate.userPrice : candidate.price else { return }
    var planner = LiquidationPlanner(
      market: state, position: position, price: price, marketPrice: candidate.price, lltv: p.lltv)
    planner.brokerDebt = isBrokered ? candidate.health.debt : nil
    planner.isThroughBroker = candidate.path == .brokerLiquidator
    planner.minLoan = minLoan(of: planned.market)
    planner.incentiveFloor = settings.incentiveFloor.map(Wad.init(raw:))
    if let limit = settings.maxRepayUSD {
      // Without a price in USD a limit in USD cannot be kept.
      guard let cost = loanTokens(worth: limit, of: planned.market) else { return }
      planner.costLimit = cost
    }
    do {
      candidate.plan = try planner.plan()
    } catch {
      if error == .dust, candidate.outcome == .open { candidate.outcome = .dustRule }
    }
  }

  /// As much as the contract lets one call repay, and the purse.
  private func planBand(
    _ candidate: inout Candidate, _ position: PositionState, in planned: PlannedMarket
  ) {
    let key = candidate.memoryKey
    let contracts = key.flatMap { bands[$0] } ?? []
    let chosen =
      contracts.first { flag(.authorized(candidate.user, $0.address)) == true } ?? contracts.first
    guard let contract = chosen,
      let terms = PreLiquidation(contract.terms, lltv: planned.market.row.parameters.lltv),
      let price = bandPrice(of: contract, planned.market),
      let offer = try? terms.offer(for: position, in: planned.state, price: price)
    else { return }
    candidate.path = .preLiquidation
    candidate.contract = contract.address
    if candidate.outcome == .open {
      switch flag(.authorized(candidate.user, contract.address)) {
      case .some(true): break
      case .some(false): candidate.outcome = .notAuthorized
      case .none: candidate.outcome = .permissionUnknown
      }
    }
    var shares = min(offer.repayableShares, U256(position.borrowShares))
    if let limit = settings.maxRepayUSD {
      guard let cost = loanTokens(worth: limit, of: planned.market),
        let affordable = try? MoolahMath.toSharesDown(
          cost.subtractingFlooredAtZero(.one),
          totalAssets: U256(planned.state.totalBorrowAssets),
          totalShares: U256(planned.state.totalBorrowShares))
      else { return }
      shares = min(shares, affordable)
    }
    do {
      let seizure = try terms.preLiquidating(
        position, .repaying(shares), in: planned.state, price: price, corePrice: candidate.price,
        isAuthorized: true)
      candidate.plan = LiquidationPlan(
        extent: seizure.position.borrowShares == 0 ? .full : .partial,
        seizedAssets: U256(seizure.seizedAssets), repaidAssets: seizure.repaidAssets,
        repaidShares: U256(seizure.repaidShares), incentive: offer.incentive.raw,
        isBySeizing: false)
    } catch {
      // The contract would refuse this amount: there is no plan.
    }
  }

  // MARK: Value

  private func loanToValue(of candidate: Candidate) -> U256? {
    guard
      let quoted = try? U256.mulDivDown(
        candidate.collateral, candidate.price, MoolahMath.oraclePriceScale)
    else { return nil }
    // Debt on collateral without value is above every ratio.
    return (try? MoolahMath.wDivUp(candidate.health.debt, quoted)) ?? .max
  }

  private func value(_ candidate: inout Candidate, in market: BookMarket) {
    let p = market.row.parameters
    candidate.debtUSD = usd(candidate.health.debt, of: p.loanToken, in: market)
    candidate.collateralUSD = usd(candidate.collateral, of: p.collateralToken, in: market)
  }

  /// USD with 8 decimals, rounded down; nil: no price in USD.
  private func usd(_ amount: U256, of token: Address, in market: BookMarket) -> U256? {
    guard let price = usdPrice(of: token, in: market), let unit = unit(of: token) else {
      return nil
    }
    return try? U256.fullMulDivDown(amount, price, unit)
  }

  /// As many loan tokens as are worth so much, rounded down.
  private func loanTokens(worth usd: U256, of market: BookMarket) -> U256? {
    let token = market.row.parameters.loanToken
    guard let price = usdPrice(of: token, in: market), let unit = unit(of: token) else {
      return nil
    }
    return try? U256.fullMulDivDown(usd, unit, price)
  }

  private func unit(of token: Address) -> U256? {
    book.tokens[token]?.decimals.flatMap(U256.tenTo)
  }

  /// What Moolah's own oracle says of the token, else the configured feed; 8 decimals.
  private func usdPrice(of token: Address, in market: BookMarket) -> U256? {
    if book.dialect == .moolah, settings.usdFeeds[token] == nil {
      return peek(token, of: market)
    }
    guard let feed = settings.usdFeeds[token], let answer = feedAnswer(feed),
      let decimals = word(.feedDecimals(feed)).flatMap({ UInt64(exactly: $0) }), decimals <= 77,
      let unit = U256.tenTo(Int(decimals))
    else { return nil }
    let price = try? U256.fullMulDivDown(answer, 100_000_000, unit)
    return price.flatMap { $0.isZero ? nil : $0 }
  }

  /// The second word of `latestRoundData`: a signed price, of which only a positive one is a price.
  /// Nil if the fourth, its time, is too long before the block or after it.
  private func feedAnswer(_ feed: Address) -> U256? {
    guard let answer = word(.feedAnswer(feed), at: 1, of: 5), !answer.isZero,
      answer.bitWidth <= 255,
      let updated = word(.feedAnswer(feed), at: 3, of: 5).flatMap({ UInt64(exactly: $0) }),
      updated <= book.block.timestamp,
      book.block.timestamp - updated <= settings.usdFeedMaxAgeSeconds
    else { return nil }
    return answer
  }

  /// The least debt that may be left; nil: not known. Source: `Moolah.minLoan`.
  func minLoan(of market: BookMarket) -> U256? {
    guard book.dialect == .moolah else { return .zero }
    guard let value = word(.minLoanValue) else { return nil }
    let token = market.row.parameters.loanToken
    guard let price = peek(token, of: market), let unit = unit(of: token) else { return nil }
    return try? U256.mulDivDown(value, unit, price)
  }

  /// What the market's own oracle told of a token in USD; nil: nothing, or zero.
  private func peek(_ token: Address, of market: BookMarket) -> U256? {
    let key = PriceKey(oracle: market.row.parameters.oracle, token: token)
    guard let price = book.board.answers[key]?.value, !price.isZero else { return nil }
    return price
  }
}

extension U256 {
  /// Ten to a power below 78; nil beyond.
  fileprivate static func tenTo(_ exponent: Int) -> U256? {
    guard (0...77).contains(exponent) else { return nil }
    var power = U256.one
    for _ in 0..<exponent {
      guard let next = try? power.multiplied(by: 10) else { return nil }
      power = next
    }
    return power
  }
}
