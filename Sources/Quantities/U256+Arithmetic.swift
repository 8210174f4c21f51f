// MARK: - Checked arithmetic, as Solidity 0.8

extension U256 {
  /// The sum; throws `.overflow` above 2^256 - 1.
  @inlinable @inline(__always)
  public func adding(_ other: U256) throws(ArithmeticError) -> U256 {
    let (sum, overflow) = addingReportingOverflow(other)
    if overflow { throw .overflow }
    return sum
  }

  /// The difference; throws `.underflow` when `other` is larger.
  @inlinable @inline(__always)
  public func subtracting(_ other: U256) throws(ArithmeticError) -> U256 {
    let (difference, overflow) = subtractingReportingOverflow(other)
    if overflow { throw .underflow }
    return difference
  }

  /// The product; throws `.overflow` above 2^256 - 1.
  @inlinable
  public func multiplied(by other: U256) throws(ArithmeticError) -> U256 {
    let product = multipliedFullWidth(by: other)
    if !product.high.isZero { throw .overflow }
    return product.low
  }

  /// The difference, or 0 when `other` is larger: `UtilsLib.zeroFloorSub` of Morpho and Moolah.
  @inlinable
  public func subtractingFlooredAtZero(_ other: U256) -> U256 {
    let (difference, overflow) = subtractingReportingOverflow(other)
    return overflow ? .zero : difference
  }
}

// MARK: - Carries

extension U256 {
  /// The sum modulo 2^256, and whether it was cut.
  @inlinable @inline(__always)
  public func addingReportingOverflow(
    _ other: U256
  ) -> (partialValue: U256, overflow: Bool) {
    let t0 = UInt128(w0) &+ UInt128(other.w0)
    let t1 = UInt128(w1) &+ UInt128(other.w1) &+ (t0 >> 64)
    let t2 = UInt128(w2) &+ UInt128(other.w2) &+ (t1 >> 64)
    let t3 = UInt128(w3) &+ UInt128(other.w3) &+ (t2 >> 64)
    let sum = U256(
      w0: UInt64(truncatingIfNeeded: t0), w1: UInt64(truncatingIfNeeded: t1),
      w2: UInt64(truncatingIfNeeded: t2), w3: UInt64(truncatingIfNeeded: t3))
    return (sum, t3 >> 64 != 0)
  }

  /// The difference modulo 2^256, and whether `other` was larger.
  @inlinable @inline(__always)
  public func subtractingReportingOverflow(
    _ other: U256
  ) -> (partialValue: U256, overflow: Bool) {
    // The upper half of a 128-bit difference is all ones after a borrow, so bit 64 is the borrow.
    let t0 = UInt128(w0) &- UInt128(other.w0)
    let t1 = UInt128(w1) &- UInt128(other.w1) &- (t0 >> 64 & 1)
    let t2 = UInt128(w2) &- UInt128(other.w2) &- (t1 >> 64 & 1)
    let t3 = UInt128(w3) &- UInt128(other.w3) &- (t2 >> 64 & 1)
    let difference = U256(
      w0: UInt64(truncatingIfNeeded: t0), w1: UInt64(truncatingIfNeeded: t1),
      w2: UInt64(truncatingIfNeeded: t2), w3: UInt64(truncatingIfNeeded: t3))
    return (difference, t3 >> 64 != 0)
  }
}

// MARK: - Shifts

extension U256 {
  /// The low 256 bits of the value times 2^`count`; 0 for a `count` of 256 and more.
  ///
  /// `count` must not be negative.
  @inlinable
  public func shiftedLeft(by count: Int) -> U256 {
    precondition(count >= 0, "A shift count cannot be negative.")
    if count >= 256 { return .zero }
    if count >= 128 { return U256(high: low << UInt128(count - 128), low: 0) }
    if count == 0 { return self }
    let carried = low >> UInt128(128 - count)
    return U256(high: high << UInt128(count) | carried, low: low << UInt128(count))
  }

