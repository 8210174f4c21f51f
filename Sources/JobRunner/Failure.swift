/// Why a run ends: the exit code, and one line that says what is wrong and what to do.
public struct Failure: Error, Equatable, Sendable, CustomStringConvertible {
  public let exit: ExitCode
  public let description: String

  public init(_ exit: ExitCode, _ description: String) {
    self.exit = exit
    self.description = Self.oneLine(description)
  }

  /// Messages of servers and nodes may be long and have several lines; this many characters stay.
  static let lengthMax = 1_000

  private static func oneLine(_ text: String) -> String {
    let line = text.split(whereSeparator: \.isNewline)
      .map { $0.split(separator: " ").joined(separator: " ") }
      .joined(separator: "; ")
    return VisibleText.cut(line, columns: lengthMax)
  }
}
