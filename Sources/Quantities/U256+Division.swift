// MARK: - Division

extension U256 {
  /// The quotient rounded down; throws `.divisionByZero`.
  @inlinable
  public func dividedDown(by divisor: U256) throws(ArithmeticError) -> U256 {
    try quotientAndRemainder(dividingBy: divisor).quotient
  }

  /// The quotient rounded up; throws `.divisionByZero`.
  @inlinable
  public func dividedUp(by divisor: U256) throws(ArithmeticError) -> U256 {
    let (quotient, remainder) = try quotientAndRemainder(dividingBy: divisor)
    // A remainder means a divisor of 2 or more, so the quotient has room for one more.
    return remainder.isZero ? quotient : quotient.addingReportingOverflow(.one).partialValue
  }

  /// Quotient rounded down, and remainder; throws `.divisionByZero`.
  @inlinable
  public func quotientAndRemainder(
    dividingBy divisor: U256
  ) throws(ArithmeticError) -> (quotient: U256, remainder: U256) {
    if divisor.isZero { throw .divisionByZero }
    if self < divisor { return (.zero, self) }
    if divisor.w2 | divisor.w3 == 0, high < divisor.low {
      let (quotient, remainder) = dividedAbove(divisor.low)
      return (U256(quotient), U256(remainder))
    }
    return U512(self).dividedAbove(divisor)
  }

  /// Quotient rounded down, and remainder, by one word; throws `.divisionByZero`.
  @inlinable
  public func quotientAndRemainder(
    dividingBy word: UInt64
  ) throws(ArithmeticError) -> (quotient: U256, remainder: UInt64) {
    if word == 0 { throw .divisionByZero }
    let (quotient, remainder) = U512(self).divided(byWord: word)
    return (quotient, remainder)
  }
}

// MARK: - The machinery: 512 by 256 bits with a quotient of 256 bits

extension U512 {
  /// Divides by a `divisor` larger than `high`, so that the quotient has 256 bits.
  ///
  /// Knuth's algorithm D, with the division of three words by two done through the reciprocal
  /// of Möller and Granlund, "Improved division by invariant integers" (2011), algorithm 4.
  @inlinable
  func dividedAbove(_ divisor: U256) -> (quotient: U256, remainder: U256) {
    if divisor.w3 | divisor.w2 == 0 {
      if divisor.w1 == 0 {
        let (quotient, remainder) = divided(byWord: divisor.w0)
        return (quotient, U256(remainder))
      }
      let (quotient, remainder) = divided(byTwoWords: divisor.low)
      return (quotient, U256(remainder))
    }
    return divided(byManyWords: divisor)
  }

  /// One word; `high` is below `divisor`, so it is one word as well.
  @inlinable
  func divided(byWord divisor: UInt64) -> (quotient: U256, remainder: UInt64) {
    let shift = UInt64(divisor.leadingZeroBitCount)
    let reciprocal = Reciprocal(normalized: divisor << shift)
    let back = 64 &- shift
    // `>>` gives 0 for a count of 64, which is what a shift of 0 needs.
    var remainder = high.w0 << shift | low.w3 >> back
    let q3 = reciprocal.divide(&remainder, low.w3 << shift | low.w2 >> back)
    let q2 = reciprocal.divide(&remainder, low.w2 << shift | low.w1 >> back)
    let q1 = reciprocal.divide(&remainder, low.w1 << shift | low.w0 >> back)
    let q0 = reciprocal.divide(&remainder, low.w0 << shift)
    return (U256(w0: q0, w1: q1, w2: q2, w3: q3), remainder >> shift)
  }

  /// Two words, the upper not 0; `high` is below `divisor`.
  @inlinable
  func divided(byTwoWords divisor: UInt128) -> (quotient: U256, remainder: UInt128) {
    let shift = divisor.leadingZeroBitCount
    let reciprocal = Reciprocal2(normalized: divisor << UInt128(shift))
    let numerator = shiftedLeft(byBits: shift)
    var remainder = numerator.high.low
    let q3 = reciprocal.divide(&remainder, numerator.low.w3)
    let q2 = reciprocal.divide(&remainder, numerator.low.w2)
    let q1 = reciprocal.divide(&remainder, numerator.low.w1)
    let q0 = reciprocal.divide(&remainder, numerator.low.w0)
    return (U256(w0: q0, w1: q1, w2: q2, w3: q3), remainder >> UInt128(shift))
  }

