import CLibPQ

/// One row of a binary COPY out, read from left to right.
public struct CopyRow {
  private var fields: WireCursor
  /// Values not yet read.
  public private(set) var remaining: Int
  private let statement: String

  fileprivate init(_ fields: WireCursor, count: Int, statement: String) {
    self.fields = fields
    self.statement = statement
    remaining = count
  }

  /// The next value. COPY does not name types: the column must be of the type that `Value` is
  /// sent as, and only its length is checked. Throws kind `decoding`.
  public mutating func next<Value: Readable & Bindable>(
    _ type: Value.Type = Value.self
  ) throws(PostgresError) -> Value {
    precondition(remaining > 0, "The row has no more values.")
    remaining -= 1
    do {
      let bytes = try fields.nextField()
      return try Value.read(WireValue(type: Value.postgresType, bytes: bytes))
    } catch {
      throw PostgresError(.decoding, "A copied value \(error.message).", statement: statement)
    }
  }

  fileprivate mutating func skipRest() throws(PostgresError) -> WireCursor {
    while remaining > 0 {
      remaining -= 1
      _ = try fields.nextField()
    }
    return fields
  }
}

extension Connection {
  func copyOut(_ sql: SQL, _ body: (inout CopyRow) throws -> Void) throws {
    precondition(sql.values.isEmpty, "COPY takes no bound values.")
    let text = "copy (\(sql.text)) to stdout (format binary)"
    try beginCopy(text, expecting: PGRES_COPY_OUT)
    do {
      var isFirst = true
      while let message = try nextMessage(text) {
        defer { PQfreemem(message.baseAddress) }
        try readRows(of: message, isFirst: &isFirst, statement: text, body)
      }
    } catch {
      throw giveUpCopyOut(text, after: error)
    }
    isCopying = false
    _ = try collect(statement: text)
  }

  /// The next message of the stream, to be freed with `PQfreemem`, or nil at its end.
  private func nextMessage(
    _ text: String
  ) throws(PostgresError) -> UnsafeMutableRawBufferPointer? {
    var start: UnsafeMutablePointer<CChar>?
    let length = PQgetCopyData(try copying(), &start, 0)
    if length == -1 { return nil }
    guard length > 0, let start else { throw sendFailure(statement: text) }
    return UnsafeMutableRawBufferPointer(start: start, count: Int(length))
  }

  /// A message holds whole rows: the header stands before the first one, the end mark alone.
  private func readRows(
    of message: UnsafeMutableRawBufferPointer, isFirst: inout Bool, statement: String,
    _ body: (inout CopyRow) throws -> Void
  ) throws {
    var cursor = WireCursor(UnsafeRawBufferPointer(message))
    if isFirst {
      // Eleven bytes of signature, four of flags, then the length of an extension.
      try cursor.skip(15)
      try cursor.skip(Int(try cursor.next(Int32.self)))
      isFirst = false
    }
    while cursor.remaining > 0 {
      let count = Int(try cursor.next(Int16.self))
      if count < 0 { return }
      var row = CopyRow(cursor, count: count, statement: statement)
      try body(&row)
      cursor = try row.skipRest()
    }
  }

  /// Stops the stream so that the session can go on; the transaction can then only roll back.
  private func giveUpCopyOut(_ text: String, after cause: any Error) -> any Error {
    canceller().cancel()
    while let message = try? nextMessage(text) { PQfreemem(message.baseAddress) }
    isCopying = false
    if let raw = try? live(), PQstatus(raw) == CONNECTION_OK {
      _ = try? collect(statement: text)
    }
    return cause
  }
}
