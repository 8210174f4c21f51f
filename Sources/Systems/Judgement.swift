import Ethereum
import Quantities
import RiskCore

/// What a scan found at one block: counts that add up, and every candidate.
public struct Judgement: Sendable {
  public var markets: [MarketJudgement] = []
  public var candidates: [Candidate] = []

  public init() {}

  /// Positions with debt over all markets.
  public var positions: Int { markets.reduce(0) { $0 + $1.positions } }
  public var healthy: Int { markets.reduce(0) { $0 + $1.healthy } }
  public var liquidatable: Int { markets.reduce(0) { $0 + $1.liquidatable } }
  public var unknown: Int { markets.reduce(0) { $0 + $1.unknown } }
  /// Healthy ones of which it is not known whether they are at the next timestamp.
  public var actionableUnknown: Int { markets.reduce(0) { $0 + $1.actionableUnknown } }
}

/// The verdicts on the positions with debt of one market.
public struct MarketJudgement: Sendable {
  /// Surrogate key of the market.
  public let marketID: Int32
  public let market: Bytes32
  /// Collateral price in loan units, scaled by 1e36; nil if unknown.
  public let price: U256?
  public var healthy = 0
  public var liquidatable = 0
  /// Healthy now, over the line at the next timestamp.
  public var actionable = 0
  /// Healthy now; whether at the next timestamp is not known.
  public var actionableUnknown = 0
  public var unknown = 0
  /// Why there are unknown verdicts; the first reason met.
  public var unknownReason: UnknownReason?
  /// The figures of that reason; empty when it says all.
  public var unknownDetail = ""
  /// What the market would be at its second source's price; nil without one.
  public var shadow: Shadow?
  public var warnings: [PriceWarning] = []
  /// Whether its prices were never seen beside a second source.
  public var isDecimalsUnchecked = false

  public init(marketID: Int32, market: Bytes32, price: U256?) {
    self.marketID = marketID
    self.market = market
    self.price = price
  }

  /// Healthy + liquidatable + unknown: `actionable` ones are counted as healthy.
  public var positions: Int { healthy + liquidatable + unknown }
}

/// The positions that would be over their line at the price of a second source. They are not
/// liquidatable: the contract knows only its own oracle.
public struct Shadow: Hashable, Sendable {
  /// Collateral price in loan units, scaled by 1e36.
  public let price: U256
  public var liquidatable = 0
  /// What those positions owe, in units of the loan token.
  public var debt: U256 = .zero

  public init(price: U256) {
    self.price = price
  }
}

/// A position that anyone may liquidate, or may from the next block on, with its outcome.
public struct Candidate: Sendable {
  public let marketID: Int32
  public let market: Bytes32
  public let user: Address
  public let certainty: Certainty
  public let outcome: Outcome
  public let health: Health
  public let collateral: U256
  /// Collateral price in loan units, scaled by 1e36.
  public let price: U256
  /// The price at and above which the position is healthy; nil: no price is enough.
  public let triggerPrice: U256?

  public init(
    marketID: Int32, market: Bytes32, user: Address, certainty: Certainty, outcome: Outcome,
    health: Health, collateral: U256, price: U256, triggerPrice: U256?
  ) {
    self.marketID = marketID
    self.market = market
    self.user = user
    self.certainty = certainty
    self.outcome = outcome
    self.health = health
    self.collateral = collateral
    self.price = price
    self.triggerPrice = triggerPrice
  }
}

/// The second at which a candidate is over its line.
public enum Certainty: String, Sendable {
  /// At the judged block itself.
  case verified
  /// One block time later, by interest alone.
  case actionable
}

/// What became of a candidate. Exactly one for each.
public enum Outcome: String, CaseIterable, Sendable {
  /// Anyone may liquidate it.
  case open
  /// Only listed liquidators may.
  case whitelistOnly = "whitelist_only"
  /// The contract is paused: liquidatable, but blocked.
  case paused
  /// Liquidatable, but whether the contract would let anyone do it was not answered.
  case permissionUnknown = "permission_unknown"
}

/// What `refreshDebt` wrote.
public struct RefreshReport: Equatable, Sendable {
  public var markets = 0
  public var positions = 0
  /// Rows from which the numbers of these positions follow.
  public var written = 0
  /// Positions whose debt could not be told, and why.
  public var unknown = 0
  public private(set) var unknownReasons: [UnknownReason] = []

  public init() {}

  public mutating func note(_ reason: UnknownReason) {
    if !unknownReasons.contains(reason) { unknownReasons.append(reason) }
  }
}

/// A position beside its line, in raw units and in the decimals that show them.
public struct PositionLine: Sendable {
  public let market: Bytes32
  public let user: Address
  public let collateral: U256
  public let borrowShares: U256
  public let borrowed: U256?
  public let triggerPrice: U256?
  public let price: U256?
  public let asOfBlock: UInt64?
  public let label: MarketLabel

  public init(
    market: Bytes32, user: Address, collateral: U256, borrowShares: U256, borrowed: U256?,
    triggerPrice: U256?, price: U256?, asOfBlock: UInt64?, label: MarketLabel
  ) {
    self.market = market
    self.user = user
    self.collateral = collateral
    self.borrowShares = borrowShares
    self.borrowed = borrowed
    self.triggerPrice = triggerPrice
    self.price = price
    self.asOfBlock = asOfBlock
    self.label = label
  }
}

/// The tokens of a market.
public struct MarketLabel: Hashable, Sendable {
  public let loan: TokenLabel
  public let collateral: TokenLabel

  public init(loan: TokenLabel, collateral: TokenLabel) {
    self.loan = loan
    self.collateral = collateral
  }
}

/// What is known of a token for showing amounts. The symbol is hostile until escaped.
public struct TokenLabel: Hashable, Sendable {
  public let address: Address
  public let symbol: String?
  public let decimals: Int?

  public init(address: Address, symbol: String?, decimals: Int?) {
    self.address = address
    self.symbol = symbol
    self.decimals = decimals
  }
}
