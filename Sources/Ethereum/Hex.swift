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
    // An array that is copied from a buffer is made faster than one with room to write into.
    return withUnsafeTemporaryAllocation(byteCount: byteCount, alignment: 8) { target in
      var digits = HexDigits()
      var index = 0
      while index <= byteCount - 8 {
        let word = digits.word(ascii, at: 2 + 2 * index)
        target.storeBytes(of: word.bigEndian, toByteOffset: index, as: UInt64.self)
        index += 8
      }
      while index < byteCount {
        let byte = digits.short(ascii, at: 2 + 2 * index, count: 2)
        target[index] = UInt8(truncatingIfNeeded: byte)
        index += 1
      }
      return digits.areValid ? Array(target) : nil
    }
  }

  /// DATA text of `bytes`, in lower case.
  public static func encode(_ bytes: some Sequence<UInt8>) -> String {
    if let text = bytes.withContiguousStorageIfAvailable({ encode($0.span) }) { return text }
    return encode(Array(bytes).span)
  }

  /// DATA text of a borrowed run of bytes, in lower case.
  public static func encode(_ bytes: borrowing Span<UInt8>) -> String {
    let count = bytes.count
    let raw = bytes.bytes
    return text(digits: 2 * count) { text in
      for index in stride(from: 0, to: count & ~3, by: 4) {
        let half = raw.unsafeLoadUnaligned(fromByteOffset: index, as: UInt32.self)
        text.append(half: UInt32(bigEndian: half))
      }
      for index in (count & ~3)..<count { text.append(byte: bytes[index]) }
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

  @inlinable
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
