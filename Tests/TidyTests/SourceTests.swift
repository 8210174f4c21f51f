import Testing

/// What a line of code must not hold. Each rule lists the lines that break it.
@Suite struct SourceTests {
  private static let swift = Repository.files(ending: ".swift").filter {
    !$0.hasPrefix("Tests/TidyTests/")
  }

  /// The beginning of an SQL statement, at the beginning of a line or of a string.
  private static var statement: Regex<Substring> {
    #/
    (?: ^ | " ) \s*
    (?: select \s \S | insert \s into \s | update \s [a-z_]+ \s set \s | delete \s from \s
      | truncate \s | create \s (?: table | view | index | database | role ) \s
      | alter \s (?: table | role | default ) \s
      | drop \s (?: table | view | database | index ) \s | copy \s [a-z_]+ \s )
    /#
  }

  private static var floatingPoint: Regex<Substring> {
    /\b(?:Double|Float|Float16|Float80|CGFloat|TimeInterval)\b/
  }

  /// Home folders and package servers, which mean nothing in a clone.
  private static var outside: Regex<Substring> {
    #/ (?i) /home/[a-z] | \b (?: registry | artifactory | mirror ) \. [a-z]+ \. [a-z]+ /#
  }

  /// `path:line: text` of each line of code, comments left out, that fits the pattern.
  private func findings(
    _ pattern: Regex<Substring>, in files: [String]
  ) -> [String] {
    files.flatMap { path in
      Repository.lines(path).compactMap { number, line in
        let code = line.drop { $0 == " " }
        if code.hasPrefix("//") { return nil }
        return code.firstMatch(of: pattern) == nil ? nil : "\(path):\(number): \(code)"
      }
    }
  }

  @Test func walksTheWholeClone() {
    #expect(Repository.files.contains("Package.swift"))
    #expect(Self.swift.count > 50)
  }

  @Test(arguments: [
    "select id from run", "insert into run (id)", "update run set x = 1", "delete from run",
    "try tx.execute(\"drop table run\")",
  ])
  func knowsAStatementFromProse(statement: String) {
    #expect(statement.firstMatch(of: Self.statement) != nil)
    #expect("let selected = select(rows)".firstMatch(of: Self.statement) == nil)
    #expect("\"run plimsoll migrate to update the schema\"".firstMatch(of: Self.statement) == nil)
  }

  @Test(arguments: ["let x: Double", "Float(1)", "[CGFloat]"])
  func knowsFloatingPoint(code: String) {
    #expect(code.firstMatch(of: Self.floatingPoint) != nil)
    #expect("func doubled(floating: Int)".firstMatch(of: Self.floatingPoint) == nil)
  }

  @Test func noMergeWasLeftHalfDone() {
    let marks = ["<<<<<<< ", "=======", ">>>>>>> ", "||||||| "]
    let left = Repository.files.flatMap { path in
      Repository.lines(path).filter { _, line in
        marks.contains { $0.hasSuffix(" ") ? line.hasPrefix($0) : line == $0 }
      }.map { "\(path):\($0.number)" }
    }
    #expect(left == [])
  }

  @Test func everyLineOfTheCrontabIsOne() {
    let field = /[0-9*,\/-]+/
    let lines = Repository.lines("crontab.example").map(\.text)
      .filter { !$0.isEmpty && !$0.hasPrefix("#") }
    #expect(lines.contains { $0.contains("plimsoll consume-events") })
    for line in lines where line.wholeMatch(of: /[A-Z_]+=\S+/) == nil {
      let words = line.split(separator: " ")
      #expect(words.count > 6, "\(line)")
      #expect(words.prefix(5).allSatisfy { $0.wholeMatch(of: field) != nil }, "\(line)")
    }
  }

  @Test func sqlStaysInItsHomes() {
    let files = Self.swift.filter { path in
      let isHome =
        path.hasPrefix("sql/") || path.hasPrefix("Sources/Store/")
        || path.hasPrefix("Sources/Postgres/") || path.hasSuffix("Tables.swift")
      let isTest = path.hasPrefix("Tests/") || path.hasPrefix("Sources/TestKit/")
      return !isHome && !isTest && !path.hasPrefix("Benchmarks/")
    }
    #expect(findings(Self.statement, in: files) == [])
  }

  @Test func floatingPointStaysInFilters() {
    let files = Self.swift.filter { path in
      let name = path.split(separator: "/").last ?? ""
      return !name.contains("Filter") && !name.contains("Chart") && !path.hasPrefix("Benchmarks/")
    }
    #expect(findings(Self.floatingPoint, in: files) == [])
  }

  @Test func linesHaveAtMostAHundredColumns() {
    let long = Repository.files(ending: ".swift").flatMap { path in
      Repository.lines(path).filter { $0.text.count > 100 }
        .map { "\(path):\($0.number): \($0.text.count) columns" }
    }
    #expect(long == [])
  }

  @Test func nothingIsLeftForLater() {
    let marks = /\b(?:TODO|FIXME|XXX|HACK)\b/
    let found = Repository.files.filter { !$0.hasPrefix("Tests/TidyTests/") }.flatMap { path in
      Repository.lines(path).filter { $0.text.firstMatch(of: marks) != nil }
        .map { "\(path):\($0.number)" }
    }
    #expect(found == [])
  }

  @Test func nothingPointsOutsideTheClone() {
    let outside = Self.outside
    let found = Repository.files.filter { !$0.hasPrefix("Tests/TidyTests/") }.flatMap { path in
      Repository.lines(path).compactMap { number, line in
        line.firstMatch(of: outside).map { "\(path):\(number): \($0.0)" }
      }
    }
    #expect(found == [])
  }

  /// A guide, not a cage: long functions are named in the log and pass.
  @Test func longFunctionsAreNamed() {
    for path in Self.swift {
      var start: (number: Int, indent: Int, name: Substring)?
      for (number, line) in Repository.lines(path) {
        let indent = line.prefix { $0 == " " }.count
        // A requirement of a protocol has no end; the next one takes its place.
        if start.map({ indent <= $0.indent }) ?? true,
          let match = line.firstMatch(of: /\bfunc ([A-Za-z0-9_]+)/),
          !line.drop(while: { $0 == " " }).hasPrefix("//")
        {
          start = (number, indent, match.1)
        } else if let open = start, indent == open.indent, line.hasSuffix("}") {
          let length = number - open.number + 1
          if length > 70 { print("\(path):\(open.number): \(open.name) has \(length) lines") }
          start = nil
        }
      }
    }
  }
}
