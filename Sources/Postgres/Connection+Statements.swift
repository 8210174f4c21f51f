import CLibPQ

/// Running statements: values out in binary form, results back in binary form.
extension Connection {
  /// The most values a statement can carry: the protocol counts them in two bytes.
  static let valuesMax = 65_535

  /// Runs one statement and waits for its result.
  func run(_ sql: SQL) throws(PostgresError) -> QueryResult {
    if unsentBegin != nil { return try runTogether([sql])[0] }
    let text = sql.text
    let raw = try live()
    let key = StatementCache.Key(sql, text: text)
    let prepared = try statements.isWorthPreparing(key) ? prepare(key) : nil
    let sent = try withBoundValues(of: sql, text: text) { bound in
      if let prepared {
        PQsendQueryPrepared(
          raw, prepared, bound.count, bound.pointers, bound.lengths, bound.formats, 1)
      } else {
        PQsendQueryParams(
          raw, text, bound.count, bound.types, bound.pointers, bound.lengths, bound.formats, 1)
      }
    }
    guard sent == 1 else { throw sendFailure(statement: text) }
    do {
      return try collect(statement: text)
    } catch {
      statements.noteFailure(of: key, error)
      throw error
    }
  }

  /// Runs a statement that says nothing of its own, such as COMMIT: not worth preparing.
  func control(_ text: StaticString) throws(PostgresError) -> QueryResult {
    let text = text.description
    guard PQsendQueryParams(try live(), text, 0, nil, nil, nil, nil, 1) == 1 else {
      throw sendFailure(statement: text)
    }
    return try collect(statement: text)
  }

  /// Runs text of several statements without values, as one batch. For migrations and savepoints.
  func runScript(_ text: String) throws(PostgresError) {
    try sendBegin()
    let raw = try live()
    guard !text.utf8.contains(0) else {
      throw PostgresError(.encoding, "A script with a NUL cannot be sent.")
    }
    guard PQsendQuery(raw, text) == 1 else { throw sendFailure(statement: nil) }
    _ = try collect(statement: nil)
  }

  /// The server's name of the statement, which it parses now if it has not before.
  func prepare(_ key: StatementCache.Key) throws(PostgresError) -> String {
    let raw = try live()
    if let name = statements.name(of: key) { return name }
    let name = statements.newName()
    let types = key.types
    guard PQsendPrepare(raw, name, key.text, Int32(types.count), types) == 1 else {
      throw sendFailure(statement: key.text)
    }
    _ = try collect(statement: key.text)
    statements.note(name, for: key)
    return name
  }

  /// Reads results until the statement is over; throws the first error, gives the last result.
  func collect(statement: String?) throws(PostgresError) -> QueryResult {
    let raw = try live()
    var last: QueryResult?
    var failure: PostgresError?
    while let next = PQgetResult(raw) {
      let result = QueryResult(next, statement: statement)
      switch result.status {
      case PGRES_COMMAND_OK, PGRES_TUPLES_OK, PGRES_EMPTY_QUERY: last = result
      case PGRES_COPY_IN, PGRES_COPY_OUT, PGRES_COPY_BOTH:
        return result
      default: failure = failure ?? result.error(redactedBy: info)
      }
    }
    if let failure { throw failure }
    guard let last else { throw sendFailure(statement: statement) }
    return last
  }

  /// The error for a statement that could not even be sent.
  func sendFailure(statement: String?) -> PostgresError {
    guard let raw = try? copying() else {
      return PostgresError(.connection, "The connection is closed.", statement: statement)
    }
    let message = info.redacted(String(cString: PQerrorMessage(raw)))
    return PostgresError(
      PQstatus(raw) == CONNECTION_OK ? .protocolViolation : .connection, message,
      statement: statement)
  }
}

// MARK: - Binding

/// A statement's values as libpq takes them.
struct BoundValues {
  var count: Int32
  var types: [UInt32]
  var pointers: [UnsafePointer<CChar>?]
  var lengths: [Int32]
  var formats: [Int32]
}

extension Connection {
  /// Encodes the values into the connection's buffer and lends libpq the places.
  func withBoundValues<Result>(
    of sql: SQL, text: String, _ body: (BoundValues) -> Result
  ) throws(PostgresError) -> Result {
    let values = sql.values
    guard values.count <= Self.valuesMax else {
      throw PostgresError(
        .encoding, "A statement takes at most \(Self.valuesMax) values, not \(values.count).",
        statement: text)
    }
    let lengths = try encode(values, text: text)
    var bound = BoundValues(
      count: Int32(values.count), types: values.map { type(of: $0).postgresType.oid },
      pointers: [], lengths: lengths.map { max($0, 0) },
      formats: [Int32](repeating: 1, count: values.count))
    bound.pointers.reserveCapacity(values.count)
    // An empty value still needs a pointer: NULL means SQL's NULL.
    var place = UnsafeRawPointer(wire.base).assumingMemoryBound(to: CChar.self)
    for length in lengths {
      bound.pointers.append(length < 0 ? nil : place)
      place += Int(max(length, 0))
    }
    return body(bound)
  }

  /// The length of each value in the buffer, or -1 for NULL.
  private func encode(
    _ values: [any Bindable], text: String
  ) throws(PostgresError) -> [Int32] {
    var lengths: [Int32] = []
    lengths.reserveCapacity(values.count)
    wire.removeAll()
    for (index, value) in values.enumerated() {
      guard !value.isNull else {
        lengths.append(-1)
        continue
      }
      let start = wire.count
      do {
        try value.encode(into: &wire)
      } catch {
        throw PostgresError(.encoding, "Value $\(index + 1): \(error.message)", statement: text)
      }
      guard let length = Int32(exactly: wire.count - start) else {
        throw PostgresError(.encoding, "Value $\(index + 1) is too long.", statement: text)
      }
      lengths.append(length)
    }
    return lengths
  }
}
