import Store

// The shape of `alerts` in the configuration file.

extension ConfigurationObject {
  static let routesMax = 32
  static let mutesMax = 1_000

  mutating func alerts(
    deployments: [DeploymentConfiguration]
  ) throws(ConfigError) -> AlertSettings {
    var settings = AlertSettings()
    guard var object = try object("alerts") else { return settings }
    settings.isEnabled = true
    settings.resolveAfterSeconds = try object.integer(
      "resolve_after_seconds", in: 0...86_400, default: settings.resolveAfterSeconds)
    settings.maxAgeSeconds = try object.integer(
      "max_age_seconds", in: 0...604_800, default: settings.maxAgeSeconds)
    settings.nearBasisPoints = try object.integer(
      "near_bps", in: 0...9_999, default: settings.nearBasisPoints)
    settings.top = Int(
      try object.integer("top", in: 1...1_000, default: UInt64(settings.top)))
    settings.failedRuns = Int(
      try object.integer("failed_runs", in: 1...100, default: UInt64(settings.failedRuns)))
    settings.successWithin = try object.successWithin()
    settings.routes = try object.routes(deployments: deployments.map(\.name))
    try object.finish()
    return settings
  }

  private mutating func successWithin() throws(ConfigError) -> [AlertSettings.SuccessWithin] {
    guard var jobs = try object("success_within_seconds") else { return [] }
    var within: [AlertSettings.SuccessWithin] = []
    for job in jobs.names {
      within.append(.init(job: job, seconds: try jobs.integer(job, in: 1...604_800)))
    }
    return within
  }

  private mutating func routes(deployments: [String]) throws(ConfigError) -> [RouteSettings] {
    guard var all = try object("routes") else { return [] }
    guard all.names.count <= Self.routesMax else {
      throw error("routes", nil, "has more than \(Self.routesMax) routes")
    }
    var routes: [RouteSettings] = []
    for name in all.names {
      guard Self.isName(name) else {
        throw ConfigError(
          file, field: all.path, value: name, remedy: "the name of a route \(Self.nameRemedy)")
      }
      guard var object = try all.object(name) else { continue }
      routes.append(try object.route(named: name, deployments: deployments))
      try object.finish()
    }
    return routes
  }

  private mutating func route(
    named name: String, deployments: [String]
  ) throws(ConfigError) -> RouteSettings {
    let type = try parsed("type", "must be telegram or webhook") {
      ["telegram", "webhook"].contains($0) ? $0 : nil
    }
    let target: RouteSettings.Target =
      type == "telegram" ? .telegram(try telegram()) : .webhook(try webhook())
    let severities = AlertSeverity.allCases.map(\.rawValue).joined(separator: ", ")
    let minSeverity = try parsed(
      "min_severity", "must be one of \(severities)", default: AlertSeverity.info
    ) { AlertSeverity(rawValue: $0) }
    let only = try texts("deployments", max: Self.deploymentsMax) { deployments.contains($0) }
    return RouteSettings(
      name: name, target: target, kinds: try kinds("kinds"), minSeverity: minSeverity,
      deployments: Set(only), isMuted: try truth("muted"),
      mutedKinds: try kinds("mute_kinds") ?? [],
      mutedSubjects: Set(
        try texts("mute", max: Self.mutesMax) { !$0.isEmpty }.map { $0.lowercased() }
      ))
  }

  private mutating func telegram() throws(ConfigError) -> TelegramSettings {
    let chat = try parsed(
      "chat_id", "must be the number of a chat in quotes, or @ and the name of a channel"
    ) { Self.isChat($0) ? $0 : nil }
    let tokenFile = try path("token_file")
    let base = try parsed(
      "base_url", "must be http or https, without a path", default: "https://api.telegram.org"
    ) { EndpointText.problem(with: $0, isInFile: true) == nil ? $0 : nil }
    let language = try parsed("language", "must be en or zh", default: AlertLanguage.en) {
      AlertLanguage(rawValue: $0)
    }
    // Telegram's own limits: one message a second to a person, twenty a minute to a group.
    let isPerson = chat.first?.isNumber ?? false
    let pace = try integer("pace_ms", in: 0...600_000, default: isPerson ? 1_050 : 3_050)
    return TelegramSettings(
      chat: chat, tokenFile: tokenFile, baseURL: base, language: language, paceMilliseconds: pace)
  }

  private static func isChat(_ text: String) -> Bool {
    let name = text.dropFirst(text.hasPrefix("-") || text.hasPrefix("@") ? 1 : 0)
    guard (1...64).contains(name.utf8.count) else { return false }
    if text.hasPrefix("@") {
      return name.utf8.allSatisfy { $0 == 0x5f || isDigit($0) || isLetter($0) }
    }
    return name.utf8.allSatisfy(isDigit)
  }

  private static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }

  private static func isLetter(_ byte: UInt8) -> Bool {
    (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
  }

  private mutating func webhook() throws(ConfigError) -> WebhookSettings {
    let url = try secret(allowsInline: true)
    if case .inline(let text) = url, let remedy = EndpointText.problem(with: text, isInFile: true) {
      throw error("url", EndpointText.shown(text), remedy)
    }
    return WebhookSettings(url: url, secretFile: try path("secret_file"))
  }

  private mutating func path(_ key: String) throws(ConfigError) -> String {
    let path = try parsed(key, "must be the path of a file") { $0.isEmpty ? nil : $0 }
    return besideFile(path)
  }

  private mutating func kinds(_ key: String) throws(ConfigError) -> Set<AlertKind>? {
    let names = AlertKind.allCases.map(\.rawValue)
    let given = try texts(key, max: names.count) { names.contains($0) }
    return given.isEmpty ? nil : Set(given.compactMap(AlertKind.init(rawValue:)))
  }

  /// A list of texts that all pass a test.
  private mutating func texts(
    _ key: String, max: Int, _ isRight: (String) -> Bool
  ) throws(ConfigError) -> [String] {
    var texts: [String] = []
    for (index, item) in try list(key, max: max).enumerated() {
      let place = "\(key)[\(index)]"
      guard case .string(let text) = item.value else {
        throw error(place, nil, "must be a text in quotes")
      }
      guard isRight(text) else { throw error(place, text, "is not known here") }
      texts.append(text)
      record(place, text, item)
    }
    return texts
  }

  private mutating func truth(_ key: String) throws(ConfigError) -> Bool {
    guard let source = source(key) else { return false }
    guard case .bool(let value) = source.value else {
      throw error(key, nil, "must be true or false")
    }
    record(key, String(value), source)
    return value
  }
}
