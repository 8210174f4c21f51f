import Glibc
import HTTP
import Postgres
import Store
import Systems

/// What a job may use: a few capabilities, and no settings but its own options.
public struct JobContext {
  /// The row of this run; nil for a dry run and for a job that only reads.
  public let runID: Int64?
  public let log: Logger
  public let progress: Progress
  /// The deployments to work on: chosen by the options, and not locked by another run.
  public let deployments: [DeploymentContext]
  public let database: Connection
  /// When the run has to have ended.
  public let deadline: Deadline
  /// True when nothing may be written.
  public let isDryRun: Bool
  /// The wall clock in unix seconds. For labels; a scheduled period is an option of the job.
  public let now: () -> UInt64
  /// The way to a standby; nil when none is configured.
  let replicas: ReplicaSource?
  public let alerting: Alerting
  private let stop: StopSignal
  private let explain: (any Error) -> Failure?

  public init(
    runID: Int64?, log: Logger, progress: Progress, deployments: [DeploymentContext],
    database: Connection, deadline: Deadline, isDryRun: Bool, now: @escaping () -> UInt64,
    alerting: Alerting = Alerting(), stop: StopSignal,
    explain: @escaping (any Error) -> Failure? = { _ in nil }
  ) {
    self.init(
      runID: runID, log: log, progress: progress, deployments: deployments, database: database,
      replicas: nil, deadline: deadline, isDryRun: isDryRun, now: now, alerting: alerting,
      stop: stop, explain: explain)
  }

  init(
    runID: Int64?, log: Logger, progress: Progress, deployments: [DeploymentContext],
    database: Connection, replicas: ReplicaSource?, deadline: Deadline, isDryRun: Bool,
    now: @escaping () -> UInt64, alerting: Alerting, stop: StopSignal,
    explain: @escaping (any Error) -> Failure?
  ) {
    self.runID = runID
    self.log = log
    self.progress = progress
    self.deployments = deployments
    self.database = database
    self.replicas = replicas
    self.deadline = deadline
    self.isDryRun = isDryRun
    self.now = now
    self.alerting = alerting
    self.stop = stop
    self.explain = explain
  }

  /// True once a signal has come or the deadline has passed: stop at the next commit point and
  /// call `stopEarly()` on the report when work is left.
  public func isStopping() -> Bool { stop.isStopping }

  /// How this run is named to others that wait for it: run, host and process.
  public var holder: String { ThisProcess.holder(runID: runID) }

  /// Becomes the writer of a deployment, or names the one who is. A run of one deployment has
  /// become it already, when its row was opened.
  public func takeWriter(of target: DeploymentContext, _ deployment: Deployment) throws
    -> Writer.Taking
  {
    if let taking = target.taking { return taking }
    return try Writer.take(deployment.id, holder: holder, on: database)
  }

  /// What an error means.
  public func failure(_ error: any Error) -> Failure { Failure(error, explain: explain) }

  /// What an error of one deployment means: its line begins with the deployment's name.
  public func failure(_ error: any Error, deployment: DeploymentContext) -> Failure {
    let failure = Failure(error, explain: explain)
    if failure.description.hasPrefix("\(deployment.name):") { return failure }
    return Failure(failure.exit, "\(deployment.name): \(failure.description)")
  }
}

/// What is known of the process and its machine.
enum ThisProcess {
  static var hostName: String {
    var name = [CChar](repeating: 0, count: 256)
    gethostname(&name, name.count - 1)
    return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  static func holder(runID: Int64?) -> String {
    "\(runID.map { "run \($0)" } ?? "a dry run") on \(hostName), process \(getpid())"
  }
}

extension Connection {
  /// A transaction that is kept, or in a rehearsal rolled back after everything was tried.
  public func rehearsable<T>(
    _ isRehearsal: Bool, _ body: (borrowing Transaction) throws -> T
  ) throws -> T {
    var result: T?
    do {
      return try transaction { tx in
        let value = try body(tx)
        result = value
        if isRehearsal { throw RehearsalOver() }
        return value
      }
    } catch let over as RehearsalOver {
      guard let result else { throw over }
      return result
    }
  }
}

private struct RehearsalOver: Error {}
