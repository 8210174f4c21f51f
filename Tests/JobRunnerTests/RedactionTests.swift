import Synchronization
import Testing

@testable import JobRunner

/// A console that keeps what was written.
final class Recording: Sendable {
  private let outText = Mutex<String>("")
  private let errorText = Mutex<String>("")

  var out: String { outText.withLock { $0 } }
  var error: String { errorText.withLock { $0 } }

  func console(isTerminal: Bool = false, redactor: Redactor = Redactor()) -> Console {
    Console(
      out: { text in
        self.outText.withLock { $0 += text }
        return true
      },
      error: { text in
        self.errorText.withLock { $0 += text }
        return true
      }, isOutTerminal: isTerminal, isErrorTerminal: isTerminal, redactor: redactor)
  }
}

@Suite struct RedactionTests {
  static let url = "https://user:p%40ssw0rd@node.example/v3/0123456789abcdef0123?key=tiny"

  @Test(arguments: [
    "GET \(url) failed", "user:p%40ssw0rd", "the password p%40ssw0rd is wrong", "p@ssw0rd",
    "path /v3/0123456789abcdef0123?key=tiny", "key 0123456789abcdef0123 is over its limit",
  ])
  func takesEveryPartOfAURLOutOfALine(line: String) {
    let redactor = Redactor()
    redactor.register(url: Self.url)
    let shown = redactor.redact(line)
    #expect(shown.contains("[redacted]"))
    for secret in ["p%40ssw0rd", "p@ssw0rd", "0123456789abcdef0123", "tiny"] {
      #expect(!shown.contains(secret))
    }
  }

  static let databaseURL =
    "postgresql://plimsoll:p%40ssw0rd@db.example/markets?application_name=x&sslpassword=0ther%20one"

  @Test(arguments: [
    "using \(databaseURL)", "plimsoll:p%40ssw0rd", "the password p%40ssw0rd is wrong", "p@ssw0rd",
    "key of 0ther%20one", "key of 0ther one",
  ])
  func takesThePasswordOfADatabaseOutOfALine(line: String) {
    let redactor = Redactor()
    redactor.register(databaseURL: Self.databaseURL)
    let shown = redactor.redact(line)
    #expect(shown.contains("[redacted]"))
    for secret in ["p%40ssw0rd", "p@ssw0rd", "0ther%20one", "0ther one"] {
      #expect(!shown.contains(secret))
    }
  }

  @Test(arguments: [databaseURL, "postgresql://plimsoll@/markets?host=/run/plimsoll"])
  func leavesTheNamesInADatabasesURLAlone(url: String) {
    let redactor = Redactor()
    redactor.register(databaseURL: url)
    let line = "plimsoll: cannot connect to markets on db.example: run plimsoll migrate"
    #expect(redactor.redact(line) == line)
  }

  @Test func leavesOtherLinesAlone() {
    let redactor = Redactor()
    redactor.register(url: Self.url)
    redactor.register("abc")
    #expect(redactor.redact("abc: window 5 is done — ✓") == "abc: window 5 is done — ✓")
  }

  @Test(arguments: LogFormat.allCases)
  func redactsMessagesOfBothFormats(format: LogFormat) {
    let recording = Recording()
    let redactor = Redactor()
    redactor.register("s3cr3t-token")
    let log = Logger(to: recording.console(redactor: redactor), format: format)
    log.info("the node refused", ["reason": "bad token s3cr3t-token"])
    #expect(recording.error.contains("bad token [redacted]"))
    #expect(!recording.error.contains("s3cr3t"))
  }
}

@Suite struct LoggerTests {
  private func log(_ format: LogFormat, level: LogLevel, to recording: Recording) -> Logger {
    Logger(to: recording.console(), level: level, format: format, clock: { (1_692_230_400, 7) })
  }

  @Test func writesOneObjectALineForPrograms() {
    let recording = Recording()
    log(.json, level: .info, to: recording).with(["job": "consume-events"])
      .info("window committed", ["from": 1, "through": 2_000, "symbol": "\u{1b}x"])
    #expect(
      recording.error
        == "{\"time\":\"2023-08-17T00:00:00.007Z\",\"level\":\"info\","
        + "\"message\":\"window committed\",\"job\":\"consume-events\",\"from\":\"1\","
        + "\"through\":\"2000\",\"symbol\":\"\\u001bx\"}\n")
  }

  @Test func writesOneReadableLineForPeople() {
    let recording = Recording()
    log(.pretty, level: .info, to: recording).warning("falling back", ["endpoint": "a\nb"])
    #expect(recording.error == "00:00:00 warning falling back  endpoint=a\\u{A}b\n")
  }

  @Test func keepsQuietBelowItsLevel() {
    let recording = Recording()
    let log = log(.json, level: .warning, to: recording)
    log.info("not said")
    log.debug("not said either")
    #expect(recording.error.isEmpty)
  }

  @Test func aFieldOfTheLineWinsOverAFieldOfTheLogger() {
    let recording = Recording()
    log(.json, level: .info, to: recording).with(["chain": "a"]).info("read", ["chain": "b"])
    #expect(recording.error.contains("\"chain\":\"b\""))
    #expect(!recording.error.contains("\"chain\":\"a\""))
  }
}

@Suite struct ProgressTests {
  @Test func saysALineEachTenSecondsWithoutATerminal() {
    let recording = Recording()
    let console = recording.console()
    let time = Mutex<UInt64>(0)
    let progress = Progress(
      console: console, log: Logger(to: console), isLive: false, now: { time.withLock { $0 } })
    progress.start("blocks", of: 1_000, unit: "blocks")
    for second in 1...25 {
      time.withLock { $0 = UInt64(second) * 1_000_000_000 }
      progress.reach(UInt64(second) * 20)
    }
    progress.finish()
    let lines = recording.error.split(separator: "\n")
    #expect(lines.count == 2)
    #expect(lines[0].contains("\"done\":\"200\""))
    #expect(lines[0].contains("\"per_second\":\"20\",\"seconds_left\":\"40\""))
  }

  @Test func drawsOneChangingLineOnATerminalAndTakesItAway() {
    let recording = Recording()
    let console = recording.console(isTerminal: true)
    let time = Mutex<UInt64>(0)
    let progress = Progress(
      console: console, log: Logger(to: console), isLive: true, now: { time.withLock { $0 } })
    progress.start("blocks", of: 200_000, unit: "blocks")
    time.withLock { $0 = 2_000_000_000 }
    progress.reach(50_000)
    console.say("a line")
    progress.reach(50_001)
    progress.finish()
    #expect(
      recording.error
        == "\r\u{1b}[Kblocks 50 000/200 000 25 % blocks, 25 000/s, 0m06s left"
        + "\r\u{1b}[Ka line\n")
  }

  @Test func figuresDoNotOverflow() {
    #expect(Progress.rate(done: .max, milliseconds: 1) == .max)
    #expect(Progress.rate(done: 5, milliseconds: 0) == 0)
    #expect(Progress.secondsLeft(done: 1, total: .max, milliseconds: .max) == nil)
    #expect(Progress.secondsLeft(done: 10, total: 5, milliseconds: 2_000) == 0)
  }
}
