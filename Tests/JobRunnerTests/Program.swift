import Glibc
import Moolah
import Postgres
import Schema
import Store
import Synchronization
import Systems
import TestKit

@testable import JobRunner

/// A whole program around jobs of a test: real configuration files, a real database.
struct Program {
  struct Result: Equatable {
    let exit: ExitCode
    let out: String
    let error: String
  }

  let directory: ScratchDirectory
  var environment: [String: String] = [:]
  var jobs: [any Job.Type] = [TallyJob.self, LookJob.self]
  var migrations = Schema.migrations
  var receivedSignal: @Sendable () -> Int32 = { 0 }
  var acceptsOutput = true

  init() throws { directory = try ScratchDirectory() }

  static let deployments = """
    "chains": {
      "bsc": { "chain_id": 56, "endpoints": [{ "name": "a", "url_env": "BSC_RPC_URL" }] },
      "dev": { "chain_id": 31337, "endpoints": [{ "name": "b", "url": "http://127.0.0.1:1" }] },
    },
    "deployments": {
      "lista-bsc": {
        "chain": "bsc", "system": "moolah", "first_block": 1,
        "address": "0x8F73b65B4caAf64FBA2aF91cC5D4a2A1318E5D8C",
      },
      "morpho-dev": {
        "chain": "dev", "system": "morpho-blue", "first_block": 0,
        "address": "0x8F73b65B4caAf64FBA2aF91cC5D4a2A1318E5D8C",
      },
    },
    """

  /// Writes a configuration whose database is this one; nil leaves it out.
  func configure(database: TemporaryDatabase?) throws {
    let line = try database.map { "\"database\": \"\(try Self.url(of: $0))\"," } ?? ""
    try directory.write("plimsoll.json", "{ \(line)\n\(Self.deployments) }")
  }

  static func url(of database: TemporaryDatabase) throws -> String {
    let socket = try TestCluster.shared().socketDirectory
    return "postgresql:///\(database.name)?host=\(socket)&port=5432&user=plimsoll"
  }

  func run(_ words: String...) -> Result { run(words) }

  func run(_ words: [String]) -> Result {
    let recording = Recording()
    let redactor = Redactor()
    let console =
      acceptsOutput
      ? recording.console(redactor: redactor)
      : Console(out: { _ in false }, error: { _ in true }, redactor: redactor)
    var environment = environment
    environment["PLIMSOLL_CONFIG"] = "\(directory.path)/plimsoll.json"
    let runner = Runner(
      jobs: jobs,
      systems: [
        "moolah": { _ in Moolah(.moolah) }, "morpho-blue": { _ in Moolah(.morphoBlue) },
      ],
      migrations: migrations)
    let exit = runner.run(
      words,
      in: Surroundings(
        console: console, environment: environment, receivedSignal: receivedSignal))
    return Result(exit: exit, out: recording.out, error: recording.error)
  }
}

/// A run's row, as far as the tests look at it.
struct StoredRun: Equatable {
  let job: String
  let deployments: String
  let status: String
  let exitCode: Int32?
  let counters: String
  let error: String?

  static func all(in database: TemporaryDatabase) throws -> [StoredRun] {
    let connection = try database.connection()
    return try connection.transaction(.readOnly) { tx in
      try Runs.newest(job: nil, limit: 100, in: tx).map { row in
        StoredRun(
          job: row.job, deployments: row.deployments, status: row.status,
          exitCode: row.exitCode, counters: row.counters, error: row.error)
      }
    }
  }
}

/// A job that counts deployments and ends as its options say.
struct TallyJob: Job {
  static let name = "tally"
  static let summary = "Count the deployments."
  static let usage = Usage(
    examples: [
      .init("plimsoll tally", "counts"), .init("plimsoll tally --fail data", "fails"),
    ],
    options: [.init("--fail KIND", "data, items, bug or database")])

  struct Bug: Error {}

  let kind: String?
  let isLong: Bool
  let part: String?

  var lockName: String? { part.map { "tally \($0)" } }

  init(arguments: inout Arguments) throws(UsageError) {
    kind = try arguments.choice("--fail", among: ["data", "items", "bug", "database"])
    isLong = try arguments.flag("--long")
    part = try arguments.value("--part")
  }

  func run(in context: JobContext) throws -> RunReport {
    var report = RunReport()
    for deployment in context.deployments {
      report.count("deployments")
      report.state("\(deployment.name)_system", deployment.system.name)
    }
    report.touched(5...9)
    if isLong {
      while !context.isStopping() { usleep(1_000) }
      report.stopEarly()
    }
    switch kind {
    case "data": throw Failure(.badData, "lista-bsc: block 7 contradicts itself")
    case "items": report.worsen(to: .itemFailures)
    case "bug": throw Bug()
    case "database":
      try context.database.transaction { tx in _ = try tx.execute("sel") }
    default: break
    }
    report.tables.append(
      ResultTable(name: "rows", columns: [.init("symbol")], rows: [["\u{202e}USD"]]))
    return report
  }
}

/// A job that only reads.
struct LookJob: Job {
  static let name = "look"
  static let summary = "Look."
  static let access = JobAccess.reads
  static let usage = Usage(
    examples: [.init("plimsoll look", "looks"), .init("plimsoll look --json", "the same")])

  init(arguments: inout Arguments) throws(UsageError) {}

  func run(in context: JobContext) throws -> RunReport {
    var report = RunReport()
    report.count("deployments", context.deployments.count)
    return report
  }
}

/// A job that becomes the writer of its deployments.
struct PenJob: Job {
  static let name = "pen"
  static let summary = "Hold the pen."
  static let isWriter = true
  static let usage = Usage(
    examples: [.init("plimsoll pen", "writes"), .init("plimsoll pen --json", "the same")])

  init(arguments: inout Arguments) throws(UsageError) {}

  func run(in context: JobContext) throws -> RunReport {
    var report = RunReport()
    for target in context.deployments {
      let deployment = try target.registered(on: context.database)
      let taking = try context.takeWriter(of: target, deployment)
      report.count(target.taking == nil ? "taken_by_the_job" : "taken_by_the_run")
      switch taking {
      case .mine(let writer): try context.database.transaction { try writer.check(in: $0) }
      case .taken(let holder): report.skipLocked(heldBy: holder)
      }
    }
    return report
  }
}
