import Postgres
import TestKit
import Testing

@Suite struct ConnectionLossTests {
  let database: TemporaryDatabase
  let observer: Connection

  init() throws {
    database = try TemporaryDatabase(isEmpty: true)
    observer = try database.connection()
    try observer.transaction { try $0.execute("create table mark (id int8)") }
  }

  private func marks() throws -> Int {
    try observer.transaction { try $0.query("select count(*) from mark")[0].get(0, Int.self) }
  }

  private func processID(in transaction: borrowing Transaction) throws -> Int32 {
    try transaction.query("select pg_backend_pid()")[0].get(0)
  }

  private func terminate(_ process: Int32) throws {
    try observer.transaction { try $0.execute("select pg_terminate_backend(\(process), 5000)") }
  }

  @Test func aSessionKilledInATransactionIsARetryableErrorAndStoresNothing() throws {
    let connection = try database.connection()
    let error = #expect(throws: PostgresError.self) {
      try connection.transaction { transaction in
        try transaction.execute("insert into mark values (1)")
        try terminate(processID(in: transaction))
        try transaction.execute("insert into mark values (2)")
      }
    }
    #expect(error?.kind == .connection)
    #expect(error?.sqlState == "57P01")
    #expect(error?.isRetryable == true)
    #expect(error?.isConnectionLost == true)
    #expect(connection.isClosed)
    #expect(try marks() == 0)
  }

  @Test func aSessionKilledBeforeCommitIsKnownNotToHaveCommitted() throws {
    let connection = try database.connection()
    let error = #expect(throws: PostgresError.self) {
      try connection.transaction { transaction in
        try transaction.execute("insert into mark values (1)")
        try terminate(processID(in: transaction))
      }
    }
    #expect(error?.kind == .connection)
    #expect(try marks() == 0)
  }

  @Test func aSessionKilledWhileItCopiesIsARetryableError() throws {
    let connection = try database.connection()
    let error = #expect(throws: PostgresError.self) {
      try connection.transaction { transaction in
        let process = try processID(in: transaction)
        try transaction.copyIn("mark", columns: "id") { rows in
          for id in 0..<2_000_000 {
            if id == 100_000 { try terminate(process) }
            rows.beginRow()
            try rows.append(id)
          }
        }
      }
    }
    #expect(error?.isRetryable == true)
    #expect(try marks() == 0)
  }

  @Test(arguments: [(DatabaseProxy.Point.committed(1), 1), (.commitAsked, 0)])
  func aConnectionCutDuringCommitLeavesItUnknown(cut: DatabaseProxy.Point, stored: Int) throws {
    let proxy = try DatabaseProxy()
    defer { proxy.stop() }
    proxy.at(cut)
    let info = database.info.host(proxy.directory)
    let connection = try Connection.open(info)
    let error = #expect(throws: PostgresError.self) {
      try connection.transaction { try $0.execute("insert into mark values (1)") }
    }
    #expect(error?.kind == .commitUnknown)
    #expect(error?.isRetryable == false)
    #expect(error?.isConnectionLost == true)
    #expect(connection.isClosed)
    #expect(try marks() == stored)
  }

  @Test(arguments: [(DatabaseProxy.Point.committed(1), 1), (.commitAsked, 0)])
  func aCommitSentTogetherWithItsStatementsIsUnknownAsWell(
    cut: DatabaseProxy.Point, stored: Int
  ) throws {
    let proxy = try DatabaseProxy()
    defer { proxy.stop() }
    proxy.at(cut)
    let connection = try Connection.open(database.info.host(proxy.directory))
    let error = #expect(throws: PostgresError.self) {
      try connection.transaction(together: ["insert into mark values (1)"])
    }
    #expect(error?.kind == .commitUnknown)
    #expect(connection.isClosed)
    #expect(try marks() == stored)
  }

  @Test func aSessionEndedByTheServerBeforeACommitSentTogetherHasStoredNothing() throws {
    let connection = try database.connection()
    let error = #expect(throws: PostgresError.self) {
      try connection.transaction(together: [
        "insert into mark values (1)", "select pg_terminate_backend(pg_backend_pid())",
        "select pg_sleep(5)",
      ])
    }
    #expect(error?.kind == .connection)
    #expect(error?.sqlState == "57P01")
    #expect(try marks() == 0)
    let dead = #expect(throws: PostgresError.self) {
      try connection.transaction(together: ["insert into mark values (1)"])
    }
    #expect(dead?.kind == .connection)
  }

  @Test func aReaderCutDuringCommitHasLostNothingAndMayTryAgain() throws {
    let proxy = try DatabaseProxy()
    defer { proxy.stop() }
    proxy.at(.commitAsked)
    let info = database.info.host(proxy.directory)
    let connection = try Connection.open(info)
    let error = #expect(throws: PostgresError.self) {
      try connection.transaction(.readOnly) { try $0.query("select 1").count }
    }
    #expect(error?.kind == .connection)
    #expect(error?.isRetryable == true)
  }
}
