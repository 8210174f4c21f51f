import Chain
import Ethereum
import HTTP
import Testing

@testable import JobRunner
@testable import Postgres

@Suite struct FailureTests {
  struct Odd: Error {}

  /// What went wrong, and the code it ends with.
  static let codes: [(error: any Error & Sendable, exit: ExitCode)] = [
    (UsageError("x"), .usage),
    (ConfigError("plimsoll.json", remedy: "x"), .configuration),
    (ConfigError("plimsoll.json", remedy: "x", exit: .permission), .permission),
    (ChainError.stopped, .retryLater),
    (ChainError.deadlineReached, .retryLater),
    (ChainError.wrongChain(endpoint: "a", expected: 56, got: 1), .configuration),
    (ChainError.tooLarge(endpoint: "a", method: "m", limit: 1), .unavailable),
    (ChainError.refused(endpoint: "a", method: "m", code: 1, message: "no"), .unavailable),
    (ChainError.windowRefused(endpoint: "a", block: 1), .unavailable),
    (ChainError.unknownBlock(endpoint: "a", method: "m"), .retryLater),
    (ChainError.parentMismatch(number: 1, expected: .zero, got: .zero), .retryLater),
    (ChainError.reverted(data: []), .badData),
    (ChainError.noMulticall(.zero), .configuration),
    (TransportError.timeout, .unavailable),
    (Odd(), .internalError),
  ]

  @Test(arguments: codes.indices)
  func everyErrorHasACodeAndOneLine(row: Int) {
    let failure = Failure(Self.codes[row].error)
    #expect(failure.exit == Self.codes[row].exit)
    #expect(!failure.description.isEmpty)
    #expect(!failure.description.contains("\n"))
  }

  @Test(arguments: [
    ("FATAL: password authentication failed for user \"x\"", ExitCode.permission),
    ("FATAL: no pg_hba.conf entry for host", .permission),
    ("fe_sendauth: no password supplied", .permission),
    ("FATAL: database \"x\" does not exist", .configuration),
    ("connection refused", .unavailable),
  ])
  func tellsRefusedConnectionsApart(message: String, exit: ExitCode) {
    #expect(Failure.exit(forConnectionMessage: message) == exit)
  }

  @Test(arguments: [
    (PostgresError.Kind.connection, "nothing of the step under way is stored"),
    (.commitUnknown, "whether the last step is stored is not known"),
  ])
  func aLostConnectionIsToBeTriedAgainAndSaysWhatIsStored(
    kind: PostgresError.Kind, words: String
  ) {
    let failure = Failure(PostgresError(kind, "server closed the connection"))
    #expect(failure.exit == .retryLater)
    #expect(
      failure.description == "database: the connection was lost, and \(words); the next run reads "
        + "where it stands and goes on from there (server closed the connection)")
  }

  @Test func asksOthersAboutErrorsItDoesNotKnow() {
    let failure = Failure(Odd(), explain: { $0 is Odd ? Failure(.badData, "odd") : nil })
    #expect(failure == Failure(.badData, "odd"))
  }

  @Test func aLongMessageOfSeveralLinesBecomesOneShortLine() {
    let failure = Failure(.internalError, "a\n  b\r\n" + String(repeating: "x", count: 5_000))
    #expect(failure.description.hasPrefix("a; b; x"))
    #expect(failure.description.count == Failure.lengthMax)
  }

  @Test func theWorstCodeOfSeveralDeploymentsStays() {
    var report = RunReport()
    report.worsen(to: .retryLater)
    report.worsen(to: .badData)
    report.worsen(to: .itemFailures)
    #expect(report.exit == .badData)
    #expect(report.status == .failed)
  }

  @Test func aStopHidesWhatItCausedButNothingWorse() {
    var cut = RunReport()
    cut.add(Failure(.unavailable, "stopped"))
    cut.end(with: .terminated)
    #expect(cut.exit == .terminated)
    #expect(cut.status == .interrupted)

    var broken = RunReport()
    broken.add(Failure(.badData, "divergence"))
    broken.end(with: .terminated)
    #expect(broken.exit == .badData)
    #expect(broken.status == .failed)
  }
}
