import Glibc
import Postgres
import Schema
import Store
import TestKit
import Testing

@testable import JobRunner

@Suite struct CommandLineTests {
  /// Command lines that end before anything is touched: the code and the line.
  static let refused: [(words: [String], exit: ExitCode, line: String)] = [
    ([], .usage, "plimsoll: no subcommand; plimsoll --help lists them"),
    (["talyl"], .usage, "plimsoll: unknown subcommand \"talyl\"; did you mean tally?"),
    (["migrat"], .usage, "plimsoll: unknown subcommand \"migrat\"; did you mean migrate?"),
    (["xyzzy"], .usage, "plimsoll: unknown subcommand \"xyzzy\""),
    (
      ["tally", "--fial", "data"], .usage,
      "plimsoll: unknown option --fial; did you mean --fail?"
    ),
    (["tally", "now"], .usage, "plimsoll: unexpected argument \"now\""),
    (
      ["tally", "--deployment", "lista"], .usage,
      "plimsoll: --deployment \"lista\": configured: lista-bsc, morpho-dev; did you mean "
        + "lista-bsc?"
    ),
    (
      ["tally", "--chain", "bcs"], .usage,
      "plimsoll: --chain \"bcs\": configured: bsc, dev; did you mean bsc?"
    ),
    (
      ["tally", "--chain", "dev", "--deployment", "lista-bsc"], .usage,
      "plimsoll: --deployment and --chain leave no deployment to work on"
    ),
    (
      ["tally", "--quiet", "-v"], .usage,
      "plimsoll: --log-level, --quiet and -v exclude each other; give one of them"
    ),
    (
      ["tally", "--log-format", "xml"], .usage,
      "plimsoll: --log-format \"xml\": must be one of pretty, json"
    ),
    (["look", "--dry-run"], .usage, "plimsoll: unknown option --dry-run"),
    (["config"], .usage, "plimsoll: config needs show or check"),
    (["config", "chekc"], .usage, "plimsoll: config needs show or check; did you mean check?"),
    (
      ["dev", "strat"], .usage,
      "plimsoll: dev needs one of start, stop, status, url, psql; did you mean start?"
    ),
    (
      ["tally"], .configuration,
      "plimsoll: database: not configured; set \"database\" in plimsoll.json, "
        + "PLIMSOLL_DATABASE or --database (\"private\" runs one of its own)"
    ),
    (
      ["migrate"], .configuration,
      "plimsoll: database: not configured; set \"database\" in plimsoll.json, "
        + "PLIMSOLL_DATABASE or --database (\"private\" runs one of its own)"
    ),
    (
      ["tally", "--database", "postgresql://me:pw@host/db"], .configuration,
      "plimsoll: --database: the URL carries a password; put it into a file and name it by "
        + "url_file, or use url_env or a pgpass file"
    ),
    (
      ["config", "check"], .configuration,
      "plimsoll: FILE: chains.bsc.endpoints[0]: the environment variable BSC_RPC_URL is not "
        + "set; set it to the URL"
    ),
  ]

  @Test(arguments: refused.indices)
  func endsWithOneLineAndTheRightCode(row: Int) throws {
    let (words, exit, line) = Self.refused[row]
    let program = try Program()
    try program.configure(database: nil)
    let result = program.run(words)
    let file = "\(program.directory.path)/plimsoll.json"
    #expect(result.error == line.replacing("FILE", with: file) + "\n")
    #expect(result.exit == exit)
    #expect(result.out.isEmpty)
  }

  @Test func saysTheSameAsAnObjectWhenAsked() throws {
    let result = try Program().run("talyl", "--log-format", "json")
    #expect(result.error.hasPrefix("{\"time\":\""))
    #expect(result.error.contains("\"exit_code\":\"64\""))
    #expect(result.error.split(separator: "\n").count == 1)
  }

  @Test func helpShowsExamplesFirstAndEndsWithZero() throws {
    let program = try Program()
    let overview = program.run("--help")
    #expect(overview.exit == .done)
    for name in ["tally", "look", "migrate", "config", "dev"] {
      #expect(overview.out.contains("\n  \(name) "))
      let help = program.run(name, "--help")
      #expect(help == program.run("help", name))
      let examples = try #require(help.out.firstRange(of: "Examples:\n"))
      let options = try #require(help.out.firstRange(of: "options:\n"))
      #expect(examples.lowerBound < options.lowerBound)
      #expect(help.out[..<options.lowerBound].split(separator: "\n  plimsoll ").count >= 3)
    }
  }

