import CLibPQ

/// The rows of one result, in memory whole, in binary form.
///
/// Values are decoded when they are asked for. Reading a value costs no allocation unless the
/// type itself does. The memory is freed with the last `Rows` or `Row` that uses it.
public struct Rows: RandomAccessCollection {
  let result: QueryResult

  public let startIndex = 0
  public let endIndex: Int

  init(_ result: QueryResult) {
    self.result = result
    endIndex = Int(PQntuples(result.raw))
  }

  public subscript(position: Int) -> Row {
    precondition(indices.contains(position), "There is no row \(position) of \(endIndex).")
    return Row(result: result, index: Int32(truncatingIfNeeded: position))
  }
}

/// One row of a result.
public struct Row {
  let result: QueryResult
  let index: Int32

  /// The value of a column, counted from 0. Throws kind `decoding`, naming the column, when it
  /// is NULL, of another type, or out of the type's range; read `T?` where NULL may stand.
  @inlinable
  public func get<Value: Readable>(
    _ column: Int, _ type: Value.Type = Value.self
  ) throws(PostgresError) -> Value {
    do {
      return try Value.read(wire(column))
    } catch {
      throw located(error, column: column)
    }
  }

  @usableFromInline
  func wire(_ column: Int) -> WireValue {
    let number = Int32(truncatingIfNeeded: column)
    precondition(
      column >= 0 && number < PQnfields(result.raw), "There is no column \(column) in the result.")
    let type = PostgresType(oid: PQftype(result.raw, number))
    if PQgetisnull(result.raw, index, number) == 1 { return WireValue(type: type, bytes: nil) }
    let length = Int(PQgetlength(result.raw, index, number))
    let start = UnsafeRawPointer(PQgetvalue(result.raw, index, number))
    return WireValue(type: type, bytes: UnsafeRawBufferPointer(start: start, count: length))
  }

  @usableFromInline
  func located(_ error: PostgresError, column: Int) -> PostgresError {
    let name = PQfname(result.raw, Int32(truncatingIfNeeded: column)).flatMap {
      String(validatingCString: $0)
    }
    return PostgresError(
      .decoding, "Row \(index), column \(name ?? "\(column)"): the value \(error.message).",
      statement: result.statement)
  }
}

/// A result of libpq's, freed once.
final class QueryResult {
  let raw: OpaquePointer
  /// For errors.
  let statement: String?

  init(_ raw: OpaquePointer, statement: String?) {
    self.raw = raw
    self.statement = statement
  }

  deinit { PQclear(raw) }

  var status: ExecStatusType { PQresultStatus(raw) }

  /// Rows inserted, updated, deleted or copied; 0 for other statements.
  var affectedRows: Int {
    guard let text = PQcmdTuples(raw) else { return 0 }
    return Int(String(cString: text)) ?? 0
  }

  /// The command's name as the server gives it back, for example `COMMIT`.
  var commandTag: String { String(cString: PQcmdStatus(raw)) }

  /// The server's report, as an error of kind `server`; `connection` when the report is libpq's
  /// own or says that the session is over.
  func error(redactedBy info: ConnectionInfo) -> PostgresError {
    let severity = DiagnosticField.severity.text(in: raw)
    let report = PostgresError.Report(
      severity: severity, sqlState: DiagnosticField.sqlState.text(in: raw),
      detail: DiagnosticField.detail.text(in: raw), hint: DiagnosticField.hint.text(in: raw),
      table: DiagnosticField.table.text(in: raw), column: DiagnosticField.column.text(in: raw),
      constraint: DiagnosticField.constraint.text(in: raw))
    let sessionIsOver = report.sqlState == nil || severity == "FATAL" || severity == "PANIC"
    let message =
      DiagnosticField.message.text(in: raw)
      ?? info.redacted(String(cString: PQresultErrorMessage(raw)))
    return PostgresError(
      sessionIsOver ? .connection : .server, message, statement: statement, report: report)
  }
}

/// The fields of a report, by the letter the protocol gives them. libpq's header has them as
/// character macros, which do not reach Swift.
enum DiagnosticField: Unicode.Scalar {
  /// In English, whatever the server's language.
  case severity = "V"
  case sqlState = "C"
  case message = "M"
  case detail = "D"
  case hint = "H"
  case table = "t"
  case column = "c"
  case constraint = "n"

  func text(in result: OpaquePointer) -> String? {
    guard let text = PQresultErrorField(result, Int32(rawValue.value)) else { return nil }
    return String(cString: text)
  }
}
