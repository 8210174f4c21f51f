import Ethereum

/// One step of the schema's history. Never edited once released.
public struct Migration: Sendable, Hashable {
  /// Counted from 1 without gaps.
  public let version: Int
  public let name: String
  /// Statements without `begin` and `commit`.
  public let sql: String

  public init(version: Int, name: String, sql: String) {
    self.version = version
    self.name = name
    self.sql = sql
  }

  /// Keccak-256 of the SQL text, kept in the database to notice an edit.
  public var checksum: Bytes32 { keccak256(Array(sql.utf8)) }
}

/// How a database's schema stands to the one this program was built with.
public enum SchemaState: Sendable, Equatable {
  /// No migration was ever applied.
  case none
  /// Migrations are missing; the database is at `version`.
  case older(version: Int)
  case equal
  /// One migration ahead: accepted, so that an upgrade never fails the jobs of the old program.
  case newerByOne
  /// More than one migration ahead: this program is too old.
  case tooNew(version: Int)

  /// Whether this program can work with the database.
  public var isAccepted: Bool { self == .equal || self == .newerByOne }
}

/// Brings a database's schema to the program's, one transaction per migration.
///
/// What was applied stands in the table `schema_version`. Two migrators at once are safe: each
/// migration first takes a lock, and the second then finds it applied.
public enum Migrator {
  /// The longest that a migration's single statement may take.
  private static let statementTimeout = Duration.seconds(3600)
  private static let key = AdvisoryKey(namespace: 0x504c_4d53, hashOf: "schema_version")

  /// The migrations that `apply` would run, in order. Changes nothing.
  ///
  /// Throws kind `schema` when an applied migration was edited, renamed or skipped since.
  public static func plan(
    _ migrations: [Migration], on connection: Connection
  ) throws -> [Migration] {
    checkNumbering(of: migrations)
    return try connection.transaction(.readOnly) { transaction in
      let applied = try appliedMigrations(in: transaction)
      try checkDrift(of: applied, from: migrations)
      return migrations.filter { $0.version > applied.count }
    }
  }

  /// Runs the missing migrations and gives those that this call ran. `onApplied` hears of each
  /// after its commit. On an error all earlier ones are kept, and calling again goes on.
  @discardableResult
  public static func apply(
    _ migrations: [Migration], on connection: Connection,
    onApplied: (Migration) -> Void = { _ in }
  ) throws -> [Migration] {
    var ran: [Migration] = []
    for migration in try plan(migrations, on: connection) {
      if try applyOne(migration, of: migrations, on: connection) {
        ran.append(migration)
        onApplied(migration)
      }
    }
    return ran
  }

  /// The number of the last applied migration; 0 for an empty database.
  public static func currentVersion(on connection: Connection) throws -> Int {
    try connection.transaction(.readOnly) { transaction in
      try appliedMigrations(in: transaction).count
    }
  }

  /// How the database stands to a program that knows `expected` migrations.
  public static func check(expected: Int, on connection: Connection) throws -> SchemaState {
    state(at: try currentVersion(on: connection), expected: expected)
  }

  /// One row for each applied migration; fails with 42P01 when there never was one.
  public static let versionQuestion: SQL = "select version from schema_version"

  /// How a database at `version` stands to a program that knows `expected` migrations.
  public static func state(at version: Int, expected: Int) -> SchemaState {
    switch version - expected {
    case _ where version == 0 && expected > 0: return .none
    case ..<0: return .older(version: version)
    case 0: return .equal
    case 1: return .newerByOne
    default: return .tooNew(version: version)
    }
  }

  // MARK: - One migration

  /// False when another migrator has applied it meanwhile.
  private static func applyOne(
    _ migration: Migration, of migrations: [Migration], on connection: Connection
  ) throws -> Bool {
    try connection.transaction { transaction in
      try beginMigrating(transaction)
      let applied = try appliedMigrations(in: transaction)
      try checkDrift(of: applied, from: migrations)
      if applied.count >= migration.version { return false }
      try transaction.execute(
        """
        insert into schema_version (version, name, checksum)
        values (\(Int32(migration.version)), \(migration.name), \(migration.checksum))
        """)
      try run(migration, in: transaction)
      return true
    }
  }

  /// Waits for another migrator for as long as one may take, then limits only the waiting for
  /// tables that others use.
  private static func beginMigrating(_ transaction: borrowing Transaction) throws {
    let limit = "\(statementTimeout.milliseconds)"
    let before = try transaction.query(
      """
      select current_setting('lock_timeout'), set_config('statement_timeout', \(limit), true),
        set_config('lock_timeout', \(limit), true)
      """)
    try transaction.lock(key)
    try transaction.execute(
      "select set_config('lock_timeout', \(before[0].get(0, String.self)), true)")
    try transaction.execute(
      """
      create table if not exists schema_version (
        version int primary key check (version > 0),
        name text not null,
        checksum bytea not null check (octet_length(checksum) = 32),
        applied_at timestamptz not null default clock_timestamp()
      )
      """)
  }

  /// Runs the text, then makes sure that it did not end the transaction, which would leave it
  /// half applied when something fails later.
  private static func run(
    _ migration: Migration, in transaction: borrowing Transaction
  ) throws {
    let before = try transactionID(in: transaction)
    do {
      try transaction.connection.runScript(migration.sql)
    } catch {
      throw PostgresError(
        error.kind, "Migration \(migration.version) \(migration.name): \(error.message)",
        report: error.report)
    }
    guard transaction.connection.isTransactionHealthy,
      try transactionID(in: transaction) == before
    else {
      throw PostgresError(
        .schema, "Migration \(migration.version) \(migration.name) ends its own transaction.")
    }
  }

  private static func transactionID(in transaction: borrowing Transaction) throws -> String {
    try transaction.query("select pg_current_xact_id()::text")[0].get(0)
  }

  // MARK: - What was applied

  private struct Applied {
    let version: Int
    let name: String
    let checksum: Bytes32
  }

  private static func appliedMigrations(
    in transaction: borrowing Transaction
  ) throws -> [Applied] {
    let exists = try transaction.query("select to_regclass('schema_version') is not null")
    guard try exists[0].get(0, Bool.self) else { return [] }
    return try transaction.query(
      "select version, name, checksum from schema_version order by version"
    ).map { row in
      Applied(version: try row.get(0), name: try row.get(1), checksum: try row.get(2))
    }
  }

  private static func checkDrift(of applied: [Applied], from known: [Migration]) throws {
    for (index, row) in applied.enumerated() {
      guard row.version == index + 1 else {
        throw PostgresError(
          .schema, "The database has migration \(row.version) but not \(index + 1).")
      }
      guard index < known.count else { return }
      guard row.checksum == known[index].checksum, row.name == known[index].name else {
        throw PostgresError(
          .schema,
          "Migration \(row.version) was applied as \(row.name) with another text than "
            + "\(known[index].name) has now.")
      }
    }
  }

  private static func checkNumbering(of migrations: [Migration]) {
    precondition(
      migrations.map(\.version) == Array(1..<(migrations.count + 1)),
      "Migrations are numbered from 1 without gaps.")
  }
}
