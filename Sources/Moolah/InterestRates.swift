import Quantities

// MARK: - Lista's bounds

/// The bounds that Lista's rate models put on a market's rate, per second in 1e-18.
///
/// Morpho Blue's `AdaptiveCurveIrm` has none.
public struct RateBounds: Hashable, Sendable {
  /// `rateCap[id]` as stored; 0 means the model's default.
  public var cap: Wad
  /// `minCap`: no cap is below it.
  public var minCap: Wad
  /// `rateFloor[id]`.
  public var floor: Wad

  /// Takes the three stored words; a deployment from before they existed has zeros.
  public init(cap: Wad = .zero, minCap: Wad = .zero, floor: Wad = .zero) {
    self.cap = cap
    self.minCap = minCap
    self.floor = floor
  }

  /// The cap in force, where a market without its own has `fallback`.
  func effectiveCap(fallback: U256) -> U256 {
    max(cap.isZero ? fallback : cap.raw, minCap.raw)
  }
}

// MARK: - Adaptive curve

/// The rates an adaptive curve gives for an interval.
public struct AdaptiveRates: Hashable, Sendable {
  /// The borrow rate per second over the interval: what `borrowRateView` answers.
  public var averageRate: Wad
  /// The rate at target utilization at its end: what an accrual then would store.
  public var endRateAtTarget: Wad
}

/// The adaptive curve of Morpho's `AdaptiveCurveIrm` and Lista's `InterestRateModel`.
///
/// The rate at target utilization moves up while utilization is above 90 % and down while it is
/// below, by at most 50 times per year; around it the rate is a curve of steepness 4.
/// All steps are signed, 1e-18, and truncate toward zero, as the contracts'.
public enum AdaptiveCurve {
  static let curveSteepness: I256 = 4_000_000_000_000_000_000
  static let adjustmentSpeed: I256 = 1_585_489_599_188
  static let targetUtilization: I256 = 900_000_000_000_000_000
  static let initialRateAtTarget: I256 = 1_268_391_679
  static let minRateAtTarget: I256 = 31_709_791
  static let maxRateAtTarget: I256 = 63_419_583_967
  static let defaultRateCap: U256 = 9_512_937_595
  static let wad: I256 = 1_000_000_000_000_000_000

  /// The rates of `market`, as stored, for the interval from its `lastUpdate` to `timestamp`.
  ///
  /// `rateAtTarget` is the stored one, 0 before the first accrual. `bounds` are Lista's; nil for
  /// Morpho Blue. Throws `.underflow` for a `timestamp` before `lastUpdate`, and where the
  /// contract would revert.
  /// Source: `AdaptiveCurveIrm._borrowRate`; `InterestRateModel._borrowRate` with `bounds`.
  public static func rates(
    of market: MarketState, at timestamp: UInt64, rateAtTarget: Wad, bounds: RateBounds? = nil
  ) throws(ArithmeticError) -> AdaptiveRates {
    guard timestamp >= market.lastUpdate else { throw .underflow }
    let error = try utilizationError(of: market)
    let (average, end) = try ratesAtTarget(
      from: I256(narrowing: rateAtTarget.raw), error: error,
      elapsed: I256(narrowing: U256(timestamp - market.lastUpdate)))
    let rate = try curve(average, error: error)
    return try bounded(
      rate: U256(narrowing: rate), end: U256(narrowing: end), by: bounds)
  }

  /// How far utilization is from its target, as a part of the way to 0 or to 1.
  static func utilizationError(of market: MarketState) throws(ArithmeticError) -> I256 {
    var utilization = I256.zero
    if market.totalSupplyAssets > 0 {
      utilization = try I256(
        narrowing: MoolahMath.wDivDown(
          U256(market.totalBorrowAssets), U256(market.totalSupplyAssets)))
    }
    let room =
      utilization > targetUtilization ? try wad.subtracting(targetUtilization) : targetUtilization
    return try wDivToZero(utilization.subtracting(targetUtilization), room)
  }

  /// The rate at target over the interval (by Simpson's weights 1, 2, 1) and at its end.
  private static func ratesAtTarget(
    from start: I256, error: I256, elapsed: I256
  ) throws(ArithmeticError) -> (average: I256, end: I256) {
    if start.isZero { return (initialRateAtTarget, initialRateAtTarget) }
    let speed = try wMulToZero(adjustmentSpeed, error)
    let adaptation = try speed.multiplied(by: elapsed)
    if adaptation.isZero { return (start, start) }
    let end = try newRateAtTarget(start, adaptation)
    let middle = try newRateAtTarget(start, adaptation.dividedTowardZero(by: I256(2)))
    let sum = try start.adding(end).adding(middle.adding(middle))
    return (try sum.dividedTowardZero(by: I256(4)), end)
  }

