import Foundation
import Glibc
import Postgres
import Synchronization
import TestKit
import Testing

@testable import JobRunner

/// What becomes of a run whose database goes away in the middle of it.
@Suite(.serialized) struct OutageTests {
  @Test func aRunWhoseSessionIsEndedSaysSoAndClosesItsRow() throws {
    let database = try TemporaryDatabase()
    var program = try Program()
    program.jobs = [OutageJob.self]
    try program.configure(database: database)
    OutageJob.strike = { process in
      let other = try database.connection()
      try other.transaction { try $0.execute("select pg_terminate_backend(\(process), 5000)") }
    }
    try expectRetryable(program, leaving: database.info)
  }

  /// The server is gone without a word, and comes back half a second later.
  @Test func aRunWhoseServerIsRestartedSaysSoAndClosesItsRow() throws {
    let directory = "/tmp/plimsoll-outage-\(getpid())-\(UInt32.random(in: .min ... .max))"
    let cluster = try PrivateCluster.start(in: directory, lifetime: .untilOwnerEndsThenRemoved)
    defer { cluster.letGo() }
    var program = try Program()
    program.jobs = [OutageJob.self]
    try program.directory.write(
      "plimsoll.json",
      """
      { "database": "postgresql:///plimsoll?host=\(cluster.socketDirectory)&user=plimsoll",
      \(Program.deployments) }
      """)
    #expect(program.run("migrate").exit == .done)
    OutageJob.strike = { _ in
      guard case .running(let process, _) = try PrivateCluster.status(in: directory) else { return }
      kill(process, SIGQUIT)
      while case .running = try PrivateCluster.status(in: directory) { usleep(10_000) }
      Thread.detachNewThread {
        usleep(500_000)
        _ = try? PrivateCluster.start(in: directory, lifetime: .untilOwnerEnds)
      }
    }
    try expectRetryable(program, leaving: cluster.connectionInfo)
  }

  /// The struck run ends 75, keeps nothing of its transaction, and closes its row on a session of
  /// its own; the run after it goes on.
  private func expectRetryable(_ program: Program, leaving info: ConnectionInfo) throws {
    let struck = program.run("outage", "--deployment", "lista-bsc")
    #expect(struck.exit == .retryLater, "\(struck.error)")
    #expect(struck.error.contains("nothing of the step under way is stored"))
    OutageJob.strike = { _ in }
    #expect(program.run("outage", "--deployment", "lista-bsc").exit == .done)
    let db = try Connection.open(info)
    let runs = try db.transaction(.readOnly) { tx in
      try tx.query("select status || ' ' || exit_code from run order by id")
        .map { try $0.get(0, String.self) }
    }
    #expect(runs == ["partial 75", "succeeded 0"])
    let tokens = try db.transaction(.readOnly) { tx in
      try tx.query("select count(*) from token")[0].get(0, Int.self)
    }
    #expect(tokens == 1)
  }
}

/// A job whose transaction is struck by an outage between its statements.
private struct OutageJob: Job {
  static let name = "outage"
  static let summary = "Be struck."
  static let usage = Usage(
    examples: [.init("plimsoll outage", "is struck"), .init("plimsoll outage --json", "the same")])

  /// What happens to the session of this server process. The suite runs one test at a time.
  private static let deed = Mutex<@Sendable (Int32) throws -> Void>({ _ in })
  static var strike: @Sendable (Int32) throws -> Void {
    get { deed.withLock { $0 } }
    set { deed.withLock { $0 = newValue } }
  }

  init(arguments: inout Arguments) throws(UsageError) {}

  func run(in context: JobContext) throws -> RunReport {
    try context.database.transaction { tx in
      let process = try tx.query("select pg_backend_pid()")[0].get(0, Int32.self)
      try tx.execute(
        """
        insert into token (chain_id, address, decimals)
        values (1, decode('0000000000000000000000000000000000000001', 'hex'), 18)
        """)
      try Self.strike(process)
      try tx.execute("select 1")
    }
    return RunReport()
  }
}
