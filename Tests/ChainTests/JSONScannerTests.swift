import Ethereum
import Foundation
import TestKit
import Testing

@testable import Chain

/// The scanner accepts what JSON is, refuses what it is not, and reads what Foundation reads.
@Suite struct JSONScannerTests {
  static let valid = [
    "null", "true", "false", "0", "-0", "1", "-1", "12.5", "1e3", "1E+3", "-1.25e-3", "\"\"",
    "\"a\"", "[]", "{}", "[1]", "[1,2]", "[[]]", "[{},{}]", "{\"a\":1}", "{\"a\":{\"b\":[1]}}",
    " [ 1 , 2 ] ", "\t{\n\"a\"\r:\n1 }\n", "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\u0041\"",
    "\"\\uD83D\\uDE00\"", "\"\\ud83d\\ude00x\"", "\"é\"", "\"€\"", "\"😀\"", "\"\\u20AC\"",
    "\"12345678901234567890\\u00e9tail\"", "{\"\\u0061\":2}", "\"\u{7F}\"", "\"\u{FFFF}\"",
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":[{\"data\":\"0x\",\"removed\":false}]}",
  ]

  static let invalid = [
    "", " ", "nul", "nulll", "tru", "True", "01", "-", "+1", "1.", ".5", "1e", "1e+", "0x1", "--1",
    "\"", "\"a", "\"\\\"", "\"\\x\"", "\"\\u12\"", "\"\\u12G4\"", "\"\\uD83D\"", "\"\\uD83Dx\"",
    "\"\\uDE00\"", "\"\\uD83D\\u0041\"", "\"\n\"", "\"\u{1}\"", "\"12345678\u{1F}\"", "[", "]",
    "[1", "[1,", "[,1]", "[1 2]", "[1,,2]", "{", "}", "{\"a\"", "{\"a\":", "{\"a\":1",
    "{\"a\":1,", "{,}", "{a:1}", "{1:1}", "{\"a\" 1}", "{\"a\":1 \"b\":2}", "[}",
    "{]", "[1}", "{\"a\":1]", "1 2", "[] []", "'a'", "NaN", "Infinity", "// a\n1", "[1]x",
  ]

  /// Foundation lets a last comma pass; the standard does not.
  static let stricter = ["[1,]", "{\"a\":1,}", "[{},]"]

  @Test(arguments: stricter) func itRefusesALastComma(_ text: String) {
    #expect(!Self.isAccepted(Array(text.utf8)))
  }

  @Test(arguments: valid) func itAcceptsAndReadsWhatFoundationDoes(_ text: String) throws {
    let bytes = Array(text.utf8)
    let ours = try #require(try? Tree(bytes), "refused \(text)")
    let theirs = try JSONSerialization.jsonObject(with: Data(bytes), options: .fragmentsAllowed)
    #expect(ours.equals(theirs), "\(text)")
    #expect(Self.isAccepted(bytes))
  }

