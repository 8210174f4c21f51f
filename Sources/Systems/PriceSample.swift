import Ethereum
import Quantities
import RiskCore

/// What a price is a price of. It is an oracle's: two markets may price one token by different
/// oracles.
public struct PriceKey: Hashable, Sendable {
  public let oracle: Address
  /// Nil: the oracle prices a pair.
  public let token: Address?

  public init(oracle: Address, token: Address?) {
    self.oracle = oracle
    self.token = token
  }
}

/// What an oracle answered.
public enum PriceAnswer: Hashable, Sendable {
  case price(U256)
  case zero
  case reverted
  case missing

  public var value: U256? {
    switch self {
    case .price(let value): value
    case .zero: .zero
    case .reverted, .missing: nil
    }
  }

  public var unknownReason: UnknownReason? {
    switch self {
    case .price: nil
    case .zero: .zeroPrice
    case .reverted: .priceCallReverted
    case .missing: .missingPrice
    }
  }
}

/// A price that another source gives: `value / 10^decimals`.
public struct SecondPrice: Hashable, Sendable {
  public let value: U256
  public let decimals: Int

  public init(value: U256, decimals: Int) {
    self.value = value
    self.decimals = decimals
  }

  /// The value at another scale, rounded down; nil if it has no room there.
  public func value(decimals other: Int) -> U256? {
    guard let scale = U256.powerOfTen(abs(other - decimals)) else { return nil }
    return other >= decimals
      ? try? value.multiplied(by: scale) : try? value.dividedDown(by: scale)
  }

  /// Both values at the larger of the two scales, exactly; nil if one has no room there.
  public func aligned(with other: SecondPrice) -> (U256, U256)? {
    PriceComparison.aligned(value, decimals, other.value, other.decimals)
  }
}

/// Why a price is not taken, with the figures that a person needs.
public struct PriceRefusal: Error, Hashable, Sendable {
  public let reason: UnknownReason
  /// Such as `31.2 % in one step, bound 20 %`; empty when the reason says all.
  public let detail: String

  public init(_ reason: UnknownReason, _ detail: String = "") {
    self.reason = reason
    self.detail = detail
  }
}

/// What the next sample of a price is compared with. Stored with each sample.
public struct PriceMemory: Hashable, Sendable {
  /// The steps of the price itself.
  public var price = StepMemory()
  /// The steps of its premium over an on-chain rate.
  public var premium = StepMemory()
  /// The last answer, taken or not.
  public var last: U256?
  /// Samples in a row with that answer while other prices moved.
  public var unchangedRuns = 0

  public init() {}
}

/// One sample of a price, judged.
public struct PriceSample: Hashable, Sendable {
  public let answer: PriceAnswer
  /// Nil: the price is taken.
  public var refusal: PriceRefusal?
  /// What is wrong and does not keep the price from being taken.
  public var warnings: [PriceWarning] = []
  /// What the next sample is compared with.
  public var memory: PriceMemory
  /// What the feed and the second source said: the evidence.
  public var round: FeedRound?
  public var second: SecondPrice?

  public init(answer: PriceAnswer, memory: PriceMemory) {
    self.answer = answer
    self.memory = memory
  }
}

/// Something about a price or a market that a person should look at.
public struct PriceWarning: Hashable, Sendable {
  /// The stable names in tables, JSON and alerts.
  public enum Code: String, Hashable, Sendable, CaseIterable {
    /// A second source did not answer; the price is taken without it.
    case secondSourceUnavailable = "second_source_unavailable"
    /// Positions are over their line at the second source's price and not at the oracle's.
    case shadowLiquidatable = "shadow_liquidatable"
    /// Nearly all of the supply is lent.
    case highUtilisation = "high_utilisation"
    case highBorrowRate = "high_borrow_rate"
  }

  public let code: Code
  public let detail: String

  public init(_ code: Code, _ detail: String) {
    self.code = code
    self.detail = detail
  }
}
