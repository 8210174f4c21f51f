/// Walks over JSON text without building a tree: the caller asks for what it expects.
///
/// Everything is checked on the way, also in values that are skipped: grammar, escapes,
/// UTF-8, nesting (at most ``maxDepth``). Numbers stay text. It neither recurses nor
/// allocates, and it never reads outside the buffer, which must outlive it.
///
/// After `beginObject` call `nextKey` until it returns nil, and take or skip exactly one value
/// after each key; arrays go the same way.
struct JSONScanner {
  /// How deep containers may nest.
  static let maxDepth = 64

  /// What the next value is.
  enum Kind: Equatable {
    case object, array, string, number, boolean, null
  }

  let bytes: UnsafeBufferPointer<UInt8>

  /// How far it has read.
  var offset = 0

  /// How many containers are open.
  private(set) var depth = 0

  /// Bit `d`: the container at depth `d + 1` is an object.
  private var objects: UInt64 = 0

  /// Bit `d`: the container at depth `d + 1` has had an element.
  private var started: UInt64 = 0

  init(_ bytes: UnsafeBufferPointer<UInt8>) {
    self.bytes = bytes
  }

  // MARK: Values

  /// What comes next; moves to it.
  @inline(__always)
  mutating func kind() throws(JSONError) -> Kind {
    let byte = try nextByte()
    switch byte {
    case UInt8(ascii: "{"): return .object
    case UInt8(ascii: "["): return .array
    case UInt8(ascii: "\""): return .string
    case UInt8(ascii: "-"), 0x30...0x39: return .number
    case UInt8(ascii: "t"), UInt8(ascii: "f"): return .boolean
    case UInt8(ascii: "n"): return .null
    default: throw error(.unexpectedByte(byte))
    }
  }

  mutating func beginObject() throws(JSONError) {
    guard try nextByte() == UInt8(ascii: "{") else { throw error(.expected("an object")) }
    try open(isObject: true)
  }

  mutating func beginArray() throws(JSONError) {
    guard try nextByte() == UInt8(ascii: "[") else { throw error(.expected("an array")) }
    try open(isObject: false)
  }

  /// The next key of the open object, or nil after its end.
  mutating func nextKey() throws(JSONError) -> JSONText? {
    guard try advance(past: UInt8(ascii: "}")) else { return nil }
    guard try nextByte() == UInt8(ascii: "\"") else { throw error(.expected("a key")) }
    let key = try string()
    guard try nextByte() == UInt8(ascii: ":") else { throw error(.expected("a colon")) }
    offset += 1
    return key
  }

  /// Whether the next key is written as it is in `text`, which `nextKey` passed earlier in an
  /// object that had read as many keys; moves past its colon.
  ///
  /// It compares eight bytes at a time, the last eight perhaps twice; shorter texts are left to
  /// `nextKey`.
  @inline(__always)
  mutating func takeKey(like text: Range<Int>) -> Bool {
    let count = text.upperBound &- text.lowerBound
    guard count >= 8, bytes.count &- offset >= count else { return false }
    let raw = UnsafeRawBufferPointer(bytes)
    let last = count &- 8
    var index = 0
    while index < last {
      if differ(raw, text.lowerBound &+ index, offset &+ index) { return false }
      index &+= 8
    }
    if differ(raw, text.lowerBound &+ last, offset &+ last) { return false }
    offset += count
    started |= 1 << UInt64(depth - 1)
    return true
  }

  /// Whether the eight bytes at two places differ.
  @inline(__always)
  private func differ(_ raw: UnsafeRawBufferPointer, _ left: Int, _ right: Int) -> Bool {
    raw.loadUnaligned(fromByteOffset: left, as: UInt64.self)
      != raw.loadUnaligned(fromByteOffset: right, as: UInt64.self)
  }

  /// Whether the open array has another element; moves to it, or past the array's end.
  mutating func nextElement() throws(JSONError) -> Bool {
    try advance(past: UInt8(ascii: "]"))
  }

