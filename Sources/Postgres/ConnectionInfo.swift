import CLibPQ

/// Where a database is and how to log in.
///
/// May hold a password, so it prints only the parts that are safe to show.
public struct ConnectionInfo: Sendable {
  /// libpq's parameters: `host`, `port`, `dbname`, `user`, `password`, `sslmode` and so on.
  var parameters: [String: String]

  /// libpq's parameters by name. A name that libpq does not know is refused when connecting.
  public init(parameters: [String: String]) {
    self.parameters = parameters
  }

  /// A URL `postgresql://user@host:port/database?parameter=value`, or libpq's
  /// `parameter=value` text. Throws kind `connection`; the error does not repeat the text.
  public init(url: String) throws(PostgresError) {
    guard let parsed = Self.parse(url) else {
      throw PostgresError(
        .connection,
        "The database address is not of the form postgresql://user@host:port/database.")
    }
    parameters = parsed
  }

  /// Whether a password stands in the text itself, where files and process lists show it.
  public var hasPassword: Bool { parameters["password"] != nil }

  /// The same server, another database.
  public func database(_ name: String) -> ConnectionInfo {
    var other = self
    other.parameters["dbname"] = name
    return other
  }

  /// The same database, reached at another host or through another socket's directory.
  public func host(_ host: String) -> ConnectionInfo {
    var other = self
    other.parameters["host"] = host
    return other
  }

  private static func parse(_ text: String) -> [String: String]? {
    guard !text.utf8.contains(0) else { return nil }
    var message: UnsafeMutablePointer<CChar>?
    // The message quotes the text: freed unread.
    defer { PQfreemem(message) }
    guard let options = PQconninfoParse(text, &message) else { return nil }
    defer { PQconninfoFree(options) }
    var parameters: [String: String] = [:]
    var option = options
    while let keyword = option.pointee.keyword {
      if let value = option.pointee.val {
        parameters[String(cString: keyword)] = String(cString: value)
      }
      option += 1
    }
    return parameters
  }
}

extension ConnectionInfo: CustomStringConvertible, CustomReflectable {
  /// The database and the host, nothing else.
  public var description: String {
    let database = parameters["dbname"] ?? "(default)"
    let host = parameters["host"] ?? parameters["hostaddr"] ?? "(default host)"
    return "database \(database) on \(host)"
  }

  /// Hides the parameters from `dump` and from string interpolation of a value that holds this.
  public var customMirror: Mirror { Mirror(self, children: []) }
}

extension ConnectionInfo {
  /// libpq's own words about a failure, without any secret parameter.
  func redacted(_ message: String) -> String {
    var clean = message
    for name in ["password", "sslpassword"] {
      guard let secret = parameters[name], !secret.isEmpty else { continue }
      clean = clean.split(separator: secret, omittingEmptySubsequences: false)
        .joined(separator: "***")
    }
    return clean.onOneLine(limit: 400)
  }
}
