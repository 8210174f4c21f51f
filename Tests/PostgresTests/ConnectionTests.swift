import Foundation
import Postgres
import TestKit
import Testing

@Suite struct ConnectionTests {
  let database: TemporaryDatabase

  init() throws { database = try TemporaryDatabase(isEmpty: true) }

  private func setting(_ name: String, of connection: Connection) throws -> String {
    try connection.transaction(.readOnly) {
      try $0.query("select current_setting(\(name))")[0].get(0)
    }
  }

  @Test func theServerHoldsTheSessionsLimitsFromTheStart() throws {
    let settings = SessionSettings(
      applicationName: "a test", statementTimeout: .milliseconds(1234), lockTimeout: .seconds(2),
      idleInTransactionTimeout: .seconds(3))
    let connection = try database.connection(settings: settings)
    #expect(try setting("statement_timeout", of: connection) == "1234ms")
    #expect(try setting("lock_timeout", of: connection) == "2s")
    #expect(try setting("idle_in_transaction_session_timeout", of: connection) == "3s")
    #expect(try setting("application_name", of: connection) == "a test")
    #expect(try setting("synchronous_commit", of: connection) == "on")
    #expect(try setting("client_encoding", of: connection) == "UTF8")
    #expect(connection.serverVersion >= 150_000)
    #expect(!connection.isReplica)
  }

  @Test func commitsAreDurableWhateverTheDatabasesDefaultIs() throws {
    let other = try TemporaryDatabase()
    try other.connection().transaction {
      try $0.execute(
        """
        do $$ begin
          execute format('alter database %I set synchronous_commit = off', current_database());
        end $$
        """)
    }
    #expect(try setting("synchronous_commit", of: other.connection()) == "on")
  }

  @Test func aStatementThatTakesTooLongIsStopped() throws {
    let connection = try database.connection(
      settings: SessionSettings(statementTimeout: .milliseconds(100)))
    let error = #expect(throws: PostgresError.self) {
      try connection.transaction { try $0.query("select pg_sleep(30)") }
    }
    #expect(error?.sqlState == "57014")
    #expect(error?.isRetryable == true)
    #expect(try setting("statement_timeout", of: connection) == "100ms")
  }

  @Test func aLockThatIsNotGivenInTimeIsAnError() throws {
    let holder = try database.connection()
    let waiter = try database.connection(settings: SessionSettings(lockTimeout: .milliseconds(100)))
    try holder.transaction { try $0.execute("create table held (id int8)") }
    try holder.transaction { transaction in
      try transaction.execute("lock table held")
      let error = #expect(throws: PostgresError.self) {
        try waiter.transaction { try $0.execute("insert into held values (1)") }
      }
      #expect(error?.sqlState == "55P03")
      #expect(error?.isRetryable == true)
    }
  }

  @Test func aSessionThatIdlesInATransactionIsEnded() throws {
    let connection = try database.connection(
      settings: SessionSettings(idleInTransactionTimeout: .milliseconds(100)))
    let error = #expect(throws: PostgresError.self) {
      try connection.transaction { transaction in
        _ = try transaction.query("select 1")
        Thread.sleep(forTimeInterval: 0.5)
        _ = try transaction.query("select 2")
      }
    }
    #expect(error?.sqlState == "25P03")
    #expect(error?.kind == .connection)
    #expect(error?.isRetryable == true)
    #expect(connection.isClosed)
  }

  @Test func aDeadlockIsRetryable() throws {
    let first = try database.connection()
    let second = try database.connection()
    try first.transaction {
      try $0.execute("create table pair (id int8 primary key, n int8)")
      try $0.execute("insert into pair values (1, 0), (2, 0)")
    }
    nonisolated(unsafe) let other = second
    let firstHasLocked = DispatchSemaphore(value: 0)
    let secondHasLocked = DispatchSemaphore(value: 0)
    let isDone = DispatchSemaphore(value: 0)
    let failures = FailureBox()
    Thread.detachNewThread {
      failures.note {
        try other.transaction { transaction in
          try transaction.execute("update pair set n = 1 where id = 2")
          secondHasLocked.signal()
          firstHasLocked.wait()
          try transaction.execute("update pair set n = 1 where id = 1")
        }
      }
      isDone.signal()
    }
    failures.note {
      try first.transaction { transaction in
        try transaction.execute("update pair set n = 2 where id = 1")
        firstHasLocked.signal()
        secondHasLocked.wait()
        try transaction.execute("update pair set n = 2 where id = 2")
      }
    }
    isDone.wait()
    #expect(failures.all.map(\.sqlState) == ["40P01"])
    #expect(failures.all.map(\.isRetryable) == [true])
  }

  @Test func aRunningStatementCanBeCancelledFromAnotherThread() throws {
    let connection = try database.connection()
    let canceller = connection.canceller()
    Thread.detachNewThread {
      Thread.sleep(forTimeInterval: 0.3)
      canceller.cancel()
    }
    let start = ContinuousClock.now
    let error = #expect(throws: PostgresError.self) {
      try connection.transaction { try $0.query("select pg_sleep(30)") }
    }
    #expect(error?.sqlState == "57014")
    #expect(ContinuousClock.now - start < .seconds(10))
  }

  @Test func anAdvisoryLockKeepsOthersOutUntilItIsGivenBackOrItsSessionEnds() throws {
    let key = AdvisoryKey(namespace: 7, hashOf: "lista-bsc")
    let first = try database.connection()
    let second = try database.connection()
    #expect(try first.tryAdvisoryLock(key))
    #expect(try !second.tryAdvisoryLock(key))
    #expect(try second.tryAdvisoryLock(AdvisoryKey(namespace: 8, hashOf: "lista-bsc")))
    #expect(try second.tryAdvisoryLock(AdvisoryKey(namespace: 7, hashOf: "another")))
    #expect(try first.unlock(key))
    #expect(try second.tryAdvisoryLock(key))
    second.close()
    let end = ContinuousClock.now + .seconds(5)
    var isFree = false
    while !isFree && ContinuousClock.now < end { isFree = try first.tryAdvisoryLock(key) }
    #expect(isFree)
  }

  @Test func givingBackALockThatIsNotHeldIsToldSo() throws {
    #expect(try !database.connection().unlock(AdvisoryKey(namespace: 1, hashOf: "x")))
  }

  @Test func aClosedConnectionSaysSo() throws {
    let connection = try database.connection()
    connection.close()
    #expect(connection.isClosed)
    let error = #expect(throws: PostgresError.self) {
      try connection.transaction { try $0.query("select 1") }
    }
    #expect(error?.kind == .connection)
  }
}

