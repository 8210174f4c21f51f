// MARK: - Solidity's x * y / d: the product must fit 256 bits

extension U256 {
  /// `x * y / d` rounded down, with a 256-bit product as plain Solidity has it.
  ///
  /// Throws `.overflow` when the product needs more than 256 bits, and `.divisionByZero`.
  /// Source: Morpho Blue and Moolah `MathLib.mulDivDown`.
  @inlinable
  public static func mulDivDown(
    _ x: U256, _ y: U256, _ d: U256
  ) throws(ArithmeticError) -> U256 {
    if d.isZero { throw .divisionByZero }
    return try x.multiplied(by: y).dividedDown(by: d)
  }

  /// `(x * y + (d - 1)) / d`, with a 256-bit product and sum as plain Solidity has it.
  ///
  /// Throws `.overflow` when the product or the sum needs more than 256 bits, and
  /// `.divisionByZero` (where the contract's own `d - 1` would revert first).
  /// Source: Morpho Blue and Moolah `MathLib.mulDivUp`.
  @inlinable
  public static func mulDivUp(
    _ x: U256, _ y: U256, _ d: U256
  ) throws(ArithmeticError) -> U256 {
    if d.isZero { throw .divisionByZero }
    let product = try x.multiplied(by: y)
    return try product.adding(try d.subtracting(.one)).dividedDown(by: d)
  }
}

// MARK: - With a 512-bit product: only the quotient must fit

extension U256 {
  /// `x * y / d` rounded down, exact whatever the product's size.
  ///
  /// Throws `.overflow` when the quotient needs more than 256 bits, and `.divisionByZero`.
  /// Source of the behaviour: OpenZeppelin `Math.mulDiv`.
  @inlinable
  public static func fullMulDivDown(
    _ x: U256, _ y: U256, _ d: U256
  ) throws(ArithmeticError) -> U256 {
    try fullMulDiv(x, y, d).quotient
  }

  /// `x * y / d` rounded up, exact whatever the product's size.
  ///
  /// Throws `.overflow` when the rounded quotient needs more than 256 bits, and
  /// `.divisionByZero`. Source of the behaviour: OpenZeppelin `Math.mulDiv` with `Rounding.Ceil`.
  @inlinable
  public static func fullMulDivUp(
    _ x: U256, _ y: U256, _ d: U256
  ) throws(ArithmeticError) -> U256 {
    let (quotient, remainder) = try fullMulDiv(x, y, d)
    return remainder.isZero ? quotient : try quotient.adding(.one)
  }

  /// Quotient and remainder of the exact product.
  @inlinable
  static func fullMulDiv(
    _ x: U256, _ y: U256, _ d: U256
  ) throws(ArithmeticError) -> (quotient: U256, remainder: U256) {
    if d.isZero { throw .divisionByZero }
    let product = x.multipliedFullWidth(by: y)
    if product.high.isZero { return try product.low.quotientAndRemainder(dividingBy: d) }
    if product.high >= d { throw .overflow }
    return product.dividedAbove(d)
  }
}