  /// The value divided by 2^`count`, rounded down; 0 for a `count` of 256 and more.
  ///
  /// `count` must not be negative.
  @inlinable
  public func shiftedRight(by count: Int) -> U256 {
    precondition(count >= 0, "A shift count cannot be negative.")
    if count >= 256 { return .zero }
    if count >= 128 { return U256(high: 0, low: high >> UInt128(count - 128)) }
    if count == 0 { return self }
    let carried = high << UInt128(128 - count)
    return U256(high: high >> UInt128(count), low: low >> UInt128(count) | carried)
  }
}

// MARK: - Products

extension U256 {
  /// The exact 512-bit product.
  ///
  /// Schoolbook over 64-bit words: each step `a * b + sum + carry` fits 128 bits exactly.
  @inlinable @inline(__always)
  public func multipliedFullWidth(by other: U256) -> U512 {
    var row = MultiplyRow(w0, other)
    let p0 = row.w0
    row.shiftAndAdd(w1, other)
    let p1 = row.w0
    row.shiftAndAdd(w2, other)
    let p2 = row.w0
    row.shiftAndAdd(w3, other)
    return U512(
      high: U256(w0: row.w1, w1: row.w2, w2: row.w3, w3: row.w4),
      low: U256(w0: p0, w1: p1, w2: p2, w3: row.w0))
  }

  /// The product with one word: the low 256 bits and the word above them.
  @inlinable @inline(__always)
  public func multipliedFullWidth(by word: UInt64) -> (high: UInt64, low: U256) {
    let row = MultiplyRow(word, self)
    return (row.w4, U256(w0: row.w0, w1: row.w1, w2: row.w2, w3: row.w3))
  }
}

/// Five words of a running product: one row of the schoolbook method.
@frozen
@usableFromInline
struct MultiplyRow {
  @usableFromInline var w0: UInt64
  @usableFromInline var w1: UInt64
  @usableFromInline var w2: UInt64
  @usableFromInline var w3: UInt64
  @usableFromInline var w4: UInt64

  /// `word * value`.
  @inlinable @inline(__always)
  init(_ word: UInt64, _ value: U256) {
    let t0 = UInt128(word) &* UInt128(value.w0)
    let t1 = UInt128(word) &* UInt128(value.w1) &+ (t0 >> 64)
    let t2 = UInt128(word) &* UInt128(value.w2) &+ (t1 >> 64)
    let t3 = UInt128(word) &* UInt128(value.w3) &+ (t2 >> 64)
    w0 = UInt64(truncatingIfNeeded: t0)
    w1 = UInt64(truncatingIfNeeded: t1)
    w2 = UInt64(truncatingIfNeeded: t2)
    w3 = UInt64(truncatingIfNeeded: t3)
    w4 = UInt64(truncatingIfNeeded: t3 >> 64)
  }

  /// Drops the lowest word, then adds `word * value`.
  @inlinable @inline(__always)
  mutating func shiftAndAdd(_ word: UInt64, _ value: U256) {
    let t0 = UInt128(word) &* UInt128(value.w0) &+ UInt128(w1)
    let t1 = UInt128(word) &* UInt128(value.w1) &+ UInt128(w2) &+ (t0 >> 64)
    let t2 = UInt128(word) &* UInt128(value.w2) &+ UInt128(w3) &+ (t1 >> 64)
    let t3 = UInt128(word) &* UInt128(value.w3) &+ UInt128(w4) &+ (t2 >> 64)
    w0 = UInt64(truncatingIfNeeded: t0)
    w1 = UInt64(truncatingIfNeeded: t1)
    w2 = UInt64(truncatingIfNeeded: t2)
    w3 = UInt64(truncatingIfNeeded: t3)
    w4 = UInt64(truncatingIfNeeded: t3 >> 64)
  }
}
