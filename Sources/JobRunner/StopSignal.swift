import Glibc
import Synchronization

/// Says when a run has to stop at its next commit point.
public final class StopSignal: Sendable {
  public enum Reason: Equatable, Sendable {
    case signal(Int32)
    case deadline
  }

  /// Nanoseconds on the monotonic clock.
  let deadline: UInt64?
  private let now: @Sendable () -> UInt64
  private let received: @Sendable () -> Int32

  /// The deadline is in nanoseconds on the clock `now`; `received` gives the number of the first
  /// signal that asked this process to stop, zero if there was none.
  public init(
    deadline: UInt64? = nil, now: @escaping @Sendable () -> UInt64 = UTCTime.monotonicNanoseconds,
    received: @escaping @Sendable () -> Int32 = { 0 }
  ) {
    self.deadline = deadline
    self.now = now
    self.received = received
  }

  /// Why to stop, nil as long as the work may go on. A signal counts before the deadline.
  public var reason: Reason? {
    let number = received()
    if number != 0 { return .signal(number) }
    if let deadline, now() >= deadline { return .deadline }
    return nil
  }

  public var isStopping: Bool { reason != nil }

  /// What the process ends with when the work was cut short.
  var exit: ExitCode {
    switch reason {
    case .signal(SIGINT): .interrupted
    case .signal: .terminated
    case .deadline, nil: .retryLater
    }
  }
}

/// SIGTERM and SIGINT of this process: the first one asks for a stop, the second one ends it.
///
/// A run that does not stop within `graceSeconds` after the request or after its deadline is ended
/// as if a second signal had come. All writing happens in transactions, so nothing half done stays.
enum ProcessSignals {
  /// Zero, or the number of the first signal.
  static let received = Atomic<Int32>(0)
  static let graceSeconds: UInt32 = 10

  static func install() {
    // Touched here, so that the handler never is the one to initialise it.
    received.store(0, ordering: .relaxed)
    signal(SIGPIPE, SIG_IGN)
    var action = sigaction()
    sigemptyset(&action.sa_mask)
    action.__sigaction_handler.sa_handler = { number in ProcessSignals.onStop(number) }
    for number in [SIGTERM, SIGINT] { sigaction(number, &action, nil) }
    action.__sigaction_handler.sa_handler = { _ in ProcessSignals.onGraceOver() }
    sigaction(SIGALRM, &action, nil)
    // A parent may have left them blocked, and then nothing would ever stop this process.
    var stops = sigset_t()
    sigemptyset(&stops)
    for number in [SIGTERM, SIGINT, SIGALRM] { sigaddset(&stops, number) }
    pthread_sigmask(SIG_UNBLOCK, &stops, nil)
  }

  /// Ends the process when it is still there `graceSeconds` after its deadline.
  static func armDeadline(seconds: UInt32) { alarm(seconds + graceSeconds) }

  // Only async-signal-safe calls below.

  private static func onStop(_ number: Int32) {
    let (isFirst, _) = received.compareExchange(expected: 0, desired: number, ordering: .relaxed)
    if !isFirst { _exit(128 + number) }
    alarm(graceSeconds)
  }

  private static func onGraceOver() {
    let number = received.load(ordering: .relaxed)
    _exit(number == 0 ? ExitCode.retryLater.rawValue : 128 + number)
  }
}
