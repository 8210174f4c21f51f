/// An unsigned 512-bit integer: what a product of two `U256` needs.
///
/// It exists to be compared and divided, so it has little else: products are made by
/// `U256.multipliedFullWidth(by:)` and leave through a division or a comparison.
@frozen
public struct U512: Hashable, Sendable {
  /// Bits 256 to 511.
  public var high: U256
  /// Bits 0 to 255.
  public var low: U256

  /// Makes a value of its two halves.
  @inlinable @inline(__always)
  public init(high: U256, low: U256) {
    self.high = high
    self.low = low
  }

  /// Widens a 256-bit value.
  @inlinable @inline(__always)
  public init(_ value: U256) {
    self.init(high: .zero, low: value)
  }

  /// 0.
  @inlinable @inline(__always)
  public static var zero: U512 { U512(.zero) }

  /// 2^512 - 1.
  @inlinable @inline(__always)
  public static var max: U512 { U512(high: .max, low: .max) }

  /// Whether the value is 0.
  @inlinable @inline(__always)
  public var isZero: Bool { high.isZero && low.isZero }
}

extension U512: Comparable {
  @inlinable @inline(__always)
  public static func < (lhs: U512, rhs: U512) -> Bool {
    lhs.high == rhs.high ? lhs.low < rhs.low : lhs.high < rhs.high
  }
}

// MARK: - Arithmetic

extension U512 {
  /// The sum; throws `.overflow` above 2^512 - 1.
  @inlinable
  public func adding(_ other: U512) throws(ArithmeticError) -> U512 {
    let (lowSum, carry) = low.addingReportingOverflow(other.low)
    let highSum = try high.adding(other.high)
    return U512(high: carry ? try highSum.adding(.one) : highSum, low: lowSum)
  }

  /// The difference; throws `.underflow` when `other` is larger.
  @inlinable
  public func subtracting(_ other: U512) throws(ArithmeticError) -> U512 {
    let (lowDifference, borrow) = low.subtractingReportingOverflow(other.low)
    let highDifference = try high.subtracting(other.high)
    return U512(
      high: borrow ? try highDifference.subtracting(.one) : highDifference, low: lowDifference)
  }

  /// The product with a 256-bit value; throws `.overflow` above 2^512 - 1.
  @inlinable
  public func multiplied(by other: U256) throws(ArithmeticError) -> U512 {
    let lower = low.multipliedFullWidth(by: other)
    let upper = try high.multiplied(by: other)
    return U512(high: try lower.high.adding(upper), low: lower.low)
  }

  /// Quotient rounded down, and remainder; throws `.divisionByZero`.
  @inlinable
  public func quotientAndRemainder(
    dividingBy divisor: U256
  ) throws(ArithmeticError) -> (quotient: U512, remainder: U256) {
    let upper = try high.quotientAndRemainder(dividingBy: divisor)
    let lower = U512(high: upper.remainder, low: low).dividedAbove(divisor)
    return (U512(high: upper.quotient, low: lower.quotient), lower.remainder)
  }

  /// The quotient rounded up; throws `.divisionByZero`, or `.overflow` above 2^512 - 1.
  @inlinable
  public func dividedUp(by divisor: U256) throws(ArithmeticError) -> U512 {
    let (quotient, remainder) = try quotientAndRemainder(dividingBy: divisor)
    return remainder.isZero ? quotient : try quotient.adding(U512(.one))
  }
}
