import CLibPQ
import Ethereum
import Quantities

/// Writes the rows of a binary COPY.
///
///     try transaction.copyIn("position", columns: "market, shares") { rows in
///       rows.beginRow()
///       try rows.append(market)
///       try rows.append(shares)
///     }
///
/// Values collect in one buffer that is sent when it is full, so appending allocates nothing.
/// `nil` of any type is NULL. An append throws when the value has no binary form, or when the
/// connection is lost.
public struct CopyWriter: ~Copyable {
  /// Sent to libpq when this much has collected.
  private static let flushBytes = 256 << 10

  private var wire: WireBuffer
  private let connection: Connection
  private let columnCount: Int16
  private var columnsLeft: Int16 = 0

  init(on connection: Connection, columnCount: Int16) {
    self.connection = connection
    self.columnCount = columnCount
    wire = WireBuffer(capacity: Self.flushBytes + (64 << 10))
    writeHeader()
  }

  /// Begins the next row. The row before must be complete.
  public mutating func beginRow() {
    checkRowIsComplete()
    wire.append(columnCount)
    columnsLeft = columnCount
  }

  public mutating func append(_ value: Int16) throws(PostgresError) { try integer(value) }
  public mutating func append(_ value: Int32) throws(PostgresError) { try integer(value) }
  public mutating func append(_ value: Int64) throws(PostgresError) { try integer(value) }

  /// As `int8`; a value above 2^63 - 1 is an encoding error.
  public mutating func append(_ value: UInt64) throws(PostgresError) {
    guard let signed = Int64(exactly: value) else {
      throw PostgresError(.encoding, "\(value) does not fit int8.")
    }
    try integer(signed)
  }

  public mutating func append(_ value: Address) throws(PostgresError) {
    wire.append(Int32(20))
    wire.append(value)
    try endField()
  }

  public mutating func append(_ value: Bytes32) throws(PostgresError) {
    wire.append(Int32(32))
    wire.append(value)
    try endField()
  }

  public mutating func append(_ value: UInt128) throws(PostgresError) {
    try append(U256(value))
  }

  public mutating func append(_ value: U256) throws(PostgresError) {
    let lengthAt = wire.count
    wire.append(Int32(0))
    NumericCodec.encode(value, into: &wire)
    wire.overwrite(at: lengthAt, with: Int32(truncatingIfNeeded: wire.count - lengthAt - 4))
    try endField()
  }

  /// As `bytea`.
  public mutating func append(_ value: [UInt8]) throws(PostgresError) {
    guard let length = Int32(exactly: value.count) else {
      throw PostgresError(.encoding, "A value of \(value.count) bytes is too long.")
    }
    wire.append(length)
    value.withUnsafeBytes { wire.append(bytes: $0) }
    try endField()
  }

  /// Any other type, and optional ones.
  public mutating func append<Value: Bindable>(_ value: Value) throws(PostgresError) {
    try wire.append(field: value)
    try endField()
  }

  /// NULL.
  public mutating func appendNull() throws(PostgresError) {
    wire.append(Int32(-1))
    try endField()
  }

  @inline(__always)
  private mutating func integer(
    _ value: some FixedWidthInteger & BitwiseCopyable
  ) throws(PostgresError) {
    wire.append(Int32(truncatingIfNeeded: value.bitWidth / 8))
    wire.append(value)
    try endField()
  }

  /// The buffer is looked at once for each row: it grows with a row that is larger than all of it.
  @inline(__always)
  private mutating func endField() throws(PostgresError) {
    precondition(columnsLeft > 0, "The row has all its \(columnCount) values; begin the next one.")
    columnsLeft -= 1
    if columnsLeft == 0, wire.count >= Self.flushBytes { try flush() }
  }

  private func checkRowIsComplete() {
    precondition(columnsLeft == 0, "The row lacks \(columnsLeft) of \(columnCount) values.")
  }

  // MARK: - The stream

  /// Signature, no flags, no extension. Source: PostgreSQL's manual, COPY, "Binary Format".
  private mutating func writeHeader() {
    for byte: UInt8 in [0x50, 0x47, 0x43, 0x4F, 0x50, 0x59, 0x0A, 0xFF, 0x0D, 0x0A, 0x00] {
      wire.append(byte)
    }
    wire.append(Int32(0))
    wire.append(Int32(0))
  }

  @inline(never)
  private mutating func flush() throws(PostgresError) {
    let raw = try connection.copying()
    var offset = 0
    // libpq counts in 32 bits, and one value may be up to a gigabyte.
    while offset < wire.count {
      let length = min(wire.count - offset, 16 << 20)
      let start = UnsafeRawPointer(wire.base + offset).assumingMemoryBound(to: CChar.self)
      guard PQputCopyData(raw, start, Int32(length)) == 1 else {
        throw connection.sendFailure(statement: nil)
      }
      offset += length
    }
    wire.removeAll()
  }

  /// The end mark, and all that is left.
  mutating func finish() throws(PostgresError) {
    checkRowIsComplete()
    wire.append(Int16(-1))
    try flush()
  }
}

extension Connection {
  func copyIn(
    _ table: StaticString, columns: StaticString, _ body: (inout CopyWriter) throws -> Void
  ) throws -> Int {
    let count = columns.description.split(separator: ",").count
    guard let columnCount = Int16(exactly: count) else {
      preconditionFailure("COPY has at most \(Int16.max) columns.")
    }
    let text = "copy \(table) (\(columns)) from stdin (format binary)"
    try beginCopy(text)
    do {
      var writer = CopyWriter(on: self, columnCount: columnCount)
      try body(&writer)
      try writer.finish()
    } catch {
      throw endCopy(text, after: error)
    }
    let raw = try copying()
    isCopying = false
    guard PQputCopyEnd(raw, nil) == 1 else { throw sendFailure(statement: text) }
    return try collect(statement: text).affectedRows
  }

  private func beginCopy(_ text: String) throws(PostgresError) {
    guard PQsendQuery(try live(), text) == 1 else { throw sendFailure(statement: text) }
    guard try collect(statement: text).status == PGRES_COPY_IN else {
      throw PostgresError(.protocolViolation, "The server does not copy.", statement: text)
    }
    isCopying = true
  }

  /// Tells the server to drop the rows. Gives the server's error when the stream broke because of
  /// it, else the one that ended the copying.
  private func endCopy(_ text: String, after cause: any Error) -> any Error {
    isCopying = false
    guard let raw = try? live(), PQputCopyEnd(raw, "given up by the client") == 1 else {
      return cause
    }
    do {
      _ = try collect(statement: text)
      return cause
    } catch {
      guard let ours = cause as? PostgresError, ours.kind == .connection else { return cause }
      return error
    }
  }
}
