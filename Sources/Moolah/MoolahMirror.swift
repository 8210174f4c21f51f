import Ethereum
import Quantities
import RiskCore
import Systems

/// The rows that a window of logs touches: as they are, and as they were before each block that may
/// still be taken back.
public struct MoolahMirror: Sendable {
  var core: CoreRow
  var markets: [Bytes32: MarketRow]
  var positions: [PositionKey: PositionRow]
  /// Markets that stand still, with the event that could not be applied.
  var setAside: [Bytes32: SetAside]
  /// If not nil, only these markets are followed.
  let following: Set<Bytes32>?
  /// Whether operations, liquidations and logged facts are kept.
  var keepsHistory = true

  var coreImages: [Image<CoreRow>] = []
  var marketImages: [(market: Bytes32, image: Image<MarketRow>)] = []
  var positionImages: [(position: PositionKey, image: Image<PositionRow>)] = []
  var operations: [UserOperation] = []
  var liquidations: [Liquidation] = []
  var facts: [LoggedFact] = []

  init(
    core: CoreRow = CoreRow(), markets: [Bytes32: MarketRow] = [:],
    positions: [PositionKey: PositionRow] = [:], setAside: [Bytes32: SetAside] = [:],
    following: Set<Bytes32>? = nil
  ) {
    self.core = core
    self.markets = markets
    self.positions = positions
    self.setAside = setAside
    self.following = following
  }
}

/// A row before a block changed it; nil: it was not there.
struct Image<Row: Sendable>: Sendable {
  let block: UInt64
  let row: Row?
}

/// What a core contract holds apart from markets and positions.
struct CoreRow: Hashable, Sendable {
  var feeRecipient: Address = .zero
  /// The fee that new markets start with; nil until an event has told it.
  var defaultMarketFee: Wad?
  var asOfBlock: UInt64 = 0
  /// The last block that an image was made for.
  var imagedAt: UInt64 = 0
  var isStored = false
  var isChanged = false
}

/// A market as the contract stores it.
struct MarketRow: Hashable, Sendable {
  /// Surrogate key; nil: not stored yet.
  var id: Int32?
  let parameters: MarketParameters
  var broker: Address?
  var state: MarketState
  /// The fee is not emitted at creation: nil until something has told it.
  var isFeeKnown: Bool
  var rateAtTarget: Wad?
  var asOfBlock: UInt64
  var imagedAt: UInt64 = 0
  var isChanged = false
}

struct PositionKey: Hashable, Sendable {
  let market: Bytes32
  let user: Address
}

/// One user in one market.
struct PositionRow: Hashable, Sendable {
  var id: Int64?
  var state = PositionState()
  var asOfBlock: UInt64 = 0
  var imagedAt: UInt64 = 0
  var isChanged = false
}

/// A line of the user operation log.
struct UserOperation: Sendable {
  enum Kind: String, Sendable {
    case supply, withdraw, borrow, repay
    case supplyCollateral = "supply_collateral"
    case withdrawCollateral = "withdraw_collateral"
    case liquidated
  }
  let at: LogPlace
  let market: Bytes32
  let kind: Kind
  let user: Address
  let caller: Address
  let assets: U256
  let shares: U256?
}

struct Liquidation: Sendable {
  let at: LogPlace
  let market: Bytes32
  let event: LiquidateEvent
  let isWriteDown: Bool
}

/// A fact told by an event of a rate model.
struct LoggedFact: Sendable {
  let at: LogPlace
  let subject: FactSubject
  let name: FactName
  let value: U256

  init?(_ event: MoolahEvent, from irm: Address, at place: LogPlace) {
    switch event {
    case .rateCap(let market, let rate):
      (subject, name) = (.market(market, irm: irm), .rateCap)
      value = rate.raw
    case .rateFloor(let market, let rate):
      (subject, name) = (.market(market, irm: irm), .rateFloor)
      value = rate.raw
    case .fixedRate(let market, let rate):
      (subject, name) = (.market(market, irm: irm), .fixedRate)
      value = rate.raw
    case .minCap(let rate):
      (subject, name) = (.irm(irm), .minCap)
      value = rate.raw
    default: return nil
    }
    at = place
  }
}

