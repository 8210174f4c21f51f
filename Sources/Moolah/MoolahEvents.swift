import Ethereum
import Quantities

/// The five addresses and numbers that make a market; its id is their Keccak-256 hash.
///
/// Moolah `IMoolah.MarketParams`, Morpho Blue `IMorpho.MarketParams`.
public struct MarketParameters: Hashable, Sendable {
  public let loanToken: Address
  public let collateralToken: Address
  /// Moolah: prices each token in USD (`peek`). Morpho Blue: prices the pair (`price`).
  public let oracle: Address
  /// The interest rate model; zero: no interest.
  public let irm: Address
  public let lltv: Wad

  public init(
    loanToken: Address, collateralToken: Address, oracle: Address, irm: Address, lltv: Wad
  ) {
    self.loanToken = loanToken
    self.collateralToken = collateralToken
    self.oracle = oracle
    self.irm = irm
    self.lltv = lltv
  }

  /// As the first argument of `borrowRateView`, `getPrice` and their like.
  var abi: ABIValue {
    .tuple([
      .address(loanToken), .address(collateralToken), .address(oracle), .address(irm),
      .uint(lltv.raw),
    ])
  }
}

/// A log of a core contract or of its interest rate model, decoded.
///
/// Moolah `EventsLib` (unchanged for positions since 2025-03-14), Morpho Blue `EventsLib`, and the
/// events of both rate models. Amounts are raw units of the loan token, unless collateral is named.
public enum MoolahEvent: Hashable, Sendable {
  case createMarket(Bytes32, MarketParameters)
  case supply(Bytes32, caller: Address, user: Address, assets: U256, shares: U256)
  case withdraw(Bytes32, caller: Address, user: Address, assets: U256, shares: U256)
  case borrow(Bytes32, caller: Address, user: Address, assets: U256, shares: U256)
  case repay(Bytes32, caller: Address, user: Address, assets: U256, shares: U256)
  case supplyCollateral(Bytes32, caller: Address, user: Address, collateral: U256)
  case withdrawCollateral(Bytes32, caller: Address, user: Address, collateral: U256)
  case liquidate(Bytes32, LiquidateEvent)
  case accrueInterest(Bytes32, interest: U256, feeShares: U256)
  case setFee(Bytes32, Wad)
  case setMarketBroker(Bytes32, broker: Address?)
  case rateAtTarget(Bytes32, Wad)
  case rateCap(Bytes32, Wad)
  case rateFloor(Bytes32, Wad)
  case fixedRate(Bytes32, Wad)
  case minCap(Wad)
  case setFeeRecipient(Address)
  case setDefaultMarketFee(Wad)

  /// Decodes a log; nil for events that change nothing we keep.
  ///
  /// - Throws: `ABIError` or `EventError` if the log does not have the shape of its event.
  public init?(_ log: Log) throws {
    guard let signature = EventSignature(of: log) else { return nil }
    try self.init(log, as: signature)
  }

  /// The market that the event belongs to; nil: it belongs to all.
  public var market: Bytes32? {
    switch self {
    case .createMarket(let id, _), .supply(let id, _, _, _, _), .withdraw(let id, _, _, _, _),
      .borrow(let id, _, _, _, _), .repay(let id, _, _, _, _), .supplyCollateral(let id, _, _, _),
      .withdrawCollateral(let id, _, _, _), .liquidate(let id, _), .accrueInterest(let id, _, _),
      .setFee(let id, _), .setMarketBroker(let id, _), .rateAtTarget(let id, _),
      .rateCap(let id, _), .rateFloor(let id, _), .fixedRate(let id, _):
      id
    case .minCap, .setFeeRecipient, .setDefaultMarketFee: nil
    }
  }

