/// Why a position's verdict is not known.
public enum UnknownReason: Error, Hashable, Sendable, CaseIterable {
  /// No price of the market has been read.
  case missingPrice
  /// The oracle answered 0.
  case zeroPrice
  /// The call for the price reverted.
  case priceCallReverted
  /// The feed behind the price is older than its heartbeat.
  case stalePrice
  /// The feed stands at the lowest or highest answer that it can give.
  case priceAtBound
  /// The price has not changed for many runs while others have.
  case frozenPrice
  /// The price moved further in one step than its bound, and the move is not confirmed yet.
  case priceJump
  /// The price and its on-chain rate parted in one step.
  case rateStep
  /// The price is further from its peg than its bound.
  case offPeg
  /// The price and a second source are further apart than their bound.
  case priceDisagrees
  /// A second source that the price must have did not answer.
  case secondSourceUnavailable
  /// The feed or rate that the price is checked with did not answer.
  case feedUnreadable
  /// Oracle and second source were of different orders when the market was first seen.
  case quarantined
  /// The market's rate model is unknown or did not answer, so the debt at this time is not known.
  case unknownRate
  /// An event of the market could not be applied, so its mirror is behind the contract.
  case marketSetAside
  /// The debt lives in a broker of no known kind, so that its answers cannot be read.
  case brokerMarket
  /// What the user owes to the broker has not been read at this block or since it changed.
  case noBrokerState
  /// What the broker answered is not what a broker of its kind answers.
  case brokerAnswer
  /// What the broker says a user owes is not what the user's loans come to.
  case brokerDebtDiffers
  /// The rate row of the broker has not been read at this block.
  case noBrokerRate
  /// The contract's own arithmetic would revert on these numbers.
  case arithmeticOverflow

  /// The stable name in tables, JSON and logs.
  public var code: String {
    switch self {
    case .missingPrice: "missing_price"
    case .zeroPrice: "zero_price"
    case .priceCallReverted: "price_call_reverted"
    case .stalePrice: "stale_price"
    case .priceAtBound: "price_at_bound"
    case .frozenPrice: "frozen_price"
    case .priceJump: "price_jump"
    case .rateStep: "rate_step"
    case .offPeg: "off_peg"
    case .priceDisagrees: "price_disagrees"
    case .secondSourceUnavailable: "second_source_unavailable"
    case .feedUnreadable: "feed_unreadable"
    case .quarantined: "quarantined"
    case .unknownRate: "unknown_rate"
    case .marketSetAside: "market_set_aside"
    case .brokerMarket: "broker_market"
    case .noBrokerState: "no_broker_state"
    case .brokerAnswer: "broker_answer"
    case .brokerDebtDiffers: "broker_debt_differs"
    case .noBrokerRate: "no_broker_rate"
    case .arithmeticOverflow: "arithmetic_overflow"
    }
  }
}