  @Test(arguments: invalid) func itRefusesWhatFoundationDoes(_ text: String) {
    let bytes = Array(text.utf8)
    #expect(!Self.isAccepted(bytes))
    #expect((try? Tree(bytes)) == nil)
    #expect(
      (try? JSONSerialization.jsonObject(with: Data(bytes), options: .fragmentsAllowed)) == nil)
  }

  @Test(
    arguments: [
      [0x80], [0xC0, 0xAF], [0xC1, 0x81], [0xE0, 0x80, 0xAF], [0xED, 0xA0, 0x80],
      [0xF5, 0x80, 0x80, 0x80],
      [0xF4, 0x90, 0x80, 0x80], [0xC3], [0xE2, 0x82], [0xF0, 0x9F, 0x98], [0xFF],
    ] as [[UInt8]])
  func itRefusesBadUTF8(_ bad: [UInt8]) {
    #expect(!Self.isAccepted([0x22] + bad + [0x22]))
    #expect(!Self.isAccepted([0x22] + bad))
  }

  @Test func everyPrefixOfATextIsRefused() {
    let text = Array(#"{"a":[1.5e3,"xA😀\n",{"b":null,"c":[true,false]}]}"#.utf8)
    #expect(Self.isAccepted(text))
    for count in 0..<text.count { #expect(!Self.isAccepted(Array(text[..<count])), "\(count)") }
  }

  @Test func nestingIsBounded() {
    func nested(_ open: String, _ close: String, _ count: Int) -> [UInt8] {
      Array(
        (String(repeating: open, count: count) + "1" + String(repeating: close, count: count)).utf8)
    }
    #expect(Self.isAccepted(nested("[", "]", 64)))
    #expect(Self.error(nested("[", "]", 65))?.reason == .tooDeep)
    #expect(Self.isAccepted(nested("{\"a\":", "}", 64)))
    #expect(Self.error(nested("{\"a\":", "}", 65))?.reason == .tooDeep)
    #expect(Self.error(Array(repeating: UInt8(ascii: "["), count: 1_000_000))?.reason == .tooDeep)
  }

  @Test func anErrorSaysWhere() {
    #expect(Self.error(Array("[1,x]".utf8)) == JSONError(reason: .unexpectedByte(0x78), offset: 3))
    #expect(Self.error(Array("[1".utf8)) == JSONError(reason: .unexpectedEnd, offset: 2))
  }

  @Test func aRandomTreeSurvivesTheTrip() throws {
    var generator = SeededGenerator()
    for _ in 0..<2_000 {
      let tree = Tree.random(depth: 4, using: &generator)
      let data = try JSONSerialization.data(
        withJSONObject: tree.foundation, options: .fragmentsAllowed)
      #expect(try Tree(Array(data)).equals(tree.foundation))
    }
  }

  /// A changed text is accepted by both or by none, and when accepted it means the same.
  @Test func itAgreesWithFoundationOnChangedTexts() {
    var generator = SeededGenerator()
    var accepted = 0
    for _ in 0..<30_000 {
      var bytes = Array((Self.valid.randomElement(using: &generator) ?? "").utf8)
      for _ in 0..<Int.random(in: 1...3, using: &generator) {
        Mutation.apply(to: &bytes, using: &generator)
      }
      // Foundation takes other encodings, drops byte order marks and lets a last comma pass.
      if bytes.contains(0) || Data(bytes).range(of: Data([0xEF, 0xBB, 0xBF])) != nil { continue }
      let text = String(decoding: bytes, as: UTF8.self)
      if text.contains(/,\s*[\]}]/) { continue }
      let theirs = try? JSONSerialization.jsonObject(
        with: Data(bytes), options: .fragmentsAllowed)
      guard let ours = try? Tree(bytes) else {
        #expect(theirs == nil || Tree.hasHugeNumber(text), "refused \(text)")
        continue
      }
      accepted += 1
      guard let theirs else {
        // Foundation refuses numbers beyond its own range, which stay text here.
        #expect(Tree.hasHugeNumber(text), "accepted \(text)")
        continue
      }
      #expect(ours.equals(theirs) || Tree.hasDuplicateKeys(ours), "\(text)")
    }
    #expect(accepted > 1_000)
  }

  static func isAccepted(_ bytes: [UInt8]) -> Bool { error(bytes) == nil }

  static func error(_ bytes: [UInt8]) -> JSONError? {
    bytes.withUnsafeBufferPointer { buffer in
      var scanner = JSONScanner(buffer)
      do throws(JSONError) {
        try scanner.skipValue()
        try scanner.finish()
        return nil
      } catch {
        return error
      }
    }
  }
}

/// Small random damage to a text.
enum Mutation {
  static func apply(to bytes: inout [UInt8], using generator: inout SeededGenerator) {
    let interesting = Array("\"\\{}[]:,0-eu.tfn \u{1}x9".utf8) + [0x80, 0xC3, 0xE2, 0xF0, 0xFF]
    let place = Int.random(in: 0...bytes.count, using: &generator)
    let byte = interesting.randomElement(using: &generator) ?? 0
    switch Int.random(in: 0..<6, using: &generator) {
    case 0: bytes.insert(byte, at: place)
    case 1 where place < bytes.count: bytes[place] = byte
    case 2 where place < bytes.count: bytes.remove(at: place)
    case 3 where place < bytes.count:
      bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
    case 4: bytes.removeSubrange(place...)
    case 5 where place < bytes.count:
      let end = Int.random(in: place..<bytes.count, using: &generator)
      bytes.insert(contentsOf: bytes[place...end], at: place)
    default: break
    }
  }
}

