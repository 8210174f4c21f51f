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
    let texts = sqls.map(\.text)
    var names: [String: String] = [:]
    // Preparing needs results of its own: done before the pipeline opens, once per text.
    for (text, sql) in zip(texts, sqls) where names[text] == nil {
      if statements.isWorthPreparing(text) { names[text] = try prepare(text, for: sql) }
    }
    let raw = try live()
    guard PQenterPipelineMode(raw) == 1 else { throw sendFailure(statement: nil) }
    let sent = sendAll(sqls, texts: texts, names: names, on: raw)
    let received = receiveAll(Array(texts.prefix(sent.count)), on: raw)
    guard PQexitPipelineMode(raw) == 1 else {
      defer { close() }
      throw received.failure ?? sendFailure(statement: nil)
    }
    if let failure = received.failure ?? sent.failure { throw failure }
    return received.affected
  }

  /// Sends until a statement cannot be sent; the sync after the last one makes the server answer.
  private func sendAll(
    _ sqls: ArraySlice<SQL>, texts: [String], names: [String: String], on raw: OpaquePointer
  ) -> (count: Int, failure: PostgresError?) {
    var count = 0
    var failure: PostgresError?
    for (text, sql) in zip(texts, sqls) {
      do {
        try send(sql, text: text, name: names[text], on: raw)
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
    _ texts: [String], on raw: OpaquePointer
  ) -> (affected: Int, failure: PostgresError?) {
    var affected = 0
    var failure: PostgresError?
    for text in texts {
      while let next = PQgetResult(raw) {
        let result = QueryResult(next, statement: text)
        switch result.status {
        case PGRES_COMMAND_OK, PGRES_TUPLES_OK, PGRES_EMPTY_QUERY: affected += result.affectedRows
        case PGRES_PIPELINE_ABORTED: break
        default:
          let error = result.error(redactedBy: info)
          statements.noteFailure(of: text, error)
          failure = failure ?? error
        }
      }
      if PQstatus(raw) != CONNECTION_OK { break }
    }
    failure = failure ?? readSync(on: raw)
    return (affected, failure)
  }

  private func readSync(on raw: OpaquePointer) -> PostgresError? {
    guard let next = PQgetResult(raw) else { return sendFailure(statement: nil) }
    let result = QueryResult(next, statement: nil)
    return result.status == PGRES_PIPELINE_SYNC ? nil : result.error(redactedBy: info)
  }
}
