import Testing

@testable import JobRunner

@Suite struct JSONTests {
  private func parse(_ text: String) throws(JSONSyntaxError) -> JSONSource {
    try JSONSource.parse(Array(text.utf8))
  }

  @Test func readsCommentsAndTrailingCommas() throws {
    let source = try parse(
      """
      // Where the database is.
      { "a": [1, 2,], /* both
         kinds */ "b": { "c": "x\\u00e9\\n\\ud83d\\ude00", }, }
      """)
    guard case .object(let members) = source.value else {
      Issue.record("an object was expected")
      return
    }
    #expect(members.map(\.name) == ["a", "b"])
    #expect(members.map(\.value.line) == [2, 3])
    guard case .object(let inner) = members[1].value.value,
      case .string(let text) = inner[0].value.value
    else {
      Issue.record("a string was expected")
      return
    }
    #expect(text == "xé\n😀")
  }

  /// A text that is no configuration, where it stops, and what was expected there.
  static let refused: [(text: String, line: Int, column: Int, expected: String)] = [
    ("", 1, 1, "a value"),
    ("{", 1, 2, "a key in double quotes or }"),
    ("{ \"a\" 1 }", 1, 7, "a colon after the key"),
    ("{ \"a\": 1\n  \"b\": 2 }", 2, 3, "a comma or }"),
    ("{ \"a\": 1,\n  \"a\": 2 }", 2, 3, "each key once; \"a\" is there twice"),
    ("[1 2]", 1, 4, "a comma or ]"),
    ("{} {}", 1, 4, "the end of the file"),
    ("{ a: 1 }", 1, 3, "a key in double quotes or }"),
    ("\"a", 1, 3, "a closing quote"),
    ("\"a\nb\"", 1, 3, "a closing quote on the same line"),
    ("\"\\x\"", 1, 3, "an escape such as \\n or \\u0041"),
    ("\"\\u12g4\"", 1, 4, "four hex digits"),
    ("\"\\ud800\"", 1, 8, "the second half of a surrogate pair"),
    ("\"\\udc00\"", 1, 8, "the second half of a surrogate pair"),
    ("{ /* never ends", 1, 16, "*/ to end a comment"),
    ("{ / }", 1, 3, "a comment or a value"),
    ("nil", 1, 1, "a value"),
  ]

  @Test(arguments: refused.indices)
  func saysWhereAFileStopsBeingJSON(row: Int) {
    let (text, line, column, expected) = Self.refused[row]
    #expect(throws: JSONSyntaxError(line: line, column: column, expected: expected)) {
      try parse(text)
    }
  }

  @Test func refusesDeepNestingHugeFilesAndBrokenText() {
    #expect(throws: JSONSyntaxError.self) { try parse(String(repeating: "[", count: 100_000)) }
    #expect(throws: JSONSyntaxError.self) {
      try JSONSource.parse([UInt8](repeating: 0x20, count: JSONSource.bytesMax + 1))
    }
    #expect(throws: JSONSyntaxError.self) { try JSONSource.parse([0x22, 0xff, 0x22]) }
  }

  @Test func survivesEveryPrefixAndEveryFlippedByteOfAConfiguration() {
    let text = Array(
      "{ \"a\": [1, true, null, \"\\u00e9\\ud83d\\ude00\"], /* c */ \"b\": {} } // e".utf8)
    for end in 0...text.count { _ = try? JSONSource.parse(Array(text[..<end])) }
    for index in text.indices {
      for byte in UInt8.min...UInt8.max {
        var changed = text
        changed[index] = byte
        _ = try? JSONSource.parse(changed)
      }
    }
  }

  @Test func writesMembersInOrderAndEscapesWhatDoesNotShow() {
    let value = JSONValue.object([
      .init("z", .integer(-1)), .init("a", .string("a\"\\\n\u{1b}\u{202e}😀é")),
      .init("l", .array([.null, .bool(true)])), .init("e", .object([])),
    ])
    #expect(
      value.compact
        == "{\"z\":-1,\"a\":\"a\\\"\\\\\\n\\u001b\\u202e😀é\",\"l\":[null,true],\"e\":{}}")
    #expect(
      JSONValue.object([.init("a", .array([.integer(1)]))]).pretty
        == "{\n  \"a\": [\n    1\n  ]\n}")
  }
}
