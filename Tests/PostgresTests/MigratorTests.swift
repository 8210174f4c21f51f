import Foundation
import Postgres
import Schema
import TestKit
import Testing

@Suite struct MigratorTests {
  let database: TemporaryDatabase
  let connection: Connection

  init() throws {
    database = try TemporaryDatabase(isEmpty: true)
    connection = try database.connection()
  }

  private static let steps = [
    Migration(
      version: 1, name: "first", sql: "create table a (id int8); insert into a values (1);"),
    Migration(version: 2, name: "second", sql: "create table b (id int8);\n-- and no more"),
    Migration(version: 3, name: "third", sql: "insert into a values (2)"),
  ]

  private func rows() throws -> Int {
    try connection.transaction { try $0.query("select count(*) from a")[0].get(0, Int.self) }
  }

  @Test func appliesEachMigrationOnceAndInOrder() throws {
    var heard: [String] = []
    let ran = try Migrator.apply(Self.steps, on: connection) { heard.append($0.name) }
    #expect(ran == Self.steps)
    #expect(heard == ["first", "second", "third"])
    #expect(try Migrator.currentVersion(on: connection) == 3)
    #expect(try Migrator.apply(Self.steps, on: connection).isEmpty)
    #expect(try rows() == 2)
  }

  @Test func thePlanShowsWhatIsMissingAndChangesNothing() throws {
    #expect(try Migrator.plan(Self.steps, on: connection) == Self.steps)
    let tables = try connection.transaction {
      try $0.query("select count(*) from pg_tables where schemaname = current_schema()")[0].get(
        0, Int.self)
    }
    #expect(tables == 0)
    try Migrator.apply(Array(Self.steps.prefix(2)), on: connection)
    #expect(try Migrator.plan(Self.steps, on: connection).map(\.version) == [3])
  }

  @Test func whoMadeTheRolesAfterwardsNeedsToGrantNothingAfterAnUpgrade() throws {
    let bare = try TemporaryDatabase.bare()
    let connection = try bare.connection()
    try Migrator.apply(Array(Schema.migrations.prefix(10)), on: connection)
    // As where an administrator made them later: what is new is granted to nobody by itself.
    try connection.transaction { tx in
      _ = try tx.execute(
        """
        alter default privileges in schema public
          revoke all on tables from plimsoll_writer, plimsoll_reader
        """)
    }
    try Migrator.apply(Schema.migrations, on: connection)
    let refused = try connection.transaction { tx in
      try tx.query(
        """
        select c.relname::text from pg_class c
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'v')
          and not (has_table_privilege('plimsoll_reader', c.oid, 'select')
            and has_table_privilege('plimsoll_writer', c.oid, 'select')
            and has_table_privilege('plimsoll_writer', c.oid, 'insert')
            and has_table_privilege('plimsoll_writer', c.oid, 'update')
            and has_table_privilege('plimsoll_writer', c.oid, 'delete'))
        """
      ).map { try $0.get(0, String.self) }
    }
    #expect(refused == [])
  }

