/// A value read from a configuration file, with the line it stands on.
struct JSONSource: Sendable {
  enum Value: Sendable {
    case null
    case bool(Bool)
    /// The digits as they were written; whoever asks decides what fits.
    case number(String)
    case string(String)
    case array([JSONSource])
    case object([(name: String, value: JSONSource)])
  }

  let value: Value
  let line: Int

  /// What kind of value this is, for an error text.
  var kind: String {
    switch value {
    case .null: "null"
    case .bool: "true or false"
    case .number: "a number"
    case .string: "a string"
    case .array: "a list"
    case .object: "an object"
    }
  }

  /// Reads JSON with `//` and `/* */` comments and trailing commas.
  ///
  /// Duplicate keys, text after the value, input over `bytesMax` and nesting over `depthMax` are
  /// refused. Cost: one pass.
  static func parse(_ bytes: [UInt8]) throws(JSONSyntaxError) -> JSONSource {
    var parser = JSONParser(bytes: bytes)
    return try parser.document()
  }

  /// A configuration that is larger is not a configuration.
  static let bytesMax = 1 << 20
  /// Deeper nesting than any setting has, and shallow enough for every stack.
  static let depthMax = 32
}

/// Where a configuration file stops being JSON, and what was expected there.
struct JSONSyntaxError: Error, Equatable {
  let line: Int
  let column: Int
  let expected: String
}

/// A reader of one document, kept to bytes; only strings are turned into text.
private struct JSONParser {
  let bytes: [UInt8]
  var position = 0
  var line = 1
  var lineStart = 0

  init(bytes: [UInt8]) { self.bytes = bytes }

  mutating func document() throws(JSONSyntaxError) -> JSONSource {
    if bytes.count > JSONSource.bytesMax { throw error("at most 1 MB of text") }
    if bytes.starts(with: [0xef, 0xbb, 0xbf]) { position = 3 }
    try skipSpace()
    let value = try value(depth: 0)
    try skipSpace()
    guard position == bytes.count else { throw error("the end of the file") }
    return value
  }

  private mutating func value(depth: Int) throws(JSONSyntaxError) -> JSONSource {
    if depth > JSONSource.depthMax { throw error("at most \(JSONSource.depthMax) levels") }
    let line = line
    switch current ?? 0 {
    case UInt8(ascii: "{"): return JSONSource(value: try object(depth: depth), line: line)
    case UInt8(ascii: "["): return JSONSource(value: try array(depth: depth), line: line)
    case UInt8(ascii: "\""): return JSONSource(value: .string(try string()), line: line)
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"):
      return JSONSource(value: .number(try number()), line: line)
    default: return JSONSource(value: try word(), line: line)
    }
  }

  private mutating func object(depth: Int) throws(JSONSyntaxError) -> JSONSource.Value {
    var members: [(name: String, value: JSONSource)] = []
    var names: Set<String> = []
    position += 1
    try skipSpace()
    while current != UInt8(ascii: "}") {
      guard current == UInt8(ascii: "\"") else { throw error("a key in double quotes or }") }
      let start = position
      let name = try string()
      if !names.insert(name).inserted {
        position = start
        throw error("each key once; \"\(VisibleText.escape(name))\" is there twice")
      }
      try skipSpace()
      try expect(UInt8(ascii: ":"), "a colon after the key")
      try skipSpace()
      members.append((name, try value(depth: depth + 1)))
      try endOfItem(closedBy: UInt8(ascii: "}"), "a comma or }")
    }
    position += 1
    return .object(members)
  }

  private mutating func array(depth: Int) throws(JSONSyntaxError) -> JSONSource.Value {
    var items: [JSONSource] = []
    position += 1
    try skipSpace()
    while current != UInt8(ascii: "]") {
      items.append(try value(depth: depth + 1))
      try endOfItem(closedBy: UInt8(ascii: "]"), "a comma or ]")
    }
    position += 1
    return .array(items)
  }

  private mutating func endOfItem(
    closedBy end: UInt8, _ expected: String
  ) throws(JSONSyntaxError) {
    try skipSpace()
    if current == end { return }
    try expect(UInt8(ascii: ","), expected)
    try skipSpace()
  }

