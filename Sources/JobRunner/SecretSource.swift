import Glibc

/// Where a URL comes from. The URL itself is read only when it is needed.
public enum SecretSource: Equatable, Sendable {
  /// Written in the configuration.
  case inline(String)
  /// The name of an environment variable.
  case environment(String)
  /// The path of a file whose first line it is.
  case file(String)

  /// How the source is shown; never the secret.
  public var description: String {
    switch self {
    case .inline: "(written in the file)"
    case .environment(let name): "environment \(name)"
    case .file(let path): "file \(path)"
    }
  }

  /// The secret, without the space around it. An error names the place and the field.
  func read(
    environment: [String: String], place: String, field: String
  ) throws(ConfigError) -> String {
    switch self {
    case .inline(let text): return text
    case .environment(let name):
      guard let text = environment[name].map(TextFile.trimmed), !text.isEmpty else {
        throw ConfigError(
          place, field: field,
          remedy: "the environment variable \(name) is not set; set it to the URL")
      }
      return text
    case .file(let path):
      let text = try TextFile.read(path, limit: 65_536, place: place, field: field)
      let line = TextFile.trimmed(String(decoding: text, as: UTF8.self))
      guard !line.isEmpty, !line.contains(where: \.isNewline) else {
        throw ConfigError(
          place, field: field, remedy: "the file \(path) must hold the URL on one line")
      }
      return line
    }
  }
}

/// Small files, read whole.
enum TextFile {
  static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

  /// - Throws: `ConfigError` that names the path and what to do; code 77 when access is refused.
  static func read(
    _ path: String, limit: Int, place: String, field: String? = nil
  ) throws(ConfigError) -> [UInt8] {
    func failure(_ remedy: String, _ exit: ExitCode = .configuration) -> ConfigError {
      let named = field == nil ? remedy : "\(path): \(remedy)"
      return ConfigError(place, field: field, remedy: named, exit: exit)
    }
    let file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard file >= 0 else {
      switch errno {
      case ENOENT, ENOTDIR: throw failure("there is no such file")
      case EACCES, EPERM: throw failure("this user may not read the file", .permission)
      default: throw failure("the file cannot be opened (error \(errno))", .inputOutput)
      }
    }
    defer { close(file) }
    var bytes: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 8192)
    while bytes.count <= limit {
      let got = Glibc.read(file, &piece, piece.count)
      if got == 0 { break }
      if got > 0 {
        bytes += piece.prefix(got)
      } else if errno != EINTR {
        throw failure("the file cannot be read (error \(errno))", .inputOutput)
      }
    }
    if bytes.count > limit { throw failure("the file has more than \(limit) bytes") }
    return bytes
  }

  static func trimmed(_ text: String) -> String {
    let isSpace = { (character: Character) in character.isWhitespace }
    let tail = text.drop(while: isSpace).reversed().drop(while: isSpace)
    return String(tail.reversed())
  }
}
