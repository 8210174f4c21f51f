import Quantities

extension SecondPrice {
  /// More digits than any price has; what has more is no number that we want to believe.
  private static let digitsMax = 60
  /// The largest power of ten that a number may be written with.
  private static let exponentMax = 60

  /// A number as JSON writes it: `1850.25`, `2.5e-7`. Exact. Nil for a negative one and for what
  /// is no number. `decimals` says by how many the number itself is scaled.
  public init?(text: String, decimals: Int = 0) {
    var rest = Array(text.utf8)[...]
    let whole = Self.digits(&rest)
    var fraction: [UInt8] = []
    if rest.first == UInt8(ascii: ".") {
      rest = rest.dropFirst()
      fraction = Self.digits(&rest)
      if fraction.isEmpty { return nil }
    }
    guard let exponent = Self.exponent(&rest), rest.isEmpty, !whole.isEmpty,
      whole.count + fraction.count <= Self.digitsMax,
      let value = U256(decimal: String(decoding: whole + fraction, as: UTF8.self))
    else { return nil }
    self.init(value: value, decimals: decimals + fraction.count - exponent)
  }

  private static func digits(_ rest: inout ArraySlice<UInt8>) -> [UInt8] {
    let digits = rest.prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
    rest = rest.dropFirst(digits.count)
    return Array(digits)
  }

  /// 0 where none is written; nil for a bad one.
  private static func exponent(_ rest: inout ArraySlice<UInt8>) -> Int? {
    guard let mark = rest.first else { return 0 }
    guard mark == UInt8(ascii: "e") || mark == UInt8(ascii: "E") else { return nil }
    rest = rest.dropFirst()
    let isNegative = rest.first == UInt8(ascii: "-")
    if isNegative || rest.first == UInt8(ascii: "+") { rest = rest.dropFirst() }
    let digits = digits(&rest)
    guard digits.count <= 3, let value = Int(String(decoding: digits, as: UTF8.self)),
      value <= exponentMax
    else { return nil }
    return isNegative ? -value : value
  }
}