/// Where a log stands.
struct LogPlace: Hashable, Sendable {
  let block: UInt64
  let hash: Bytes32
  let index: UInt32
  let transaction: Bytes32
  /// Seconds since 1970.
  let timestamp: UInt64
}

// MARK: - Applying logs

extension MoolahMirror {
  /// Applies one log.
  ///
  /// An event counts only if the contract that owns it has emitted it, which is asked before it is
  /// read: a rate model is anyone's contract, and could print an event of the core contract. An
  /// event of a market that cannot be applied sets the market aside; a rate model's that belongs to
  /// no market of ours is only counted.
  ///
  /// - Throws: if an event of the core contract that concerns every market cannot be read.
  mutating func apply(
    _ log: Log, timestamp: UInt64, finality: UInt64, core: Address, dialect: Dialect,
    to report: inout ApplyReport
  ) throws {
    guard let scope = MoolahEvent.scope(of: log),
      (scope == .rateModel) == (log.address != core)
    else { return report.ignored += 1 }
    let place = LogPlace(
      block: log.blockNumber, hash: log.blockHash, index: log.logIndex,
      transaction: log.transactionHash, timestamp: timestamp)
    let event: MoolahEvent
    do {
      guard let decoded = try MoolahEvent(log) else { return report.ignored += 1 }
      event = decoded
    } catch {
      if scope == .core { throw error }
      guard let market = log.topics.dropFirst().first,
        scope == .market || isRateAtTarget(log, of: market)
      else { return report.malformed += 1 }
      return setAside(market, by: log, error, in: &report)
    }
    if let fact = LoggedFact(event, from: log.address, at: place) {
      if keepsHistory { facts.append(fact) }
      return report.applied += 1
    }
    guard let market = event.market else {
      applyToCore(event, at: place, finality: finality)
      return report.applied += 1
    }
    if scope == .rateModel, !isRateAtTarget(log, of: market) { return report.ignored += 1 }
    if let following, !following.contains(market) { return report.ignored += 1 }
    if setAside[market] != nil { return report.waiting += 1 }
    do {
      var change = Change(at: place, finality: finality, dialect: dialect)
      try change.apply(event, of: market, to: self)
      commit(change, of: market)
      report.applied += 1
    } catch {
      setAside(market, by: log, error, in: &report)
    }
  }

  /// Whether this is a market's rate at target, from the market's own rate model.
  private func isRateAtTarget(_ log: Log, of market: Bytes32) -> Bool {
    log.topics.first == MoolahEvent.rateAtTargetTopic
      && markets[market]?.parameters.irm == log.address
  }

  private mutating func setAside(
    _ market: Bytes32, by log: Log, _ error: any Error, in report: inout ApplyReport
  ) {
    if let following, !following.contains(market) { return report.ignored += 1 }
    if setAside[market] != nil { return report.waiting += 1 }
    let aside = SetAside(
      market: market, blockNumber: log.blockNumber, logIndex: log.logIndex,
      reason: "the event with topic \(log.topics[0]) cannot be applied: \(error)", attempts: 1)
    setAside[market] = aside
    report.setAside.append(aside)
  }

  private mutating func applyToCore(_ event: MoolahEvent, at place: LogPlace, finality: UInt64) {
    if place.block > finality, core.imagedAt != place.block {
      coreImages.append(Image(block: place.block, row: core.isStored ? core : nil))
      core.imagedAt = place.block
    }
    core.asOfBlock = place.block
    core.isStored = true
    core.isChanged = true
    switch event {
    case .setFeeRecipient(let recipient): core.feeRecipient = recipient
    case .setDefaultMarketFee(let fee): core.defaultMarketFee = fee
    default: preconditionFailure("an event of a market was taken for one of the core contract")
    }
  }

  private mutating func commit(_ change: Change, of key: Bytes32) {
    if var market = change.market {
      if change.at.block > change.finality, market.imagedAt != change.at.block {
        marketImages.append((key, Image(block: change.at.block, row: markets[key])))
        market.imagedAt = change.at.block
      }
      market.asOfBlock = change.at.block
      market.isChanged = true
      markets[key] = market
    }
    for (user, state) in change.positions {
      let key = PositionKey(market: key, user: user)
      let before = positions[key]
      var position = before ?? PositionRow()
      if change.at.block > change.finality, position.imagedAt != change.at.block {
        positionImages.append((key, Image(block: change.at.block, row: before)))
        position.imagedAt = change.at.block
      }
      position.state = state
      position.asOfBlock = change.at.block
      position.isChanged = true
      positions[key] = position
    }
    guard keepsHistory else { return }
    if let operation = change.operation { operations.append(operation) }
    if let liquidation = change.liquidation { liquidations.append(liquidation) }
  }
}

