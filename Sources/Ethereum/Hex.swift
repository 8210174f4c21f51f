/// Hexadecimal text of JSON-RPC: DATA (`0x` and an even number of digits) and QUANTITY (`0x` and
/// a number without leading zeros).
///
/// Reading is strict, since the text comes from a provider: no missing prefix, no `0X`, no odd
/// digit, no space, no sign. Either case of digit is read; lower case is written.
public enum Hex {
  /// The bytes of a DATA text, or nil when it is not one. `0x` is no bytes.
  @inlinable
  public static func decode(_ text: some StringProtocol) -> [UInt8]? {
    text.withASCII { decode(ascii: $0) }
  }

  /// The same text as bytes, for a parser that holds no `String`.
  public static func decode(ascii: borrowing Span<UInt8>) -> [UInt8]? {
    guard hasPrefix(ascii), ascii.count % 2 == 0 else { return nil }
    let byteCount = (ascii.count - 2) / 2
    let wholeHalves = byteCount / 4
    let tailBytes = byteCount % 4
    var digits = HexDigits()
    var bytes = [UInt8](repeating: 0, count: byteCount)
    bytes.withUnsafeMutableBytes { target in
      for index in 0..<wholeHalves {
        let half = digits.half(ascii, at: 2 + 8 * index)
        target.storeBytes(of: half.bigEndian, toByteOffset: 4 * index, as: UInt32.self)
      }
      guard tailBytes > 0 else { return }
      let tail = digits.short(ascii, at: 2 + 8 * wholeHalves, count: 2 * tailBytes)
      for index in 0..<tailBytes {
        target[4 * wholeHalves + index] =
          UInt8(truncatingIfNeeded: tail &>> UInt32(8 * (tailBytes - 1 - index)))
      }
    }
    return digits.areValid ? bytes : nil
  }

  /// DATA text of `bytes`, in lower case.
  public static func encode(_ bytes: some Sequence<UInt8>) -> String {
    if let text = bytes.withContiguousStorageIfAvailable({ encode($0.span) }) { return text }
    return encode(Array(bytes).span)
  }

  /// DATA text of a borrowed run of bytes, in lower case.
  public static func encode(_ bytes: borrowing Span<UInt8>) -> String {
    let count = bytes.count
    return bytes.withUnsafeBufferPointer { bytes in
      text(digits: 2 * count) { text in
        for byte in bytes { text.append(byte: byte) }
      }
    }
  }

  /// QUANTITY text of a number.
  public static func quantity(_ value: UInt64) -> String {
    "0x" + String(value, radix: 16)
  }

  /// The number of a QUANTITY text, or nil when it is not one or does not fit 64 bits.
  @inlinable
  public static func parseQuantity(_ text: some StringProtocol) -> UInt64? {
    text.withASCII { parseQuantity(ascii: $0) }
  }

  /// The same text as bytes, for a parser that holds no `String`.
  public static func parseQuantity(ascii: borrowing Span<UInt8>) -> UInt64? {
    number(ascii, digitsMax: 16).map { UInt64(truncatingIfNeeded: $0.low) }
  }

  /// The number of a QUANTITY text of at most `digitsMax` digits, 64 at most.
  static func number(
    _ ascii: borrowing Span<UInt8>, digitsMax: Int
  ) -> (high: UInt128, low: UInt128)? {
    let count = ascii.count - 2
    guard hasPrefix(ascii), count >= 1, count <= digitsMax else { return nil }
    guard count == 1 || ascii[2] != UInt8(ascii: "0") else { return nil }
    var digits = HexDigits()
    var offset = 2 + count % 8
    var low = UInt128(digits.short(ascii, at: 2, count: count % 8))
    var high: UInt128 = 0
    while offset < ascii.count {
      high = high &<< 32 | low &>> 96
      low = low &<< 32 | UInt128(digits.half(ascii, at: offset))
      offset += 8
    }
    return digits.areValid ? (high, low) : nil
  }

  static func hasPrefix(_ ascii: borrowing Span<UInt8>) -> Bool {
    ascii.count >= 2 && ascii[0] == UInt8(ascii: "0") && ascii[1] == UInt8(ascii: "x")
  }

  /// A text of `0x` and `digits` digits that `write` appends.
  static func text(digits: Int, _ write: (inout HexText) -> Void) -> String {
    String(unsafeUninitializedCapacity: 2 + digits) { buffer in
      var text = HexText(into: buffer)
      write(&text)
      return text.count
    }
  }
}

extension StringProtocol {
  /// Runs `body` on the UTF-8 bytes, in place where the string is native.
  @inlinable
  func withASCII<Result>(_ body: (borrowing Span<UInt8>) -> Result) -> Result {
    if let result = utf8.withContiguousStorageIfAvailable({ body($0.span) }) { return result }
    return body(Array(utf8).span)
  }
}
