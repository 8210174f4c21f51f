/// What every session promises: limits the server enforces, and how a dead peer is noticed.
///
/// The limits are sent in the connection's first packet, so no statement ever runs without them.
public struct SessionSettings: Sendable {
  /// Shown in `pg_stat_activity`.
  public var applicationName: String
  /// The server cancels a statement that takes longer (57014). Zero is no limit.
  public var statementTimeout: Duration
  /// The server gives up waiting for a lock after this long (55P03). Zero is no limit.
  public var lockTimeout: Duration
  /// The server ends a session that idles inside a transaction longer (25P03). Zero is no limit.
  public var idleInTransactionTimeout: Duration
  /// Longest wait for each host to accept the connection; libpq counts whole seconds, at least 2.
  public var connectTimeout: Duration
  /// How long sent bytes may stay unacknowledged, or a silent peer unprobed, over TCP.
  public var deadPeerTimeout: Duration

  public init(
    applicationName: String = "plimsoll", statementTimeout: Duration = .seconds(60),
    lockTimeout: Duration = .seconds(10), idleInTransactionTimeout: Duration = .seconds(60),
    connectTimeout: Duration = .seconds(5), deadPeerTimeout: Duration = .seconds(30)
  ) {
    self.applicationName = applicationName
    self.statementTimeout = statementTimeout
    self.lockTimeout = lockTimeout
    self.idleInTransactionTimeout = idleInTransactionTimeout
    self.connectTimeout = connectTimeout
    self.deadPeerTimeout = deadPeerTimeout
  }

  /// A minute for a statement and for idling in a transaction, ten seconds for a lock.
  public static let `default` = SessionSettings()
}

extension SessionSettings {
  /// libpq's parameters for `info` with these settings.
  func parameters(for info: ConnectionInfo) -> [String: String] {
    var parameters = info.parameters
    parameters["application_name"] = applicationName
    parameters["client_encoding"] = "UTF8"
    parameters["connect_timeout"] = "\(max(2, connectTimeout.wholeSeconds))"
    let probe = max(1, deadPeerTimeout.wholeSeconds / 3)
    parameters["keepalives"] = "1"
    parameters["keepalives_idle"] = "\(probe)"
    parameters["keepalives_interval"] = "\(probe)"
    parameters["keepalives_count"] = "2"
    parameters["tcp_user_timeout"] = "\(deadPeerTimeout.milliseconds)"
    // Ours come last, and the last one counts.
    parameters["options"] = [info.parameters["options"], options].compactMap { $0 }
      .joined(separator: " ")
    return parameters
  }

  /// Beside the limits: durable commits whatever the role's default; times in UTC; no JIT and a
  /// plan for the values at hand, since an array of 100,000 rows and one of 10 want different
  /// plans; a cursor planned for all its rows, since all are read; and the server notices within
  /// ten seconds that we died, so that a killed run's statement does not go on.
  private var options: String {
    let settings = [
      "statement_timeout=\(statementTimeout.milliseconds)",
      "lock_timeout=\(lockTimeout.milliseconds)",
      "idle_in_transaction_session_timeout=\(idleInTransactionTimeout.milliseconds)",
      "synchronous_commit=on", "timezone=UTC", "jit=off", "plan_cache_mode=force_custom_plan",
      "cursor_tuple_fraction=1.0", "client_connection_check_interval=10000",
    ]
    return settings.map { "-c \($0)" }.joined(separator: " ")
  }
}

extension Duration {
  /// Whole milliseconds, at least 0 and at most what the server's settings hold.
  var milliseconds: Int64 {
    let (seconds, attoseconds) = components
    let whole = min(max(seconds, 0), 2_000_000)
    return whole * 1000 + max(0, attoseconds / 1_000_000_000_000_000)
  }

  fileprivate var wholeSeconds: Int64 { (milliseconds + 999) / 1000 }
}
