import Ethereum

/// The events that change what we keep, by their signatures.
///
/// What a log claims to be by its topic alone; whether it may, its emitter decides.
enum EventSignature: UInt8, CaseIterable, Sendable {
  case createMarket, supply, withdraw, borrow, repay, supplyCollateral, withdrawCollateral
  case liquidate, accrueInterest, setFee, setMarketBroker
  case rateAtTarget, rateCap, rateFloor, fixedRate, minCap
  case setFeeRecipient, setDefaultMarketFee

  /// Nil for events that change nothing we keep.
  @inline(__always)
  init?(of log: Log) {
    guard let topic = log.topics.first, let signature = Self.byTopic[topic] else { return nil }
    self = signature
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

  var scope: Scope {
    switch self {
    case .setFeeRecipient, .setDefaultMarketFee: .core
    case .rateAtTarget, .rateCap, .rateFloor, .fixedRate, .minCap: .rateModel
    default: .market
    }
  }

  /// The first topic of its logs.
  var topic: Bytes32 { Self.byTopic.topics[Int(rawValue)] }

  private static let byTopic = TopicTable()

  /// As the contract declares it, without names.
  fileprivate var text: String {
    switch self {
    case .createMarket: "CreateMarket(bytes32,(address,address,address,address,uint256))"
    case .supply: "Supply(bytes32,address,address,uint256,uint256)"
    case .withdraw: "Withdraw(bytes32,address,address,address,uint256,uint256)"
    case .borrow: "Borrow(bytes32,address,address,address,uint256,uint256)"
    case .repay: "Repay(bytes32,address,address,uint256,uint256)"
    case .supplyCollateral: "SupplyCollateral(bytes32,address,address,uint256)"
    case .withdrawCollateral: "WithdrawCollateral(bytes32,address,address,address,uint256)"
    case .liquidate:
      "Liquidate(bytes32,address,address,uint256,uint256,uint256,uint256,uint256)"
    case .accrueInterest: "AccrueInterest(bytes32,uint256,uint256,uint256)"
    case .setFee: "SetFee(bytes32,uint256)"
    case .setMarketBroker: "SetMarketBroker(bytes32,address,bool)"
    case .rateAtTarget: "BorrowRateUpdate(bytes32,uint256,uint256)"
    case .rateCap: "BorrowRateCapUpdate(bytes32,uint256,uint256)"
    case .rateFloor: "BorrowRateFloorUpdate(bytes32,uint256,uint256)"
    case .fixedRate: "SetBorrowRate(bytes32,int256)"
    case .minCap: "MinCapUpdate(uint256,uint256)"
    case .setFeeRecipient: "SetFeeRecipient(address)"
    case .setDefaultMarketFee: "SetDefaultMarketFee(uint256)"
    }
  }
}

/// Finds an event by its topic. Every log asks, so a topic is placed by its first bits: they are
/// those of a hash already.
private struct TopicTable: Sendable {
  /// In the order of `EventSignature.allCases`.
  let topics: [Bytes32]
  /// Open addressing over the top six bits; `none` marks a free slot, of which there are many.
  private var slots = [UInt8](repeating: none, count: 64)
  private static let none = UInt8.max

  init() {
    topics = EventSignature.allCases.map { ABI.topic($0.text) }
    for (signature, topic) in zip(EventSignature.allCases, topics) {
      var slot = Self.first(topic)
      while slots[slot] != Self.none { slot = (slot + 1) % slots.count }
      slots[slot] = signature.rawValue
    }
  }

  @inline(__always)
  subscript(topic: Bytes32) -> EventSignature? {
    var slot = Self.first(topic)
    while slots[slot] != Self.none {
      if topics[Int(slots[slot])] == topic { return EventSignature(rawValue: slots[slot]) }
      slot = (slot + 1) % slots.count
    }
    return nil
  }

  private static func first(_ topic: Bytes32) -> Int { Int(topic.word0 >> 58) }
}