/// Collects errors of several threads.
final class FailureBox: @unchecked Sendable {
  private let lock = NSLock()
  private var errors: [PostgresError] = []

  var all: [PostgresError] { lock.withLock { errors } }

  func note(_ body: () throws -> Void) {
    do {
      try body()
    } catch let error as PostgresError {
      lock.withLock { errors.append(error) }
    } catch {
      Issue.record(error)
    }
  }
}

/// What may be shown about a database's address.
@Suite struct ConnectionInfoTests {
  @Test func showsTheDatabaseAndTheHostAndNothingElse() throws {
    let info = try ConnectionInfo(
      url: "postgresql://alice:s3cr3t-word@db.example:6543/plimsoll?sslmode=require")
    #expect("\(info)" == "database plimsoll on db.example")
    #expect(!String(reflecting: info).contains("s3cr3t"))
    var dumped = ""
    dump(info, to: &dumped)
    #expect(!dumped.contains("s3cr3t"))
    #expect(info.hasPassword)
    #expect(try !ConnectionInfo(url: "postgresql:///plimsoll?host=/run/postgresql").hasPassword)
  }

  @Test(arguments: [
    "postgresql://alice:s3cr3t-word@[bad", "postgresql://alice:s3cr3t-word@host:port:port/x?y",
    "host=x password=s3cr3t-word unknown_key=1", "postgresql://h/d?s3cr3t-word=1", "s3cr3t-word\0",
  ])
  func aMalformedAddressIsNotRepeatedInTheError(text: String) {
    let error = #expect(throws: PostgresError.self) { try ConnectionInfo(url: text) }
    #expect(error?.kind == .connection)
    #expect(error.map { String(reflecting: $0).contains("s3cr3t") } == false)
  }

  @Test func noServerIsAnErrorWithoutThePassword() throws {
    let info = try ConnectionInfo(
      url: "postgresql://alice:s3cr3t-word@127.0.0.1:1/plimsoll?connect_timeout=2")
    let error = #expect(throws: PostgresError.self) { try Connection.open(info) }
    #expect(error?.kind == .connection)
    #expect(error?.isRetryable == true)
    #expect(error.map { String(reflecting: $0).contains("s3cr3t") } == false)
    #expect(error?.message.contains("127.0.0.1") == true)
  }

  @Test func anUnknownDatabaseIsAnErrorThatNamesIt() throws {
    let info = try PrivateCluster.connectionInfo(
      socketDirectory: TestCluster.shared().socketDirectory
    ).database("no_such_database")
    let error = #expect(throws: PostgresError.self) { try Connection.open(info) }
    #expect(error?.kind == .connection)
    #expect(error?.message.contains("no_such_database") == true)
  }
}
