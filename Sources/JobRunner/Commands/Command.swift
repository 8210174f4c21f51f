import Postgres

/// A subcommand that is no job: it sets things up or shows them, and leaves no run row.
protocol Command {
  static var name: String { get }
  static var summary: String { get }
  static var usage: Usage { get }

  init(arguments: inout Arguments) throws(UsageError)

  func run(in context: CommandContext) throws -> ExitCode
}

/// What a command may use.
struct CommandContext {
  let runner: Runner
  let common: CommonOptions
  let surroundings: Surroundings

  var console: Console { surroundings.console }

  func configuration() throws(ConfigError) -> Configuration {
    try runner.configuration(common, in: surroundings)
  }

  func database(_ configuration: Configuration) -> Database {
    Database(configuration: configuration, surroundings: surroundings)
  }
}