/// What one event does to one market: worked out whole, or not at all.
private struct Change {
  let at: LogPlace
  let finality: UInt64
  let dialect: Dialect
  var market: MarketRow?
  var positions: [(Address, PositionState)] = []
  var operation: UserOperation?
  var liquidation: Liquidation?

  init(at: LogPlace, finality: UInt64, dialect: Dialect) {
    self.at = at
    self.finality = finality
    self.dialect = dialect
  }

  /// The rules of `docs/formulas/moolah.md`, one case each.
  mutating func apply(_ event: MoolahEvent, of key: Bytes32, to mirror: MoolahMirror) throws {
    if case .createMarket(_, let parameters) = event {
      return try create(key, parameters, in: mirror)
    }
    guard var market = mirror.markets[key] else { throw MirrorError.marketUnknown }
    func position(_ user: Address) -> PositionState {
      mirror.positions[PositionKey(market: key, user: user)]?.state ?? PositionState()
    }

    switch event {
    case .supply(_, let caller, let user, let assets, let shares):
      var p = position(user)
      p.supplyShares = try p.supplyShares.adding(shares)
      market.state.totalSupplyShares = try plus(market.state.totalSupplyShares, shares)
      market.state.totalSupplyAssets = try plus(market.state.totalSupplyAssets, assets)
      touch(&market, user, p)
      operation = line(.supply, key, user, caller, assets, shares)

    case .withdraw(_, let caller, let user, let assets, let shares):
      var p = position(user)
      p.supplyShares = try p.supplyShares.subtracting(shares)
      market.state.totalSupplyShares = try minus(market.state.totalSupplyShares, shares)
      market.state.totalSupplyAssets = try minus(market.state.totalSupplyAssets, assets)
      touch(&market, user, p)
      operation = line(.withdraw, key, user, caller, assets, shares)

    case .borrow(_, let caller, let user, let assets, let shares):
      var p = position(user)
      p.borrowShares = try plus(p.borrowShares, shares)
      market.state.totalBorrowShares = try plus(market.state.totalBorrowShares, shares)
      market.state.totalBorrowAssets = try plus(market.state.totalBorrowAssets, assets)
      touch(&market, user, p)
      operation = line(.borrow, key, user, caller, assets, shares)

    case .repay(_, let caller, let user, let assets, let shares):
      var p = position(user)
      p.borrowShares = try minus(p.borrowShares, shares)
      market.state.totalBorrowShares = try minus(market.state.totalBorrowShares, shares)
      // The contract lets a repayment exceed the total by one unit, and stops at zero.
      market.state.totalBorrowAssets = minusFlooredAtZero(market.state.totalBorrowAssets, assets)
      touch(&market, user, p)
      operation = line(.repay, key, user, caller, assets, shares)

    case .supplyCollateral(_, let caller, let user, let collateral):
      var p = position(user)
      p.collateral = try plus(p.collateral, collateral)
      positions = [(user, p)]  // no accrual: the market does not change
      operation = line(.supplyCollateral, key, user, caller, collateral, nil)

    case .withdrawCollateral(_, let caller, let user, let collateral):
      var p = position(user)
      p.collateral = try minus(p.collateral, collateral)
      touch(&market, user, p)
      operation = line(.withdrawCollateral, key, user, caller, collateral, nil)

    case .liquidate(_, let liquidate):
      try apply(liquidate, of: key, position(liquidate.borrower), to: &market)

    case .accrueInterest(_, let interest, let feeShares):
      market.state.totalBorrowAssets = try plus(market.state.totalBorrowAssets, interest)
      market.state.totalSupplyAssets = try plus(market.state.totalSupplyAssets, interest)
      market.state.lastUpdate = at.timestamp
      if !feeShares.isZero {
        market.state.totalSupplyShares = try plus(market.state.totalSupplyShares, feeShares)
        var p = position(mirror.core.feeRecipient)
        p.supplyShares = try p.supplyShares.adding(feeShares)
        positions = [(mirror.core.feeRecipient, p)]
      }
      self.market = market

    case .setFee(_, let fee):
      market.state.fee = fee
      market.isFeeKnown = true
      market.state.lastUpdate = at.timestamp
      self.market = market

    case .setMarketBroker(_, let broker):
      market.broker = broker
      self.market = market

    case .rateAtTarget(_, let rate):
      market.rateAtTarget = rate
      self.market = market

    case .createMarket, .rateCap, .rateFloor, .fixedRate, .minCap, .setFeeRecipient,
      .setDefaultMarketFee:
      preconditionFailure("handled before")
    }
  }

