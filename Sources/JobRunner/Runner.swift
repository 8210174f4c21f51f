import Glibc
import HTTP
import Postgres
import Systems

/// The program around the jobs: finds the subcommand, reads the configuration, runs, and turns
/// what happened into a row, a result and an exit code.
public struct Runner {
  /// Makes the system of a deployment.
  public typealias SystemFactory = (DeploymentConfiguration) throws -> any OnChainSystem

  static let version = "0.1.0"

  let jobs: [any Job.Type]
  let systems: [String: SystemFactory]
  let migrations: [Migration]
  let makeTransport: (StopSignal) -> any Transport
  let explain: (any Error) -> Failure?

  /// Puts a program together.
  ///
  /// `systems` has the names that a deployment may give as its system; `explain` says what the
  /// errors of the jobs' own modules mean, nil for those it does not know.
  public init(
    jobs: [any Job.Type], systems: [String: SystemFactory], migrations: [Migration],
    makeTransport: @escaping (StopSignal) -> any Transport = { stop in
      CurlTransport(isStopping: { stop.isStopping })
    },
    explain: @escaping (any Error) -> Failure? = { _ in nil }
  ) {
    self.jobs = jobs
    self.systems = systems
    self.migrations = migrations
    self.makeTransport = makeTransport
    self.explain = explain
  }

  /// Runs this process and ends it.
  ///
  /// At once: nothing is buffered here, and what the libraries do at an exit, which is to free
  /// their memory, takes time and could meet a library that another thread still sets up.
  public func main() -> Never {
    let code = run(Array(CommandLine.arguments.dropFirst()), in: .process())
    _exit(code.rawValue)
  }

  /// Runs one command line, the name of the program left out.
  public func run(_ words: [String], in surroundings: Surroundings) -> ExitCode {
    do {
      return try dispatch(words, in: surroundings)
    } catch {
      let failure = Failure(error, explain: explain)
      complain(failure, words: words, in: surroundings)
      return failure.exit
    }
  }

  // MARK: - Dispatch

  private static var commands: [any Command.Type] {
    [RunsCommand.self, MigrateCommand.self, ConfigCommand.self, DevCommand.self]
  }

  private func dispatch(_ words: [String], in surroundings: Surroundings) throws -> ExitCode {
    var arguments = Arguments(words)
    let common = try CommonOptions(&arguments)
    if try arguments.flag("--version") { return try showVersion(in: surroundings) }
    guard var name = arguments.word() else {
      if common.wantsHelp { return try show(overview, in: surroundings) }
      throw UsageError("no subcommand; plimsoll --help lists them")
    }
    var wantsHelp = common.wantsHelp
    if name == "help" {
      guard let subject = arguments.word() else { return try show(overview, in: surroundings) }
      (name, wantsHelp) = (subject, true)
    }
    if let job = jobs.first(where: { $0.name == name }) {
      if wantsHelp { return try show(help(of: job), in: surroundings) }
      return try run(job, arguments, common, words, in: surroundings)
    }
    if let command = Self.commands.first(where: { $0.name == name }) {
      if wantsHelp { return try show(help(of: command), in: surroundings) }
      return try run(command, arguments, common, in: surroundings)
    }
    let names = jobs.map { $0.name } + Self.commands.map { $0.name } + ["help"]
    throw UsageError(
      "unknown subcommand \"\(VisibleText.escape(name))\""
        + Suggestion.phrase(for: name, among: names))
  }

  private func run(
    _ command: any Command.Type, _ arguments: Arguments, _ common: CommonOptions,
    in surroundings: Surroundings
  ) throws -> ExitCode {
    var arguments = arguments
    let command = try command.init(arguments: &arguments)
    try arguments.finish()
    return try command.run(
      in: CommandContext(runner: self, common: common, surroundings: surroundings))
  }

  // MARK: - Help and errors

  private var overview: String {
    Help.overview(
      jobs.map { Help.Entry(name: $0.name, summary: $0.summary) }
        + Self.commands.map { Help.Entry(name: $0.name, summary: $0.summary) })
  }

  private func help(of job: any Job.Type) -> String {
    Help.subcommand(
      job.name, summary: job.summary, usage: job.usage,
      common: CommonOptions.jobHelp(job.access) + CommonOptions.help)
  }

  private func help(of command: any Command.Type) -> String {
    Help.subcommand(
      command.name, summary: command.summary, usage: command.usage, common: CommonOptions.help)
  }

  private func showVersion(in surroundings: Surroundings) throws -> ExitCode {
    try show("plimsoll \(Self.version) (schema \(migrations.count))\n", in: surroundings)
  }

  private func show(_ text: String, in surroundings: Surroundings) throws -> ExitCode {
    try surroundings.console.result(text)
    return .done
  }

  /// One line on the error stream, as an object when JSON was asked for by name.
  private func complain(_ failure: Failure, words: [String], in surroundings: Surroundings) {
    let isJSON =
      surroundings.environment["PLIMSOLL_LOG_FORMAT"] == "json"
      || words.contains("--log-format=json")
      || zip(words, words.dropFirst()).contains { $0 == ("--log-format", "json") }
    if isJSON {
      Logger(to: surroundings.console).error(
        "failed", ["error": failure.description, "exit_code": failure.exit.rawValue])
    } else {
      surroundings.console.say("plimsoll: \(failure.description)")
    }
  }
}