  @Test func versionNamesTheSchema() throws {
    let result = try Program().run("--version")
    #expect(result.out == "plimsoll \(Runner.version) (schema \(Schema.migrations.count))\n")
  }
}

@Suite struct RunTests {
  @Test func leavesARowAndAResult() throws {
    let database = try TemporaryDatabase()
    let program = try Program()
    try program.configure(database: database)
    let result = program.run("tally", "--deployment", "lista-bsc")
    #expect(result.exit == .done)
    #expect(
      result.out == """
        rows (1)
        symbol
        -----------
        \\u{202E}USD

        tally: succeeded, lista-bsc_system moolah, deployments 1

        """)
    #expect(
      try StoredRun.all(in: database) == [
        StoredRun(
          job: "tally", deployments: "lista-bsc", status: "succeeded", exitCode: 0,
          counters: "{\"deployments\": 1}", error: nil)
      ])
    let lines = result.error.split(separator: "\n")
    #expect(lines.count == 2)
    #expect(lines[0].contains("\"message\":\"run started\""))
    #expect(lines[1].contains("\"message\":\"run finished\""))
    #expect(lines[1].contains("\"run\":\"1\""))
  }

  @Test func writesOneObjectWhenAsked() throws {
    let database = try TemporaryDatabase()
    let program = try Program()
    try program.configure(database: database)
    let result = program.run("tally", "--json")
    let source = try JSONSource.parse(Array(result.out.utf8))
    guard case .object(let members) = source.value else {
      Issue.record("an object was expected")
      return
    }
    #expect(
      members.map(\.name) == [
        "schema_version", "job", "run_id", "status", "exit_code", "dry_run", "started_at",
        "finished_at", "facts", "counters", "notes", "rows",
      ])
    #expect(result.out.contains("\\u202eUSD"))
  }

  @Test func aDryRunAndAReadingJobLeaveNoRow() throws {
    let database = try TemporaryDatabase()
    let program = try Program()
    try program.configure(database: database)
    #expect(program.run("tally", "--dry-run").exit == .done)
    #expect(program.run("look").exit == .done)
    #expect(try StoredRun.all(in: database).isEmpty)
  }

  /// How the job ends, and what the process and the row then say.
  static let endings: [(kind: String, exit: ExitCode, status: String, error: String?)] = [
    ("data", .badData, "failed", "lista-bsc: block 7 contradicts itself"),
    ("items", .itemFailures, "partial", ""),
    ("bug", .internalError, "failed", "internal error: Bug: Bug()"),
    (
      "database", .internalError, "failed",
      "database: syntax error at or near \"sel\" [42601] in: sel"
    ),
  ]

  @Test(arguments: endings.indices)
  func storesHowARunEnded(row: Int) throws {
    let (kind, exit, status, error) = Self.endings[row]
    let database = try TemporaryDatabase()
    let program = try Program()
    try program.configure(database: database)
    let result = program.run("tally", "--fail", kind)
    #expect(result.exit == exit)
    let run = try #require(try StoredRun.all(in: database).first)
    #expect(run.status == status)
    #expect(run.exitCode == exit.rawValue)
    #expect(run.error == error)
  }

  @Test func aSignalEndsTheRunAtACommitPoint() throws {
    let database = try TemporaryDatabase()
    for (signal, exit) in [(SIGTERM, ExitCode.terminated), (SIGINT, .interrupted)] {
      var program = try Program()
      program.receivedSignal = { signal }
      try program.configure(database: database)
      #expect(program.run("tally", "--long").exit == exit)
      let run = try #require(try StoredRun.all(in: database).first)
      #expect(run.status == "interrupted")
      #expect(run.exitCode == exit.rawValue)
    }
  }

  @Test func theDeadlineEndsTheRunWithRetryLater() throws {
    let database = try TemporaryDatabase()
    let program = try Program()
    try program.configure(database: database)
    #expect(program.run("tally", "--long", "--deadline", "100ms").exit == .retryLater)
    #expect(try StoredRun.all(in: database).first?.status == "partial")
  }

  @Test func aDeploymentThatIsLockedIsLeftOut() throws {
    let database = try TemporaryDatabase()
    let program = try Program()
    try program.configure(database: database)
    let other = try database.connection()
    #expect(try other.tryAdvisoryLock(Runs.lock(job: "tally", deployment: "lista-bsc")))

    let whole = program.run("tally")
    #expect(whole.exit == .done)
    #expect(whole.out.contains("deployments 1"))
    #expect(whole.out.contains("skipped: another run of tally on lista-bsc holds the lock"))

    let skipped = program.run("tally", "--deployment", "lista-bsc")
    #expect(skipped.exit == .done)
    #expect(skipped.out.contains("tally: skipped_locked"))
    #expect(try StoredRun.all(in: database).count == 1)
  }

  @Test func aJobThatWritesTheMirrorOfOneDeploymentIsItsWriterFromTheStart() throws {
    let database = try TemporaryDatabase()
    var program = try Program()
    program.jobs = [PenJob.self]
    try program.configure(database: database)
    func epochs() throws -> [String] {
      try database.connection().transaction(.readOnly) { tx in
        try tx.query("select epoch::text || ' ' || holder from writer order by deployment_id")
          .map { try $0.get(0, String.self) }
      }
    }

    // The first run of a deployment adds it; later ones take the writer when they open their row.
    for epoch in 1...3 {
      let result = program.run("pen", "--deployment", "lista-bsc")
      #expect(result.exit == .done)
      #expect(result.out.contains(epoch == 1 ? "taken_by_the_job" : "taken_by_the_run"))
      #expect(try epochs().first?.hasPrefix("\(epoch) run \(epoch) on ") == true)
    }
    #expect(program.run("pen").out.contains("taken_by_the_job 2"))

    let other = try database.connection()
    guard case .mine = try Writer.take(1, holder: "somebody", on: other) else {
      Issue.record("a run that has ended holds no writer")
      return
    }
    let skipped = program.run("pen", "--deployment", "lista-bsc")
    #expect(skipped.out.contains("skipped: somebody holds the lock"))
    #expect(try epochs().first == "5 somebody")
  }

  @Test func partsOfAJobRunBesideEachOther() throws {
    let database = try TemporaryDatabase()
    let program = try Program()
    try program.configure(database: database)
    let other = try database.connection()
    #expect(try other.tryAdvisoryLock(Runs.lock(job: "tally fetch 1/2", deployment: "lista-bsc")))
    let first = try other.transaction { tx in
      try Runs.begin(
        job: "tally fetch 1/2", arguments: "", deployments: "lista-bsc", version: "0", host: "h",
        pid: 1, in: tx)
    }

    for part in [["--part", "fetch 2/2"], []] {
      let result = program.run(["tally", "--deployment", "lista-bsc"] + part)
      #expect(result.out.contains("tally: succeeded"))
    }
    let refused = program.run("tally", "--deployment", "lista-bsc", "--part", "fetch 1/2")
    #expect(refused.out.contains("another run of tally fetch 1/2 on lista-bsc holds the lock"))
    let runs = try StoredRun.all(in: database)
    #expect(runs.map(\.job) == ["tally", "tally fetch 2/2", "tally fetch 1/2"])
    #expect(runs.map(\.status) == ["succeeded", "succeeded", "running"], "run \(first) lives")
  }

  @Test func aRunWhoseProcessDiedIsMarkedByTheNextOne() throws {
    let database = try TemporaryDatabase()
    let program = try Program()
    try program.configure(database: database)
    let connection = try database.connection()
    _ = try connection.transaction { tx in
      try Runs.begin(
        job: "tally", arguments: "tally", deployments: "lista-bsc,morpho-dev", version: "0",
        host: "h", pid: 1, in: tx)
    }
    #expect(program.run("tally").exit == .done)
    #expect(try StoredRun.all(in: database).map(\.status) == ["succeeded", "interrupted"])
  }

  @Test func aResultThatNobodyReadsIsAnError() throws {
    let database = try TemporaryDatabase()
    var program = try Program()
    program.acceptsOutput = false
    try program.configure(database: database)
    #expect(program.run("tally").exit == .inputOutput)
    #expect(try StoredRun.all(in: database).first?.exitCode == 74)
  }
}

