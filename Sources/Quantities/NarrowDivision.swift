// MARK: - The fast path: 256 by 128 bits with a quotient of 128 bits

extension U256 {
  /// The quotient rounded down, where it fits 128 bits; nil where it does not and for a divisor
  /// of 0.
  ///
  /// Two quotient words instead of four. With a constant divisor the compiler folds the
  /// reciprocal, so no division instruction is left.
  @inlinable @inline(always)
  public func narrowQuotient(dividingBy divisor: UInt128) -> UInt128? {
    high < divisor ? dividedAbove(divisor).quotient : nil
  }

  /// Divides by a `divisor` larger than `high`, so that the quotient has 128 bits.
  @inlinable @inline(always)
  func dividedAbove(_ divisor: UInt128) -> (quotient: UInt128, remainder: UInt128) {
    let upper = UInt64(truncatingIfNeeded: divisor >> 64)
    if upper == 0 { return divided(byNarrowWord: UInt64(truncatingIfNeeded: divisor)) }
    let shift = UInt64(truncatingIfNeeded: upper.leadingZeroBitCount)
    let back = 64 &- shift
    let reciprocal = Reciprocal2(normalized: divisor << UInt128(shift))
    var remainder = UInt128(w3 << shift | w2 >> back) << 64 | UInt128(w2 << shift | w1 >> back)
    let q1 = reciprocal.divide(&remainder, w1 << shift | w0 >> back)
    let q0 = reciprocal.divide(&remainder, w0 << shift)
    return (UInt128(q1) << 64 | UInt128(q0), remainder >> UInt128(shift))
  }

  /// The same by one word, with `high` below it.
  @inlinable @inline(always)
  func divided(byNarrowWord divisor: UInt64) -> (quotient: UInt128, remainder: UInt128) {
    let shift = UInt64(truncatingIfNeeded: divisor.leadingZeroBitCount)
    let back = 64 &- shift
    let reciprocal = Reciprocal(normalized: divisor << shift)
    var remainder = w2 << shift | w1 >> back
    let q1 = reciprocal.divide(&remainder, w1 << shift | w0 >> back)
    let q0 = reciprocal.divide(&remainder, w0 << shift)
    return (UInt128(q1) << 64 | UInt128(q0), UInt128(remainder >> shift))
  }
}

extension UInt128 {
  /// `x * y / d` rounded down, where it fits 128 bits; nil where it does not and for `d` of 0.
  ///
  /// Equal to `U256.mulDivDown` wherever it is not nil.
  @inlinable @inline(always)
  public static func mulDivDown(_ x: UInt128, _ y: UInt128, _ d: UInt128) -> UInt128? {
    U256(product: x, y).narrowQuotient(dividingBy: d)
  }

  /// `(x * y + (d - 1)) / d`, where it fits 128 bits; nil where it does not and for `d` of 0.
  ///
  /// Equal to `U256.mulDivUp` wherever it is not nil.
  @inlinable @inline(always)
  public static func mulDivUp(_ x: UInt128, _ y: UInt128, _ d: UInt128) -> UInt128? {
    // (2^128 - 1)^2 + 2^128 - 1 is below 2^256, so the sum is never cut.
    U256(product: x, y).addingReportingOverflow(U256(d &- 1)).partialValue
      .narrowQuotient(dividingBy: d)
  }
}

extension U256 {
  /// The exact product of two 128-bit values.
  @inlinable @inline(always)
  public init(product x: UInt128, _ y: UInt128) {
    let (x0, x1) = (UInt64(truncatingIfNeeded: x), UInt64(truncatingIfNeeded: x >> 64))
    let (y0, y1) = (UInt64(truncatingIfNeeded: y), UInt64(truncatingIfNeeded: y >> 64))
    let t00 = UInt128(x0) &* UInt128(y0)
    let t01 = UInt128(x0) &* UInt128(y1) &+ (t00 >> 64)
    let t10 = UInt128(x1) &* UInt128(y0) &+ UInt128(UInt64(truncatingIfNeeded: t01))
    let t11 = UInt128(x1) &* UInt128(y1) &+ (t01 >> 64) &+ (t10 >> 64)
    self.init(
      high: t11,
      low: t10 << 64 | UInt128(UInt64(truncatingIfNeeded: t00)))
  }

  /// The product with a 128-bit value; nil above 2^256 - 1.
  @inlinable @inline(always)
  public func multipliedNarrowly(by other: UInt128) -> U256? {
    let lower = multipliedFullWidth(by: UInt64(truncatingIfNeeded: other))
    let upper = multipliedFullWidth(by: UInt64(truncatingIfNeeded: other >> 64))
    let raised = U256(w0: 0, w1: upper.low.w0, w2: upper.low.w1, w3: upper.low.w2)
    let (sum, carry) = lower.low.addingReportingOverflow(raised)
    guard lower.high | upper.high | upper.low.w3 == 0, !carry else { return nil }
    return sum
  }
}