  private mutating func word() throws(JSONSyntaxError) -> JSONSource.Value {
    let words: [(text: String, value: JSONSource.Value)] = [
      ("true", .bool(true)), ("false", .bool(false)), ("null", .null),
    ]
    for (text, value) in words where bytes[position...].starts(with: text.utf8) {
      position += text.utf8.count
      return value
    }
    throw error("a value")
  }

  private mutating func number() throws(JSONSyntaxError) -> String {
    let start = position
    let allowed = Set("+-.eE0123456789".utf8)
    while let byte = current, allowed.contains(byte) { position += 1 }
    return String(decoding: bytes[start..<position], as: UTF8.self)
  }

  // MARK: - Strings

  private mutating func string() throws(JSONSyntaxError) -> String {
    var text: [UInt8] = []
    position += 1
    while let byte = current, byte != UInt8(ascii: "\"") {
      if byte < 0x20 { throw error("a closing quote on the same line") }
      position += 1
      if byte == UInt8(ascii: "\\") {
        text += Array(String(try escape()).utf8)
      } else {
        text.append(byte)
      }
    }
    try expect(UInt8(ascii: "\""), "a closing quote")
    guard let valid = String(validating: text, as: UTF8.self) else { throw error("UTF-8 text") }
    return valid
  }

  private mutating func escape() throws(JSONSyntaxError) -> Character {
    let byte = current
    position += 1
    switch byte {
    case UInt8(ascii: "\""): return "\""
    case UInt8(ascii: "\\"): return "\\"
    case UInt8(ascii: "/"): return "/"
    case UInt8(ascii: "b"): return "\u{8}"
    case UInt8(ascii: "f"): return "\u{c}"
    case UInt8(ascii: "n"): return "\n"
    case UInt8(ascii: "r"): return "\r"
    case UInt8(ascii: "t"): return "\t"
    case UInt8(ascii: "u"): return Character(try unicodeEscape())
    default:
      position -= 1
      throw error("an escape such as \\n or \\u0041")
    }
  }

  private mutating func unicodeEscape() throws(JSONSyntaxError) -> Unicode.Scalar {
    let high = try fourHexDigits()
    if let scalar = Unicode.Scalar(high) { return scalar }
    guard high < 0xdc00, bytes[position...].starts(with: "\\u".utf8) else {
      throw error("the second half of a surrogate pair")
    }
    position += 2
    let low = try fourHexDigits()
    guard (0xdc00...0xdfff).contains(low),
      let scalar = Unicode.Scalar(0x10000 + (high - 0xd800) << 10 + (low - 0xdc00))
    else { throw error("the second half of a surrogate pair") }
    return scalar
  }

  private mutating func fourHexDigits() throws(JSONSyntaxError) -> UInt32 {
    let digits = bytes[position...].prefix(4)
    guard digits.count == 4,
      digits.allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }),
      let number = UInt32(String(decoding: digits, as: UTF8.self), radix: 16)
    else { throw error("four hex digits") }
    position += 4
    return number
  }

  // MARK: - Space and errors

  private var current: UInt8? { position < bytes.count ? bytes[position] : nil }

  private mutating func expect(_ byte: UInt8, _ expected: String) throws(JSONSyntaxError) {
    guard current == byte else { throw error(expected) }
    position += 1
  }

  private mutating func skipSpace() throws(JSONSyntaxError) {
    while let byte = current {
      switch byte {
      case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\r"): position += 1
      case UInt8(ascii: "\n"): newLine()
      case UInt8(ascii: "/"): try skipComment()
      default: return
      }
    }
  }

  private mutating func skipComment() throws(JSONSyntaxError) {
    let rest = bytes[position...]
    if rest.starts(with: "//".utf8) {
      while let byte = current, byte != UInt8(ascii: "\n") { position += 1 }
    } else if rest.starts(with: "/*".utf8) {
      position += 2
      while !bytes[position...].starts(with: "*/".utf8) {
        guard let byte = current else { throw error("*/ to end a comment") }
        if byte == UInt8(ascii: "\n") { newLine() } else { position += 1 }
      }
      position += 2
    } else {
      throw error("a comment or a value")
    }
  }

  private mutating func newLine() {
    position += 1
    line += 1
    lineStart = position
  }

  private func error(_ expected: String) -> JSONSyntaxError {
    JSONSyntaxError(line: line, column: position - lineStart + 1, expected: expected)
  }
}
