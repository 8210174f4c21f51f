import Glibc
import HTTP
import Postgres
import Store
import Systems

// The life of one run: options, configuration, database, locks, row, work, result.

extension Runner {
  func run(
    _ type: any Job.Type, _ arguments: Arguments, _ common: CommonOptions, _ words: [String],
    in surroundings: Surroundings
  ) throws -> ExitCode {
    var arguments = arguments
    var common = common
    try common.takeJobOptions(&arguments, access: type.access)
    let job = try type.init(arguments: &arguments)
    try arguments.finish()
    if type.asksNodes { CurlTransport.prepare() }
    let configuration = try configuration(common, in: surroundings)
    let chosen = try choose(from: configuration, common, access: type.access)

    surroundings.armDeadline(UInt32(clamping: common.deadline.components.seconds))
    let start = MonotonicInstant(nanoseconds: surroundings.monotonic())
    let deadline = Deadline.after(common.deadline, from: start)
    let stop = StopSignal(
      deadline: deadline.instant.nanoseconds, now: surroundings.monotonic,
      received: surroundings.receivedSignal)
    let log = logger(common, configuration, in: surroundings).with(["job": type.name])
    let database = Database(configuration: configuration, surroundings: surroundings)
    let execution = Execution(
      runner: self, type: type, job: job, common: common, configuration: configuration,
      surroundings: surroundings, database: database, stop: stop, deadline: deadline,
      startedAt: surroundings.now(), startedInstant: start,
      arguments: surroundings.console.redactor.redact(words.joined(separator: " ")))
    return try execution.perform(on: chosen, log: log)
  }

  func configuration(
    _ common: CommonOptions, in surroundings: Surroundings
  ) throws(ConfigError) -> Configuration {
    try Configuration.load(
      flags: common.flags, environment: surroundings.environment,
      systems: systems.keys.sorted())
  }

  func system(of deployment: DeploymentConfiguration) throws -> any OnChainSystem {
    guard let make = systems[deployment.system] else {
      preconditionFailure("a loaded deployment names a system of this binary")
    }
    return try make(deployment)
  }

  func logger(
    _ common: CommonOptions, _ configuration: Configuration, in surroundings: Surroundings
  ) -> Logger {
    let console = surroundings.console
    let isColored =
      switch common.color {
      case .always: true
      case .never: false
      case .auto: console.isErrorTerminal && surroundings.environment["NO_COLOR", default: ""] == ""
      }
    return Logger(
      to: console, level: configuration.logLevel ?? .info,
      format: configuration.logFormat ?? (console.isErrorTerminal ? .pretty : .json),
      isColored: isColored)
  }

  // MARK: - Which deployments

  private func choose(
    from configuration: Configuration, _ common: CommonOptions, access: JobAccess
  ) throws -> [DeploymentConfiguration] {
    let all = configuration.deployments
    if all.isEmpty && access == .writes { throw configuration.noDeployments }
    try Self.check(common.deployments, "--deployment", among: all.map(\.name))
    try Self.check(common.chains, "--chain", among: configuration.chains.map(\.name))
    let chosen = all.filter { deployment in
      (common.deployments.isEmpty || common.deployments.contains(deployment.name))
        && (common.chains.isEmpty || common.chains.contains(deployment.chain))
    }
    let isNarrowed = !common.deployments.isEmpty || !common.chains.isEmpty
    if chosen.isEmpty && isNarrowed {
      throw UsageError("--deployment and --chain leave no deployment to work on")
    }
    return chosen
  }

  private static func check(
    _ names: [String], _ flag: String, among known: [String]
  ) throws(UsageError) {
    for name in names where !known.contains(name) {
      let list =
        known.isEmpty ? "none is configured" : "configured: \(known.joined(separator: ", "))"
      throw Arguments.wrong(
        flag, name, "\(list)\(Suggestion.phrase(for: name, among: known))")
    }
  }
}

/// One run on its way from the first lock to the exit code.
private struct Execution {
  let runner: Runner
  let type: any Job.Type
  let job: any Job
  let common: CommonOptions
  let configuration: Configuration
  let surroundings: Surroundings
  let database: Database
  let stop: StopSignal
  let deadline: Deadline
  let startedAt: UInt64
  let startedInstant: MonotonicInstant
  /// The command line as the run's row keeps it.
  let arguments: String

  /// A dry run and a reading job take no lock and leave no row.
  private var leavesTraces: Bool { type.access == .writes && !common.isDryRun }

  /// What other runs know this one by: in locks and in the row.
  private var lockName: String { job.lockName ?? type.name }

