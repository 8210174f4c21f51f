import Glibc
import Synchronization

/// What a process has around it: its streams, environment, clocks and signals.
public struct Surroundings: Sendable {
  public var console: Console
  public var environment: [String: String]
  /// The wall clock in unix seconds.
  public var now: @Sendable () -> UInt64
  /// A clock that never goes back, in nanoseconds.
  public var monotonic: @Sendable () -> UInt64
  /// The number of the first signal that asked to stop; zero if none did.
  public var receivedSignal: @Sendable () -> Int32
  /// Called with the seconds of a run's deadline, so that a run that hangs ends all the same.
  public var armDeadline: @Sendable (UInt32) -> Void

  public init(
    console: Console, environment: [String: String],
    now: @escaping @Sendable () -> UInt64 = UTCTime.now,
    monotonic: @escaping @Sendable () -> UInt64 = UTCTime.monotonicNanoseconds,
    receivedSignal: @escaping @Sendable () -> Int32 = { 0 },
    armDeadline: @escaping @Sendable (UInt32) -> Void = { _ in }
  ) {
    self.console = console
    self.environment = environment
    self.now = now
    self.monotonic = monotonic
    self.receivedSignal = receivedSignal
    self.armDeadline = armDeadline
  }

  /// This process. Takes over SIGTERM, SIGINT, SIGALRM and SIGPIPE.
  static func process() -> Surroundings {
    ProcessSignals.install()
    return Surroundings(
      console: .standard(), environment: processEnvironment(),
      receivedSignal: { ProcessSignals.received.load(ordering: .relaxed) },
      armDeadline: ProcessSignals.armDeadline)
  }

  private static func processEnvironment() -> [String: String] {
    var variables: [String: String] = [:]
    var next = environ
    while let entry = next.pointee {
      if let equals = strchr(entry, 0x3D) {  // =
        let name = UnsafeRawBufferPointer(start: entry, count: equals - entry)
        variables[String(decoding: name, as: UTF8.self)] = String(cString: equals + 1)
      }
      next += 1
    }
    return variables
  }
}
