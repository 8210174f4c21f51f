import CLibPQ

/// What a transaction sees of other transactions.
public enum TransactionMode: Sendable {
  /// READ COMMITTED: each statement sees what was committed before it. For short writes.
  case readWrite
  /// REPEATABLE READ: one snapshot for what is read; writes that clash with others fail (40001).
  case repeatableRead
  /// REPEATABLE READ, READ ONLY: one snapshot, and no write can slip in. For reports.
  case readOnly

  fileprivate var begin: SQL {
    switch self {
    case .readWrite: "begin isolation level read committed read write"
    case .repeatableRead: "begin isolation level repeatable read read write"
    case .readOnly: "begin isolation level repeatable read read only"
    }
  }
}

/// A transaction that is open now.
///
/// It cannot be copied, and a closure only borrows it, so no statement can run after the
/// transaction's end.
public struct Transaction: ~Copyable {
  let connection: Connection

  /// Never inlined: with the copy of `connection` optimised away, the compiler of Swift 6.3.1
  /// cannot specialise the callers, and a release build ends in an assertion of it.
  @inline(never)
  fileprivate init(on connection: Connection) { self.connection = connection }

  /// Runs a statement and gives its rows, all in memory.
  public func query(_ sql: SQL) throws(PostgresError) -> Rows {
    Rows(try connection.run(sql))
  }

  /// Runs a few statements in one round trip and gives the rows of each.
  ///
  /// The first failing statement's error is thrown, and the transaction can only roll back.
  public func query(together statements: [SQL]) throws(PostgresError) -> [Rows] {
    try connection.runTogether(statements).map(Rows.init)
  }

  /// Runs a statement and gives the number of rows it changed.
  @discardableResult
  public func execute(_ sql: SQL) throws(PostgresError) -> Int {
    try connection.run(sql).affectedRows
  }

  /// Runs many statements in one round trip and gives the rows changed in all.
  ///
  /// The first failing statement's error is thrown; those before it have run, those after it
  /// have not, and the transaction can only roll back.
  @discardableResult
  public func executeBatch(_ statements: [SQL]) throws(PostgresError) -> Int {
    try connection.runBatch(statements)
  }

  /// Hands over the rows of a query one by one, fetching a few thousand at a time, so that memory
  /// stays constant. The query must be a plain SELECT or VALUES. Other statements may run inside
  /// `body`; when it throws, the transaction stays usable.
  public func forEachRow(
    _ sql: SQL, _ body: (borrowing Row) throws -> Void
  ) throws {
    try connection.runCursor(sql, body)
  }

  /// Copies rows into a table, in binary form, and gives their number.
  ///
  /// `columns` are names with commas between; each row must give as many values, in their order
  /// and of exactly their types. Nothing is stored when `body` throws; the transaction can then
  /// only roll back. Throws what `body` throws, and the server's error for a row it refuses.
  @discardableResult
  public func copyIn(
    _ table: StaticString, columns: StaticString,
    _ body: (inout CopyWriter) throws -> Void
  ) throws -> Int {
    try connection.sendBegin()
    return try connection.copyIn(table, columns: columns, body)
  }

  /// Runs `body` and takes back only what it did when it throws; the error goes on.
  @discardableResult
  public func savepoint<Result>(_ body: () throws -> Result) throws -> Result {
    try connection.withSavepoint(body)
  }

  /// Waits for a lock that ends with the transaction, for at most the session's lock timeout.
  public func lock(_ key: AdvisoryKey) throws(PostgresError) {
    try execute("select pg_advisory_xact_lock(\(key.namespace), \(key.hash))")
  }
}

// MARK: - Begin, commit, roll back

extension Connection {
  /// Runs `body` in a transaction: commits when it returns, rolls back when it throws.
  ///
  /// BEGIN travels with the first statement, so a transaction without one asks the server nothing.
  ///
  /// Throws what `body` throws. Of its own it throws kind `commitUnknown` when the connection is
  /// lost during COMMIT, `transactionAborted` when `body` dropped a failed statement's error (then
  /// nothing is stored), and the server's error when it refuses to commit.
  @discardableResult
  public func transaction<Result>(
    _ mode: TransactionMode = .readWrite, _ body: (borrowing Transaction) throws -> Result
  ) throws -> Result {
    precondition(!isInTransaction, "A transaction is open already; use a savepoint inside it.")
    begin(mode)
    defer { isInTransaction = false }
    let transaction = Transaction(on: self)
    let result: Result
    do {
      result = try body(transaction)
    } catch {
      rollBack()
      throw error
    }
    try commit(mode)
    return result
  }

