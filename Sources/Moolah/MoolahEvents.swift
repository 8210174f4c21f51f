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
    guard let topic = log.topics.first,
      let decode = Self.coreDecoders[topic] ?? Self.marketDecoders[topic]
        ?? Self.rateModelDecoders[topic]
    else { return nil }
    self = try decode(LogWords(log))
  }

  /// What a log claims to be by its topic alone; nil for events that change nothing we keep.
  static func scope(of log: Log) -> Scope? {
    guard let topic = log.topics.first else { return nil }
    if coreDecoders[topic] != nil { return .core }
    if marketDecoders[topic] != nil { return .market }
    return rateModelDecoders[topic] == nil ? nil : .rateModel
  }

  /// Who emits an event, and whom it concerns.
  enum Scope {
    /// The core contract, of all markets.
    case core
    /// The core contract, of the market in the first indexed word.
    case market
    /// A rate model, of its own markets.
    case rateModel
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

  private typealias Decoder = @Sendable (LogWords) throws -> MoolahEvent

  private static let coreDecoders: [Bytes32: Decoder] = [
    ABI.topic("SetFeeRecipient(address)"): { log in
      .setFeeRecipient(try log.indexed(1))
    },
    ABI.topic("SetDefaultMarketFee(uint256)"): { log in
      .setDefaultMarketFee(Wad(raw: try log.data.word(0)))
    },
  ]

  static let createMarketTopic = ABI.topic(
    "CreateMarket(bytes32,(address,address,address,address,uint256))")

  private static let marketDecoders: [Bytes32: Decoder] = [
    createMarketTopic: { log in
      .createMarket(try log.market(topics: 2), try log.parameters())
    },
    ABI.topic("Supply(bytes32,address,address,uint256,uint256)"): { log in
      .supply(
        try log.market(topics: 4), caller: try log.indexed(2), user: try log.indexed(3),
        assets: try log.data.word(0), shares: try log.data.word(1))
    },
    ABI.topic("Withdraw(bytes32,address,address,address,uint256,uint256)"): { log in
      .withdraw(
        try log.market(topics: 4), caller: try log.data.address(0), user: try log.indexed(2),
        assets: try log.data.word(1), shares: try log.data.word(2))
    },
    ABI.topic("Borrow(bytes32,address,address,address,uint256,uint256)"): { log in
      .borrow(
        try log.market(topics: 4), caller: try log.data.address(0), user: try log.indexed(2),
        assets: try log.data.word(1), shares: try log.data.word(2))
    },
    ABI.topic("Repay(bytes32,address,address,uint256,uint256)"): { log in
      .repay(
        try log.market(topics: 4), caller: try log.indexed(2), user: try log.indexed(3),
        assets: try log.data.word(0), shares: try log.data.word(1))
    },
    ABI.topic("SupplyCollateral(bytes32,address,address,uint256)"): { log in
      .supplyCollateral(
        try log.market(topics: 4), caller: try log.indexed(2), user: try log.indexed(3),
        collateral: try log.data.word(0))
    },
    ABI.topic("WithdrawCollateral(bytes32,address,address,address,uint256)"): { log in
      .withdrawCollateral(
        try log.market(topics: 4), caller: try log.data.address(0), user: try log.indexed(2),
        collateral: try log.data.word(1))
    },
    ABI.topic("Liquidate(bytes32,address,address,uint256,uint256,uint256,uint256,uint256)"): {
      log in
      .liquidate(try log.market(topics: 4), try log.liquidation())
    },
    ABI.topic("AccrueInterest(bytes32,uint256,uint256,uint256)"): { log in
      .accrueInterest(
        try log.market(topics: 2), interest: try log.data.word(1), feeShares: try log.data.word(2))
    },
    ABI.topic("SetFee(bytes32,uint256)"): { log in
      .setFee(try log.market(topics: 2), Wad(raw: try log.data.word(0)))
    },
    ABI.topic("SetMarketBroker(bytes32,address,bool)"): { log in
      .setMarketBroker(
        try log.market(topics: 3), broker: try log.data.bool(0) ? try log.indexed(2) : nil)
    },
  ]

  static let rateAtTargetTopic = ABI.topic("BorrowRateUpdate(bytes32,uint256,uint256)")

  private static let rateModelDecoders: [Bytes32: Decoder] = [
    rateAtTargetTopic: { log in
      .rateAtTarget(try log.market(topics: 2), Wad(raw: try log.data.word(1)))
    },
    ABI.topic("BorrowRateCapUpdate(bytes32,uint256,uint256)"): { log in
      .rateCap(try log.market(topics: 2), Wad(raw: try log.data.word(1)))
    },
    ABI.topic("BorrowRateFloorUpdate(bytes32,uint256,uint256)"): { log in
      .rateFloor(try log.market(topics: 2), Wad(raw: try log.data.word(1)))
    },
    ABI.topic("SetBorrowRate(bytes32,int256)"): { log in
      .fixedRate(try log.market(topics: 2), Wad(raw: try log.data.word(0)))
    },
    ABI.topic("MinCapUpdate(uint256,uint256)"): { log in
      .minCap(Wad(raw: try log.data.word(1)))
    },
  ]
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
  public func isWriteDown(by broker: Address?) -> Bool {
    caller == broker && seizedAssets.isZero && repaidAssets == badDebtAssets
      && repaidShares == badDebtShares
  }
}

/// The indexed and plain words of one log.
private struct LogWords {
  let topics: [Bytes32]
  let data: ABIWords
  let bytes: [UInt8]

  init(_ log: Log) {
    topics = log.topics
    data = ABIWords(log.data)
    bytes = log.data
  }

  /// The market id, which is the first indexed word of every event that has one.
  func market(topics count: Int) throws -> Bytes32 {
    guard topics.count == count else {
      throw EventError.malformed("\(topics.count) topics where the event has \(count)")
    }
    return topics[1]
  }

  func indexed(_ index: Int) throws -> Address {
    guard index < topics.count, let address = topics[index].address else {
      throw EventError.malformed("topic \(index) is not an address")
    }
    return address
  }

  /// The parameters of a new market, checked against its id: id = keccak256(data).
  func parameters() throws -> MarketParameters {
    guard bytes.count == 160, keccak256(bytes) == topics[1] else {
      throw EventError.malformed("the market's id is not the hash of its parameters")
    }
    return MarketParameters(
      loanToken: try data.address(0), collateralToken: try data.address(1),
      oracle: try data.address(2), irm: try data.address(3), lltv: Wad(raw: try data.word(4)))
  }

  func liquidation() throws -> LiquidateEvent {
    LiquidateEvent(
      caller: try indexed(2), borrower: try indexed(3), repaidAssets: try data.word(0),
      repaidShares: try data.word(1), seizedAssets: try data.word(2),
      badDebtAssets: try data.word(3), badDebtShares: try data.word(4))
  }
}
