import Postgres

/// Brings the schema of the database up to this binary.
struct MigrateCommand: Command {
  static let name = "migrate"
  static let summary = "Bring the schema of the database up to this binary."
  static let usage = Usage(
    examples: [
      .init("plimsoll migrate --dry-run", "lists the migrations that are missing; changes nothing"),
      .init("plimsoll migrate", "applies them, each in a transaction of its own"),
    ],
    options: [.init("--dry-run", "only list what is missing")],
    details: """
      Needs the owner's role. Safe to run again, and to run twice at once: one waits for the
      other. A binary works with its own schema and with the next newer one.
      """)

  private let isDryRun: Bool

  init(arguments: inout Arguments) throws(UsageError) {
    isDryRun = try arguments.flag("--dry-run")
  }

  func run(in context: CommandContext) throws -> ExitCode {
    let connection = try context.database(try context.configuration()).open()
    let migrations = context.runner.migrations
    let before = try Migrator.currentVersion(on: connection)
    let steps =
      isDryRun
      ? try Migrator.plan(migrations, on: connection)
      : try Migrator.apply(migrations, on: connection)
    try write(steps, from: before, in: context)
    return .done
  }

  private func write(
    _ steps: [Migration], from before: Int, in context: CommandContext
  ) throws {
    let table = ResultTable(
      name: isDryRun ? "missing migrations" : "applied migrations",
      columns: [.init("version", alignment: .right), .init("name")],
      rows: steps.map { [String($0.version), $0.name] })
    let after = isDryRun ? before : max(before, context.runner.migrations.count)
    guard context.common.isJSON else {
      return try context.console.result(table.text + "schema version \(after)\n")
    }
    let object = JSONValue.object([
      .init("schema_version", .integer(ResultDocument.schemaVersion)),
      .init("dry_run", .bool(isDryRun)),
      .init("database_schema_before", .integer(Int64(before))),
      .init("database_schema", .integer(Int64(after))),
      .init("migrations", table.json),
    ])
    try context.console.result(object.pretty + "\n")
  }
}