  /// Runs a transaction whose statements are known before, in one round trip, and gives the rows
  /// of each.
  ///
  /// It stores all of them or none: the first error is thrown. A single statement that only reads
  /// is a transaction by itself. Throws kind `commitUnknown` when the connection is lost and the
  /// server may have come as far as COMMIT.
  @discardableResult
  public func transaction(
    _ mode: TransactionMode = .readWrite, together statements: [SQL]
  ) throws(PostgresError) -> [Rows] {
    precondition(!isInTransaction, "A transaction is open already; its statements belong into it.")
    if mode == .readOnly, statements.count == 1 { return [Rows(try run(statements[0]))] }
    try noticeLoss(live())
    begin(mode)
    defer { isInTransaction = false }
    let results: [QueryResult]
    do {
      results = try runTogether(statements + ["commit"])
    } catch {
      rollBack()
      throw mode == .readOnly ? error : error.asUnknownUnlessAnswered
    }
    try checkCommitted(results[statements.count])
    return results.dropLast().map(Rows.init)
  }

  private func begin(_ mode: TransactionMode) {
    unsentBegin = mode.begin
    isInTransaction = true
  }

  /// Sends BEGIN by itself, before what cannot travel with it.
  func sendBegin() throws(PostgresError) {
    if unsentBegin != nil { _ = try runTogether([]) }
  }

  private func commit(_ mode: TransactionMode) throws(PostgresError) {
    if unsentBegin != nil { return unsentBegin = nil }
    let raw = try live()
    try noticeLoss(raw)
    guard PQtransactionStatus(raw) == PQTRANS_INTRANS else {
      rollBack()
      throw PostgresError(
        .transactionAborted,
        "A statement of the transaction failed or ended it; nothing more was committed.")
    }
    let result: QueryResult
    do {
      result = try control("commit")
    } catch {
      throw mode == .readOnly || error.kind != .connection ? error : error.asUnknownCommit
    }
    try checkCommitted(result)
  }

  private func checkCommitted(_ result: QueryResult) throws(PostgresError) {
    guard result.commandTag == "COMMIT" else {
      throw PostgresError(.transactionAborted, "The server rolled back instead of committing.")
    }
  }

  /// Reads what the server may have sent unasked, so that a session ended before COMMIT is known
  /// as such instead of as an unknown commit.
  private func noticeLoss(_ raw: OpaquePointer) throws(PostgresError) {
    // Once for the server's last words, once for the end behind them.
    for _ in 0..<2 {
      guard PQconsumeInput(raw) == 1, PQstatus(raw) == CONNECTION_OK else {
        throw sendFailure(statement: "commit")
      }
    }
  }

  /// Gives up what the transaction did. When that fails the session is closed, which does the same.
  private func rollBack() {
    unsentBegin = nil
    guard !isClosed, PQtransactionStatus(try? live()) != PQTRANS_IDLE else { return }
    do {
      _ = try control("rollback")
    } catch {
      close()
    }
  }

  func withSavepoint<Result>(_ body: () throws -> Result) throws -> Result {
    savepointDepth += 1
    defer { savepointDepth -= 1 }
    let name = "plimsoll_\(savepointDepth)"
    try runScript("savepoint \(name)")
    let result: Result
    do {
      result = try body()
    } catch {
      if !isClosed { try? runScript("rollback to savepoint \(name); release savepoint \(name)") }
      throw error
    }
    try runScript("release savepoint \(name)")
    return result
  }
}

extension PostgresError {
  /// For a COMMIT that was sent along with other statements: only a server that says at which of
  /// them it ended the session has certainly not come as far.
  fileprivate var asUnknownUnlessAnswered: PostgresError {
    let endedBefore = sqlState != nil && statement != "commit"
    return kind != .connection || endedBefore ? self : asUnknownCommit
  }

  fileprivate var asUnknownCommit: PostgresError {
    PostgresError(
      .commitUnknown, "The connection was lost during COMMIT: \(message)", statement: statement,
      report: report)
  }
}
