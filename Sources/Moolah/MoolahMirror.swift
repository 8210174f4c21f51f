import Ethereum
import Quantities
import RiskCore
import Systems

/// The rows that a window of logs touches: as they are, and as they were before each block that may
/// still be taken back.
public struct MoolahMirror: Sendable {
  var core: CoreRow
  var markets: [Bytes32: MarketRow]
  var positions: PositionTable
  /// Markets that stand still, with the event that could not be applied.
  var setAside: [Bytes32: SetAside]
  /// If not nil, only these markets are followed.
  let following: Set<Bytes32>?
  /// Whether operations, liquidations and logged facts are kept.
  var keepsHistory = true
  /// What the events of brokers have touched.
  var brokers: BrokerTouches

  var coreImages: [Image<CoreRow>] = []
  var marketImages: [(market: Bytes32, image: Image<MarketRow>)] = []
  var positionImages: [(position: PositionKey, image: Image<PositionRow>)] = []
  var operations: [UserOperation] = []
  var liquidations: [Liquidation] = []
  var facts: [LoggedFact] = []
  var settings: [PlacedSetting] = []

  init(
    core: CoreRow = CoreRow(), markets: [Bytes32: MarketRow] = [:],
    positions: PositionTable = PositionTable(), setAside: [Bytes32: SetAside] = [:],
    following: Set<Bytes32>? = nil
  ) {
    self.core = core
    self.markets = markets
    self.positions = positions
    self.setAside = setAside
    self.following = following
    brokers = BrokerTouches(Set(markets.values.compactMap(\.broker)))
  }
}

extension MoolahMirror {
  /// What `apply` changed stands in the tables now; the rows are kept for the window that follows.
  mutating func noteStored() {
    core.isChanged = false
    for (key, row) in markets where row.isChanged { markets[key]?.isChanged = false }
    positions.noteStored()
    coreImages.removeAll()
    marketImages.removeAll()
    positionImages.removeAll()
    operations.removeAll(keepingCapacity: true)
    liquidations.removeAll()
    facts.removeAll()
    settings.removeAll()
    brokers.noteStored()
  }

  /// Lets every position go when there are more than `limit`, so that memory stays bounded.
  mutating func forgetPositions(above limit: Int) {
    guard positions.count > limit else { return }
    positions = PositionTable()
    for key in markets.keys { markets[key]?.isWhole = false }
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
  /// Whether every position of the market that is stored is in the mirror.
  var isWhole = false
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
    let isOfBroker = log.address != core && brokers.note(log)
    guard let signature = EventSignature(of: log),
      (signature.scope == .rateModel) == (log.address != core)
    else {
      let isSetting = noteSetting(log, core: core, in: &report)
      if isSetting { return }
      if isOfBroker { report.applied += 1 } else { report.ignored += 1 }
      return
    }
    let place = LogPlace(
      block: log.blockNumber, hash: log.blockHash, index: log.logIndex,
      transaction: log.transactionHash, timestamp: timestamp)
    let event: MoolahEvent
    do {
      event = try MoolahEvent(log, as: signature)
    } catch {
      if signature.scope == .core { throw error }
      guard let market = log.topics.dropFirst().first,
        signature.scope == .market || isRateAtTarget(signature, log, of: market)
      else { return report.malformed += 1 }
      return setAside(market, by: log, error, in: &report)
    }
    if signature.scope == .rateModel,
      let fact = LoggedFact(event, from: log.address, at: place)
    {
      if keepsHistory { facts.append(fact) }
      return report.applied += 1
    }
    guard let market = event.market else {
      applyToCore(event, at: place, finality: finality)
      return report.applied += 1
    }
    if signature.scope == .rateModel, !isRateAtTarget(signature, log, of: market) {
      return report.ignored += 1
    }
    if let following, !following.contains(market) { return report.ignored += 1 }
    if !setAside.isEmpty, setAside[market] != nil { return report.waiting += 1 }
    do {
      try apply(event, of: market, at: place, finality: finality, dialect: dialect)
      report.applied += 1
    } catch {
      setAside(market, by: log, error, in: &report)
    }
  }

