/// Where the database is.
public enum DatabaseSetting: Equatable, Sendable {
  /// The private cluster under `private_directory`, started when it is needed.
  case privateCluster
  /// A URL, read when it is needed.
  case url(SecretSource)

  /// How the setting is shown.
  public var description: String {
    switch self {
    case .privateCluster: "private"
    case .url(.inline(let url)): url
    case .url(let source): source.description
    }
  }

  static let forms =
    "must be \"private\", a postgresql:// URL without a password, "
    + "{\"url_file\": …} or {\"url_env\": …}"

  /// Reads a setting written as one text.
  ///
  /// A URL with a password is refused without being shown: it would stand in a file or in the list
  /// of processes.
  static func parse(_ text: String, place: String, field: String?) throws(ConfigError) -> Self {
    if text == "private" { return .privateCluster }
    guard text.hasPrefix("postgresql://") || text.hasPrefix("postgres://") else {
      let looksSecret = text.contains("://") || text.contains("password")
      throw ConfigError(place, field: field, value: looksSecret ? nil : text, remedy: forms)
    }
    if carriesPassword(text) {
      throw ConfigError(
        place, field: field,
        remedy: "the URL carries a password; put it into a file and name it by url_file, "
          + "or use url_env or a pgpass file")
    }
    return .url(.inline(text))
  }

  static func carriesPassword(_ url: String) -> Bool {
    guard let scheme = url.firstRange(of: "://") else { return false }
    let rest = url[scheme.upperBound...]
    let authority = rest.prefix { $0 != "/" && $0 != "?" }
    if let at = authority.lastIndex(of: "@"), authority[..<at].contains(":") { return true }
    guard let question = rest.firstIndex(of: "?") else { return false }
    return rest[question...].dropFirst().split(separator: "&").contains { pair in
      let name = Redactor.percentDecoded(String(pair.prefix { $0 != "=" }))
      return name == "password" || name == "sslpassword"
    }
  }
}
