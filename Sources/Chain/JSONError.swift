/// Why a text is not the JSON that was expected, and where.
public struct JSONError: Error, Equatable, Sendable {
  /// What is wrong.
  public enum Reason: Equatable, Sendable {
    case unexpectedEnd
    case unexpectedByte(UInt8)
    case badEscape
    case badNumber
    case badUTF8
    case controlCharacter
    case tooDeep
    case trailingBytes
    case badHex
    case outOfRange
    case expected(String)
    case duplicateKey(String)
    case missingKey(String)
  }

  /// What is wrong.
  public var reason: Reason

  /// Where, in bytes from the start of the text.
  public var offset: Int
}

extension JSONError: CustomStringConvertible {
  /// One clause; shows nothing of the text but a single byte.
  public var description: String {
    let what =
      switch reason {
      case .unexpectedEnd: "ends too early"
      case .unexpectedByte(let byte): "unexpected byte 0x\(String(byte, radix: 16))"
      case .badEscape: "bad escape sequence"
      case .badNumber: "bad number"
      case .badUTF8: "bad UTF-8"
      case .controlCharacter: "control character in a string"
      case .tooDeep: "nested deeper than \(JSONScanner.maxDepth)"
      case .trailingBytes: "bytes after the end"
      case .badHex: "bad hexadecimal"
      case .outOfRange: "number out of range"
      case .expected(let kind): "expected \(kind)"
      case .duplicateKey(let key): "key \"\(key)\" twice"
      case .missingKey(let key): "key \"\(key)\" missing"
      }
    return "\(what) at byte \(offset)"
  }
}