/// A JSON value as a tree, built with the scanner's calls.
indirect enum Tree: Equatable {
  case object([(String, Tree)])
  case array([Tree])
  case string(String)
  case number(String)
  case boolean(Bool)
  case null

  init(_ bytes: [UInt8]) throws {
    self = try bytes.withUnsafeBufferPointer { buffer in
      var scanner = JSONScanner(buffer)
      let tree = try Tree(&scanner)
      try scanner.finish()
      return tree
    }
  }

  private init(_ scanner: inout JSONScanner) throws {
    switch try scanner.kind() {
    case .object:
      var members: [(String, Tree)] = []
      try scanner.beginObject()
      while let key = try scanner.nextKey() {
        members.append((key.decoded(), try Tree(&scanner)))
      }
      self = .object(members)
    case .array:
      var elements: [Tree] = []
      try scanner.beginArray()
      while try scanner.nextElement() { elements.append(try Tree(&scanner)) }
      self = .array(elements)
    case .string: self = .string(try scanner.string().decoded())
    case .number: self = .number(String(decoding: try scanner.number(), as: UTF8.self))
    case .boolean: self = .boolean(try scanner.boolean())
    case .null: self = try scanner.takeNull() ? .null : .string("not null")
    }
  }

  static func == (left: Tree, right: Tree) -> Bool { left.equals(right.foundation) }

  /// What Foundation makes of the same text.
  var foundation: Any {
    switch self {
    case .object(let members):
      Dictionary(members.map { ($0, $1.foundation) }, uniquingKeysWith: { first, _ in first })
    case .array(let elements): elements.map(\.foundation)
    case .string(let text): text
    case .number(let text): NSNumber(value: Int64(text) ?? 0)
    case .boolean(let value): NSNumber(value: value)
    case .null: NSNull()
    }
  }

  func equals(_ other: Any) -> Bool {
    switch self {
    case .object(let members):
      guard let other = other as? [String: Any], other.count == members.count else { return false }
      return members.allSatisfy { key, value in other[key].map(value.equals) == true }
    case .array(let elements):
      guard let other = other as? [Any], other.count == elements.count else { return false }
      return zip(elements, other).allSatisfy { $0.equals($1) }
    case .string(let text): return other as? String == text
    case .number(let text):
      guard let number = other as? NSNumber else { return false }
      return Int64(text).map { number.int64Value == $0 } ?? true
    case .boolean(let value): return (other as? NSNumber)?.boolValue == value
    case .null: return other is NSNull
    }
  }

  /// Foundation keeps one value of a doubled key, and this tree keeps both.
  static func hasDuplicateKeys(_ tree: Tree) -> Bool {
    switch tree {
    case .object(let members):
      Set(members.map(\.0)).count < members.count || members.contains { hasDuplicateKeys($1) }
    case .array(let elements): elements.contains(where: hasDuplicateKeys)
    default: false
    }
  }

  /// Whether a number may be outside what Foundation keeps.
  static func hasHugeNumber(_ text: String) -> Bool {
    text.contains(/[0-9.]{16,}|[eE][+\-]?[0-9]{3,}/)
  }

  static func random(depth: Int, using generator: inout SeededGenerator) -> Tree {
    switch Int.random(in: depth == 0 ? 2..<6 : 0..<6, using: &generator) {
    case 0:
      return .array(
        (0..<Int.random(in: 0..<4, using: &generator)).map { _ in
          random(depth: depth - 1, using: &generator)
        })
    case 1:
      return .object(
        (0..<Int.random(in: 0..<4, using: &generator)).map { index in
          ("\(index)" + text(&generator), random(depth: depth - 1, using: &generator))
        })
    case 2: return .string(text(&generator))
    case 3: return .number("\(Int32.random(in: .min ... .max, using: &generator))")
    case 4: return .boolean(Bool.random(using: &generator))
    default: return .null
    }
  }

  private static func text(_ generator: inout SeededGenerator) -> String {
    let scalars = (0..<Int.random(in: 0..<20, using: &generator)).map { _ in
      Unicode.Scalar(UInt32.random(in: 0...0x2FFFF, using: &generator))
        ?? Unicode.Scalar(UInt8.random(in: 0...127, using: &generator))
    }
    return String(String.UnicodeScalarView(scalars))
  }
}