  @Test func aFailingMigrationLeavesNothingAndTheEarlierOnesStay() throws {
    var steps = Self.steps
    steps[1] = Migration(version: 2, name: "second", sql: "create table b (id int8); select 1/0")
    let error = #expect(throws: PostgresError.self) {
      try Migrator.apply(steps, on: connection)
    }
    #expect(error?.sqlState == "22012")
    #expect(error?.message.contains("Migration 2 second") == true)
    #expect(try Migrator.currentVersion(on: connection) == 1)
    #expect(try Migrator.apply(Self.steps, on: connection).map(\.version) == [2, 3])
  }

  @Test func anEditedMigrationIsAnErrorForPlanAndApply() throws {
    try Migrator.apply(Self.steps, on: connection)
    var edited = Self.steps
    edited[1] = Migration(version: 2, name: "second", sql: "create table other (id int8)")
    let planning = #expect(throws: PostgresError.self) {
      try Migrator.plan(edited, on: connection)
    }
    #expect(planning?.kind == .schema)
    let applying = #expect(throws: PostgresError.self) {
      try Migrator.apply(edited, on: connection)
    }
    #expect(applying?.kind == .schema)
    var renamed = Self.steps
    renamed[0] = Migration(version: 1, name: "other", sql: Self.steps[0].sql)
    #expect(throws: PostgresError.self) { try Migrator.plan(renamed, on: connection) }
  }

  @Test(arguments: ["commit; begin", "create table x (id int8); commit", "rollback; begin"])
  func aMigrationThatEndsItsTransactionIsRefused(sql: String) throws {
    let error = #expect(throws: PostgresError.self) {
      try Migrator.apply([Migration(version: 1, name: "bad", sql: sql)], on: connection)
    }
    #expect(error?.kind == .schema)
  }

  @Test func tellsHowTheSchemaStandsToTheProgram() throws {
    #expect(try Migrator.check(expected: 2, on: connection) == .none)
    try Migrator.apply(Self.steps, on: connection)
    #expect(try Migrator.check(expected: 4, on: connection) == .older(version: 3))
    #expect(try Migrator.check(expected: 3, on: connection) == .equal)
    #expect(try Migrator.check(expected: 2, on: connection) == .newerByOne)
    #expect(try Migrator.check(expected: 1, on: connection) == .tooNew(version: 3))
    let accepted = try (1...4).map { try Migrator.check(expected: $0, on: connection).isAccepted }
    #expect(accepted == [false, true, true, false])
  }

  @Test func manyAtOnceApplyEachMigrationOnce() throws {
    let slow = Self.steps + [Migration(version: 4, name: "slow", sql: "select pg_sleep(0.2)")]
    let ran = Counter()
    DispatchQueue.concurrentPerform(iterations: 4) { [database] _ in
      do {
        let mine = try Migrator.apply(slow, on: database.connection())
        ran.add(mine.count)
      } catch {
        Issue.record(error)
      }
    }
    #expect(ran.value == 4)
    #expect(try rows() == 2)
  }

  @Test func aDatabaseWithAGapInItsHistoryIsAnError() throws {
    try Migrator.apply(Self.steps, on: connection)
    try connection.transaction { try $0.execute("delete from schema_version where version = 2") }
    let error = #expect(throws: PostgresError.self) {
      try Migrator.plan(Self.steps, on: connection)
    }
    #expect(error?.kind == .schema)
  }
}

private final class Counter: @unchecked Sendable {
  private let lock = NSLock()
  private var count = 0

  var value: Int { lock.withLock { count } }

  func add(_ amount: Int) { lock.withLock { count += amount } }
}

@Suite struct SchemaTests {
  @Test func listsExactlyTheFilesOfTheDirectory() throws {
    let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().appending(path: "sql/migrations")
    let files = try FileManager.default.contentsOfDirectory(atPath: root.path()).sorted()
    #expect(Schema.migrations.map(Schema.fileName) == files)
    for migration in Schema.migrations {
      let text = try String(
        contentsOf: root.appending(path: Schema.fileName(of: migration)), encoding: .utf8)
      #expect(migration.sql == text)
    }
  }

  @Test func aTemporaryDatabaseHasTheWholeSchema() throws {
    let connection = try TemporaryDatabase().connection()
    let expected = Schema.migrations.count
    #expect(try Migrator.check(expected: expected, on: connection) == .equal)
    #expect(try Migrator.plan(Schema.migrations, on: connection).isEmpty)
  }

  @Test func temporaryDatabasesShareNothing() throws {
    let first = try TemporaryDatabase()
    let second = try TemporaryDatabase()
    try first.connection().transaction { try $0.execute("create table only_here (id int8)") }
    let found = try second.connection().transaction {
      try $0.query("select to_regclass('only_here') is not null")[0].get(0, Bool.self)
    }
    #expect(!found)
  }
}