@Suite struct DatabaseTests {
  @Test func anUnreachableServerIsUnavailable() throws {
    let program = try Program()
    try program.configure(database: nil)
    let result = program.run("tally", "--database", "postgresql:///db?host=/nonexistent")
    #expect(result.exit == .unavailable)
    #expect(
      result.error.hasPrefix(
        "plimsoll: database: cannot connect to database db on /nonexistent: "))
    #expect(result.error.split(separator: "\n").count == 1)
  }

  @Test func aPasswordStaysOutOfTheError() throws {
    var program = try Program()
    try program.directory.write(
      "plimsoll.json", "{ \"database\": { \"url_env\": \"DB\" }, \(Program.deployments) }")
    program.environment["DB"] = "postgresql://me:hunter22@127.0.0.1:1/db"
    let result = program.run("tally")
    #expect(result.exit == .unavailable)
    #expect(!result.error.contains("hunter22"))
  }

  @Test func aMissingDatabaseIsAMatterOfConfiguration() throws {
    let program = try Program()
    try program.configure(database: nil)
    let socket = try TestCluster.shared().socketDirectory
    let result = program.run(
      "tally", "--database", "postgresql:///nowhere?host=\(socket)&port=5432&user=plimsoll")
    #expect(result.exit == .configuration)
    #expect(result.error.contains("database \"nowhere\" does not exist"))
  }

  @Test func refusesADatabaseWithoutOrWithAnOldSchema() throws {
    let database = try TemporaryDatabase.bare()
    let program = try Program()
    try program.configure(database: database)
    let needed = Schema.migrations.count

    let empty = program.run("tally")
    #expect(empty.exit == .configuration)
    #expect(
      empty.error == "plimsoll: database: the database has no schema: run plimsoll migrate\n")

    try Migrator.apply([Schema.migrations[0]], on: try database.connection())
    let old = program.run("tally")
    #expect(old.exit == .configuration)
    #expect(
      old.error
        == "plimsoll: database: the schema is at 1, this binary needs \(needed): "
        + "run plimsoll migrate\n")
  }

  @Test func worksWithTheNextSchemaButNotWithALaterOne() throws {
    let database = try TemporaryDatabase()
    var program = try Program()
    try program.configure(database: database)
    program.migrations = Schema.migrations.dropLast(1)
    #expect(program.run("look").exit == .done)
    program.migrations = Schema.migrations.dropLast(2)
    #expect(program.run("look").exit == .configuration)
  }

  @Test func migrateListsAppliesAndThenHasNothingToDo() throws {
    let database = try TemporaryDatabase.bare()
    let program = try Program()
    try program.configure(database: database)
    let count = Schema.migrations.count

    let plan = program.run("migrate", "--dry-run")
    #expect(plan.exit == .done)
    #expect(plan.out.hasPrefix("missing migrations (\(count))\n"))
    #expect(plan.out.hasSuffix("schema version 0\n"))
    #expect(program.run("tally").exit == .configuration)

    let applied = program.run("migrate")
    #expect(applied.exit == .done)
    #expect(applied.out.hasSuffix("schema version \(count)\n"))
    #expect(
      program.run("migrate").out == "applied migrations (0)\nschema version \(count)\n")
    #expect(program.run("tally").exit == .done)
    #expect(program.run("migrate", "--json").out.contains("\"database_schema\": \(count)"))
  }
}

