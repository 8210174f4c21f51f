/// An unsigned 256-bit integer: Solidity's `uint256`.
///
/// Four 64-bit words, least significant first, so that a product or a carry is one step of a
/// `UInt128` accumulator. Nothing here traps on overflow: arithmetic is checked and throws
/// `ArithmeticError` exactly where Solidity 0.8 would revert. 32 bytes, no allocation.
@frozen
public struct U256: Hashable, Sendable {
  /// Bits 0 to 63.
  public var w0: UInt64
  /// Bits 64 to 127.
  public var w1: UInt64
  /// Bits 128 to 191.
  public var w2: UInt64
  /// Bits 192 to 255.
  public var w3: UInt64

  /// Makes a value of its four words, least significant first.
  @inlinable @inline(__always)
  public init(w0: UInt64, w1: UInt64, w2: UInt64, w3: UInt64) {
    self.w0 = w0
    self.w1 = w1
    self.w2 = w2
    self.w3 = w3
  }

  /// Widens a 64-bit value.
  @inlinable @inline(__always)
  public init(_ value: UInt64) {
    self.init(w0: value, w1: 0, w2: 0, w3: 0)
  }

  /// Widens a 128-bit value.
  @inlinable @inline(__always)
  public init(_ value: UInt128) {
    self.init(high: 0, low: value)
  }

  /// Makes a value of its two 128-bit halves.
  @inlinable @inline(__always)
  public init(high: UInt128, low: UInt128) {
    self.init(
      w0: UInt64(truncatingIfNeeded: low), w1: UInt64(truncatingIfNeeded: low >> 64),
      w2: UInt64(truncatingIfNeeded: high), w3: UInt64(truncatingIfNeeded: high >> 64))
  }

  /// Bits 0 to 127.
  @inlinable @inline(__always)
  public var low: UInt128 { UInt128(w1) << 64 | UInt128(w0) }

  /// Bits 128 to 255.
  @inlinable @inline(__always)
  public var high: UInt128 { UInt128(w3) << 64 | UInt128(w2) }

  /// 0.
  @inlinable @inline(__always)
  public static var zero: U256 { U256(UInt64(0)) }

  /// 1.
  @inlinable @inline(__always)
  public static var one: U256 { U256(UInt64(1)) }

  /// 2^256 - 1.
  @inlinable @inline(__always)
  public static var max: U256 { U256(w0: .max, w1: .max, w2: .max, w3: .max) }

  /// Whether the value is 0.
  @inlinable @inline(__always)
  public var isZero: Bool { w0 | w1 | w2 | w3 == 0 }

  /// How many bits the value needs: 0 for 0, 256 for `max`.
  @inlinable
  public var bitWidth: Int { 256 - leadingZeroBitCount }

  /// How many of the 256 bits above the highest set bit are 0.
  @inlinable
  public var leadingZeroBitCount: Int {
    if w3 != 0 { return w3.leadingZeroBitCount }
    if w2 != 0 { return 64 + w2.leadingZeroBitCount }
    if w1 != 0 { return 128 + w1.leadingZeroBitCount }
    return 192 + w0.leadingZeroBitCount
  }
}

extension U256: Comparable {
  @inlinable @inline(__always)
  public static func < (lhs: U256, rhs: U256) -> Bool {
    lhs.subtractingReportingOverflow(rhs).overflow
  }
}

extension U256: ExpressibleByIntegerLiteral {
  /// Makes the value of a literal of any length.
  ///
  /// A negative literal or one above 2^256 - 1 is a mistake in the source.
  public init(integerLiteral literal: StaticBigInt) {
    precondition(literal.signum() >= 0, "A U256 literal cannot be negative.")
    precondition(literal.bitWidth <= 257, "A U256 literal has at most 256 bits.")
    self.init(
      w0: UInt64(literal[0]), w1: UInt64(literal[1]), w2: UInt64(literal[2]),
      w3: UInt64(literal[3]))
  }
}

// MARK: - Narrowing

extension UInt128 {
  /// Narrows, or gives nil when the value needs more than 128 bits.
  @inlinable @inline(__always)
  public init?(exactly value: U256) {
    guard value.w2 | value.w3 == 0 else { return nil }
    self = value.low
  }

  /// Narrows as a contract's store into a `uint128` does: throws `.overflow` above 2^128 - 1.
  @inlinable @inline(__always)
  public init(narrowing value: U256) throws(ArithmeticError) {
    guard value.w2 | value.w3 == 0 else { throw .overflow }
    self = value.low
  }
}

extension UInt64 {
  /// Narrows, or gives nil when the value needs more than 64 bits.
  @inlinable @inline(__always)
  public init?(exactly value: U256) {
    guard value.w1 | value.w2 | value.w3 == 0 else { return nil }
    self = value.w0
  }
}
