/// A signed 256-bit integer: Solidity's `int256`, two's complement.
///
/// Checked like `U256`: a result outside -2^255 ... 2^255 - 1 throws. Division truncates toward
/// zero, as Solidity's does.
@frozen
public struct I256: Hashable, Sendable {
  /// The two's complement bits, as they stand in a contract's word.
  public var bits: U256

  /// Takes the two's complement bits as they are.
  @inlinable @inline(__always)
  public init(bits: U256) {
    self.bits = bits
  }

  /// Widens a 64-bit value.
  @inlinable
  public init(_ value: Int64) {
    let sign: UInt64 = value < 0 ? .max : 0
    self.init(bits: U256(w0: UInt64(bitPattern: value), w1: sign, w2: sign, w3: sign))
  }

  /// Makes the value of a magnitude and a sign; throws `.overflow`, or `.underflow` below the
  /// smallest value.
  @inlinable
  public init(magnitude: U256, isNegative: Bool) throws(ArithmeticError) {
    guard isNegative, !magnitude.isZero else {
      guard magnitude.w3 >> 63 == 0 else { throw .overflow }
      self.init(bits: magnitude)
      return
    }
    guard magnitude <= I256.min.bits else { throw .underflow }
    self.init(bits: magnitude.twosComplement)
  }

  /// Takes an unsigned value; throws `.overflow` above 2^255 - 1.
  @inlinable
  public init(narrowing value: U256) throws(ArithmeticError) {
    try self.init(magnitude: value, isNegative: false)
  }

  /// 0.
  @inlinable
  public static var zero: I256 { I256(bits: .zero) }

  /// -2^255.
  @inlinable
  public static var min: I256 { I256(bits: U256(w0: 0, w1: 0, w2: 0, w3: 1 << 63)) }

  /// 2^255 - 1.
  @inlinable
  public static var max: I256 {
    I256(bits: U256(w0: .max, w1: .max, w2: .max, w3: .max >> 1))
  }

  /// Whether the value is below 0.
  @inlinable @inline(__always)
  public var isNegative: Bool { bits.w3 >> 63 != 0 }

  /// Whether the value is 0.
  @inlinable @inline(__always)
  public var isZero: Bool { bits.isZero }

  /// The absolute value; that of `min` is 2^255.
  @inlinable
  public var magnitude: U256 { isNegative ? bits.twosComplement : bits }
}

extension U256 {
  /// Takes a signed value; throws `.underflow` below 0.
  @inlinable
  public init(narrowing value: I256) throws(ArithmeticError) {
    guard !value.isNegative else { throw .underflow }
    self = value.bits
  }

  /// 2^256 minus the value, modulo 2^256.
  @inlinable @inline(__always)
  var twosComplement: U256 { U256.zero.subtractingReportingOverflow(self).partialValue }
}

// MARK: - Checked arithmetic, as Solidity 0.8

extension I256 {
  /// The sum; throws `.overflow` or `.underflow`.
  @inlinable
  public func adding(_ other: I256) throws(ArithmeticError) -> I256 {
    let sum = I256(bits: bits.addingReportingOverflow(other.bits).partialValue)
    if isNegative == other.isNegative, sum.isNegative != isNegative {
      throw isNegative ? .underflow : .overflow
    }
    return sum
  }

  /// The difference; throws `.overflow` or `.underflow`.
  @inlinable
  public func subtracting(_ other: I256) throws(ArithmeticError) -> I256 {
    let difference = I256(bits: bits.subtractingReportingOverflow(other.bits).partialValue)
    if isNegative != other.isNegative, difference.isNegative != isNegative {
      throw isNegative ? .underflow : .overflow
    }
    return difference
  }

  /// The product; throws `.overflow` or `.underflow`.
  @inlinable
  public func multiplied(by other: I256) throws(ArithmeticError) -> I256 {
    let isNegative = isNegative != other.isNegative
    let product = magnitude.multipliedFullWidth(by: other.magnitude)
    guard product.high.isZero else { throw isNegative ? .underflow : .overflow }
    return try I256(magnitude: product.low, isNegative: isNegative)
  }

  /// The quotient truncated toward zero; throws `.divisionByZero`, or `.overflow` for
  /// `min / -1`.
  @inlinable
  public func dividedTowardZero(by other: I256) throws(ArithmeticError) -> I256 {
    let quotient = try magnitude.dividedDown(by: other.magnitude)
    return try I256(magnitude: quotient, isNegative: isNegative != other.isNegative)
  }

  /// What division toward zero leaves over, with the sign of the dividend; throws
  /// `.divisionByZero`.
  @inlinable
  public func remainderTowardZero(by other: I256) throws(ArithmeticError) -> I256 {
    let remainder = try magnitude.quotientAndRemainder(dividingBy: other.magnitude).remainder
    return try I256(magnitude: remainder, isNegative: isNegative)
  }

  /// The value with the other sign; throws `.overflow` for `min`.
  @inlinable
  public func negated() throws(ArithmeticError) -> I256 {
    try I256.zero.subtracting(self)
  }
}

extension I256: Comparable {
  @inlinable
  public static func < (lhs: I256, rhs: I256) -> Bool {
    lhs.isNegative == rhs.isNegative ? lhs.bits < rhs.bits : lhs.isNegative
  }
}

extension I256: ExpressibleByIntegerLiteral {
  /// Makes the value of a literal of any length.
  ///
  /// A literal outside -2^255 ... 2^255 - 1 is a mistake in the source.
  public init(integerLiteral literal: StaticBigInt) {
    precondition(literal.bitWidth <= 256, "An I256 literal has at most 256 bits.")
    self.init(
      bits: U256(
        w0: UInt64(literal[0]), w1: UInt64(literal[1]), w2: UInt64(literal[2]),
        w3: UInt64(literal[3])))
  }
}

// MARK: - Decimal text

extension I256: CustomStringConvertible {
  /// The value in decimal digits, with a minus sign below 0.
  public var description: String { (isNegative ? "-" : "") + magnitude.description }

  /// Reads decimal digits with an optional leading minus sign; nil for anything else.
  public init?(decimal text: some StringProtocol) {
    let isNegative = text.utf8.first == UInt8(ascii: "-")
    guard let magnitude = U256(decimal: text.dropFirst(isNegative ? 1 : 0)),
      let value = try? I256(magnitude: magnitude, isNegative: isNegative)
    else { return nil }
    self = value
  }
}
