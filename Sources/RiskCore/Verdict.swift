import Quantities

/// What the program says of a position at a stated block or timestamp.
public enum Verdict: Hashable, Sendable {
  /// It owes nothing, so no price can make it liquidatable.
  case noDebt
  /// The contract refuses a liquidation.
  case healthy(Health)
  /// The contract lets anyone liquidate.
  case liquidatable(Health)
  /// A number that decides it is not known; never to be read as healthy.
  case unknown(UnknownReason)

  /// Judges a health that is known.
  public init(_ health: Health) {
    if health.debt.isZero {
      self = .noDebt
    } else {
      self = health.isLiquidatable ? .liquidatable(health) : .healthy(health)
    }
  }

  /// The numbers behind the verdict, where there are any.
  public var health: Health? {
    switch self {
    case .healthy(let health), .liquidatable(let health): health
    case .noDebt, .unknown: nil
    }
  }
}
