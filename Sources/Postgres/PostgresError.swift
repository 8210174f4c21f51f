/// What went wrong at the database: which statement, what the server said, and what it means.
///
/// Carries the statement's text with its `$1`, never the values bound to it, and never a
/// connection string or a password.
public struct PostgresError: Error, Sendable {
  /// The layer that failed.
  public enum Kind: Sendable, Equatable {
    /// No connection could be made, or it was lost. Nothing of the open transaction is stored.
    case connection
    /// The connection was lost while COMMIT was under way: the transaction is stored whole or not
    /// at all, and only reading back its key or cursor tells which. Never apply it again unread.
    case commitUnknown
    /// The server refused a statement; `sqlState` says why.
    case server
    /// A stored value does not fit the type it was read as, or is not one the program accepts.
    case decoding
    /// A value of ours cannot be written as its PostgreSQL type.
    case encoding
    /// A statement failed, its error was dropped, and the transaction could not be committed.
    case transactionAborted
    /// The server or its settings are not fit for use: too old, or not durable.
    case unsuitableServer
    /// The schema's migrations and the program's do not agree.
    case schema
    /// The server's bytes make no sense.
    case protocolViolation
  }

  /// The fields of a server's report.
  final class Report: Sendable {
    let severity: String?
    let sqlState: String?
    let detail: String?
    let hint: String?
    let table: String?
    let column: String?
    let constraint: String?

    init(
      severity: String?, sqlState: String?, detail: String?, hint: String?, table: String?,
      column: String?, constraint: String?
    ) {
      self.severity = severity
      self.sqlState = sqlState
      self.detail = detail
      self.hint = hint
      self.table = table
      self.column = column
      self.constraint = constraint
    }
  }

  public var kind: Kind
  /// The server's primary message, or a sentence of this module.
  public var message: String
  /// The statement's text with `$1`, `$2` where values were bound.
  public var statement: String?
  var report: Report?

  init(_ kind: Kind, _ message: String, statement: String? = nil, report: Report? = nil) {
    self.kind = kind
    self.message = message
    self.statement = statement
    self.report = report
  }

  /// The five characters that classify a server's error, for example `23505`.
  public var sqlState: String? { report?.sqlState }
  /// More about this case. The server may quote stored or bound values here, so it is no part of
  /// `description`.
  public var detail: String? { report?.detail }
  /// What the server suggests.
  public var hint: String? { report?.hint }
  /// The table concerned, when the server names one.
  public var table: String? { report?.table }
  /// The column concerned, when the server names one.
  public var column: String? { report?.column }
  /// The constraint that refused, when the server names one.
  public var constraint: String? { report?.constraint }
}

// MARK: - What to do about it

extension PostgresError {
  /// Whether the same work may succeed when it is done again from the start.
  ///
  /// True for lost and refused connections, serialization failures, deadlocks, timeouts, and a
  /// server that is stopping, starting or short of resources. False for `commitUnknown`: read
  /// back first.
  public var isRetryable: Bool {
    guard kind == .connection || kind == .server else { return false }
    guard let sqlState else { return kind == .connection }
    return Self.retryableStates.contains(sqlState)
      || Self.retryableClasses.contains(class: sqlState)
  }

  /// Whether the connection is gone and a new one is needed.
  public var isConnectionLost: Bool { kind == .connection || kind == .commitUnknown }

  /// Serialization failure, deadlock, lock timeout, cancelled or timed-out statement, idle in
  /// transaction too long, server stopping, crashed or starting, idle session ended.
  private static let retryableStates: Set<String> = [
    "40001", "40P01", "55P03", "57014", "25P03", "57P01", "57P02", "57P03", "57P05",
  ]
  /// Connection exceptions; disk, memory or connections used up.
  private static let retryableClasses = ["08", "53"]
}

extension [String] {
  fileprivate func contains(class sqlState: String) -> Bool {
    contains { sqlState.hasPrefix($0) }
  }
}

extension PostgresError: CustomStringConvertible {
  /// One line: the message, the code, what it concerns, the hint and the statement.
  public var description: String {
    var text = message
    if let sqlState { text += " [\(sqlState)]" }
    if let constraint { text += " constraint \(constraint)" }
    if let table { text += " table \(table)" }
    if let hint { text += " (hint: \(hint))" }
    if let statement { text += " in: \(statement.onOneLine(limit: 500))" }
    return text
  }
}

extension String {
  /// The same words with every run of white space as one blank, cut after `limit` characters.
  func onOneLine(limit: Int) -> String {
    let line = split(whereSeparator: \.isWhitespace).joined(separator: " ")
    return line.count > limit ? line.prefix(limit) + " ..." : line
  }
}
