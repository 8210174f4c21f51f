/// A JSON text as a tree, read the plain way: byte by byte, by recursion, with nothing shared
/// with the program's scanner, so that one can be held against the other.
enum PlainJSON {
  case object([PlainMember])
  case array([PlainJSON])
  case string(PlainString)
  case number(String)
  case boolean(Bool)
  case null

  /// The whole text, or nil when it is not JSON or nests deeper than 64.
  init?(_ text: ArraySlice<UInt8>) {
    guard String(validating: text, as: UTF8.self) != nil else { return nil }
    var reader = PlainReader(text)
    guard let value = reader.value(depth: 0) else { return nil }
    reader.skipSpace()
    guard reader.peek == nil else { return nil }
    self = value
  }
}

/// A key with its value, and the value's text.
struct PlainMember {
  let key: PlainString
  let value: PlainJSON
  let text: ArraySlice<UInt8>
}

/// A string as it stands in the text, without its quotes.
struct PlainString {
  let raw: ArraySlice<UInt8>

  /// Its value where that is not just the text.
  private let unescaped: String?

  var value: String { unescaped ?? String(decoding: raw, as: UTF8.self) }

  /// A text whose UTF-8 is good; nil when an escape is not.
  init?(_ raw: ArraySlice<UInt8>, hasEscapes: Bool) {
    self.raw = raw
    unescaped = hasEscapes ? Self.unescaped(raw) : nil
    if hasEscapes, unescaped == nil { return nil }
  }

  func says(_ word: String) -> Bool {
    unescaped.map { $0.utf8.elementsEqual(word.utf8) } ?? raw.elementsEqual(word.utf8)
  }

  /// By way of UTF-16, since that is what the escapes spell.
  private static func unescaped(_ raw: ArraySlice<UInt8>) -> String? {
    guard let text = String(validating: raw, as: UTF8.self) else { return nil }
    var units: [UInt16] = []
    var scalars = Array(text.unicodeScalars)[...]
    while let scalar = scalars.popFirst() {
      guard scalar == "\\" else {
        units += Array(String(scalar).utf16)
        continue
      }
      guard let kind = scalars.popFirst() else { return nil }
      switch kind {
      case "\"", "\\", "/": units += Array(String(kind).utf16)
      case "b": units.append(8)
      case "f": units.append(12)
      case "n": units.append(10)
      case "r": units.append(13)
      case "t": units.append(9)
      case "u":
        let digits = String(String.UnicodeScalarView(scalars.prefix(4)))
        guard digits.utf8.count == 4, digits.allSatisfy(\.isHexDigit), digits.allSatisfy(\.isASCII),
          let unit = UInt16(digits, radix: 16)
        else { return nil }
        units.append(unit)
        scalars = scalars.dropFirst(4)
      default: return nil
      }
    }
    return String(validating: units, as: UTF16.self)
  }
}

private struct PlainReader {
  private let text: ArraySlice<UInt8>
  private var index: Int

  init(_ text: ArraySlice<UInt8>) {
    self.text = text
    index = text.startIndex
  }

  var peek: UInt8? { index < text.endIndex ? text[index] : nil }

  mutating func skipSpace() {
    while let byte = peek, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 {
      index += 1
    }
  }

  mutating func value(depth: Int) -> PlainJSON? {
    skipSpace()
    switch peek {
    case UInt8(ascii: "{"): return depth < 64 ? object(depth: depth + 1) : nil
    case UInt8(ascii: "["): return depth < 64 ? array(depth: depth + 1) : nil
    case UInt8(ascii: "\""): return string().map(PlainJSON.string)
    case UInt8(ascii: "t"): return take("true") ? .boolean(true) : nil
    case UInt8(ascii: "f"): return take("false") ? .boolean(false) : nil
    case UInt8(ascii: "n"): return take("null") ? .null : nil
    default: return number()
    }
  }

  private mutating func take(_ word: StaticString) -> Bool {
    for offset in 0..<word.utf8CodeUnitCount {
      guard peek == word.utf8Start[offset] else { return false }
      index += 1
    }
    return true
  }

  private mutating func object(depth: Int) -> PlainJSON? {
    var members: [PlainMember] = []
    index += 1
    skipSpace()
    if take("}") { return .object([]) }
    while true {
      skipSpace()
      guard peek == UInt8(ascii: "\""), let key = string() else { return nil }
      skipSpace()
      guard take(":") else { return nil }
      skipSpace()
      let start = index
      guard let value = value(depth: depth) else { return nil }
      members.append(PlainMember(key: key, value: value, text: text[start..<index]))
      skipSpace()
      if take(",") { continue }
      return take("}") ? .object(members) : nil
    }
  }

  private mutating func array(depth: Int) -> PlainJSON? {
    var elements: [PlainJSON] = []
    index += 1
    skipSpace()
    if take("]") { return .array([]) }
    while true {
      guard let element = value(depth: depth) else { return nil }
      elements.append(element)
      skipSpace()
      if take(",") { continue }
      return take("]") ? .array(elements) : nil
    }
  }

  private mutating func number() -> PlainJSON? {
    let start = index
    _ = take("-")
    if !take("0"), !digits() { return nil }
    if take("."), !digits() { return nil }
    if peek == UInt8(ascii: "e") || peek == UInt8(ascii: "E") {
      index += 1
      if !take("+") { _ = take("-") }
      if !digits() { return nil }
    }
    return .number(String(decoding: text[start..<index], as: UTF8.self))
  }

  private mutating func digits() -> Bool {
    let start = index
    while let byte = peek, byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") { index += 1 }
    return index > start
  }

  private mutating func string() -> PlainString? {
    index += 1
    let start = index
    var escaped = false
    while let byte = peek, byte != UInt8(ascii: "\"") {
      guard byte >= 0x20 else { return nil }
      escaped = escaped || byte == UInt8(ascii: "\\")
      index += byte == UInt8(ascii: "\\") ? 2 : 1
    }
    guard peek != nil else { return nil }
    let raw = text[start..<index]
    index += 1
    return PlainString(raw, hasEscapes: escaped)
  }
}
