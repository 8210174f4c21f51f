import Ethereum
import Systems

// The shape of the configuration file, one function for each object in it.

extension ConfigurationObject {
  static let chainsMax = 64
  static let deploymentsMax = 256
  static let endpointsMax = 16
  static let marketsMax = 10_000

  mutating func database(in file: String) throws(ConfigError) -> DatabaseSetting? {
    try database("database", in: file)
  }

  /// A standby that is read instead of the database.
  mutating func readURL(in file: String) throws(ConfigError) -> DatabaseSetting? {
    let setting = try database("read_url", in: file)
    if setting == .privateCluster {
      throw error("read_url", "private", "the private cluster has no standby; name its URL")
    }
    return setting
  }

  mutating func maxReplicaLag() throws(ConfigError) -> UInt64? {
    try optionalInteger("max_replica_lag", in: 0...1_000_000)
  }

  private mutating func database(
    _ key: String, in file: String
  ) throws(ConfigError) -> DatabaseSetting? {
    guard let source = source(key) else { return nil }
    let setting: DatabaseSetting
    if case .string(let text) = source.value {
      setting = try DatabaseSetting.parse(text, place: file, field: key)
    } else {
      guard case .object = source.value, var inner = try object(key) else {
        throw error(key, nil, DatabaseSetting.forms)
      }
      setting = .url(try inner.secret(allowsInline: false))
      try inner.finish()
    }
    record(key, setting.description, source)
    return setting
  }

  /// Relative paths in the file are relative to the file.
  mutating func privateDirectory() throws(ConfigError) -> String {
    let path = try parsed(
      "private_directory", "must be a path", default: ".plimsoll"
    ) { $0.isEmpty ? nil : $0 }
    return besideFile(path)
  }

  func besideFile(_ path: String) -> String {
    guard !path.hasPrefix("/"), let slash = file.lastIndex(of: "/") else { return path }
    return String(file[...slash]) + path
  }

  /// Reads exactly one of `url`, `url_env` and `url_file`.
  mutating func secret(allowsInline: Bool) throws(ConfigError) -> SecretSource {
    let inline = allowsInline ? try string("url") : nil
    let variable = try string("url_env")
    let path = try string("url_file")
    var found: [(key: String, source: SecretSource)] = []
    if let inline { found.append(("url", .inline(inline))) }
    if let variable { found.append(("url_env", .environment(variable))) }
    if let path { found.append(("url_file", .file(besideFile(path)))) }
    guard found.count == 1, let only = found.first else {
      let choices = allowsInline ? "url, url_env or url_file" : "url_env or url_file"
      let said = found.isEmpty ? "has none" : "has \(found.count)"
      throw ConfigError(
        file, field: self.path, remedy: "needs exactly one of \(choices); it \(said)")
    }
    if case .environment(let name) = only.source, !Self.isVariable(name) {
      // Whoever mixes the keys up has put the secret here.
      throw error("url_env", nil, "must be the name of an environment variable")
    }
    record(only.key, only.source.description, source(only.key))
    return only.source
  }

  // MARK: - Chains

  mutating func chains() throws(ConfigError) -> [ChainConfiguration] {
    guard var all = try object("chains") else {
      if let slip = slip(of: "chains") { throw slip }
      return []
    }
    var chains: [ChainConfiguration] = []
    for name in all.names {
      try all.checkName(name, "chain")
      guard var object = try all.object(name) else { continue }
      chains.append(try object.chain(named: name))
      try object.finish()
    }
    try checkCount(chains.count, "chains", max: Self.chainsMax)
    return chains
  }

