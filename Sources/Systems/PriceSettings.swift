import Ethereum
import Quantities

/// What the prices of a chain must keep to be taken.
public struct PriceSettings: Hashable, Sendable {
  /// For every price without a rule of its own; nil: any step is taken.
  public var step: StepBound?
  public var rules: [PriceKey: PriceRule] = [:]
  /// Second sources by their name.
  public var sources: [String: PriceSource] = [:]
  /// From this share of the supply lent on, a market is warned about.
  public var utilisationWarning = BasisPoints(raw: 9_900)
  /// From this rate a year on, without compounding, a market is warned about.
  public var borrowRateWarning = BasisPoints(raw: 10_000)

  public init() {}

  public func rule(of key: PriceKey) -> PriceRule { rules[key] ?? PriceRule(step: step) }
}

/// What one price must keep. Everything is optional but the answer itself.
public struct PriceRule: Hashable, Sendable {
  public var step: StepBound?
  public var feed: FeedRule?
  /// So many samples in a row with one value, while other prices move, and the price is frozen.
  public var frozenRuns: Int?
  public var peg: PegRule?
  public var rate: RateRule?
  public var second: SecondRule?

  public init(step: StepBound? = nil) {
    self.step = step
  }
}

/// How far a value may move from one taken sample to the next, and what confirms a larger move.
public struct StepBound: Hashable, Sendable {
  /// A step of exactly this is taken.
  public var bound: BasisPoints
  /// Further samples at the new level, and
  public var runs: Int
  /// seconds since the first of them, before the move is taken: both.
  public var seconds: UInt64

  public init(bound: BasisPoints, runs: Int, seconds: UInt64) {
    self.bound = bound
    self.runs = runs
    self.seconds = seconds
  }
}

/// The feed behind an oracle: `latestRoundData()`.
public struct FeedRule: Hashable, Sendable {
  public var address: Address
  /// An answer of exactly this age is taken; nil: of any age.
  public var heartbeatSeconds: UInt64?
  /// An answer at or below this is the feed's floor and no price.
  public var lowest: I256?
  /// An answer at or above this is the feed's ceiling and no price.
  public var highest: I256?
  /// Asked for `minAnswer()` and `maxAnswer()`: the feed itself or its aggregator.
  public var boundsOf: Address?

  public init(address: Address) {
    self.address = address
  }
}

/// The value that a stable asset keeps.
public struct PegRule: Hashable, Sendable {
  /// In the oracle's own units.
  public var value: U256
  /// A deviation of exactly this is taken.
  public var bound: BasisPoints

  public init(value: U256, bound: BasisPoints) {
    self.value = value
    self.bound = bound
  }
}

/// A price that should follow an on-chain rate, such as wstETH's `stEthPerToken()`.
public struct RateRule: Hashable, Sendable {
  public var call: RateCall
  /// The price by which this price is divided first; nil: the price is the ratio itself.
  public var underlying: PriceKey?
  /// How far the ratio may move against the rate, and how long a larger move is held.
  public var step: StepBound

  public init(call: RateCall, underlying: PriceKey?, step: StepBound) {
    self.call = call
    self.underlying = underlying
    self.step = step
  }
}

/// A function without arguments that answers one word.
public struct RateCall: Hashable, Sendable {
  public let contract: Address
  /// Such as `stEthPerToken()`.
  public let signature: String

  public init(contract: Address, signature: String) {
    self.contract = contract
    self.signature = signature
  }
}

/// A second opinion.
public struct SecondRule: Hashable, Sendable {
  /// The name of a source.
  public var source: String
  /// The name of a source that the first is divided by, for prices of pairs.
  public var over: String?
  /// A deviation of exactly this, relative to the second opinion, is taken.
  public var bound: BasisPoints
  /// Whether a price without a second opinion is refused.
  public var isRequired: Bool

  public init(source: String, over: String? = nil, bound: BasisPoints, isRequired: Bool = false) {
    self.source = source
    self.over = over
    self.bound = bound
    self.isRequired = isRequired
  }

  var names: [String] { [source] + (over.map { [$0] } ?? []) }
}

/// Where a second opinion comes from. Decimals say how the answer is scaled.
public enum PriceSource: Hashable, Sendable {
  /// `peek(token)` of another oracle.
  case peek(oracle: Address, token: Address, decimals: Int)
  /// `price()` of another oracle of the pair.
  case pair(oracle: Address, decimals: Int)
  /// `latestRoundData()` of a feed, not older than `maxAgeSeconds` at the block.
  case feed(Address, decimals: Int, maxAgeSeconds: UInt64?)
  /// Asked over the network by whoever runs the job, at the time of the run.
  case outside
}
