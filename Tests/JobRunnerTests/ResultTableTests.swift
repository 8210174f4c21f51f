import Testing

@testable import JobRunner

@Suite struct ResultTableTests {
  @Test func alignsColumnsAndShowsMissingCells() {
    var table = ResultTable(
      name: "candidates",
      columns: [
        .init("user"), .init("borrowed", alignment: .right, audience: .people),
        .init("borrowed_raw", audience: .programs), .init("as_of", title: "as of"),
      ])
    table.append(["0xab", "1 200.50", "1200500000", nil])
    table.append(["0xcdef", "7", "7000000", "12"])
    table.omitted = 3
    #expect(
      table.text == """
        candidates (5)
        user    borrowed  as of
        ------  --------  -----
        0xab    1 200.50  -
        0xcdef         7  12
        … and 3 more

        """)
    #expect(
      table.json.compact
        == "[{\"user\":\"0xab\",\"borrowed_raw\":\"1200500000\",\"as_of\":null},"
        + "{\"user\":\"0xcdef\",\"borrowed_raw\":\"7000000\",\"as_of\":\"12\"}]")
  }

  @Test(arguments: [
    ("USD\u{1b}[2J", "USD\\u{1B}[2J"), ("a\u{202e}b", "a\\u{202E}b"),
    ("a\nb\tc", "a\\u{A}b\\u{9}c"),
    ("zero\u{200b}width", "zero\\u{200B}width"), ("nbsp\u{a0}", "nbsp\\u{A0}"),
    ("back\\slash", "back\\\\slash"), ("é ü 漢", "é ü 漢"), ("\u{301}", "\\u{301}"),
    ("a\u{301}\u{301}\u{301}\u{301}", "a\u{301}\u{301}\\u{301}\\u{301}"),
    ("\u{e0041}", "\\u{E0041}"), ("\u{2800}", "\\u{2800}"), ("\u{3164}", "\\u{3164}"),
    ("", ""),
  ])
  func makesHostileTextVisible(text: String, visible: String) {
    #expect(VisibleText.escape(text) == visible)
  }

  @Test func escapesAndCutsInsideTheTable() {
    let table = ResultTable(
      name: "tokens", columns: [.init("symbol")],
      rows: [["\u{1b}]0;owned\u{7}"], [String(repeating: "漢", count: 100)]])
    let lines = table.text.split(separator: "\n")
    #expect(lines[3] == "\\u{1B}]0;owned\\u{7}")
    #expect(VisibleText.columns(String(lines[4])) <= ResultTable.cellColumnsMax)
    #expect(lines[4].hasSuffix("…"))
    let isSafe = table.text.unicodeScalars.allSatisfy { $0 == "\n" || !VisibleText.isHidden($0) }
    #expect(isSafe)
  }

  @Test func showsAnEmptyTableAsItsNameAndZero() {
    #expect(ResultTable(name: "candidates", columns: [.init("a")]).text == "candidates (0)\n")
  }
}