@Suite struct ConfigCommandTests {
  @Test func checkReadsEverySecretAndSaysThatAllIsWell() throws {
    var program = try Program()
    try program.directory.write(
      "plimsoll.json", "{ \"database\": \"private\", \(Program.deployments) }")
    program.environment["BSC_RPC_URL"] = "https://node.example/secret-key-1"
    let result = program.run("config", "check")
    #expect(result.exit == .done)
    #expect(result.out.hasSuffix("plimsoll.json: valid, chains 2, deployments 2\n"))

    program.environment["BSC_RPC_URL"] = "wss://node.example/secret-key-1"
    let wrong = program.run("config", "check")
    #expect(wrong.exit == .configuration)
    #expect(
      wrong.error.hasSuffix("chains.bsc.endpoints[0]: the URL must be http or https\n"))
    #expect(!wrong.error.contains("secret-key"))
  }

  @Test func showNeverShowsASecret() throws {
    var program = try Program()
    program.environment["BSC_RPC_URL"] = "https://node.example/secret-key-1"
    try program.configure(database: nil)
    let result = program.run("config", "show", "--sources")
    #expect(result.exit == .done)
    #expect(result.out.contains("chains.bsc.endpoints[0].url_env"))
    #expect(result.out.contains("environment BSC_RPC_URL"))
    #expect(result.out.contains("plimsoll.json:3"))
    #expect(!result.out.contains("secret-key"))
    #expect(!result.out.contains("http://127.0.0.1:1"))
  }

  @Test func aMissingFileIsSaidByItsName() throws {
    let result = try Program().run("config", "check", "--config", "nowhere.json")
    #expect(result.exit == .configuration)
    #expect(result.error == "plimsoll: nowhere.json: there is no such file\n")
  }
}
