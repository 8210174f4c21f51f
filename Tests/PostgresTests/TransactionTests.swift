import Postgres
import TestKit
import Testing

private struct Stop: Error, Equatable {}

@Suite struct TransactionTests {
  let database: TemporaryDatabase
  let connection: Connection

  init() throws {
    database = try TemporaryDatabase(isEmpty: true)
    connection = try database.connection()
    try connection.transaction {
      try $0.execute("create table note (id int8 primary key, text text not null)")
    }
  }

  private func count() throws -> Int {
    try connection.transaction(.readOnly) {
      try $0.query("select count(*) from note")[0].get(0, Int.self)
    }
  }

  @Test func keepsItsWorkWhenTheClosureReturns() throws {
    let changed = try connection.transaction {
      try $0.execute("insert into note select g, 'x' from generate_series(1, \(5)) g")
    }
    #expect(changed == 5)
    #expect(try count() == 5)
  }

  @Test func takesItsWorkBackWhenTheClosureThrows() throws {
    #expect(throws: Stop()) {
      try connection.transaction {
        try $0.execute("insert into note values (1, 'x')")
        throw Stop()
      }
    }
    #expect(try count() == 0)
  }

  @Test func givesTheRowsOfStatementsThatGoTogether() throws {
    let rows = try connection.transaction {
      try $0.query(together: [
        "insert into note values (1, 'x') returning id", "select text from note where id = \(1)",
      ])
    }
    #expect(try rows[0][0].get(0, Int.self) == 1)
    #expect(try rows[1][0].get(0, String.self) == "x")
    #expect(try count() == 1)
  }

  @Test func storesStatementsThatGoTogetherAllOrNone() throws {
    let rows = try connection.transaction(together: [
      "insert into note values (1, 'x')", "select count(*) from note",
    ])
    #expect(try rows[1][0].get(0, Int.self) == 1)
    let error = #expect(throws: PostgresError.self) {
      try connection.transaction(together: [
        "insert into note values (2, 'x')", "insert into note values (1, 'clashes')",
      ])
    }
    #expect(error?.sqlState == "23505")
    #expect(error?.statement == "insert into note values (1, 'clashes')")
    #expect(try count() == 1)
  }

  @Test(arguments: [["select 1"], ["select 1", "select 2"]])
  func canReadTogetherButNotWrite(texts: [String]) throws {
    let reading: [SQL] = texts.count == 1 ? ["select 1"] : ["select 1", "select 2"]
    #expect(try connection.transaction(.readOnly, together: reading).count == texts.count)
    let writing: [SQL] = reading + ["insert into note values (1, 'x')"]
    let error = #expect(throws: PostgresError.self) {
      try connection.transaction(.readOnly, together: writing)
    }
    #expect(error?.sqlState == "25006")
    #expect(try count() == 0)
  }

  /// BEGIN travels with the first statement, whatever kind of statement that is.
  @Test func everyKindOfFirstStatementIsInTheTransaction() throws {
    let firsts: [(borrowing Transaction) throws -> Void] = [
      { try $0.execute("insert into note values (1, 'x')") },
      { _ = try $0.query(together: ["insert into note values (1, 'x')", "select 1"]) },
      { try $0.executeBatch(["insert into note values (1, 'x')"]) },
      { try $0.savepoint {} },
      { transaction in
        try transaction.copyIn("note", columns: "id, text") { rows in
          rows.beginRow()
          try rows.append(Int64(1))
          try rows.append("x")
        }
      },
      { try $0.forEachRow("select 1") { _ in } },
    ]
    for first in firsts {
      #expect(throws: Stop()) {
        try connection.transaction { transaction in
          try first(transaction)
          try transaction.execute("insert into note values (2, 'y')")
          throw Stop()
        }
      }
      #expect(try count() == 0)
    }
  }

  @Test func aTransactionThatAsksNothingLeavesTheNextOneAlone() throws {
    try connection.transaction { _ in }
    #expect(throws: Stop()) { try connection.transaction { _ in throw Stop() } }
    try connection.transaction(.readOnly) { _ in }
    try connection.transaction { try $0.execute("insert into note values (1, 'x')") }
    #expect(try count() == 1)
  }

  @Test func takesBackOnlyTheSavepointWhenItThrows() throws {
    try connection.transaction { transaction in
      try transaction.execute("insert into note values (1, 'kept')")
      #expect(throws: PostgresError.self) {
        try transaction.savepoint {
          try transaction.execute("insert into note values (2, 'lost')")
          try transaction.savepoint {
            try transaction.execute("insert into note values (3, 'lost')")
          }
          try transaction.execute("insert into note values (1, 'clashes')")
        }
      }
      try transaction.savepoint { try transaction.execute("insert into note values (4, 'kept')") }
    }
    let ids = try connection.transaction(.readOnly) {
      try $0.query("select id from note order by id").map { try $0.get(0, Int.self) }
    }
    #expect(ids == [1, 4])
  }

  @Test func doesNotCommitWhenAFailedStatementWasOverlooked() throws {
    let error = #expect(throws: PostgresError.self) {
      try connection.transaction { transaction in
        try transaction.execute("insert into note values (1, 'x')")
        _ = try? transaction.execute("select 1 / 0")
      }
    }
    #expect(error?.kind == .transactionAborted)
    #expect(try count() == 0)
  }

  @Test func saysSoWhenAStatementEndsIt() throws {
    let error = #expect(throws: PostgresError.self) {
      try connection.transaction { try $0.execute("rollback") }
    }
    #expect(error?.kind == .transactionAborted)
    #expect(try count() == 0)
  }

  @Test func refusesToWriteWhenItOnlyReads() throws {
    let error = #expect(throws: PostgresError.self) {
      try connection.transaction(.readOnly) { try $0.execute("insert into note values (1, 'x')") }
    }
    #expect(error?.sqlState == "25006")
    #expect(error?.isRetryable == false)
  }

  @Test func seesOneSnapshotWhenItReads() throws {
    let other = try database.connection()
    try connection.transaction(.readOnly) { transaction in
      let before = try transaction.query("select count(*) from note")[0].get(0, Int.self)
      try other.transaction { try $0.execute("insert into note values (9, 'late')") }
      let after = try transaction.query("select count(*) from note")[0].get(0, Int.self)
      #expect(before == 0)
      #expect(after == 0)
    }
    #expect(try count() == 1)
  }

  @Test func reportsWhatADeferredConstraintRefusesAtCommit() throws {
    try connection.transaction {
      try $0.execute(
        "create table child (note int8 references note deferrable initially deferred)")
    }
    let error = #expect(throws: PostgresError.self) {
      try connection.transaction { try $0.execute("insert into child values (42)") }
    }
    #expect(error?.kind == .server)
    #expect(error?.sqlState == "23503")
    #expect(error?.table == "child")
  }

  @Test func anErrorNamesStateConstraintAndStatementButNoValue() throws {
    try connection.transaction { try $0.execute("insert into note values (1, 'x')") }
    let error = #expect(throws: PostgresError.self) {
      try connection.transaction {
        try $0.execute("insert into note values (\(Int64(1)), \("very secret"))")
      }
    }
    #expect(error?.sqlState == "23505")
    #expect(error?.constraint == "note_pkey")
    #expect(error?.table == "note")
    #expect(error?.statement == "insert into note values ($1, $2)")
    #expect(error.map { "\($0)".contains("secret") } == false)
    #expect(error.map { "\($0)".contains("\n") } == false)
  }

  @Test func handsOverManyRowsInOrderAndLetsOtherStatementsRunBetween() throws {
    var expected = 1
    var sum = 0
    try connection.transaction { transaction in
      try transaction.forEachRow("select g::int8 from generate_series(1, \(10_000)) g") { row in
        let value = try row.get(0, Int.self)
        if value % 5000 == 0 {
          sum += try transaction.query("select \(value)")[0].get(0, Int.self)
        }
        #expect(value == expected)
        expected += 1
      }
    }
    #expect(expected == 10_001)
    #expect(sum == 15_000)
  }

  @Test func canGoOnAfterRowsWereLeftHalfRead() throws {
    try connection.transaction { transaction in
      #expect(throws: Stop()) {
        try transaction.forEachRow("select generate_series(1, 100000)") { _ in throw Stop() }
      }
      try transaction.execute("insert into note values (1, 'after')")
    }
    #expect(try count() == 1)
  }

  @Test func usesTheSameStatementManyTimesEvenWhenItsTableChanges() throws {
    for id in 1...20 {
      try connection.transaction {
        try $0.execute("insert into note values (\(Int64(id)), 'x')")
      }
    }
    func columns() throws -> Int {
      try connection.transaction { try $0.query("select * from note limit 1")[0].get(0, Int.self) }
    }
    for _ in 0..<3 { #expect(try columns() == 1) }
    try connection.transaction { try $0.execute("alter table note add column extra int4") }
    // Once the server may say that the prepared form is stale; never twice.
    _ = try? columns()
    #expect(try columns() == 1)
  }

  @Test func manyStatementsGoInOneBatch() throws {
    let inserts: [SQL] = (0..<20_000).map { "insert into note values (\(Int64($0)), \("n\($0)"))" }
    let changed = try connection.transaction { try $0.executeBatch(inserts) }
    #expect(changed == 20_000)
    #expect(try count() == 20_000)
  }

  @Test func aBatchWithABadStatementInTheMiddleStoresNothingAndSaysWhich() throws {
    var statements: [SQL] = (0..<100).map { "insert into note values (\(Int64($0)), 'x')" }
    statements.insert("insert into note values (\(Int64(3)), \("again"))", at: 50)
    let error = #expect(throws: PostgresError.self) {
      try connection.transaction { try $0.executeBatch(statements) }
    }
    #expect(error?.sqlState == "23505")
    #expect(error?.statement == "insert into note values ($1, $2)")
    #expect(try count() == 0)
  }

  @Test func aBatchInsideASavepointCanFailAlone() throws {
    try connection.transaction { transaction in
      #expect(throws: PostgresError.self) {
        try transaction.savepoint {
          try transaction.executeBatch(["insert into note values (1, 'x')", "select 1 / 0"])
        }
      }
      try transaction.executeBatch(["insert into note values (2, 'y')"])
    }
    #expect(try count() == 1)
  }

  @Test func aBatchWithAValueThatCannotBeSentFailsAndTheSessionGoesOn() throws {
    let error = #expect(throws: PostgresError.self) {
      try connection.transaction {
        try $0.executeBatch([
          "insert into note values (1, 'x')", "insert into note values (2, \("nul\0"))",
        ])
      }
    }
    #expect(error?.kind == .encoding)
    #expect(try count() == 0)
  }

  @Test func noticesGoToTheirClosure() throws {
    var notices: [Notice] = []
    connection.onNotice = { notices.append($0) }
    try connection.transaction { try $0.execute("drop table if exists nowhere") }
    #expect(notices.map(\.severity) == ["NOTICE"])
    #expect(notices.first?.message.contains("nowhere") == true)
  }

  @Test func partsOfStatementsKeepTheirValuesInOrder() throws {
    let filter: SQL = "id between \(Int64(2)) and \(Int64(4))"
    let whole: SQL =
      "select \("a"), count(*) from \(identifier: "note") where \(filter) and id > \(Int64(0))"
    #expect(whole.text == "select $1, count(*) from note where id between $2 and $3 and id > $4")
    try connection.transaction {
      try $0.execute("insert into note select g, '' from generate_series(1, 9) g")
      #expect(try $0.query(whole)[0].get(1, Int.self) == 3)
      #expect(try $0.query("select 1" + " where \(false)").isEmpty)
    }
  }
}