  private mutating func chain(named name: String) throws(ConfigError) -> ChainConfiguration {
    let id = try integer("chain_id", in: 1...UInt64(Int64.max))
    let isBSC = id == 56
    let endpoints = try endpoints()
    let blockTime = try integer(
      "block_time_ms", in: 1...3_600_000, default: isBSC ? 450 : 12_000)
    // A hundred blocks: no chain is so unlucky for so long. Zero: any age will do.
    let headAge = try integer(
      "max_head_age_seconds", in: 0...31_536_000, default: max(60, blockTime / 10))
    return ChainConfiguration(
      name: name, chainID: id, endpoints: endpoints,
      blockTimeMilliseconds: blockTime,
      reorgLimit: try integer("reorg_limit", in: 0...100_000, default: isBSC ? 64 : 128),
      maxMirrorLag: try integer("max_mirror_lag", in: 0...1_000_000, default: isBSC ? 40 : 3),
      windowBlocks: try integer("window_blocks", in: 1...1_000_000, default: 2_000),
      multicall: try parsed(
        "multicall", "must be 0x and 40 hex digits with a valid checksum",
        default: Multicall3.canonicalAddress
      ) { Address($0) },
      maxResponseBytes: Int(try integer("max_response_mb", in: 1...1_024, default: 64)) << 20,
      requestTimeoutMilliseconds: try integer(
        "request_timeout_ms", in: 10...600_000, default: 10_000),
      agreeLogs: try agreement("agree_logs", among: endpoints.count),
      agreePrices: try agreement("agree_prices", among: endpoints.count),
      maxHeadLag: try integer("max_head_lag", in: 0...1_000_000, default: 16),
      maxHeadAgeSeconds: headAge == 0 ? nil : headAge, prices: try prices())
  }

  /// How many of the endpoints must say the same.
  private mutating func agreement(
    _ key: String, among endpoints: Int
  ) throws(ConfigError) -> Int {
    let count = try integer(key, in: 1...UInt64(Self.endpointsMax), default: 1)
    guard count <= endpoints else {
      throw error(
        key, String(count), "the chain has \(endpoints) endpoints; more cannot say the same")
    }
    return Int(count)
  }

  private mutating func endpoints() throws(ConfigError) -> [EndpointConfiguration] {
    var endpoints: [EndpointConfiguration] = []
    for (index, source) in try list("endpoints", max: Self.endpointsMax).enumerated() {
      var object = try item("endpoints", index, source)
      let name = try object.parsed("name", Self.nameRemedy) { Self.isName($0) ? $0 : nil }
      if endpoints.contains(where: { $0.name == name }) {
        throw object.error("name", name, "another endpoint of this chain has the same name")
      }
      let url = try object.secret(allowsInline: true)
      if case .inline(let text) = url { try object.checkEndpoint(url: text) }
      try object.finish()
      endpoints.append(EndpointConfiguration(name: name, url: url))
    }
    if endpoints.isEmpty {
      throw error("endpoints", nil, "needs at least one endpoint with a name and a URL")
    }
    return endpoints
  }

  private func checkEndpoint(url: String) throws(ConfigError) {
    if let remedy = EndpointText.problem(with: url, isInFile: true) {
      throw error("url", EndpointText.shown(url), remedy)
    }
  }

  // MARK: - Deployments

  mutating func deployments(
    on chains: [ChainConfiguration], systems: [String]
  ) throws(ConfigError) -> [DeploymentConfiguration] {
    guard var all = try object("deployments") else {
      if let slip = slip(of: "deployments") { throw slip }
      return []
    }
    var deployments: [DeploymentConfiguration] = []
    for name in all.names {
      try all.checkName(name, "deployment")
      guard var object = try all.object(name) else { continue }
      let deployment = try object.deployment(named: name, on: chains, systems: systems)
      if let twin = deployments.first(where: {
        $0.chain == deployment.chain && $0.address == deployment.address
      }) {
        throw object.error(
          "address", deployment.address.description,
          "deployment \(twin.name) has the same contract on the same chain")
      }
      if let other = deployments.first(where: {
        $0.chain == deployment.chain && $0.events != deployment.events
      }) {
        throw object.error(
          "events", deployment.events.rawValue,
          "deployment \(other.name) on the same chain has \(other.events): blocks have one writer")
      }
      try object.finish()
      deployments.append(deployment)
    }
    try checkCount(deployments.count, "deployments", max: Self.deploymentsMax)
    return deployments
  }