  /// Whether this is a market's rate at target, from the market's own rate model.
  private func isRateAtTarget(
    _ signature: EventSignature, _ log: Log, of market: Bytes32
  ) -> Bool {
    signature == .rateAtTarget && markets[market]?.parameters.irm == log.address
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
    if case MirrorError.marketUnknown = error { report.neverCreated.insert(market) }
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

  /// Works an event out whole, or throws and changes nothing.
  private mutating func apply(
    _ event: MoolahEvent, of key: Bytes32, at place: LogPlace, finality: UInt64, dialect: Dialect
  ) throws {
    if case .createMarket(_, let parameters) = event {
      guard markets[key] == nil else { throw MirrorError.marketExists }
      var market = MarketRow(
        creating: parameters, fee: core.defaultMarketFee ?? dialect.initialFee, at: place)
      note(&market, of: key, before: nil, at: place, finality: finality)
      markets[key] = market
      return
    }
    guard let index = markets.index(forKey: key) else { throw MirrorError.marketUnknown }
    let before = markets.values[index]
    var change = Change(market: before, at: place)
    let user = event.user(feeRecipient: core.feeRecipient)
    let position = user.map { PositionKey(market: key, user: $0) }
    let row = position.flatMap { positions.place(of: $0) }
    if let row { change.position = positions.rows[row].state }
    try change.apply(event, brokers.kind(of: before.broker))
    brokers.note(event, in: before, at: place.block)

    if change.touchesMarket {
      note(&change.market, of: key, before: before, at: place, finality: finality)
      markets.values[index] = change.market
    }
    if let position { commit(change.position, of: position, row, at: place, finality: finality) }
    if keepsHistory { keep(event, of: key, isWriteDown: change.isWriteDown, at: place) }
  }

  /// Marks a market as changed in a block, after an image of what it was if that is needed.
  private mutating func note(
    _ market: inout MarketRow, of key: Bytes32, before: MarketRow?, at place: LogPlace,
    finality: UInt64
  ) {
    if place.block > finality, market.imagedAt != place.block {
      marketImages.append((key, Image(block: place.block, row: before)))
      market.imagedAt = place.block
    }
    market.asOfBlock = place.block
    market.isChanged = true
  }

  private mutating func commit(
    _ state: PositionState, of key: PositionKey, _ row: Int?, at place: LogPlace, finality: UInt64
  ) {
    let index = row ?? positions.insert(PositionRow(), at: key)
    if place.block > finality, positions.rows[index].imagedAt != place.block {
      let before = row.map { positions.rows[$0] }
      positionImages.append((key, Image(block: place.block, row: before)))
      positions.noteImage(of: index, at: place.block)
    }
    positions.change(index, to: state, in: place.block)
  }

  /// The line of the history that an event leaves.
  private mutating func keep(
    _ event: MoolahEvent, of market: Bytes32, isWriteDown: Bool, at place: LogPlace
  ) {
    func line(
      _ kind: UserOperation.Kind, _ user: Address, _ caller: Address, _ assets: U256,
      _ shares: U256?
    ) {
      operations.append(
        UserOperation(
          at: place, market: market, kind: kind, user: user, caller: caller, assets: assets,
          shares: shares))
    }
    switch event {
    case .supply(_, let caller, let user, let assets, let shares):
      line(.supply, user, caller, assets, shares)
    case .withdraw(_, let caller, let user, let assets, let shares):
      line(.withdraw, user, caller, assets, shares)
    case .borrow(_, let caller, let user, let assets, let shares):
      line(.borrow, user, caller, assets, shares)
    case .repay(_, let caller, let user, let assets, let shares):
      line(.repay, user, caller, assets, shares)
    case .supplyCollateral(_, let caller, let user, let collateral):
      line(.supplyCollateral, user, caller, collateral, nil)
    case .withdrawCollateral(_, let caller, let user, let collateral):
      line(.withdrawCollateral, user, caller, collateral, nil)
    case .liquidate(_, let event):
      line(.liquidated, event.borrower, event.caller, event.repaidAssets, event.repaidShares)
      liquidations.append(
        Liquidation(at: place, market: market, event: event, isWriteDown: isWriteDown))
    default: break
    }
  }
}

extension MoolahEvent {
  /// Whose position in its market the event changes; nil: nobody's.
  func user(feeRecipient: Address) -> Address? {
    switch self {
    case .supply(_, _, let user, _, _), .withdraw(_, _, let user, _, _),
      .borrow(_, _, let user, _, _), .repay(_, _, let user, _, _),
      .supplyCollateral(_, _, let user, _), .withdrawCollateral(_, _, let user, _):
      user
    case .liquidate(_, let event): event.borrower
    case .accrueInterest(_, _, let feeShares): feeShares.isZero ? nil : feeRecipient
    default: nil
    }
  }
}

extension MarketRow {
  /// A market that has just been created; fee nil: nothing has told it.
  fileprivate init(creating parameters: MarketParameters, fee: Wad?, at place: LogPlace) {
    self.init(
      id: nil, parameters: parameters, broker: nil,
      state: MarketState(
        totalSupplyAssets: 0, totalSupplyShares: 0, totalBorrowAssets: 0, totalBorrowShares: 0,
        lastUpdate: place.timestamp, fee: fee ?? Wad(raw: 0)),
      isFeeKnown: fee != nil, rateAtTarget: nil, asOfBlock: place.block, isWhole: true)
  }
}

/// What one event makes of its market and of the one position that it can change.
private struct Change {
  var market: MarketRow
  var position = PositionState()
  var touchesMarket = true
  var isWriteDown = false
  private let timestamp: UInt64

