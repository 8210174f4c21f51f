/// A number of 10^27 parts of one: a rate or index in the unit of Solidity's `1e27`.
///
/// `raw` is the integer a contract stores; 1 is `raw == 10^27`.
@frozen
public struct Ray: Hashable, Sendable {
  /// The stored integer, in units of 10^-27.
  public var raw: U256

  /// Takes the stored integer.
  @inlinable @inline(__always)
  public init(raw: U256) {
    self.raw = raw
  }

  /// 10^27: the `raw` of one.
  @inlinable @inline(__always)
  public static var scale: U256 { U256(1_000_000_000_000_000_000_000_000_000 as UInt128) }

  /// 0.
  @inlinable
  public static var zero: Ray { Ray(raw: .zero) }

  /// 1.
  @inlinable
  public static var one: Ray { Ray(raw: scale) }

  /// Whether the value is 0.
  @inlinable
  public var isZero: Bool { raw.isZero }
}

extension Ray: Comparable {
  @inlinable
  public static func < (lhs: Ray, rhs: Ray) -> Bool { lhs.raw < rhs.raw }
}

// MARK: - Amounts and shares of them

extension Ray {
  /// This part of `amount`, rounded down: `amount * raw / 10^27`; throws `.overflow` when the
  /// product needs more than 256 bits.
  @inlinable
  public func mulDown(_ amount: U256) throws(ArithmeticError) -> U256 {
    try U256.mulDivDown(amount, raw, Ray.scale)
  }

  /// This part of `amount`, rounded up; throws `.overflow` when the product and the rounding
  /// need more than 256 bits.
  @inlinable
  public func mulUp(_ amount: U256) throws(ArithmeticError) -> U256 {
    try U256.mulDivUp(amount, raw, Ray.scale)
  }

  /// What part `amount` is of `whole`, rounded down: `amount * 10^27 / whole`; throws
  /// `.overflow` when the product needs more than 256 bits, and `.divisionByZero`.
  @inlinable
  public static func divDown(
    _ amount: U256, by whole: U256
  ) throws(ArithmeticError) -> Ray {
    Ray(raw: try U256.mulDivDown(amount, scale, whole))
  }

  /// What part `amount` is of `whole`, rounded up; throws `.overflow` when the product and the
  /// rounding need more than 256 bits, and `.divisionByZero`.
  @inlinable
  public static func divUp(
    _ amount: U256, by whole: U256
  ) throws(ArithmeticError) -> Ray {
    Ray(raw: try U256.mulDivUp(amount, scale, whole))
  }
}

extension Ray: CustomStringConvertible {
  /// The value as a decimal fraction without trailing zeros.
  public var description: String { raw.decimalFraction(digits: 27) }
}