  /// Source: `AdaptiveCurveIrm._newRateAtTarget`.
  private static func newRateAtTarget(
    _ start: I256, _ adaptation: I256
  ) throws(ArithmeticError) -> I256 {
    let moved = try wMulToZero(start, wExp(adaptation))
    return min(max(moved, minRateAtTarget), maxRateAtTarget)
  }

  /// Source: `AdaptiveCurveIrm._curve`.
  private static func curve(
    _ rateAtTarget: I256, error: I256
  ) throws(ArithmeticError) -> I256 {
    let coefficient =
      error.isNegative
      ? try wad.subtracting(wDivToZero(wad, curveSteepness))
      : try curveSteepness.subtracting(wad)
    return try wMulToZero(wMulToZero(coefficient, error).adding(wad), rateAtTarget)
  }

  /// Lista's bounds: the floor wins over the cap for the rate, the cap for the rate at target.
  private static func bounded(
    rate: U256, end: U256, by bounds: RateBounds?
  ) throws(ArithmeticError) -> AdaptiveRates {
    guard let bounds else {
      return AdaptiveRates(averageRate: Wad(raw: rate), endRateAtTarget: Wad(raw: end))
    }
    let four = U256(4 as UInt64)
    let cap = bounds.effectiveCap(fallback: defaultRateCap)
    let floorAtTarget = try bounds.floor.raw.multiplied(by: four)
    return AdaptiveRates(
      averageRate: Wad(raw: max(min(rate, cap), bounds.floor.raw)),
      endRateAtTarget: Wad(raw: min(max(end, floorAtTarget), try cap.dividedDown(by: four))))
  }
}

// MARK: - Signed fixed point

extension AdaptiveCurve {
  /// `x * y / 1e18`, truncated toward zero. Source: Morpho `MathLib.wMulToZero`.
  static func wMulToZero(_ x: I256, _ y: I256) throws(ArithmeticError) -> I256 {
    try x.multiplied(by: y).dividedTowardZero(by: wad)
  }

  /// `x * 1e18 / y`, truncated toward zero. Source: Morpho `MathLib.wDivToZero`.
  static func wDivToZero(_ x: I256, _ y: I256) throws(ArithmeticError) -> I256 {
    try x.multiplied(by: wad).dividedTowardZero(by: y)
  }

  /// An approximation of `e^x`: `2^q` times the second-order expansion of `e^r`, where
  /// `x = q * ln 2 + r`; 0 below `ln(1e-18)` and constant above its upper bound.
  ///
  /// Source: Morpho and Lista `ExpLib.wExp`.
  static func wExp(_ x: I256) throws(ArithmeticError) -> I256 {
    if x < lnOfSmallest { return .zero }
    if x >= upperBound { return upperValue }
    let half = x.isNegative ? try halfLn2.negated() : halfLn2
    let q = try x.adding(half).dividedTowardZero(by: ln2)
    let r = try x.subtracting(q.multiplied(by: ln2))
    let square = try wMulToZero(r, r).dividedTowardZero(by: I256(2))
    let expR = try wad.adding(r).adding(square)
    // q is within -60 ... 135 between the bounds, and expR is positive and below 2^61.
    let shift = Int(truncatingIfNeeded: q.magnitude.w0)
    return I256(
      bits: q.isNegative
        ? expR.bits.shiftedRight(by: shift) : expR.bits.shiftedLeft(by: shift))
  }

  private static let ln2: I256 = 693_147_180_559_945_309
  private static let halfLn2: I256 = 346_573_590_279_972_654
  private static let lnOfSmallest: I256 = -41_446_531_673_892_822_312
  private static let upperBound: I256 = 93_859_467_695_000_404_319
  private static let upperValue: I256 =
    57_716_089_161_558_943_949_701_069_502_944_508_345_128_422_502_756_744_429_568
}

// MARK: - Fixed rate

/// Lista's `FixedRateIrm`: a stored rate within bounds, the same for every interval.
public enum FixedRate {
  /// 800 % a year, per second in 1e-18: the largest rate and the default cap.
  static let largest: U256 = 253_678_335_870

  /// The borrow rate per second for a `stored` rate of 0 or more.
  ///
  /// A deployment of September 2025 and earlier refuses a stored rate of 0 ("rate zero or
  /// negative") where this answers the floor. Source: `FixedRateIrm.borrowRateView`.
  public static func rate(stored: Wad, bounds: RateBounds = RateBounds()) -> Wad {
    let cap = bounds.effectiveCap(fallback: largest)
    return Wad(raw: max(min(min(stored.raw, largest), cap), bounds.floor.raw))
  }
}
