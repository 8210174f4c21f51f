import Postgres
import Store

/// The newest runs, newest first.
struct RunsCommand: Command {
  static let name = "runs"
  static let summary = "Show the newest runs and how they ended."
  static let usage = Usage(
    examples: [
      .init("plimsoll runs --limit 5", "the five newest runs"),
      .init("plimsoll runs --job consume-events --json", "runs of one job, for a program"),
    ],
    options: [
      .init("--job NAME", "only runs of this job"),
      .init("--limit N", "how many (default 20, at most 1000)"),
    ],
    details: "Reads the table run. A run that is still going has no exit code.")

  private let job: String?
  private let limit: UInt64

  init(arguments: inout Arguments) throws(UsageError) {
    job = try arguments.value("--job")
    limit = try arguments.count("--limit", default: 20, in: 1...1_000)
  }

  func run(in context: CommandContext) throws -> ExitCode {
    let names = context.runner.jobs.map { $0.name }
    if let job, !names.contains(job) {
      throw Arguments.wrong(
        "--job", job,
        "the jobs are \(names.joined(separator: ", "))"
          + Suggestion.phrase(for: job, among: names))
    }
    let database = context.database(try context.configuration())
    let connection = try database.open(knowing: context.runner.migrations)
    let rows = try connection.transaction(.readOnly) { tx in
      try Runs.newest(job: job, limit: Int(limit), in: tx)
    }
    try context.write(Self.table(of: rows))
    return .done
  }

  private static func table(of rows: [RunRow]) -> ResultTable {
    var table = ResultTable(
      name: "runs",
      columns: [
        .init("id", alignment: .right), .init("job"), .init("deployments"),
        .init("started_at", title: "started (UTC)"), .init("milliseconds", alignment: .right),
        .init("status"), .init("exit_code", alignment: .right), .init("counters"), .init("error"),
      ])
    for row in rows {
      table.append([
        String(row.id), row.job, row.deployments, row.startedAt, String(row.milliseconds),
        row.status, row.exitCode.map(String.init), row.counters, row.error,
      ])
    }
    return table
  }
}
