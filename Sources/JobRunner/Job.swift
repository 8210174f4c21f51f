/// One bounded run, started by cron or by hand. Every file in `jobs/` holds one.
///
/// A job takes its options, reads, decides, and writes. Locking, signals, the deadline, the run's
/// row, logging and the exit code are the runner's.
public protocol Job {
  /// The subcommand.
  static var name: String { get }
  /// One sentence for the list of subcommands.
  static var summary: String { get }
  static var usage: Usage { get }
  /// Whether the job changes anything; a reading one leaves no run row.
  static var access: JobAccess { get }

  /// What two runs exclude each other by, on each deployment; nil: the job's name.
  ///
  /// A job that can work in parts at once gives each part a name, which begins with the job's:
  /// `consume-events fetch 1/4`. The run's row carries it.
  var lockName: String? { get }

  /// Whether the job asks nodes: the network is then made ready while the session opens.
  static var asksNodes: Bool { get }

  /// Whether the job writes mirrors, and so has to be the writer of a deployment while it works on
  /// it: `DeploymentContext.takeWriter`.
  static var isWriter: Bool { get }

  /// Takes the job's own options. Whatever can be refused without the database is refused here.
  init(arguments: inout Arguments) throws(UsageError)

  /// Does the work. It stops at a commit point once `context.isStopping()` is true.
  func run(in context: JobContext) throws -> RunReport
}

extension Job {
  public static var access: JobAccess { .writes }
  public static var asksNodes: Bool { false }
  public static var isWriter: Bool { false }
  public var lockName: String? { nil }
}

/// What a job does to the database.
public enum JobAccess: Sendable {
  case reads
  case writes
}

/// What `--help` says about a subcommand.
public struct Usage: Sendable {
  /// A command line with what it does.
  public struct Example: Sendable {
    public var command: String
    public var explanation: String

    public init(_ command: String, _ explanation: String) {
      self.command = command
      self.explanation = explanation
    }
  }

  /// An option with what it means.
  public struct Option: Sendable {
    /// The name, with a placeholder when it takes a value: `--limit N`.
    public var form: String
    public var explanation: String

    public init(_ form: String, _ explanation: String) {
      self.form = form
      self.explanation = explanation
    }
  }

  /// At least two; they come first in the help.
  public var examples: [Example]
  /// The options that only this subcommand has.
  public var options: [Option]
  /// What the operator may rely on: what is read and written, why running it again is safe.
  public var details: String

  public init(examples: [Example], options: [Option] = [], details: String = "") {
    self.examples = examples
    self.options = options
    self.details = details
  }
}
