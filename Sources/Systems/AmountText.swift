import Ethereum
import Quantities

/// Raw integers as people read them. Only for showing: nothing is ever computed from these.
public enum AmountText {
  /// `raw / 10^decimals`, cut (not rounded) to `digits` significant digits after the first.
  ///
  /// `decimals` may be negative, or beyond the number's own digits.
  public static func decimal(_ raw: U256, decimals: Int, digits: Int = 6) -> String {
    if raw.isZero { return "0" }
    var text = raw.description
    if decimals <= 0 { return text + String(repeating: "0", count: -decimals) }
    if text.count <= decimals {
      text = String(repeating: "0", count: decimals - text.count + 1) + text
    }
    let point = text.index(text.endIndex, offsetBy: -decimals)
    let whole = text[..<point]
    // Large numbers need few decimals, small ones as many as show their first digits.
    let leadingZeros = whole == "0" ? text[point...].prefix { $0 == "0" }.count : 0
    let wanted = whole == "0" ? leadingZeros + digits : max(0, digits - whole.count)
    var fraction = text[point...].prefix(wanted)
    while fraction.last == "0" { fraction.removeLast() }
    return fraction.isEmpty ? String(whole) : "\(whole).\(fraction)"
  }

  /// How far the price is above the trigger, in percent of the price: `12.34 %`, `-0.07 %`.
  ///
  /// Rounded towards minus infinity, so that a position over its line never shows 0.00 %.
  public static func distance(price: U256, trigger: U256) -> String? {
    guard !price.isZero else { return nil }
    let isOver = trigger > price
    let gap = isOver ? try? trigger.subtracting(price) : try? price.subtracting(trigger)
    guard let gap,
      let basisPoints = isOver
        ? try? U256.fullMulDivUp(gap, 10_000, price) : try? U256.fullMulDivDown(gap, 10_000, price)
    else { return isOver ? "below -100 %" : nil }
    let text = decimalPlaces(basisPoints, 2)
    return "\(isOver ? "-" : "")\(text) %"
  }

  private static func decimalPlaces(_ value: U256, _ places: Int) -> String {
    var text = value.description
    if text.count <= places {
      text = String(repeating: "0", count: places - text.count + 1) + text
    }
    let point = text.index(text.endIndex, offsetBy: -places)
    return "\(text[..<point]).\(text[point...])"
  }
}

extension MarketLabel {
  /// The pair as people name it, collateral first: `WETH/USDC`.
  public var pair: String { "\(collateral.short)/\(loan.short)" }

  /// The exponent that turns a price scaled by 1e36 into loan tokens per collateral token.
  public var priceDecimals: Int? {
    guard let loan = loan.decimals, let collateral = collateral.decimals else { return nil }
    return 36 + loan - collateral
  }

  public func price(_ raw: U256?) -> String? {
    guard let raw, let priceDecimals else { return nil }
    return AmountText.decimal(raw, decimals: priceDecimals)
  }
}

extension TokenLabel {
  /// The symbol, or the first digits of the address.
  public var short: String { symbol ?? String(address.lowercaseHex.prefix(8)) }

  /// An amount with its symbol; raw units if the decimals are unknown.
  public func amount(_ raw: U256?) -> String? {
    guard let raw else { return nil }
    guard let decimals else { return "\(raw) raw" }
    return "\(AmountText.decimal(raw, decimals: decimals)) \(short)"
  }
}
