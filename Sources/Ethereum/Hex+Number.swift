import Quantities

extension Hex {
  /// QUANTITY text of a number.
  public static func quantity(_ value: U256) -> String {
    var text = ""
    for word in [value.w3, value.w2, value.w1, value.w0] where !text.isEmpty || word != 0 {
      let digits = String(word, radix: 16)
      if !text.isEmpty { text += String(repeating: "0", count: 16 - digits.count) }
      text += digits
    }
    return "0x" + (text.isEmpty ? "0" : text)
  }

  /// The number of a QUANTITY text, or nil when it is not one or does not fit 256 bits.
  @inlinable
  public static func parse256(_ text: some StringProtocol) -> U256? {
    text.withASCII { parse256(ascii: $0) }
  }

  /// The same text as bytes, for a parser that holds no `String`.
  public static func parse256(ascii: borrowing Span<UInt8>) -> U256? {
    number(ascii, digitsMax: 64).map { U256(high: $0.high, low: $0.low) }
  }
}