  /// Decodes a log that has the topic of `signature`.
  init(_ log: Log, as signature: EventSignature) throws {
    let data = ABIWords(log.data)
    switch signature {
    case .createMarket:
      self = .createMarket(try log.market(topics: 2), try log.parameters(data))
    case .supply:
      self = .supply(
        try log.market(topics: 4), caller: try log.indexed(2), user: try log.indexed(3),
        assets: try data.word(0), shares: try data.word(1))
    case .withdraw:
      self = .withdraw(
        try log.market(topics: 4), caller: try data.address(0), user: try log.indexed(2),
        assets: try data.word(1), shares: try data.word(2))
    case .borrow:
      self = .borrow(
        try log.market(topics: 4), caller: try data.address(0), user: try log.indexed(2),
        assets: try data.word(1), shares: try data.word(2))
    case .repay:
      self = .repay(
        try log.market(topics: 4), caller: try log.indexed(2), user: try log.indexed(3),
        assets: try data.word(0), shares: try data.word(1))
    case .supplyCollateral:
      self = .supplyCollateral(
        try log.market(topics: 4), caller: try log.indexed(2), user: try log.indexed(3),
        collateral: try data.word(0))
    case .withdrawCollateral:
      self = .withdrawCollateral(
        try log.market(topics: 4), caller: try data.address(0), user: try log.indexed(2),
        collateral: try data.word(1))
    case .liquidate:
      self = .liquidate(try log.market(topics: 4), try log.liquidation(data))
    case .accrueInterest:
      self = .accrueInterest(
        try log.market(topics: 2), interest: try data.word(1), feeShares: try data.word(2))
    case .setFee: self = .setFee(try log.market(topics: 2), Wad(raw: try data.word(0)))
    case .setMarketBroker:
      self = .setMarketBroker(
        try log.market(topics: 3), broker: try data.bool(0) ? try log.indexed(2) : nil)
    case .rateAtTarget: self = .rateAtTarget(try log.market(topics: 2), Wad(raw: try data.word(1)))
    case .rateCap: self = .rateCap(try log.market(topics: 2), Wad(raw: try data.word(1)))
    case .rateFloor: self = .rateFloor(try log.market(topics: 2), Wad(raw: try data.word(1)))
    case .fixedRate: self = .fixedRate(try log.market(topics: 2), Wad(raw: try data.word(0)))
    case .minCap: self = .minCap(Wad(raw: try data.word(1)))
    case .setFeeRecipient: self = .setFeeRecipient(try log.indexed(1))
    case .setDefaultMarketFee: self = .setDefaultMarketFee(Wad(raw: try data.word(0)))
    }
  }
}

/// A log that does not have the shape of its event.
public enum EventError: Error, Equatable, CustomStringConvertible {
  case malformed(String)

  public var description: String {
    switch self {
    case .malformed(let what): what
    }
  }
}

/// What a `Liquidate` event says. `caller` is the liquidator, or the broker of a broker market.
public struct LiquidateEvent: Hashable, Sendable {
  public let caller: Address
  public let borrower: Address
  public let repaidAssets: U256
  public let repaidShares: U256
  public let seizedAssets: U256
  public let badDebtAssets: U256
  public let badDebtShares: U256

  /// True if a broker wrote debt off: Moolah `liquidateBrokerPosition` re-uses the event, and then
  /// repaid and bad debt are one and the same amount, subtracted once.
  ///
  /// Only credit brokers write off, and they do nothing else; of a broker whose kind is not known
  /// the amounts tell.
  func isWriteDown(by broker: Address?, of kind: BrokerKind?) -> Bool {
    kind != .lending && caller == broker && seizedAssets.isZero && repaidAssets == badDebtAssets
      && repaidShares == badDebtShares
  }
}

// MARK: - The words of a log

extension Log {
  /// The market id, which is the first indexed word of every event that has one.
  fileprivate func market(topics count: Int) throws -> Bytes32 {
    guard topics.count == count else {
      throw EventError.malformed("\(topics.count) topics where the event has \(count)")
    }
    return topics[1]
  }

  fileprivate func indexed(_ index: Int) throws -> Address {
    guard index < topics.count, let address = topics[index].address else {
      throw EventError.malformed("topic \(index) is not an address")
    }
    return address
  }

  /// The parameters of a new market, checked against its id: id = keccak256(data).
  fileprivate func parameters(_ words: ABIWords) throws -> MarketParameters {
    guard data.count == 160, keccak256(data) == topics[1] else {
      throw EventError.malformed("the market's id is not the hash of its parameters")
    }
    return MarketParameters(
      loanToken: try words.address(0), collateralToken: try words.address(1),
      oracle: try words.address(2), irm: try words.address(3), lltv: Wad(raw: try words.word(4)))
  }

  fileprivate func liquidation(_ words: ABIWords) throws -> LiquidateEvent {
    LiquidateEvent(
      caller: try indexed(2), borrower: try indexed(3), repaidAssets: try words.word(0),
      repaidShares: try words.word(1), seizedAssets: try words.word(2),
      badDebtAssets: try words.word(3), badDebtShares: try words.word(4))
  }
}