  /// A string, still escaped.
  mutating func string() throws(JSONError) -> JSONText {
    guard try nextByte() == UInt8(ascii: "\"") else { throw error(.expected("a string")) }
    offset += 1
    let start = offset
    var hasEscapes = false
    while true {
      skipPlainText()
      guard offset < bytes.count else { throw error(.unexpectedEnd) }
      switch bytes[offset] {
      case UInt8(ascii: "\""):
        let raw = UnsafeBufferPointer(rebasing: bytes[start..<offset])
        offset += 1
        return JSONText(raw: raw, hasEscapes: hasEscapes)
      case UInt8(ascii: "\\"):
        hasEscapes = true
        try skipEscape()
      case ..<0x20:
        throw error(.controlCharacter)
      default:
        try skipScalar()
      }
    }
  }

  /// A number as its text.
  mutating func number() throws(JSONError) -> UnsafeBufferPointer<UInt8> {
    guard try kind() == .number else { throw error(.expected("a number")) }
    let start = offset
    if bytes[offset] == UInt8(ascii: "-") { offset += 1 }
    if offset < bytes.count, bytes[offset] == UInt8(ascii: "0") {
      offset += 1
    } else {
      try skipDigits()
    }
    if offset < bytes.count, bytes[offset] == UInt8(ascii: ".") {
      offset += 1
      try skipDigits()
    }
    if offset < bytes.count, bytes[offset] | 0x20 == UInt8(ascii: "e") {
      offset += 1
      if offset < bytes.count, "+-".utf8.contains(bytes[offset]) { offset += 1 }
      try skipDigits()
    }
    return UnsafeBufferPointer(rebasing: bytes[start..<offset])
  }

  mutating func boolean() throws(JSONError) -> Bool {
    guard try kind() == .boolean else { throw error(.expected("a boolean")) }
    let isTrue = bytes[offset] == UInt8(ascii: "t")
    try skipWord(isTrue ? "true" : "false")
    return isTrue
  }

  /// Takes `null` if that is what comes next.
  mutating func takeNull() throws(JSONError) -> Bool {
    guard try kind() == .null else { return false }
    try skipWord("null")
    return true
  }

  /// Checks the next value and passes over it, whatever it is.
  mutating func skipValue() throws(JSONError) {
    let floor = depth
    try skipScalarOrOpen()
    while depth > floor {
      let isObject = objects & (1 << UInt64(depth - 1)) != 0
      let goesOn = isObject ? try nextKey() != nil : try nextElement()
      if goesOn { try skipScalarOrOpen() }
    }
  }

  /// Checks that nothing but white space follows.
  mutating func finish() throws(JSONError) {
    skipWhiteSpace()
    guard offset == bytes.count else { throw error(.trailingBytes) }
  }

  func error(_ reason: JSONError.Reason) -> JSONError {
    JSONError(reason: reason, offset: offset)
  }

  // MARK: Containers

  private mutating func open(isObject: Bool) throws(JSONError) {
    guard depth < Self.maxDepth else { throw error(.tooDeep) }
    let bit: UInt64 = 1 << UInt64(depth)
    objects = isObject ? objects | bit : objects & ~bit
    started &= ~bit
    depth += 1
    offset += 1
  }

  /// Passes a comma, or the opening of an empty container, or the closing `end`.
  @inline(__always)
  private mutating func advance(past end: UInt8) throws(JSONError) -> Bool {
    assert(depth > 0, "no container is open")
    let bit: UInt64 = 1 << UInt64(depth - 1)
    let byte = try nextByte()
    if byte == end {
      depth -= 1
      offset += 1
      return false
    }
    guard started & bit != 0 else {
      started |= bit
      return true
    }
    guard byte == UInt8(ascii: ",") else { throw error(.unexpectedByte(byte)) }
    offset += 1
    // A closing byte here would be a trailing comma: no value and no key starts with one.
    return true
  }

  private mutating func skipScalarOrOpen() throws(JSONError) {
    switch try kind() {
    case .object: try open(isObject: true)
    case .array: try open(isObject: false)
    case .string: _ = try string()
    case .number: _ = try number()
    case .boolean: _ = try boolean()
    case .null: try skipWord("null")
    }
  }

  // MARK: Bytes

