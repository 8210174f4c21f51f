import Quantities
import RiskCore

/// The integer formulas of Moolah and its origin, Morpho Blue, in the contracts' own order of
/// operations and rounding.
///
/// Every function throws exactly where the contract would revert. The libraries `MathLib`,
/// `SharesMathLib` and the core's formulas are the same in both contracts (Moolah master of
/// July 2026, implementation of February 2026 by its bytecode; Morpho Blue v1.0).
/// `docs/formulas/moolah.md` lists each with its source, units and rounding.
public enum MoolahMath {
  /// `WAD`: 1 in factors, rates and fees.
  public static var wad: U256 { U256(wadWord) }

  /// `ORACLE_PRICE_SCALE`: 1 in prices, besides the tokens' decimals.
  public static var oraclePriceScale: U256 { U256(oraclePriceScaleNarrow) }

  /// `SharesMathLib.VIRTUAL_SHARES`.
  public static var virtualShares: U256 { U256(1_000_000 as UInt64) }

  /// `SharesMathLib.VIRTUAL_ASSETS`.
  public static var virtualAssets: U256 { .one }

  static var wadWord: UInt64 { 1_000_000_000_000_000_000 }

  static var oraclePriceScaleNarrow: UInt128 { 1_000_000_000_000_000_000_000_000_000_000_000_000 }
}

// MARK: - MathLib

extension MoolahMath {
  /// `x * y / 1e18` rounded down. Source: `MathLib.wMulDown`.
  public static func wMulDown(_ x: U256, _ y: U256) throws(ArithmeticError) -> U256 {
    try U256.mulDivDown(x, y, wad)
  }

  /// `x * 1e18 / y` rounded down. Source: `MathLib.wDivDown`.
  public static func wDivDown(_ x: U256, _ y: U256) throws(ArithmeticError) -> U256 {
    try U256.mulDivDown(x, wad, y)
  }

  /// `x * 1e18 / y` rounded up. Source: `MathLib.wDivUp`.
  public static func wDivUp(_ x: U256, _ y: U256) throws(ArithmeticError) -> U256 {
    try U256.mulDivUp(x, wad, y)
  }

  /// The first three terms of `e^(x*n) - 1`, for a rate `x` per second over `n` seconds, in
  /// 1e-18. Source: `MathLib.wTaylorCompounded`.
  public static func wTaylorCompounded(_ x: U256, _ n: U256) throws(ArithmeticError) -> U256 {
    let first = try x.multiplied(by: n)
    let second = try U256.mulDivDown(first, first, U256(2 * wadWord))
    let third = try U256.mulDivDown(second, first, U256(3 * wadWord))
    return try first.adding(second).adding(third)
  }
}

// MARK: - SharesMathLib

extension MoolahMath {
  /// The shares that `assets` are worth, rounded down. Source: `SharesMathLib.toSharesDown`.
  public static func toSharesDown(
    _ assets: U256, totalAssets: U256, totalShares: U256
  ) throws(ArithmeticError) -> U256 {
    try U256.mulDivDown(
      assets, totalShares.adding(virtualShares), totalAssets.adding(virtualAssets))
  }

  /// The shares that `assets` are worth, rounded up. Source: `SharesMathLib.toSharesUp`.
  public static func toSharesUp(
    _ assets: U256, totalAssets: U256, totalShares: U256
  ) throws(ArithmeticError) -> U256 {
    try U256.mulDivUp(
      assets, totalShares.adding(virtualShares), totalAssets.adding(virtualAssets))
  }

  /// The assets that `shares` are worth, rounded down. Source: `SharesMathLib.toAssetsDown`.
  public static func toAssetsDown(
    _ shares: U256, totalAssets: U256, totalShares: U256
  ) throws(ArithmeticError) -> U256 {
    try U256.mulDivDown(
      shares, totalAssets.adding(virtualAssets), totalShares.adding(virtualShares))
  }

  /// The assets that `shares` are worth, rounded up. Source: `SharesMathLib.toAssetsUp`.
  public static func toAssetsUp(
    _ shares: U256, totalAssets: U256, totalShares: U256
  ) throws(ArithmeticError) -> U256 {
    try U256.mulDivUp(
      shares, totalAssets.adding(virtualAssets), totalShares.adding(virtualShares))
  }
}

// MARK: - Price

extension MoolahMath {
  /// The price of one unit of collateral in units of loan token, times 1e36:
  /// `10^(36 + loanDecimals - collateralDecimals) * basePeek / quotePeek`, rounded down.
  ///
  /// `basePeek` and `quotePeek` are the oracle's answers for the collateral and the loan token,
  /// 8 decimals each. Throws `.divisionByZero` for a `quotePeek` of 0, and `.underflow` when the
  /// collateral has more decimals than 36 and the loan's together.
  /// Source: Moolah `PriceLib._getPrice`. Morpho Blue asks its oracle's `price()` instead.
  public static func pairPrice(
    basePeek: U256, quotePeek: U256, loanDecimals: UInt8, collateralDecimals: UInt8
  ) throws(ArithmeticError) -> U256 {
    let exponent = 36 + Int(loanDecimals) - Int(collateralDecimals)
    guard exponent >= 0 else { throw .underflow }
    guard exponent <= 77 else { throw .overflow }
    var scale = U256.one
    for _ in 0..<exponent { scale = try scale.multiplied(by: U256(10 as UInt64)) }
    return try U256.mulDivDown(scale, basePeek, quotePeek)
  }
}

