import HTTP
import Postgres

/// `config show` and `config check`.
struct ConfigCommand: Command {
  static let name = "config"
  static let summary = "Show the settings in force, or check that they can work."
  static let usage = Usage(
    examples: [
      .init(
        "plimsoll config check",
        "reads the file, every URL and every address, and says what is wrong"),
      .init("plimsoll config show --sources", "lists each setting with the line it comes from"),
    ],
    options: [.init("--sources", "with show: where each value comes from")],
    details: """
      A value is taken from the flag, else from the environment (PLIMSOLL_CONFIG,
      PLIMSOLL_DATABASE, PLIMSOLL_DATABASE_URL_FILE, PLIMSOLL_LOG_FORMAT,
      PLIMSOLL_LOG_LEVEL), else from the file, else it has a default. URLs are never shown.
      """)

  private enum Action { case show, check }

  private let action: Action
  private let showsSources: Bool

  init(arguments: inout Arguments) throws(UsageError) {
    showsSources = try arguments.flag("--sources")
    let word = arguments.word()
    switch word {
    case "show": action = .show
    case "check": action = .check
    default:
      let hint = Suggestion.phrase(for: word ?? "", among: ["show", "check"])
      throw UsageError("config needs show or check" + hint)
    }
    if action == .check && showsSources { throw UsageError("--sources belongs to config show") }
  }

  func run(in context: CommandContext) throws -> ExitCode {
    let configuration = try context.configuration()
    switch action {
    case .show: try show(configuration, in: context)
    case .check: try check(configuration, in: context)
    }
    return .done
  }

  private func show(_ configuration: Configuration, in context: CommandContext) throws {
    var columns: [ResultTable.Column] = [.init("field"), .init("value")]
    if showsSources { columns.append(.init("source")) }
    let rows: [[String?]] = configuration.settings.map { setting in
      [setting.field, setting.value] + (showsSources ? [setting.source] : [])
    }
    let table = ResultTable(name: "settings", columns: columns, rows: rows)
    try context.write(table)
  }

  /// Reads everything that a run would read before it sends its first byte.
  private func check(_ configuration: Configuration, in context: CommandContext) throws {
    let place = configuration.place
    for chain in configuration.chains {
      _ = try ChainPool.endpoints(
        of: chain, environment: context.surroundings.environment, place: place,
        redactor: context.console.redactor)
      for source in chain.prices.outside {
        _ = try ChainPool.url(
          of: source, chain: chain.name, environment: context.surroundings.environment,
          place: place, redactor: context.console.redactor)
      }
    }
    for deployment in configuration.deployments {
      _ = try context.runner.system(of: deployment)
    }
    try context.database(configuration).checkSetting()
    if configuration.deployments.isEmpty { throw configuration.noDeployments }
    if context.common.isJSON {
      let object = JSONValue.object([
        .init("schema_version", .integer(ResultDocument.schemaVersion)),
        .init("file", .string(place)), .init("status", .string("valid")),
      ])
      try context.console.result(object.pretty + "\n")
    } else {
      try context.console.result(
        "\(VisibleText.escape(place)): valid, chains \(configuration.chains.count), "
          + "deployments \(configuration.deployments.count)\n")
    }
  }
}

extension CommandContext {
  /// Writes a table, as an object with one list when JSON was asked for.
  func write(_ table: ResultTable) throws {
    guard common.isJSON else { return try console.result(table.text) }
    let object = JSONValue.object([
      .init("schema_version", .integer(ResultDocument.schemaVersion)),
      .init(table.name, table.json),
    ])
    try console.result(object.pretty + "\n")
  }
}

extension Configuration {
  /// What to call the configuration in an error.
  var place: String { file ?? Configuration.standardFile }

  var noDeployments: ConfigError {
    let isThere = file != nil
    return ConfigError(
      place, field: "deployments",
      remedy: isThere
        ? "names no deployment; add one (docs/running.md has an example)"
        : "there is no configuration file; write one, or name it by --config")
  }
}
