import Quantities

/// Prices beside each other, in integers.
enum PriceComparison {
  /// Both in the larger of the two scales, exactly; nil if one of them has no room there.
  static func aligned(
    _ first: U256, _ firstDecimals: Int, _ second: U256, _ secondDecimals: Int
  ) -> (U256, U256)? {
    let gap = firstDecimals - secondDecimals
    guard let scale = U256.powerOfTen(abs(gap)) else { return nil }
    if gap >= 0 { return (try? second.multiplied(by: scale)).map { (first, $0) } }
    return (try? first.multiplied(by: scale)).map { ($0, second) }
  }

  /// Whether the value lies further from the reference than the bound: exactly at it does not.
  static func isBeyond(_ bound: BasisPoints, _ value: U256, from reference: U256) -> Bool {
    gap(value, reference).multipliedFullWidth(by: BasisPoints.scale)
      > reference.multipliedFullWidth(by: bound.raw)
  }

  /// Whether neither is more than twice the other; exactly twice is within.
  static func isWithinFactorTwo(_ first: U256, _ second: U256) -> Bool {
    let two = U256(2 as UInt64)
    return first.multipliedFullWidth(by: .one) <= second.multipliedFullWidth(by: two)
      && second.multipliedFullWidth(by: .one) <= first.multipliedFullWidth(by: two)
  }

  /// How many powers of ten lie between two prices, to the nearest.
  ///
  /// Works on digits, so that no scale is too far. Nil if one of them is 0.
  static func decades(
    _ first: U256, _ firstDecimals: Int, _ second: U256, _ secondDecimals: Int
  ) -> Int? {
    guard !first.isZero, !second.isZero else { return nil }
    // log10 of the quotient = difference of the whole parts + log10 of a quotient in (0.1, 10).
    let (lead, whole) = leading(first, firstDecimals)
    let (otherLead, otherWhole) = leading(second, secondDecimals)
    var gap = whole - otherWhole
    // sqrt(10) is 3.1622…
    if lead * 10_000 >= otherLead * 31_623 { gap += 1 }
    if otherLead * 10_000 >= lead * 31_623 { gap -= 1 }
    return abs(gap)
  }

  /// The first nine digits, and the power of ten of the first.
  private static func leading(_ value: U256, _ decimals: Int) -> (UInt64, Int) {
    let text = value.description
    let digits = text.prefix(9) + String(repeating: "0", count: max(0, 9 - text.count))
    return (UInt64(digits) ?? 0, text.count - decimals)
  }

  private static func gap(_ first: U256, _ second: U256) -> U256 {
    first > second
      ? first.subtractingFlooredAtZero(second) : second.subtractingFlooredAtZero(first)
  }

  // MARK: Texts

  /// `31.2 %`, rounded up to a hundredth of a percent, so that what is beyond a bound shows so.
  static func deviationText(_ value: U256, from reference: U256) -> String {
    guard let raw = try? U256.fullMulDivUp(gap(value, reference), 10_000, reference) else {
      return "immeasurable"
    }
    return percent(BasisPoints(raw: raw))
  }

  static func percent(_ share: BasisPoints) -> String {
    share.raw.decimalFraction(digits: 2) + " %"
  }
}

extension U256 {
  /// 10^exponent; nil beyond 77, which has no room.
  static func powerOfTen(_ exponent: Int) -> U256? {
    guard (0...77).contains(exponent) else { return nil }
    return U256(decimal: "1" + String(repeating: "0", count: exponent))
  }
}