  init(market: MarketRow, at place: LogPlace) {
    self.market = market
    timestamp = place.timestamp
  }

  /// The rules of `docs/formulas/moolah.md`, one case each.
  mutating func apply(_ event: MoolahEvent, _ brokerKind: BrokerKind?) throws {
    switch event {
    case .supply(_, _, _, let assets, let shares):
      position.supplyShares = try position.supplyShares.adding(shares)
      market.state.totalSupplyShares = try plus(market.state.totalSupplyShares, shares)
      market.state.totalSupplyAssets = try plus(market.state.totalSupplyAssets, assets)
      accrue()

    case .withdraw(_, _, _, let assets, let shares):
      position.supplyShares = try position.supplyShares.subtracting(shares)
      market.state.totalSupplyShares = try minus(market.state.totalSupplyShares, shares)
      market.state.totalSupplyAssets = try minus(market.state.totalSupplyAssets, assets)
      accrue()

    case .borrow(_, _, _, let assets, let shares):
      position.borrowShares = try plus(position.borrowShares, shares)
      market.state.totalBorrowShares = try plus(market.state.totalBorrowShares, shares)
      market.state.totalBorrowAssets = try plus(market.state.totalBorrowAssets, assets)
      accrue()

    case .repay(_, _, _, let assets, let shares):
      position.borrowShares = try minus(position.borrowShares, shares)
      market.state.totalBorrowShares = try minus(market.state.totalBorrowShares, shares)
      // The contract lets a repayment exceed the total by one unit, and stops at zero.
      market.state.totalBorrowAssets = minusFlooredAtZero(market.state.totalBorrowAssets, assets)
      accrue()

    case .supplyCollateral(_, _, _, let collateral):
      position.collateral = try plus(position.collateral, collateral)
      touchesMarket = false  // no accrual

    case .withdrawCollateral(_, _, _, let collateral):
      position.collateral = try minus(position.collateral, collateral)
      accrue()

    case .liquidate(_, let event): try apply(event, brokerKind)

    case .accrueInterest(_, let interest, let feeShares):
      market.state.totalBorrowAssets = try plus(market.state.totalBorrowAssets, interest)
      market.state.totalSupplyAssets = try plus(market.state.totalSupplyAssets, interest)
      market.state.totalSupplyShares = try plus(market.state.totalSupplyShares, feeShares)
      position.supplyShares = try position.supplyShares.adding(feeShares)
      accrue()

    case .setFee(_, let fee):
      market.state.fee = fee
      market.isFeeKnown = true
      accrue()

    case .setMarketBroker(_, let broker): market.broker = broker
    case .rateAtTarget(_, let rate): market.rateAtTarget = rate

    case .createMarket, .rateCap, .rateFloor, .fixedRate, .minCap, .setFeeRecipient,
      .setDefaultMarketFee:
      preconditionFailure("handled before")
    }
  }

  /// Moolah `liquidate` and, under the same event, `liquidateBrokerPosition`.
  private mutating func apply(_ event: LiquidateEvent, _ brokerKind: BrokerKind?) throws {
    isWriteDown = event.isWriteDown(by: market.broker, of: brokerKind)
    let clearedShares =
      isWriteDown ? event.badDebtShares : try event.repaidShares.adding(event.badDebtShares)
    position.borrowShares = try minus(position.borrowShares, clearedShares)
    position.collateral = try minus(position.collateral, event.seizedAssets)
    market.state.totalBorrowShares = try minus(market.state.totalBorrowShares, clearedShares)
    if !isWriteDown {
      market.state.totalBorrowAssets = minusFlooredAtZero(
        market.state.totalBorrowAssets, event.repaidAssets)
    }
    market.state.totalBorrowAssets = try minus(
      market.state.totalBorrowAssets, event.badDebtAssets)
    market.state.totalSupplyAssets = try minus(
      market.state.totalSupplyAssets, event.badDebtAssets)
    accrue()
  }

  /// The operations that accrue first store the block's time even if no interest rate model is set.
  private mutating func accrue() { market.state.lastUpdate = timestamp }
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
