/// How much a log line matters.
public enum LogLevel: Int, Comparable, Sendable, CaseIterable {
  case trace, debug, info, warning, error

  public static func < (left: LogLevel, right: LogLevel) -> Bool { left.rawValue < right.rawValue }

  /// The word in configuration and in log lines.
  public var name: String {
    switch self {
    case .trace: "trace"
    case .debug: "debug"
    case .info: "info"
    case .warning: "warning"
    case .error: "error"
    }
  }

  /// Nil for a word that is no level.
  public init?(name: String) {
    guard let level = Self.allCases.first(where: { $0.name == name }) else { return nil }
    self = level
  }
}

/// How a log line is written.
public enum LogFormat: String, Sendable, CaseIterable {
  /// For a person at a terminal.
  case pretty
  /// One JSON object a line.
  case json
}

/// Writes log lines to the error stream.
///
/// The message is a fixed sentence, so that lines can be counted and searched for; what varies
/// goes into fields. Libraries log at `info` and below; `error` is for what ends a run.
public struct Logger: Sendable {
  public typealias Fields = KeyValuePairs<String, any CustomStringConvertible>

  public let level: LogLevel
  let format: LogFormat
  let isColored: Bool
  private let console: Console
  private let clock: @Sendable () -> (seconds: UInt64, milliseconds: Int)
  private var fields: [(name: String, value: String)] = []

  public init(
    to console: Console, level: LogLevel = .info, format: LogFormat = .json,
    isColored: Bool = false,
    clock: @escaping @Sendable () -> (seconds: UInt64, milliseconds: Int) =
      UTCTime.nowWithMilliseconds
  ) {
    self.console = console
    self.level = level
    self.format = format
    self.isColored = isColored
    self.clock = clock
  }

  /// A logger that adds these fields to each of its lines.
  public func with(_ more: Fields) -> Logger {
    var copy = self
    copy.fields += more.map { ($0.key, $0.value.description) }
    return copy
  }

  public func trace(_ message: StaticString, _ fields: @autoclosure () -> Fields = [:]) {
    write(.trace, message, fields)
  }

  public func debug(_ message: StaticString, _ fields: @autoclosure () -> Fields = [:]) {
    write(.debug, message, fields)
  }

  public func info(_ message: StaticString, _ fields: @autoclosure () -> Fields = [:]) {
    write(.info, message, fields)
  }

  public func warning(_ message: StaticString, _ fields: @autoclosure () -> Fields = [:]) {
    write(.warning, message, fields)
  }

  public func error(_ message: StaticString, _ fields: @autoclosure () -> Fields = [:]) {
    write(.error, message, fields)
  }

  private func write(_ level: LogLevel, _ message: StaticString, _ more: () -> Fields) {
    guard level >= self.level else { return }
    let all = fields + more().map { (name: $0.key, value: $0.value.description) }
    switch format {
    case .pretty: console.say(prettyLine(level, message.description, all))
    case .json: console.say(jsonLine(level, message.description, all))
    }
  }

  // MARK: - Formats

  private func jsonLine(
    _ level: LogLevel, _ message: String, _ fields: [(name: String, value: String)]
  ) -> String {
    let time = clock()
    let stamp = UTCTime.format(time.seconds).dropLast() + "." + UTCTime.pad(time.milliseconds, 3)
    var members: [JSONValue.Member] = [
      .init("time", .string(stamp + "Z")), .init("level", .string(level.name)),
      .init("message", .string(message)),
    ]
    var names: Set<String> = ["time", "level", "message"]
    for (name, value) in fields.reversed() where names.insert(name).inserted {
      members.insert(.init(name, .string(value)), at: 3)
    }
    return JSONValue.object(members).compact
  }

  private func prettyLine(
    _ level: LogLevel, _ message: String, _ fields: [(name: String, value: String)]
  ) -> String {
    let time = clock()
    let clockText = UTCTime.format(time.seconds).dropFirst(11).prefix(8)
    let word = level.name + String(repeating: " ", count: 7 - level.name.count)
    var line = "\(dim("\(clockText)")) \(colored(word, level)) \(message)"
    for (name, value) in fields { line += "  " + dim("\(name)=") + VisibleText.escape(value) }
    return line
  }

  private func dim(_ text: String) -> String {
    isColored ? "\u{1b}[2m\(text)\u{1b}[0m" : text
  }

  private func colored(_ text: String, _ level: LogLevel) -> String {
    guard isColored else { return text }
    switch level {
    case .trace, .debug: return "\u{1b}[2m\(text)\u{1b}[0m"
    case .info: return "\u{1b}[32m\(text)\u{1b}[0m"
    case .warning: return "\u{1b}[33m\(text)\u{1b}[0m"
    case .error: return "\u{1b}[31m\(text)\u{1b}[0m"
    }
  }
}
