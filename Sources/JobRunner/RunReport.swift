/// How a run ended, as the run table stores it.
public enum RunStatus: String, Sendable, CaseIterable {
  case running
  case succeeded
  case failed
  case partial
  case skippedLocked = "skipped_locked"
  case interrupted
}

/// What a run has to say: counters, tables, notes, and the code it ends with.
///
/// A job starts with an empty report and adds to it. The code only ever gets worse, so that one
/// failed deployment shows even when the next one goes well.
public struct RunReport: Sendable {
  public private(set) var status: RunStatus = .succeeded
  public private(set) var exit: ExitCode = .done
  /// Counts in the order in which they were first named.
  public private(set) var counters: [(name: String, value: Int)] = []
  /// What the result is true of: a block, a timestamp, a deployment.
  public private(set) var facts: [(name: String, value: String)] = []
  public var tables: [ResultTable] = []
  /// Sentences for whoever reads the result.
  public private(set) var notes: [String] = []
  /// The lowest and highest block the run touched.
  public private(set) var blocks: ClosedRange<UInt64>?
  /// True when work was left because of a signal or the deadline.
  public private(set) var isStoppedEarly = false

  public init() {}

  /// Adds to a counter. Naming it with zero makes it appear in the result.
  public mutating func count(_ name: String, _ amount: Int = 1) {
    if let index = counters.firstIndex(where: { $0.name == name }) {
      counters[index].value += amount
    } else {
      counters.append((name, amount))
    }
  }

  /// The value of a counter, zero when it was never named.
  public func counter(_ name: String) -> Int {
    counters.first { $0.name == name }?.value ?? 0
  }

  /// States what the result is true of. The last value given to a name stays.
  public mutating func state(_ name: String, _ value: String) {
    if let index = facts.firstIndex(where: { $0.name == name }) {
      facts[index].value = value
    } else {
      facts.append((name, value))
    }
  }

  public mutating func note(_ sentence: String) { notes.append(sentence) }

  /// Widens the range of blocks the run touched.
  public mutating func touched(_ range: ClosedRange<UInt64>) {
    let old = blocks ?? range
    blocks = min(old.lowerBound, range.lowerBound)...max(old.upperBound, range.upperBound)
  }

  // MARK: - How it ended

  /// Takes a code over when it is worse than the present one.
  public mutating func worsen(to code: ExitCode) {
    guard code.severity > exit.severity else { return }
    exit = code
    switch code {
    case .done: break
    case .itemFailures, .retryLater: status = .partial
    case .interrupted, .terminated: status = .interrupted
    default: status = .failed
    }
  }

  /// Takes a failure over: its code and its sentence.
  public mutating func add(_ failure: Failure) {
    worsen(to: failure.exit)
    notes.append(failure.description)
  }

  /// Ends a run that was cut short: a failure that only the stop has caused gives way to it.
  mutating func end(with code: ExitCode) {
    if exit == .retryLater || exit == .unavailable { (exit, status) = (.done, .succeeded) }
    worsen(to: code)
  }

  /// Work is left because `isStopping()` became true.
  public mutating func stopEarly() { isStoppedEarly = true }

  /// Somebody else has the lock. The run is done unless something else went wrong.
  public mutating func skipLocked(heldBy holder: String) {
    if exit == .done { status = .skippedLocked }
    notes.append("skipped: \(holder) holds the lock")
  }
}
