import Glibc
import Synchronization

/// The two streams of a program: the result on one, everything said along the way on the other.
///
/// What goes to the error stream passes the redactor. A status line, when there is one, is taken
/// away before each other line and never stays behind.
public final class Console: Sendable {
  /// Writes text and says whether all of it went out.
  public typealias Write = @Sendable (String) -> Bool

  private let writeOut: Write
  private let writeError: Write
  public let redactor: Redactor
  public let isOutTerminal: Bool
  public let isErrorTerminal: Bool
  private let hasStatus = Mutex<Bool>(false)

  public init(
    out: @escaping Write, error: @escaping Write, isOutTerminal: Bool = false,
    isErrorTerminal: Bool = false, redactor: Redactor = Redactor()
  ) {
    writeOut = out
    writeError = error
    self.isOutTerminal = isOutTerminal
    self.isErrorTerminal = isErrorTerminal
    self.redactor = redactor
  }

  /// Standard output and standard error of this process.
  public static func standard() -> Console {
    Console(
      out: { writeAll($0, to: STDOUT_FILENO) }, error: { writeAll($0, to: STDERR_FILENO) },
      isOutTerminal: isatty(STDOUT_FILENO) == 1, isErrorTerminal: isatty(STDERR_FILENO) == 1)
  }

  /// Writes the result.
  ///
  /// - Throws: `Failure` with `.inputOutput` when the reader is gone or the disk is full.
  public func result(_ text: String) throws(Failure) {
    clearStatus()
    if !writeOut(text) {
      throw Failure(.inputOutput, "standard output: the result could not be written")
    }
  }

  /// Writes one line of the error stream; if nobody reads it, the work still goes on.
  public func say(_ line: String) {
    clearStatus()
    _ = writeError(redactor.redact(line) + "\n")
  }

  /// Shows a line that the next one replaces. Only meant for a terminal.
  func status(_ line: String) {
    hasStatus.withLock { $0 = true }
    _ = writeError("\r\u{1b}[K" + redactor.redact(line))
  }

  func clearStatus() {
    let wasShown = hasStatus.withLock { shown in
      defer { shown = false }
      return shown
    }
    if wasShown { _ = writeError("\r\u{1b}[K") }
  }

  private static func writeAll(_ text: String, to file: Int32) -> Bool {
    var text = text
    return text.withUTF8 { bytes in
      var sent = 0
      while sent < bytes.count {
        let count = write(file, bytes.baseAddress.map { $0 + sent }, bytes.count - sent)
        if count > 0 { sent += count } else if errno != EINTR { return false }
      }
      return true
    }
  }
}