  func perform(on chosen: [DeploymentConfiguration], log: Logger) throws -> ExitCode {
    let locks = leavesTraces ? chosen.map { lock($0).trying } : []
    let (connection, answers) = try database.open(
      knowing: runner.migrations,
      asking: [Deployments.all] + ChainMemory.questions + locks)
    if leavesTraces && connection.isReplica {
      throw Failure(
        .configuration,
        "database: the server is a standby, which cannot be written; name the primary")
    }
    var report = RunReport()
    let free = try keepLocked(
      chosen, answers.dropFirst(1 + ChainMemory.questions.count), into: &report)
    defer { if leavesTraces, !connection.isClosed { try? connection.unlockAll() } }
    if free.isEmpty && !chosen.isEmpty {
      return try end(report, runID: nil, on: connection, log: log)
    }
    var opening = Opening(
      stored: try Deployments.stored(answers[0]), memories: Array(answers.dropFirst()))
    if leavesTraces { try begin(on: free, connection, &opening) }
    let runLog = opening.runID.map { log.with(["run": $0]) } ?? log
    runLog.info("run started", ["deployments": names(of: free)])
    work(on: free, connection, opening, log: runLog, into: &report)
    return try end(report, runID: opening.runID, on: connection, log: runLog)
  }

  private func names(of deployments: [DeploymentConfiguration]) -> String {
    deployments.map(\.name).joined(separator: ",")
  }

  private func lock(_ deployment: DeploymentConfiguration) -> AdvisoryKey {
    Runs.lock(job: lockName, deployment: deployment.name)
  }

  /// The deployments whose lock was taken; leaves out those that another run of the job holds.
  ///
  /// The locks would end with the connection, but the server notices its end only a while later,
  /// and the next run of a cron line would find them taken: so the run gives them back itself.
  private func keepLocked(
    _ chosen: [DeploymentConfiguration], _ taken: ArraySlice<Rows>, into report: inout RunReport
  ) throws -> [DeploymentConfiguration] {
    guard leavesTraces else { return chosen }
    var free: [DeploymentConfiguration] = []
    for (deployment, answer) in zip(chosen, taken) {
      if try answer[0].get(0, Bool.self) {
        free.append(deployment)
      } else {
        report.skipLocked(heldBy: "another run of \(lockName) on \(deployment.name)")
      }
    }
    return free
  }

  // MARK: - The row

  /// What the run knows and has before the job begins.
  private struct Opening {
    /// The deployments that the database knows.
    let stored: [StoredDeployment]
    /// What it knows of chains and their endpoints.
    let memories: [Rows]
    var runID: Int64?
    /// What became of the attempt to be the writer, where one was made.
    var taking: Writer.Taking?
  }

  /// Opens the row. A job that writes the mirror of one deployment becomes its writer in the same
  /// transaction; of several, each when its turn comes, so that none is kept from others for long.
  private func begin(
    on deployments: [DeploymentConfiguration], _ connection: Connection, _ opening: inout Opening
  ) throws {
    let only = type.isWriter && deployments.count == 1 ? deployments.first : nil
    let writing = only.flatMap { only in
      let chainID = configuration.chain(of: only).chainID
      return opening.stored.first { only.isStored(as: $0, chainID: chainID) }
    }
    (opening.runID, opening.taking) = try connection.transaction { tx in
      let id = try Runs.begin(
        job: lockName, arguments: arguments, deployments: names(of: deployments),
        version: Runner.version, host: ThisProcess.hostName, pid: getpid(), in: tx)
      let holder = ThisProcess.holder(runID: id)
      return (id, try writing.map { try Writer.take($0.id, holder: holder, in: tx) })
    }
  }

  private func finish(
    _ id: Int64, _ report: RunReport, exit: ExitCode, on connection: Connection
  ) throws {
    let live =
      connection.isClosed ? try database.reopen(isStopping: { stop.isStopping }) : connection
    let problems = report.notes.joined(separator: "; ")
    let error = exit == .done ? nil : surroundings.console.redactor.redact(problems)
    try Runs.finish(
      id, status: report.status.rawValue, exitCode: exit.rawValue,
      counters: ResultDocument.counters(report).compact,
      error: error.map { VisibleText.cut($0, columns: Failure.lengthMax) },
      fromBlock: report.blocks?.lowerBound, toBlock: report.blocks?.upperBound, on: live)
  }

  // MARK: - The work