// MARK: - Health

extension MoolahMath {
  /// The largest debt that `collateral` may carry at `price` (times 1e36), in units of loan
  /// token: `collateral * price / 1e36 * lltv / 1e18`, rounded down twice.
  ///
  /// Source: `Moolah._isHealthy`, `Morpho._isHealthy`.
  public static func maxBorrow(
    collateral: UInt128, price: U256, lltv: Wad
  ) throws(ArithmeticError) -> U256 {
    if let answer = narrowMaxBorrow(collateral: collateral, price: price, lltv: lltv) {
      return U256(answer)
    }
    let quoted = try U256.mulDivDown(U256(collateral), price, oraclePriceScale)
    return try wMulDown(quoted, lltv.raw)
  }

  /// The health of a position whose market has been accrued to the moment of judgement.
  ///
  /// `price` is the market's, times 1e36. A position without borrow shares has a health of zero
  /// over zero: the contract calls it healthy before it looks at the price, so nothing here
  /// throws for it. The debt rounds up. Costs tens of nanoseconds where all fits 128 bits.
  /// Source: `Moolah._isHealthy`, `Morpho._isHealthy`.
  public static func health(
    of position: PositionState, in market: MarketState, price: U256, lltv: Wad
  ) throws(ArithmeticError) -> Health {
    if position.borrowShares == 0 { return Health(capacity: .zero, debt: .zero) }
    if let capacity = narrowMaxBorrow(collateral: position.collateral, price: price, lltv: lltv),
      let debt = market.narrowBorrowed(position.borrowShares)
    {
      return Health(capacity: U256(capacity), debt: U256(debt))
    }
    return Health(
      capacity: try maxBorrow(collateral: position.collateral, price: price, lltv: lltv),
      debt: try market.borrowed(position.borrowShares))
  }

  /// `maxBorrow` where every quotient fits 128 bits; nil where the exact path must decide.
  @inline(always)
  private static func narrowMaxBorrow(
    collateral: UInt128, price: U256, lltv: Wad
  ) -> UInt128? {
    guard let factor = UInt64(exactly: lltv.raw),
      let quoted = price.multipliedNarrowly(by: collateral)?.narrowQuotient(
        dividingBy: oraclePriceScaleNarrow)
    else { return nil }
    return U256(product: quoted, UInt128(factor)).narrowQuotient(dividingBy: UInt128(wadWord))
  }
}

// MARK: - Trigger price

/// The price below which a position is liquidatable.
public enum TriggerPrice: Hashable, Sendable {
  /// It owes nothing: no price makes it liquidatable.
  case noDebt
  /// Liquidatable exactly at every price below this one, times 1e36 like the market's price.
  case at(U256)
  /// Liquidatable at every price: no collateral, or a trigger above every 256-bit price.
  case always

  /// Whether a position with this trigger is liquidatable at `price`; at the trigger itself it
  /// is still healthy.
  public func isAbove(_ price: U256) -> Bool {
    switch self {
    case .noDebt: false
    case .at(let trigger): trigger > price
    case .always: true
    }
  }
}

extension MoolahMath {
  /// The trigger price of a position: `ceil(ceil(debt * 1e18 / lltv) * 1e36 / collateral)`.
  ///
  /// It is the only integer that agrees with the contract's health at every unit of the price:
  /// `floor(floor(c*p/1e36) * lltv / 1e18) < debt` exactly when `p` is below it. Computed in 512
  /// bits, so it never throws. Inverts `Moolah._isHealthy`.
  public static func triggerPrice(
    debt: U256, collateral: UInt128, lltv: Wad
  ) -> TriggerPrice {
    if debt.isZero { return .noDebt }
    // The products are below 2^436, so the only refusals are the two divisors of 0.
    guard
      let quoted = try? debt.multipliedFullWidth(by: wad).dividedUp(by: lltv.raw),
      let trigger = try? quoted.multiplied(by: oraclePriceScale)
        .dividedUp(by: U256(collateral)),
      trigger.high.isZero
    else { return .always }
    return .at(trigger.low)
  }
}

// MARK: - Liquidation incentive

extension MoolahMath {
  /// What a liquidator gets for each unit repaid:
  /// `min(1.15, 1 / (1 - 0.3 * (1 - lltv)))`, each step rounded down.
  ///
  /// Throws `.underflow` for an `lltv` above 1. There is no lower limit in either contract.
  /// `floor` raises it, for a chain whose contract may come to have a least factor.
  /// Source: `Moolah._liquidationIncentiveFactor`, `Morpho.liquidate`.
  public static func liquidationIncentiveFactor(
    lltv: Wad, floor: Wad? = nil
  ) throws(ArithmeticError) -> Wad {
    let cursor = U256(300_000_000_000_000_000 as UInt64)
    let largest = U256(1_150_000_000_000_000_000 as UInt64)
    let discount = try wMulDown(cursor, wad.subtracting(lltv.raw))
    let factor = min(largest, try wDivDown(wad, wad.subtracting(discount)))
    return Wad(raw: max(factor, floor?.raw ?? .zero))
  }
}