  /// Three or four words; `high` is below `divisor`.
  @inlinable
  func divided(byManyWords divisor: U256) -> (quotient: U256, remainder: U256) {
    let shift = divisor.leadingZeroBitCount
    let normalized = divisor.shiftedLeft(by: shift)
    let reciprocal = Reciprocal2(normalized: normalized.high)
    let numerator = shiftedLeft(by: shift)
    var remainder = numerator.high
    let q3 = reciprocal.divide(&remainder, numerator.low.w3, by: normalized)
    let q2 = reciprocal.divide(&remainder, numerator.low.w2, by: normalized)
    let q1 = reciprocal.divide(&remainder, numerator.low.w1, by: normalized)
    let q0 = reciprocal.divide(&remainder, numerator.low.w0, by: normalized)
    return (U256(w0: q0, w1: q1, w2: q2, w3: q3), remainder.shiftedRight(by: shift))
  }

  /// Shifts left by less than 64 bits, dropping what leaves the top.
  @inlinable @inline(__always)
  func shiftedLeft(byBits count: Int) -> U512 {
    let shift = UInt64(count)
    let back = 64 &- shift
    return U512(
      high: U256(
        w0: high.w0 << shift | low.w3 >> back, w1: high.w1 << shift | high.w0 >> back,
        w2: high.w2 << shift | high.w1 >> back, w3: high.w3 << shift | high.w2 >> back),
      low: U256(
        w0: low.w0 << shift, w1: low.w1 << shift | low.w0 >> back,
        w2: low.w2 << shift | low.w1 >> back, w3: low.w3 << shift | low.w2 >> back))
  }

  /// Shifts left by less than 128 bits, dropping what leaves the top.
  @inlinable @inline(__always)
  func shiftedLeft(by count: Int) -> U512 {
    if count < 64 { return shiftedLeft(byBits: count) }
    let byWord = U512(
      high: U256(w0: low.w3, w1: high.w0, w2: high.w1, w3: high.w2),
      low: U256(w0: 0, w1: low.w0, w2: low.w1, w3: low.w2))
    return byWord.shiftedLeft(byBits: count - 64)
  }
}

/// The reciprocal of a one-word divisor whose top bit is set.
@frozen
@usableFromInline
struct Reciprocal {
  @usableFromInline let divisor: UInt64
  /// `(2^128 - 1) / divisor - 2^64`.
  @usableFromInline let value: UInt64

  @inlinable @inline(__always)
  init(normalized divisor: UInt64) {
    self.divisor = divisor
    let numerator = UInt128(~divisor) << 64 | UInt128(UInt64.max)
    value = UInt64(truncatingIfNeeded: numerator / UInt128(divisor))
  }

  /// One quotient word of `remainder * 2^64 + next`; `remainder` is below the divisor.
  @inlinable @inline(__always)
  func divide(_ remainder: inout UInt64, _ next: UInt64) -> UInt64 {
    let product =
      UInt128(value) &* UInt128(remainder) &+ (UInt128(remainder) << 64 | UInt128(next))
    var quotient = UInt64(truncatingIfNeeded: product >> 64) &+ 1
    var rest = next &- quotient &* divisor
    if rest > UInt64(truncatingIfNeeded: product) {
      quotient = quotient &- 1
      rest = rest &+ divisor
    }
    if rest >= divisor {
      quotient = quotient &+ 1
      rest = rest &- divisor
    }
    remainder = rest
    return quotient
  }
}

/// The reciprocal of a two-word divisor whose top bit is set.
@frozen
@usableFromInline
struct Reciprocal2 {
  @usableFromInline let divisor: UInt128
  /// `(2^192 - 1) / divisor - 2^64`.
  @usableFromInline let value: UInt64

