/// A run's result as it goes to standard output.
struct ResultDocument {
  let job: String
  let runID: Int64?
  let report: RunReport
  let isDryRun: Bool
  let startedAt: UInt64
  let finishedAt: UInt64

  static let schemaVersion: Int64 = 1

  /// One object; counters are numbers, everything that may be large is a decimal string.
  var json: JSONValue {
    var members: [JSONValue.Member] = [
      .init("schema_version", .integer(Self.schemaVersion)),
      .init("job", .string(job)),
      .init("run_id", runID.map { .string(String($0)) } ?? .null),
      .init("status", .string(report.status.rawValue)),
      .init("exit_code", .integer(Int64(report.exit.rawValue))),
      .init("dry_run", .bool(isDryRun)),
      .init("started_at", .string(UTCTime.format(startedAt))),
      .init("finished_at", .string(UTCTime.format(finishedAt))),
    ]
    let facts = report.facts.map { JSONValue.Member($0.name, .string($0.value)) }
    members.append(.init("facts", .object(facts)))
    members.append(.init("counters", Self.counters(report)))
    members.append(.init("notes", .array(report.notes.map { .string($0) })))
    return .object(members + lists)
  }

  /// One list for each name: a table that each deployment adds becomes one list.
  private var lists: [JSONValue.Member] {
    var members: [JSONValue.Member] = []
    for name in Self.names(of: report.tables) {
      let tables = report.tables.filter { $0.name == name }
      let omitted = tables.reduce(0) { $0 + $1.omitted }
      members.append(.init(name, .array(tables.flatMap(\.objects))))
      if omitted > 0 { members.append(.init("\(name)_omitted", .integer(Int64(omitted)))) }
    }
    return members
  }

  private static func names(of tables: [ResultTable]) -> [String] {
    tables.reduce(into: []) { names, table in
      if !names.contains(table.name) { names.append(table.name) }
    }
  }

  static func counters(_ report: RunReport) -> JSONValue {
    .object(report.counters.map { .init($0.name, .integer(Int64($0.value))) })
  }

  /// What a person reads: tables, then facts and counters, then notes.
  var text: String {
    var text = report.tables.map { $0.text + "\n" }.joined()
    let facts = report.facts.map { "\($0.name) \($0.value)" }
    let counters = report.counters.map { "\($0.name) \($0.value)" }
    text += "\(job): \(isDryRun ? "dry run, " : "")\(report.status.rawValue)"
    for part in facts + counters { text += ", " + VisibleText.escape(part) }
    text += "\n"
    for note in report.notes { text += VisibleText.escape(note) + "\n" }
    return text
  }
}
