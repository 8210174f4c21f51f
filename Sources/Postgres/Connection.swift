import CLibPQ

/// One session with the server, used by one thread.
///
/// Everything runs inside `transaction`; a session outside one holds nothing but advisory locks.
/// Every call waits for the server, for at most the session's timeouts.
public final class Connection {
  /// libpq's connection, or nil once closed.
  private var raw: OpaquePointer?
  let info: ConnectionInfo
  /// Receives the server's notices and warnings; without one they are dropped.
  public var onNotice: ((Notice) -> Void)?
  /// The server's version as libpq counts it, for example 150020.
  public let serverVersion: Int
  /// Whether the server is a standby that replays another's changes: what it holds may be old.
  public private(set) var isReplica = false

  /// The values of the statement under way; its memory serves every statement.
  var wire = WireBuffer(capacity: 4096)
  var statements = StatementCache()
  var isInTransaction = false
  /// The BEGIN of a transaction that has run nothing yet: it travels with the first statement.
  var unsentBegin: SQL?
  var savepointDepth = 0
  var isReadingRows = false
  /// Set while COPY streams: no other statement can run then.
  var isCopying = false

  private init(raw: OpaquePointer, info: ConnectionInfo) {
    self.raw = raw
    self.info = info
    serverVersion = Int(PQserverVersion(raw))
    PQsetNoticeReceiver(raw, receiveNotice, Unmanaged.passUnretained(self).toOpaque())
  }

  deinit { close() }

  /// Connects, and checks that the server is fit: version 15 or newer, commits durable.
  ///
  /// Throws kind `connection` when there is no server or it refuses us, `unsuitableServer` when
  /// the checks fail. Takes about 2 ms on the same machine.
  public static func open(
    _ info: ConnectionInfo, settings: SessionSettings = .default
  ) throws(PostgresError) -> Connection {
    try open(info, settings: settings, asking: []).connection
  }

  /// Connects and asks at once: the answers come in the round trip of the checks.
  ///
  /// The questions are statements that only read or take advisory locks, since they run before the
  /// checks are through; the first one that fails throws its error.
  public static func open(
    _ info: ConnectionInfo, settings: SessionSettings = .default, asking questions: [SQL]
  ) throws(PostgresError) -> (connection: Connection, answers: [Rows]) {
    guard let raw = connect(settings.parameters(for: info)) else { throw outOfMemory }
    guard PQstatus(raw) == CONNECTION_OK else {
      defer { PQfinish(raw) }
      throw PostgresError(
        .connection, info.redacted(String(cString: PQerrorMessage(raw))), report: nil)
    }
    let connection = Connection(raw: raw, info: info)
    return (connection, try connection.checkServer(asking: questions))
  }

  /// Ends the session. The server rolls back an open transaction and frees our locks.
  public func close() {
    PQfinish(raw)
    raw = nil
  }

  /// Whether the session has ended, by us or as far as we have noticed by the server.
  public var isClosed: Bool { raw == nil || PQstatus(raw) != CONNECTION_OK }

  /// Whether the open transaction can go on: no statement of it has failed.
  var isTransactionHealthy: Bool { PQtransactionStatus(raw) == PQTRANS_INTRANS }

  /// Stops this session's running statement from another thread or a signal handler's thread.
  public func canceller() -> Canceller { Canceller(of: raw) }

  /// libpq's connection, for this module's own files.
  func live() throws(PostgresError) -> OpaquePointer {
    precondition(!isCopying, "No other statement can run on a connection while it copies.")
    guard let raw else { throw PostgresError(.connection, "The connection is closed.") }
    return raw
  }

  /// libpq's connection for the COPY under way.
  func copying() throws(PostgresError) -> OpaquePointer {
    guard let raw else { throw PostgresError(.connection, "The connection is closed.") }
    return raw
  }

  // MARK: - Opening

  static let minimumServerVersion = 150_000

  private static func connect(_ parameters: [String: String]) -> OpaquePointer? {
    let pairs = parameters.sorted { $0.key < $1.key }
    return withCStrings(pairs.map(\.key)) { keywords in
      withCStrings(pairs.map(\.value)) { values in PQconnectdbParams(keywords, values, 0) }
    }
  }

  private func checkServer(asking questions: [SQL]) throws(PostgresError) -> [Rows] {
    guard serverVersion >= Self.minimumServerVersion else {
      throw PostgresError(
        .unsuitableServer,
        "The server is PostgreSQL \(serverVersion / 10_000); 15 or newer is needed.")
    }
    let check: SQL = "select current_setting('synchronous_commit')"
    let answers = try runTogether([check] + questions).map(Rows.init)
    let durability = try answers[0][0].get(0, String.self)
    guard durability != "off" else {
      throw PostgresError(
        .unsuitableServer, "The server sets synchronous_commit = off: a commit could be lost.")
    }
    isReplica = try PQparameterStatus(live(), "in_hot_standby").map { String(cString: $0) } == "on"
    return Array(answers.dropFirst())
  }

  static var outOfMemory: PostgresError { PostgresError(.connection, "Out of memory.") }
}

/// Hands over a NULL-terminated array of C strings.
private func withCStrings<Result>(
  _ strings: [String], _ body: (UnsafePointer<UnsafePointer<CChar>?>) -> Result
) -> Result {
  var bytes: [CChar] = []
  var offsets: [Int] = []
  for string in strings {
    offsets.append(bytes.count)
    bytes += string.utf8CString
  }
  return bytes.withUnsafeBufferPointer { text in
    var pointers: [UnsafePointer<CChar>?] = offsets.map { offset in
      text.baseAddress.map { (start: UnsafePointer<CChar>) in start + offset }
    }
    pointers.append(nil)
    return pointers.withUnsafeBufferPointer { buffer in
      guard let base = buffer.baseAddress else { preconditionFailure("The array has an end mark.") }
      return body(base)
    }
  }
}

// MARK: - Notices

/// A notice or warning of the server.
public struct Notice: Sendable {
  /// `WARNING`, `NOTICE`, `INFO`, `LOG` or `DEBUG`, in English whatever the server's language.
  public let severity: String
  public let sqlState: String?
  public let message: String
}

private func receiveNotice(_ context: UnsafeMutableRawPointer?, _ result: OpaquePointer?) {
  guard let context, let result else { return }
  let connection = Unmanaged<Connection>.fromOpaque(context).takeUnretainedValue()
  guard let onNotice = connection.onNotice else { return }
  onNotice(
    Notice(
      severity: DiagnosticField.severity.text(in: result) ?? "NOTICE",
      sqlState: DiagnosticField.sqlState.text(in: result),
      message: DiagnosticField.message.text(in: result) ?? ""))
}

// MARK: - Cancelling

/// Asks the server to stop a session's running statement; that statement then fails with 57014.
public final class Canceller: @unchecked Sendable {
  // Written once in init; PQcancel only reads it and is safe from any thread.
  private let raw: OpaquePointer?

  fileprivate init(of connection: OpaquePointer?) {
    raw = connection.flatMap { PQgetCancel($0) }
  }

  deinit { PQfreeCancel(raw) }

  /// Sends the request over a connection of its own. Nothing happens when no statement runs.
  /// Gives false when the server could not be reached.
  @discardableResult
  public func cancel() -> Bool {
    guard let raw else { return false }
    return withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { message in
      PQcancel(raw, message.baseAddress, Int32(message.count)) == 1
    }
  }
}
