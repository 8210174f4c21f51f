/// The options that every subcommand has.
struct CommonOptions: Sendable {
  enum Color: String, CaseIterable, Sendable { case auto, always, never }

  var flags = Configuration.Flags()
  var isJSON = false
  var isDryRun = false
  var color = Color.auto
  var deadline: Duration = Self.deadlineStandard
  var deployments: [String] = []
  var chains: [String] = []
  var wantsHelp = false

  /// Every run has a deadline; a longer backfill goes on in the next run.
  static let deadlineStandard: Duration = .seconds(3_600)

  init() {}

  /// Takes the common options out of the arguments.
  init(_ arguments: inout Arguments) throws(UsageError) {
    wantsHelp = try arguments.flag("--help", "-h")
    flags.config = try arguments.value("--config")
    flags.database = try arguments.value("--database")
    let formats = LogFormat.allCases.map(\.rawValue)
    flags.logFormat = try arguments.choice("--log-format", among: formats)
      .flatMap(LogFormat.init(rawValue:))
    flags.logLevel = try Self.logLevel(&arguments)
    color =
      try arguments.choice("--color", among: Color.allCases.map(\.rawValue))
      .flatMap(Color.init(rawValue:)) ?? .auto
    isJSON = try arguments.flag("--json")
  }

  /// Takes the options of subcommands that run against deployments.
  mutating func takeJobOptions(
    _ arguments: inout Arguments, access: JobAccess
  ) throws(UsageError) {
    deployments = try arguments.values("--deployment")
    chains = try arguments.values("--chain")
    deadline = try arguments.duration("--deadline") ?? Self.deadlineStandard
    if access == .writes { isDryRun = try arguments.flag("--dry-run") }
  }

  private static func logLevel(_ arguments: inout Arguments) throws(UsageError) -> LogLevel? {
    let names = LogLevel.allCases.map(\.name)
    let named = try arguments.choice("--log-level", among: names).flatMap(LogLevel.init(name:))
    var given: [LogLevel] = named.map { [$0] } ?? []
    if try arguments.flag("--quiet", "-q") { given.append(.error) }
    if try arguments.flag("-v", "--verbose") { given.append(.debug) }
    if try arguments.flag("-vv") { given.append(.trace) }
    guard given.count <= 1 else {
      throw UsageError("--log-level, --quiet and -v exclude each other; give one of them")
    }
    return given.first
  }

  static let help: [Usage.Option] = [
    .init("--config PATH", "the configuration file (default: plimsoll.json)"),
    .init("--database URL", "private, or a postgresql:// URL without a password"),
    .init("--json", "the result as one JSON object"),
    .init("--log-format FORMAT", "pretty or json (default: pretty on a terminal, else json)"),
    .init("--log-level LEVEL", "trace, debug, info, warning or error"),
    .init("-q, --quiet", "errors only"),
    .init("-v, -vv", "more log lines, and still more"),
    .init("--color WHEN", "auto, always or never; NO_COLOR is honoured"),
    .init("-h, --help", "this text"),
  ]

  static func jobHelp(_ access: JobAccess) -> [Usage.Option] {
    var options: [Usage.Option] = [
      .init("--deployment NAME", "only this deployment; may be given several times"),
      .init("--chain NAME", "only deployments on this chain; may be given several times"),
      .init("--deadline TIME", "stop at the next commit point after 50s, 10m, 2h (default: 1h)"),
    ]
    if access == .writes {
      options.append(.init("--dry-run", "say what would be written, and write nothing"))
    }
    return options
  }
}
