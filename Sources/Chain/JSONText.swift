import Glibc

/// A string of a JSON text as it stands there, without its quotes, already checked.
struct JSONText {
  let raw: UnsafeBufferPointer<UInt8>
  let hasEscapes: Bool

  /// Whether it says `word`, however it is escaped.
  @inline(__always)
  func `is`(_ word: StaticString) -> Bool {
    if _fastPath(!hasEscapes) {
      return raw.count == word.utf8CodeUnitCount && raw.hasBytes(of: word, at: 0)
    }
    return decoded() == "\(word)"
  }

  /// Its value.
  func decoded() -> String {
    guard hasEscapes else { return String(decoding: raw, as: UTF8.self) }
    var scalars = String.UnicodeScalarView()
    var plain = 0
    var index = 0
    while index < raw.count {
      guard raw[index] == UInt8(ascii: "\\") else {
        index += 1
        continue
      }
      scalars.append(contentsOf: String(decoding: raw[plain..<index], as: UTF8.self).unicodeScalars)
      let (scalar, length) = raw.escape(at: index)
      scalars.append(scalar)
      index += length
      plain = index
    }
    scalars.append(contentsOf: String(decoding: raw[plain...], as: UTF8.self).unicodeScalars)
    return String(scalars)
  }
}

extension UnsafeBufferPointer<UInt8> {
  /// Whether the bytes of `word` stand at `offset`.
  @inline(__always)
  func hasBytes(of word: StaticString, at offset: Int) -> Bool {
    guard let baseAddress, count - offset >= word.utf8CodeUnitCount else { return false }
    return memcmp(baseAddress + offset, word.utf8Start, word.utf8CodeUnitCount) == 0
  }

  /// The UTF-16 code unit of the `\uXXXX` at `offset`, or nil when none is there.
  func codeUnit(at offset: Int) -> UInt32? {
    guard hasBytes(of: "\\u", at: offset), count - offset >= 6 else { return nil }
    var value: UInt32 = 0
    for index in (offset + 2)..<(offset + 6) {
      guard let digit = self[index].hexadecimalDigit else { return nil }
      value = value << 4 | UInt32(digit)
    }
    return value
  }

  /// The character of a checked escape sequence, and how many bytes it takes.
  fileprivate func escape(at offset: Int) -> (Unicode.Scalar, length: Int) {
    switch self[offset + 1] {
    case UInt8(ascii: "b"): return ("\u{8}", 2)
    case UInt8(ascii: "f"): return ("\u{C}", 2)
    case UInt8(ascii: "n"): return ("\n", 2)
    case UInt8(ascii: "r"): return ("\r", 2)
    case UInt8(ascii: "t"): return ("\t", 2)
    case UInt8(ascii: "u"): break
    case let byte: return (Unicode.Scalar(byte), 2)
    }
    let first = codeUnit(at: offset) ?? 0xFFFD
    guard (0xD800...0xDBFF).contains(first), let second = codeUnit(at: offset + 6) else {
      return (Unicode.Scalar(first) ?? "\u{FFFD}", 6)
    }
    let value = 0x10000 + (first - 0xD800) << 10 + (second & 0x3FF)
    return (Unicode.Scalar(value) ?? "\u{FFFD}", 12)
  }
}

extension UInt8 {
  /// The value of an ASCII hexadecimal digit.
  var hexadecimalDigit: UInt8? {
    switch self {
    case 0x30...0x39: self - 0x30
    case 0x41...0x46: self - 0x37
    case 0x61...0x66: self - 0x57
    default: nil
    }
  }
}