  private func work(
    on deployments: [DeploymentConfiguration], _ connection: Connection, _ opening: Opening,
    log: Logger, into report: inout RunReport
  ) {
    let console = surroundings.console
    let progress = Progress(
      console: console, log: log,
      isLive: console.isErrorTerminal && log.format == .pretty && log.level <= .info,
      now: surroundings.monotonic)
    defer { progress.finish() }
    let skipped = report
    let pool = chains(remembering: opening.memories)
    do {
      let context = JobContext(
        runID: opening.runID, log: log, progress: progress,
        deployments: try contexts(of: deployments, opening, on: pool),
        database: connection, replicas: replicas, deadline: deadline, isDryRun: common.isDryRun,
        now: surroundings.now, alerting: alerting, stop: stop, explain: runner.explain)
      report = try job.run(in: context)
      for note in skipped.notes { report.note(note) }
    } catch {
      report.add(Failure(error, explain: runner.explain))
    }
    remember(pool, after: report, on: connection, log: log)
    // A request that was broken off because of the stop is no failure of its own.
    let mayBeTheStop = report.exit == .retryLater || report.exit == .unavailable
    if stop.isStopping && mayBeTheStop { report.stopEarly() }
    if report.isStoppedEarly { report.end(with: stop.exit) }
  }

  private var replicas: ReplicaSource? {
    guard configuration.readURL != nil else { return nil }
    return ReplicaSource(lagMax: configuration.maxReplicaLag) {
      try database.openReplica(knowing: runner.migrations)
    }
  }

  private var alerting: Alerting {
    let opener = RouteOpener(
      configuration: configuration, environment: surroundings.environment,
      redactor: surroundings.console.redactor)
    return Alerting(
      settings: configuration.alerts,
      chains: Dictionary(
        configuration.deployments.map { ($0.name, $0.chain) }, uniquingKeysWith: { one, _ in one }),
      open: { [runner, stop, deadline] in
        opener.open(
          transport: runner.makeTransport(stop), deadline: deadline,
          isStopping: { stop.isStopping })
      })
  }

  private func chains(remembering memories: [Rows]) -> ChainPool {
    ChainPool(
      environment: surroundings.environment, place: configuration.place,
      redactor: surroundings.console.redactor, transport: runner.makeTransport(stop), stop: stop,
      deadline: deadline
    ) { chain in try ChainMemory(memories, chainID: chain.chainID) }
  }

  /// Stores what the run has learnt of its endpoints. It is of use and no more: a run that cannot
  /// store it has not failed.
  private func remember(
    _ pool: ChainPool, after report: RunReport, on connection: Connection, log: Logger
  ) {
    guard leavesTraces, !connection.isClosed else { return }
    let hasSucceeded = report.exit == .done || report.exit == .itemFailures
    for (chain, memory) in pool.opened {
      do {
        try memory.store(whatIsNewIn: chain, hasSucceeded: hasSucceeded, on: connection)
      } catch {
        log.warning(
          "what was learnt of the endpoints could not be stored",
          ["error": Failure(error, explain: runner.explain).description])
      }
    }
  }

  private func contexts(
    of deployments: [DeploymentConfiguration], _ opening: Opening, on pool: ChainPool
  ) throws -> [DeploymentContext] {
    return try deployments.map { deployment in
      let chain = configuration.chain(of: deployment)
      return DeploymentContext(
        configuration: deployment, chainSettings: chain,
        system: try runner.system(of: deployment), isDryRun: common.isDryRun,
        stored: opening.stored.first { $0.name == deployment.name }, taking: opening.taking,
        openChain: { try pool.chain(chain) },
        askOutside: { try pool.outsidePrices($0, of: chain, now: surroundings.now()) })
    }
  }

  // MARK: - The end

  /// Writes the result, closes the row, says the last line.
  private func end(
    _ report: RunReport, runID: Int64?, on connection: Connection, log: Logger
  ) throws -> ExitCode {
    var report = report
    let document = ResultDocument(
      job: type.name, runID: runID, report: report, isDryRun: common.isDryRun,
      startedAt: startedAt, finishedAt: surroundings.now())
    do {
      let text = common.isJSON ? document.json.pretty + "\n" : document.text
      try surroundings.console.result(surroundings.console.redactor.redact(text))
    } catch {
      report.add(error)
    }
    do {
      if let runID { try finish(runID, report, exit: report.exit, on: connection) }
    } catch {
      report.add(Failure(error, explain: runner.explain))
    }
    say(report, log: log)
    return report.exit
  }

  private func say(_ report: RunReport, log: Logger) {
    let now = MonotonicInstant(nanoseconds: surroundings.monotonic())
    let log = log.with([
      "status": report.status.rawValue, "exit_code": report.exit.rawValue,
      "milliseconds": now.duration(since: startedInstant).wholeMilliseconds,
      "counters": ResultDocument.counters(report).compact,
    ])
    let notes = report.notes.joined(separator: "; ")
    switch report.status {
    case .failed: log.error("run failed", ["error": notes])
    case .partial, .interrupted: log.warning("run ended early or in part", ["reason": notes])
    default: log.info("run finished", notes.isEmpty ? [:] : ["note": notes])
    }
  }
}
