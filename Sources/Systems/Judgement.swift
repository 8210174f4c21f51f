import Ethereum
import Quantities
import RiskCore

/// What a scan found at one block: counts that add up, and every candidate.
public struct Judgement: Sendable {
  public var markets: [MarketJudgement] = []
  public var candidates: [Candidate] = []
  /// Markets with a pre-liquidation contract of which it is not known who stands in its band.
  public var unknownBands: Set<Bytes32> = []
  /// Loans of credit brokers that are past their end and grace.
  public var overdue: [OverdueLoan] = []
  /// What a reader of the result should know beside the counts.
  public var notes: [String] = []

  public init() {}

  /// Positions with debt over all markets.
  public var positions: Int { markets.reduce(0) { $0 + $1.positions } }
  public var healthy: Int { markets.reduce(0) { $0 + $1.healthy } }
  public var liquidatable: Int { markets.reduce(0) { $0 + $1.liquidatable } }
  public var unknown: Int { markets.reduce(0) { $0 + $1.unknown } }
  public var overduePositions: Int { markets.reduce(0) { $0 + $1.overdue } }
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
  /// Whose verdicts those are; nil: anybody's of the market.
  public var unknownUsers: Set<Address>?
  /// Not liquidated by price, and with a loan that its broker may write off.
  public var overdue = 0
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

  /// Counts an unknown verdict on one user.
  public mutating func giveUp(on user: Address, _ reason: UnknownReason) {
    unknown += 1
    unknownUsers = (unknownUsers ?? []).union(CollectionOfOne(user))
    unknownReason = unknownReason ?? reason
  }

  /// Whether its verdict on this user is unknown.
  public func isUnknown(_ user: Address) -> Bool {
    unknown > 0 && unknownUsers?.contains(user) ?? true
  }

  /// Healthy + liquidatable + overdue + unknown: `actionable` ones are counted as healthy.
  public var positions: Int { healthy + liquidatable + overdue + unknown }
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

/// A position that may be liquidated, with its outcome: now, from the next block on, or by a
/// pre-liquidation contract.
public struct Candidate: Sendable {
  public let marketID: Int32
  public let market: Bytes32
  public let user: Address
  public let certainty: Certainty
  public var outcome: Outcome
  public let health: Health
  public let collateral: U256
  /// Collateral price in loan units, scaled by 1e36.
  public let price: U256
  /// The price at and above which the position is healthy; nil: no price is enough.
  public let triggerPrice: U256?
  /// The price that sizes the seizure where it is not the market's, as on a broker market.
  public var userPrice: U256? = nil
  /// The way to liquidate it; `reportOnly` if there is none.
  public var path: LiquidationPath = .direct
  /// The contract of the way.
  public var contract: Address? = nil
  /// The amounts of one call; nil if there is none, or they are not known.
  public var plan: LiquidationPlan? = nil
  /// Debt over the value of the collateral, times 1e18, rounded up; nil: not worked out.
  public var loanToValue: U256? = nil
  /// Debt in USD with 8 decimals; nil: no price in USD.
  public var debtUSD: U256? = nil
  /// Collateral in USD with 8 decimals; nil: no price in USD.
  public var collateralUSD: U256? = nil
  /// When a scan first found it over its line; nil: the scan keeps no memory.
  public var firstSeen: UInt64? = nil
  public var zone: ZoneReasons = []
  public var guardState: GuardState = .none

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

/// A loan of a credit broker that is past its end and grace: its broker may write it off.
public struct OverdueLoan: Sendable {
  public let marketID: Int32
  public let market: Bytes32
  public let user: Address
  /// The broker's own number of it.
  public let number: U256
  /// In units of the loan token.
  public let principalLeft: U256
  /// Seconds since 1970.
  public let end: U256
  /// Seconds.
  public let grace: U256

  public init(
    marketID: Int32, market: Bytes32, user: Address, number: U256, principalLeft: U256, end: U256,
    grace: U256
  ) {
    self.marketID = marketID
    self.market = market
    self.user = user
    self.number = number
    self.principalLeft = principalLeft
    self.end = end
    self.grace = grace
  }
}

/// How a candidate stands to its line.
public enum Certainty: String, CaseIterable, Sendable {
  /// Over it at the judged block itself.
  case verified
  /// Over it one block time later, by interest alone.
  case actionable
  /// Not over it, and in the band of a pre-liquidation contract at the judged block.
  case preLiquidatable = "pre_liquidatable"
}

/// What became of a candidate. Exactly one for each: the first that applies, in this order.
public enum Outcome: String, CaseIterable, Sendable {
  /// The contract is paused: liquidatable, but blocked.
  case paused
  /// Whether the contracts would let anyone do it was not answered.
  case permissionUnknown = "permission_unknown"
  /// Only listed liquidators may, and none that is configured is listed.
  case whitelistOnly = "whitelist_only"
  /// The borrower has not authorised the pre-liquidation contract.
  case notAuthorized = "not_authorized"
  /// No way that is configured and permitted leads there.
  case reportOnly = "report_only"
  /// Every call that stays within the limit would leave less debt than the contract allows.
  case dustRule = "dust_rule"
  /// The amounts are not known.
  case planUnknown = "plan_unknown"
  /// Smaller than is worth it.
  case belowMinimum = "below_minimum"
  /// In the grace of a delayed liquidation (LIP-024).
  case protected
  /// Not over its line for long enough, or not in enough scans.
  case delayed
  /// Named as open so recently that naming it again would do it twice.
  case recentlyProcessed = "recently_processed"
  /// May be liquidated now, by its `path`.
  case open
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