  private mutating func deployment(
    named name: String, on chains: [ChainConfiguration], systems: [String]
  ) throws(ConfigError) -> DeploymentConfiguration {
    let chain = try oneOf("chain", chains.map(\.name), "the chains of this file")
    let system = try oneOf("system", systems, "the systems of this binary")
    let address = try parsed(
      "address", "must be 0x and 40 hex digits with a valid checksum"
    ) { Address($0) }
    let firstBlock = try integer("first_block", in: 0...UInt64(Int64.max))
    let events = try parsed("events", "must be node or foreign", default: EventSource.node) {
      EventSource(rawValue: $0)
    }
    var included: [Bytes32] = []
    var excluded: [Bytes32] = []
    if var markets = try object("markets") {
      included = try markets.markets("include")
      excluded = try markets.markets("exclude")
      if let both = included.first(where: excluded.contains) {
        throw markets.error("exclude", both.description, "the market is in include as well")
      }
      try markets.finish()
    }
    let (controls, plans) = try controls()
    return DeploymentConfiguration(
      name: name, chain: chain, system: system, address: address, firstBlock: firstBlock,
      events: events, markets: MarketFilter(include: Set(included), exclude: Set(excluded)),
      prices: chains.first { $0.name == chain }?.prices.settings ?? PriceSettings(),
      controls: controls, plans: plans)
  }

  mutating func markets(_ key: String) throws(ConfigError) -> [Bytes32] {
    var markets: [Bytes32] = []
    for (index, item) in try list(key, max: Self.marketsMax).enumerated() {
      let place = "\(key)[\(index)]"
      guard case .string(let text) = item.value, let market = Bytes32(text) else {
        var shown: String?
        if case .string(let text) = item.value { shown = text }
        throw error(place, shown, "must be 0x and 64 hex digits in quotes")
      }
      if markets.contains(market) { throw error(place, text, "the market is listed twice") }
      markets.append(market)
      record(place, market.description, item)
    }
    return markets
  }

  // MARK: - Checks

  static let nameRemedy = "must be 1 to 40 of a-z, 0-9 and -"

  static func isName(_ text: String) -> Bool {
    (1...40).contains(text.utf8.count)
      && text.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
          UInt8(ascii: "-"):
          true
        default: false
        }
      }
  }

  static func isVariable(_ text: String) -> Bool {
    !text.isEmpty && text.utf8.count <= 200
      && text.allSatisfy { $0 == "_" || ($0.isASCII && ($0.isLetter || $0.isNumber)) }
  }

  private func checkName(_ name: String, _ what: String) throws(ConfigError) {
    if Self.isName(name) { return }
    throw ConfigError(
      file, field: path, value: name, remedy: "the name of a \(what) \(Self.nameRemedy)")
  }

  private func checkCount(_ count: Int, _ key: String, max: Int) throws(ConfigError) {
    if count > max { throw error(key, nil, "has \(count) items; at most \(max) are allowed") }
  }

  private mutating func oneOf(
    _ key: String, _ choices: [String], _ what: String
  ) throws(ConfigError) -> String {
    let list = choices.isEmpty ? "none" : choices.joined(separator: ", ")
    guard let text = try string(key) else {
      throw missing(key, "is missing; \(what): \(list)")
    }
    guard choices.contains(text) else {
      throw error(
        key, text,
        "is not one of \(what): \(list)" + Suggestion.phrase(for: text, among: choices))
    }
    record(key, text, source(key))
    return text
  }
}

/// What an endpoint's URL has to look like.
enum EndpointText {
  /// Nil when the URL can be used.
  static func problem(with url: String, isInFile: Bool) -> String? {
    guard let scheme = url.firstRange(of: "://") else { return "must be http or https" }
    let name = url[..<scheme.lowerBound].lowercased()
    guard name == "http" || name == "https" else { return "must be http or https" }
    if !url.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) {
      return "must have no spaces and only ASCII characters"
    }
    let authority = url[scheme.upperBound...].prefix { !"/?#".contains($0) }
    let host = authority.split(separator: "@", omittingEmptySubsequences: false).last ?? ""
    if host.isEmpty || host.hasPrefix(":") { return "must name a host" }
    if isInFile && authority.contains("@") {
      return "carries a user name; put the URL into a file and name it by url_file, or use url_env"
    }
    return nil
  }

  /// As much of a URL as may be shown: its scheme.
  static func shown(_ url: String) -> String? {
    guard let scheme = url.firstRange(of: "://") else { return nil }
    return "\(url[..<scheme.upperBound])…"
  }
}