  /// The next byte that is not white space; moves to it.
  @inline(__always)
  mutating func nextByte() throws(JSONError) -> UInt8 {
    // Nodes write no white space, so look first.
    if _fastPath(offset < bytes.count), bytes[offset] > 0x20 { return bytes[offset] }
    skipWhiteSpace()
    guard offset < bytes.count else { throw error(.unexpectedEnd) }
    return bytes[offset]
  }

  private mutating func skipWhiteSpace() {
    while offset < bytes.count {
      switch bytes[offset] {
      case 0x20, 0x0A, 0x0D, 0x09: offset += 1
      default: return
      }
    }
  }

  private mutating func skipWord(_ word: StaticString) throws(JSONError) {
    guard bytes.hasBytes(of: word, at: offset) else {
      throw error(.expected("\(word)"))
    }
    offset += word.utf8CodeUnitCount
  }

  private mutating func skipDigits() throws(JSONError) {
    let start = offset
    while offset < bytes.count, bytes[offset] &- 0x30 < 10 { offset += 1 }
    guard offset > start else { throw error(.badNumber) }
  }

  /// Moves to the next byte that is a quote, a backslash, a control character or not ASCII.
  ///
  /// Eight bytes at a time: `x - 0x01…` borrows into bit 7 of a byte that was zero, and the
  /// lowest byte found so is always a true one.
  @inline(__always)
  private mutating func skipPlainText() {
    let ones: UInt64 = 0x0101_0101_0101_0101
    let highs: UInt64 = 0x8080_8080_8080_8080
    let raw = UnsafeRawBufferPointer(bytes)
    while bytes.count - offset >= 8 {
      let word = raw.loadUnaligned(fromByteOffset: offset, as: UInt64.self).littleEndian
      let quote = word ^ (ones &* 0x22)
      let backslash = word ^ (ones &* 0x5C)
      let found =
        (((quote &- ones) & ~quote) | ((backslash &- ones) & ~backslash)
          | ((word &- (ones &* 0x20)) & ~word) | word) & highs
      if found != 0 {
        offset += found.trailingZeroBitCount / 8
        return
      }
      offset += 8
    }
    while offset < bytes.count {
      let byte = bytes[offset]
      if byte < 0x20 || byte >= 0x80 || byte == 0x22 || byte == 0x5C { return }
      offset += 1
    }
  }

  private mutating func skipEscape() throws(JSONError) {
    guard offset + 1 < bytes.count else { throw error(.unexpectedEnd) }
    switch bytes[offset + 1] {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"),
      UInt8(ascii: "f"), UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
      offset += 2
    case UInt8(ascii: "u"):
      try skipUnicodeEscape()
    default:
      throw error(.badEscape)
    }
  }

  /// `\uXXXX`, and its partner when it is half of a surrogate pair.
  private mutating func skipUnicodeEscape() throws(JSONError) {
    guard let first = bytes.codeUnit(at: offset) else { throw error(.badEscape) }
    offset += 6
    switch first {
    case 0xD800...0xDBFF:
      guard let second = bytes.codeUnit(at: offset), (0xDC00...0xDFFF).contains(second) else {
        throw error(.badEscape)
      }
      offset += 6
    case 0xDC00...0xDFFF:
      throw error(.badEscape)
    default:
      break
    }
  }

  /// One character outside ASCII.
  private mutating func skipScalar() throws(JSONError) {
    let lead = bytes[offset]
    let (length, lowest): (Int, UInt32)
    switch lead {
    case 0xC2...0xDF: (length, lowest) = (2, 0x80)
    case 0xE0...0xEF: (length, lowest) = (3, 0x800)
    case 0xF0...0xF4: (length, lowest) = (4, 0x10000)
    default: throw error(.badUTF8)
    }
    guard bytes.count - offset >= length else { throw error(.badUTF8) }
    var value = UInt32(lead) & (0x7F >> UInt32(length))
    for index in (offset + 1)..<(offset + length) {
      guard bytes[index] & 0xC0 == 0x80 else { throw error(.badUTF8) }
      value = value << 6 | UInt32(bytes[index] & 0x3F)
    }
    guard value >= lowest, Unicode.Scalar(value) != nil else { throw error(.badUTF8) }
    offset += length
  }
}
