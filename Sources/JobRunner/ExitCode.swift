/// What the process says to cron, to Kubernetes and to a shell when it ends.
///
/// The numbers follow `sysexits.h` where it has a word for the case. A scheduler may retry 1, 69,
/// 74, 75, 130 and 143; retrying 64, 65, 70, 77 and 78 changes nothing until somebody acts.
public enum ExitCode: Int32, Sendable, CaseIterable {
  /// The work is done, or there was none, or another run holds the lock.
  case done = 0
  /// The run ended, but some items failed: events set aside, verdicts unknown.
  case itemFailures = 1
  /// The command line does not say what can be done.
  case usage = 64
  /// The data contradict themselves: a divergence, or a reorg deeper than the limit.
  case badData = 65
  /// A node or the database did not answer.
  case unavailable = 69
  /// A mistake in this program.
  case internalError = 70
  /// The result could not be written.
  case inputOutput = 74
  /// The same command may succeed later: the mirror is behind, or the deadline left work over.
  case retryLater = 75
  /// The operating system or the database refuses this user.
  case permission = 77
  /// The configuration or the schema does not fit this binary.
  case configuration = 78
  /// SIGINT arrived and the run stopped at a commit point.
  case interrupted = 130
  /// SIGTERM arrived and the run stopped at a commit point.
  case terminated = 143

  /// One phrase for help texts and the operators' guide.
  public var meaning: String {
    switch self {
    case .done: "done, or nothing to do"
    case .itemFailures: "finished, with items that failed"
    case .usage: "the command line is wrong"
    case .badData: "the data contradict themselves"
    case .unavailable: "a node or the database did not answer"
    case .internalError: "a mistake in this program"
    case .inputOutput: "reading or writing a file or stream failed"
    case .retryLater: "retry later"
    case .permission: "permission refused"
    case .configuration: "configuration or schema does not fit"
    case .interrupted: "stopped by SIGINT at a commit point"
    case .terminated: "stopped by SIGTERM at a commit point"
    }
  }

  /// Which of two codes a run with several deployments ends with: the higher one.
  ///
  /// A code that a retry cures ranks below one that needs a person.
  var severity: Int {
    switch self {
    case .done: 0
    case .itemFailures: 1
    case .retryLater: 2
    case .unavailable: 3
    case .inputOutput: 4
    case .interrupted, .terminated: 5
    case .permission: 6
    case .configuration: 7
    case .usage: 8
    case .badData: 9
    case .internalError: 10
    }
  }
}
