import CLibPQ

/// Many statements in one round trip, by libpq's pipeline mode.
extension Connection {
  /// The most statements sent before their results are read: bounds the memory of both sides.
  static let batchMax = 8192

  func runBatch(_ statements: [SQL]) throws(PostgresError) -> Int {
    var affected = 0
    var start = 0
    while start < statements.count {
      let end = min(start + Self.batchMax, statements.count)
      affected += try runPipeline(statements[start..<end])
      start = end
    }
    return affected
  }

  private func runPipeline(_ sqls: ArraySlice<SQL>) throws(PostgresError) -> Int {
    let keys = sqls.map { StatementCache.Key($0, text: $0.text) }
    // Preparing needs results of its own, so it is done before the pipeline opens.
    for key in keys where statements.name(of: key) == nil && statements.isWorthPreparing(key) {
      _ = try prepare(key)
    }
    let raw = try live()
    guard PQenterPipelineMode(raw) == 1 else { throw sendFailure(statement: nil) }
    let sent = sendAll(sqls, keys, on: raw)
    let received = receiveAll(keys.prefix(sent.count), on: raw)
    guard PQexitPipelineMode(raw) == 1 else {
      defer { close() }
      throw received.failure ?? sendFailure(statement: nil)
    }
    if let failure = received.failure ?? sent.failure { throw failure }
    return received.affected
  }

  /// Sends until a statement cannot be sent; the sync after the last one makes the server answer.
  private func sendAll(
    _ sqls: ArraySlice<SQL>, _ keys: [StatementCache.Key], on raw: OpaquePointer
  ) -> (count: Int, failure: PostgresError?) {
    var count = 0
    var failure: PostgresError?
    for (key, sql) in zip(keys, sqls) {
      do {
        try send(sql, text: key.text, name: statements.name(of: key), on: raw)
        count += 1
      } catch {
        failure = error
        break
      }
    }
    if PQpipelineSync(raw) != 1 { failure = failure ?? sendFailure(statement: nil) }
    return (count, failure)
  }

  private func send(
    _ sql: SQL, text: String, name: String?, on raw: OpaquePointer
  ) throws(PostgresError) {
    let sent = try withBoundValues(of: sql, text: text) { bound in
      if let name {
        PQsendQueryPrepared(raw, name, bound.count, bound.pointers, bound.lengths, bound.formats, 1)
      } else {
        PQsendQueryParams(
          raw, text, bound.count, bound.types, bound.pointers, bound.lengths, bound.formats, 1)
      }
    }
    if sent != 1 { throw sendFailure(statement: text) }
  }

  /// Reads every statement's results and the sync after them; keeps the first error.
  private func receiveAll(
    _ keys: ArraySlice<StatementCache.Key>, on raw: OpaquePointer
  ) -> (affected: Int, failure: PostgresError?) {
    var affected = 0
    var failure: PostgresError?
    for key in keys {
      while let next = PQgetResult(raw) {
        let result = QueryResult(next, statement: key.text)
        switch result.status {
        case PGRES_COMMAND_OK, PGRES_TUPLES_OK, PGRES_EMPTY_QUERY: affected += result.affectedRows
        case PGRES_PIPELINE_ABORTED: break
        default:
          let error = result.error(redactedBy: info)
          statements.noteFailure(of: key, error)
          failure = failure ?? error
        }
      }
      if PQstatus(raw) != CONNECTION_OK { break }
    }
    // Must be read even after an error, or the pipeline cannot be left.
    let syncFailure = readSync(on: raw)
    return (affected, failure ?? syncFailure)
  }

  private func readSync(on raw: OpaquePointer) -> PostgresError? {
    guard let next = PQgetResult(raw) else { return sendFailure(statement: nil) }
    let result = QueryResult(next, statement: nil)
    return result.status == PGRES_PIPELINE_SYNC ? nil : result.error(redactedBy: info)
  }
}
