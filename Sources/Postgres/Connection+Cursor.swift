/// Reading a large result in pieces, through a cursor of the server.
///
/// A cursor leaves the session free for other statements between the pieces, and ends cleanly
/// half way, where a streamed result would have to be read to its end or cancelled.
extension Connection {
  /// Rows per piece: about the least number at which the round trips no longer show.
  private static let fetchRows: SQL = "fetch 4096 from plimsoll_rows"

  func runCursor(_ sql: SQL, _ body: (borrowing Row) throws -> Void) throws {
    precondition(!isReadingRows, "Reading row by row cannot be nested; use query inside it.")
    isReadingRows = true
    defer { isReadingRows = false }
    _ = try run("declare plimsoll_rows no scroll cursor for \(sql)")
    do {
      while try fetchPiece(body) {}
    } catch {
      closeCursor()
      throw error
    }
    _ = try run("close plimsoll_rows")
  }

  /// Hands over the next piece; false when there was none. Ends because a result does.
  private func fetchPiece(_ body: (borrowing Row) throws -> Void) throws -> Bool {
    let rows = Rows(try run(Self.fetchRows))
    for row in rows { try body(row) }
    return !rows.isEmpty
  }

  /// After an error of `body` the cursor is still open; after the server's it is gone with the
  /// transaction, and closing it would only fail again.
  private func closeCursor() {
    if !isClosed, isTransactionHealthy { _ = try? run("close plimsoll_rows") }
  }
}