  private mutating func create(
    _ key: Bytes32, _ parameters: MarketParameters, in mirror: MoolahMirror
  ) throws {
    guard mirror.markets[key] == nil else { throw MirrorError.marketExists }
    let fee = mirror.core.defaultMarketFee ?? dialect.initialFee
    market = MarketRow(
      id: nil, parameters: parameters, broker: nil,
      state: MarketState(
        totalSupplyAssets: 0, totalSupplyShares: 0, totalBorrowAssets: 0, totalBorrowShares: 0,
        lastUpdate: at.timestamp, fee: fee ?? Wad(raw: 0)),
      isFeeKnown: fee != nil, rateAtTarget: nil, asOfBlock: at.block)
  }

  /// Moolah `liquidate` and, under the same event, `liquidateBrokerPosition`.
  private mutating func apply(
    _ event: LiquidateEvent, of key: Bytes32, _ before: PositionState, to market: inout MarketRow
  ) throws {
    let isWriteDown = event.isWriteDown(by: market.broker)
    let clearedShares =
      isWriteDown ? event.badDebtShares : try event.repaidShares.adding(event.badDebtShares)
    var p = before
    p.borrowShares = try minus(p.borrowShares, clearedShares)
    p.collateral = try minus(p.collateral, event.seizedAssets)
    market.state.totalBorrowShares = try minus(market.state.totalBorrowShares, clearedShares)
    if !isWriteDown {
      market.state.totalBorrowAssets = minusFlooredAtZero(
        market.state.totalBorrowAssets, event.repaidAssets)
    }
    market.state.totalBorrowAssets = try minus(
      market.state.totalBorrowAssets, event.badDebtAssets)
    market.state.totalSupplyAssets = try minus(
      market.state.totalSupplyAssets, event.badDebtAssets)
    touch(&market, event.borrower, p)
    operation = line(
      .liquidated, key, event.borrower, event.caller, event.repaidAssets, event.repaidShares)
    liquidation = Liquidation(at: at, market: key, event: event, isWriteDown: isWriteDown)
  }

  /// The operations that accrue first store the block's time even if no interest rate model is set.
  private mutating func touch(_ market: inout MarketRow, _ user: Address, _ position: PositionState)
  {
    market.state.lastUpdate = at.timestamp
    self.market = market
    positions = [(user, position)]
  }

  private func line(
    _ kind: UserOperation.Kind, _ market: Bytes32, _ user: Address, _ caller: Address,
    _ assets: U256, _ shares: U256?
  ) -> UserOperation {
    UserOperation(
      at: at, market: market, kind: kind, user: user, caller: caller, assets: assets,
      shares: shares)
  }
}

/// Why an event cannot be applied to the mirror.
enum MirrorError: Error, Equatable, CustomStringConvertible {
  case marketUnknown
  case marketExists

  var description: String {
    switch self {
    case .marketUnknown: "its market was never created"
    case .marketExists: "its market was created before"
    }
  }
}

/// The contract's uint128 additions and subtractions of an event's uint256.
private func plus(_ a: UInt128, _ b: U256) throws(ArithmeticError) -> UInt128 {
  let (sum, isOverflow) = a.addingReportingOverflow(try UInt128(narrowing: b))
  if isOverflow { throw .overflow }
  return sum
}

private func minus(_ a: UInt128, _ b: U256) throws(ArithmeticError) -> UInt128 {
  guard let b = UInt128(exactly: b), b <= a else { throw .underflow }
  return a - b
}

private func minusFlooredAtZero(_ a: UInt128, _ b: U256) -> UInt128 {
  guard let b = UInt128(exactly: b), b <= a else { return 0 }
  return a - b
}
