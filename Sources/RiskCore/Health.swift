import Quantities

/// How far a position is from liquidation: what its collateral may carry, against what it owes.
///
/// Both numbers are in the same unit, the system's own (loan units for Moolah), and are chosen
/// so that `capacity < debt` is bit for bit the contract's own test.
@frozen
public struct Health: Hashable, Sendable {
  /// The largest debt that the position may carry.
  public var capacity: U256
  /// The debt it has.
  public var debt: U256

  /// Pairs a capacity with a debt of the same unit.
  @inlinable @inline(__always)
  public init(capacity: U256, debt: U256) {
    self.capacity = capacity
    self.debt = debt
  }

  /// Whether the contract lets anyone liquidate; a capacity equal to the debt is still healthy.
  @inlinable @inline(__always)
  public var isLiquidatable: Bool { capacity < debt }
}

extension Health: Comparable {
  /// Orders by `capacity / debt`, the worst first; a position without debt is the healthiest.
  ///
  /// Ratios are compared by cross-multiplying in 512 bits, so no two different ratios are ever
  /// rounded together. Of equal ratios the larger debt comes first, and of positions without
  /// debt the smaller capacity, which makes the order total.
  @inlinable
  public static func < (lhs: Health, rhs: Health) -> Bool {
    let left = lhs.capacity.multipliedFullWidth(by: rhs.debt)
    let right = rhs.capacity.multipliedFullWidth(by: lhs.debt)
    if lhs.debt.isZero || rhs.debt.isZero || left == right { return tieBreak(lhs, rhs) }
    return left < right
  }

  @usableFromInline
  static func tieBreak(_ lhs: Health, _ rhs: Health) -> Bool {
    lhs.debt == rhs.debt ? lhs.capacity < rhs.capacity : lhs.debt > rhs.debt
  }
}
