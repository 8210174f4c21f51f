/// A setting that cannot be used, said in one line: where it stands, its value, what would be
/// right.
public struct ConfigError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The file, the environment variable or the flag.
  public let place: String
  /// The path of the setting inside its file, such as `chains.bsc.endpoints[0].url`.
  public let field: String?
  /// The value as it may be shown; nil when it is a secret or there is none.
  public let value: String?
  /// What would be right.
  public let remedy: String
  public let exit: ExitCode

  public init(
    _ place: String, field: String? = nil, value: String? = nil, remedy: String,
    exit: ExitCode = .configuration
  ) {
    self.place = place
    self.field = field
    self.value = value
    self.remedy = remedy
    self.exit = exit
  }

  static let valueColumnsMax = 80

  public var description: String {
    var parts = [VisibleText.escape(place)]
    if let field, !field.isEmpty { parts.append(VisibleText.escape(field)) }
    if let value {
      let shown = VisibleText.cut(VisibleText.escape(value), columns: Self.valueColumnsMax)
      parts.append("\"\(shown)\"")
    }
    return (parts + [remedy]).joined(separator: ": ")
  }
}
