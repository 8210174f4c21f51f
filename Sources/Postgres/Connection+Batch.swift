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
      try runPipeline(statements[start..<end]) { affected += $0.affectedRows }
      start = end
    }
    return affected
  }

  /// The results of a few statements, in one round trip.
  func runTogether(_ statements: [SQL]) throws(PostgresError) -> [QueryResult] {
    precondition(statements.count <= Self.batchMax, "Results are kept, so these must be few.")
    var results: [QueryResult] = []
    try runPipeline(statements[...]) { results.append($0) }
    guard results.count == statements.count else {
      throw PostgresError(.protocolViolation, "The server left a statement without a result.")
    }
    return results
  }

  /// Sends the statements, hands over their results one by one, and throws the first error.
  private func runPipeline(
    _ sqls: ArraySlice<SQL>, _ receive: (QueryResult) -> Void
  ) throws(PostgresError) {
    let keys = sqls.map { StatementCache.Key($0, text: $0.text) }
    // Preparing needs results of its own, so it is done before the pipeline opens.
    for key in keys where statements.name(of: key) == nil && statements.isWorthPreparing(key) {
      _ = try prepare(key)
    }
    let raw = try live()
    guard PQenterPipelineMode(raw) == 1 else { throw sendFailure(statement: nil) }
    let sent = sendAll(sqls, keys, on: raw)
    let failure = receiveAll(sent.hasBegun, keys.prefix(sent.count), on: raw, receive)
    guard PQexitPipelineMode(raw) == 1 else {
      defer { close() }
      throw failure ?? sendFailure(statement: nil)
    }
    if let failure = failure ?? sent.failure { throw failure }
  }

  /// Sends until a statement cannot be sent; the sync after the last one makes the server answer.
  private func sendAll(
    _ sqls: ArraySlice<SQL>, _ keys: [StatementCache.Key], on raw: OpaquePointer
  ) -> (hasBegun: Bool, count: Int, failure: PostgresError?) {
    var sent = (hasBegun: false, count: 0, failure: PostgresError?.none)
    do {
      if let begin = unsentBegin {
        unsentBegin = nil
        try send(begin, text: begin.text, name: nil, on: raw)
        sent.hasBegun = true
      }
      for (key, sql) in zip(keys, sqls) {
        try send(sql, text: key.text, name: statements.name(of: key), on: raw)
        sent.count += 1
      }
    } catch {
      sent.failure = error
    }
    if PQpipelineSync(raw) != 1 { sent.failure = sent.failure ?? sendFailure(statement: nil) }
    return sent
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

  /// Reads every statement's results and the sync after them; gives the first error.
  private func receiveAll(
    _ hasBegun: Bool, _ keys: ArraySlice<StatementCache.Key>, on raw: OpaquePointer,
    _ receive: (QueryResult) -> Void
  ) -> PostgresError? {
    var failure: PostgresError?
    if hasBegun { failure = receiveOne("begin", on: raw) { _ in } }
    for key in keys {
      if PQstatus(raw) != CONNECTION_OK { break }
      if let error = receiveOne(key.text, on: raw, receive) {
        statements.noteFailure(of: key, error)
        failure = failure ?? error
      }
    }
    // Must be read even after an error, or the pipeline cannot be left.
    let syncFailure = readSync(on: raw)
    return failure ?? syncFailure
  }

  /// Reads the results of one statement; gives its error.
  private func receiveOne(
    _ text: String, on raw: OpaquePointer, _ receive: (QueryResult) -> Void
  ) -> PostgresError? {
    var failure: PostgresError?
    while let next = PQgetResult(raw) {
      let result = QueryResult(next, statement: text)
      switch result.status {
      case PGRES_COMMAND_OK, PGRES_TUPLES_OK, PGRES_EMPTY_QUERY: receive(result)
      case PGRES_PIPELINE_ABORTED: break
      default: failure = failure ?? result.error(redactedBy: info)
      }
    }
    return failure
  }

  private func readSync(on raw: OpaquePointer) -> PostgresError? {
    guard let next = PQgetResult(raw) else { return sendFailure(statement: nil) }
    let result = QueryResult(next, statement: nil)
    return result.status == PGRES_PIPELINE_SYNC ? nil : result.error(redactedBy: info)
  }
}
