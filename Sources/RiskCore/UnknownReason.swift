/// Why a position's verdict is not known.
public enum UnknownReason: Error, Hashable, Sendable, CaseIterable {
  /// No price of the market has been read.
  case missingPrice
  /// The oracle answered 0.
  case zeroPrice
  /// The call for the price reverted.
  case priceCallReverted
  /// The market's rate model is unknown or did not answer, so the debt at this time is not known.
  case unknownRate
  /// An event of the market could not be applied, so its mirror is behind the contract.
  case marketSetAside
  /// The debt lives in a broker, which the market's own shares do not show.
  case brokerMarket
  /// The contract's own arithmetic would revert on these numbers.
  case arithmeticOverflow

  /// The stable name in tables, JSON and logs.
  public var code: String {
    switch self {
    case .missingPrice: "missing_price"
    case .zeroPrice: "zero_price"
    case .priceCallReverted: "price_call_reverted"
    case .unknownRate: "unknown_rate"
    case .marketSetAside: "market_set_aside"
    case .brokerMarket: "broker_market"
    case .arithmeticOverflow: "arithmetic_overflow"
    }
  }
}