  @inlinable @inline(__always)
  init(normalized divisor: UInt128) {
    self.divisor = divisor
    let d1 = UInt64(truncatingIfNeeded: divisor >> 64)
    let d0 = UInt64(truncatingIfNeeded: divisor)
    var v = Reciprocal(normalized: d1).value
    var p = d1 &* v &+ d0
    if p < d0 {
      v = v &- 1
      if p >= d1 {
        v = v &- 1
        p = p &- d1
      }
      p = p &- d1
    }
    let t = UInt128(v) &* UInt128(d0)
    let (sum, carry) = p.addingReportingOverflow(UInt64(truncatingIfNeeded: t >> 64))
    if carry {
      v = v &- 1
      if UInt128(sum) << 64 | UInt128(UInt64(truncatingIfNeeded: t)) >= divisor { v = v &- 1 }
    }
    value = v
  }

  /// One quotient word of `remainder * 2^64 + next`; `remainder` is below the divisor.
  @inlinable @inline(__always)
  func divide(_ remainder: inout UInt128, _ next: UInt64) -> UInt64 {
    let d1 = UInt64(truncatingIfNeeded: divisor >> 64)
    let d0 = UInt64(truncatingIfNeeded: divisor)
    let u2 = UInt64(truncatingIfNeeded: remainder >> 64)
    let u1 = UInt64(truncatingIfNeeded: remainder)
    let product = UInt128(value) &* UInt128(u2) &+ remainder
    var quotient = UInt64(truncatingIfNeeded: product >> 64)
    let r1 = u1 &- quotient &* d1
    var rest =
      (UInt128(r1) << 64 | UInt128(next)) &- UInt128(d0) &* UInt128(quotient) &- divisor
    quotient = quotient &+ 1
    if UInt64(truncatingIfNeeded: rest >> 64) >= UInt64(truncatingIfNeeded: product) {
      quotient = quotient &- 1
      rest = rest &+ divisor
    }
    if rest >= divisor {
      quotient = quotient &+ 1
      rest = rest &- divisor
    }
    remainder = rest
    return quotient
  }

  /// One quotient word of `remainder * 2^64 + next` by a four-word divisor, of which this is the
  /// reciprocal of the upper half; `remainder` is below `full`.
  @inlinable @inline(__always)
  func divide(_ remainder: inout U256, _ next: UInt64, by full: U256) -> UInt64 {
    if remainder.high == divisor { return divideSaturated(&remainder, next, by: full) }
    var upper = remainder.high
    var quotient = divide(&upper, remainder.w1)
    let t0 = UInt128(quotient) &* UInt128(full.w0)
    let t1 = UInt128(quotient) &* UInt128(full.w1) &+ (t0 >> 64)
    let product = U256(
      w0: UInt64(truncatingIfNeeded: t0), w1: UInt64(truncatingIfNeeded: t1),
      w2: UInt64(truncatingIfNeeded: t1 >> 64), w3: 0)
    let partial = U256(high: upper, low: UInt128(remainder.w0) << 64 | UInt128(next))
    var (rest, borrow) = partial.subtractingReportingOverflow(product)
    if borrow {
      quotient = quotient &- 1
      rest = rest.addingReportingOverflow(full).partialValue
    }
    remainder = rest
    return quotient
  }

  /// The same where the upper halves are equal: the quotient word is the largest one.
  ///
  /// With `B = 2^64` the rest is `full - (full - remainder) * B + next`. The difference of two
  /// numbers with the same upper half is 1 ... `B^2 - 1`, and `full >= B^4 / 2`, so the rest is
  /// positive and below `full`: `B - 1` needs no correction.
  @inlinable
  func divideSaturated(_ remainder: inout U256, _ next: UInt64, by full: U256) -> UInt64 {
    let shifted = U256(w0: next, w1: remainder.w0, w2: remainder.w1, w3: remainder.w2)
    let product: (high: UInt64, low: U256) = full.multipliedFullWidth(by: UInt64.max)
    remainder = shifted.subtractingReportingOverflow(product.low).partialValue
    return .max
  }
}
