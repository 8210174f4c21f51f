import Ethereum

extension Configuration {
  /// What the command line says about the configuration.
  public struct Flags: Sendable {
    public var config: String?
    public var database: String?
    public var logFormat: LogFormat?
    public var logLevel: LogLevel?

    public init(
      config: String? = nil, database: String? = nil, logFormat: LogFormat? = nil,
      logLevel: LogLevel? = nil
    ) {
      self.config = config
      self.database = database
      self.logFormat = logFormat
      self.logLevel = logLevel
    }
  }

  static let standardFile = "plimsoll.json"

  /// Reads the file, then lets the environment and then the flags overrule it.
  ///
  /// `systems` are the names of the systems this binary knows.
  public static func load(
    flags: Flags, environment: [String: String], systems: [String]
  ) throws(ConfigError) -> Configuration {
    let environment = environment.filter { !$0.value.isEmpty }
    let settings = SettingList()
    let file = try configurationFile(flags, environment, settings)
    var root: ConfigurationObject?
    if let file { root = try parse(file, settings) }

    let fromFile = try root?.database(in: file ?? "")
    let database = try overruledDatabase(fromFile, flags, environment, settings)
    let readURL = try root?.readURL(in: file ?? "")
    let maxReplicaLag = try root?.maxReplicaLag()
    let directory = try root?.privateDirectory() ?? ".plimsoll"
    let chains = try root?.chains() ?? []
    let deployments = try root?.deployments(on: chains, systems: systems) ?? []
    let alerts = try root?.alerts(deployments: deployments) ?? AlertSettings()
    try root?.finish()
    return Configuration(
      file: file, database: database, readURL: readURL, maxReplicaLag: maxReplicaLag,
      privateDirectory: directory, chains: chains, deployments: deployments, alerts: alerts,
      logFormat: try logFormat(flags, environment, settings),
      logLevel: try logLevel(flags, environment, settings), settings: settings.all)
  }

  private static func configurationFile(
    _ flags: Flags, _ environment: [String: String], _ settings: SettingList
  ) throws(ConfigError) -> String? {
    if let path = flags.config {
      settings.add("config", path, "flag --config")
      return path
    }
    if let path = environment["PLIMSOLL_CONFIG"] {
      settings.add("config", path, "environment PLIMSOLL_CONFIG")
      return path
    }
    guard TextFile.exists(standardFile) else { return nil }
    settings.add("config", standardFile, "default")
    return standardFile
  }

  private static func parse(
    _ file: String, _ settings: SettingList
  ) throws(ConfigError) -> ConfigurationObject {
    let bytes = try TextFile.read(file, limit: JSONSource.bytesMax, place: file)
    let source: JSONSource
    do {
      source = try JSONSource.parse(bytes)
    } catch {
      throw ConfigError(
        "\(file):\(error.line):\(error.column)", remedy: "expected \(error.expected)")
    }
    return try ConfigurationObject(source, file: file, path: "", settings: settings)
  }

  // MARK: - Flags and environment

  private static func overruledDatabase(
    _ fromFile: DatabaseSetting?, _ flags: Flags, _ environment: [String: String],
    _ settings: SettingList
  ) throws(ConfigError) -> DatabaseSetting? {
    let (chosen, source): (DatabaseSetting?, String)
    let text = environment["PLIMSOLL_DATABASE"]
    let path = environment["PLIMSOLL_DATABASE_URL_FILE"]
    if let flag = flags.database {
      source = "flag --database"
      chosen = try DatabaseSetting.parse(flag, place: "--database", field: nil)
    } else if let text {
      if path != nil {
        throw ConfigError(
          "PLIMSOLL_DATABASE",
          remedy: "PLIMSOLL_DATABASE_URL_FILE is set as well; set one of the two")
      }
      source = "environment PLIMSOLL_DATABASE"
      chosen = try DatabaseSetting.parse(text, place: "PLIMSOLL_DATABASE", field: nil)
    } else if let path {
      source = "environment PLIMSOLL_DATABASE_URL_FILE"
      chosen = .url(.file(path))
    } else {
      return fromFile
    }
    settings.remove("database")
    settings.add("database", chosen?.description ?? "", source)
    return chosen
  }

  private static func logFormat(
    _ flags: Flags, _ environment: [String: String], _ settings: SettingList
  ) throws(ConfigError) -> LogFormat? {
    if let format = flags.logFormat {
      settings.add("log_format", format.rawValue, "flag --log-format")
      return format
    }
    guard let text = environment["PLIMSOLL_LOG_FORMAT"] else {
      settings.add("log_format", "pretty on a terminal, else json", "default")
      return nil
    }
    guard let format = LogFormat(rawValue: text) else {
      throw ConfigError("PLIMSOLL_LOG_FORMAT", value: text, remedy: "must be pretty or json")
    }
    settings.add("log_format", text, "environment PLIMSOLL_LOG_FORMAT")
    return format
  }

  private static func logLevel(
    _ flags: Flags, _ environment: [String: String], _ settings: SettingList
  ) throws(ConfigError) -> LogLevel? {
    if let level = flags.logLevel {
      settings.add("log_level", level.name, "flag")
      return level
    }
    guard let text = environment["PLIMSOLL_LOG_LEVEL"] else {
      settings.add("log_level", LogLevel.info.name, "default")
      return nil
    }
    guard let level = LogLevel(name: text) else {
      let names = LogLevel.allCases.map(\.name).joined(separator: ", ")
      throw ConfigError("PLIMSOLL_LOG_LEVEL", value: text, remedy: "must be one of \(names)")
    }
    settings.add("log_level", text, "environment PLIMSOLL_LOG_LEVEL")
    return level
  }
}
