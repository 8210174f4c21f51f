import Ethereum
import Quantities
import Systems

// The object `controls` of a deployment: what holds candidates back, and how they are liquidated.

extension ConfigurationObject {
  static let preLiquidationsMax = 256
  static let feedsMax = 1_000
  private static let usdMax: UInt64 = 1_000_000_000_000
  private static let secondsMax: UInt64 = 31_536_000

  /// Everything has a default, and by default nothing is held back.
  mutating func controls() throws(ConfigError) -> (ControlSettings, PlanSettings) {
    var settings = ControlSettings()
    var plans = PlanSettings()
    guard var object = try section("controls") else { return (settings, plans) }
    settings.delay = try object.delay()
    settings.minimumUSD = Self.usd(
      try object.integer("min_size_usd", in: 0...Self.usdMax, default: 0))
    settings.dedupSeconds = try object.integer("dedup_seconds", in: 0...Self.secondsMax, default: 0)
    settings.graceSeconds = try object.integer(
      "grace_seconds", in: 0...Self.secondsMax, default: 86_400)
    settings.zone = try object.zone()
    plans.maxRepayUSD = try object.optionalInteger("max_repay_usd", in: 1...Self.usdMax)
      .map(Self.usd)
    plans.incentiveFloor = try object.optionalWad("incentive_floor")?.raw
    plans.usdFeeds = try object.usdFeeds()
    plans.usdFeedMaxAgeSeconds = try object.integer(
      "usd_feed_max_age_seconds", in: 1...Self.secondsMax, default: plans.usdFeedMaxAgeSeconds)
    try object.paths(into: &plans)
    try object.finish()
    return (settings, plans)
  }

  /// An object that may be left out: its settings then have their defaults.
  private mutating func section(_ key: String) throws(ConfigError) -> ConfigurationObject? {
    if let found = try object(key) { return found }
    record(key, "none", nil)
    return nil
  }

  private mutating func delay() throws(ConfigError) -> ControlSettings.Delay {
    var delay = ControlSettings.Delay()
    guard var object = try section("delay") else { return delay }
    delay.seconds = try object.integer("seconds", in: 0...Self.secondsMax, default: 0)
    delay.confirmations = Int(try object.integer("confirmations", in: 1...100_000, default: 1))
    delay.markets = Set(try object.markets("markets"))
    try object.finish()
    return delay
  }

  private mutating func zone() throws(ConfigError) -> ControlSettings.Zone {
    var zone = ControlSettings.Zone()
    guard var object = try section("zone") else { return zone }
    zone.valueUSD = Self.usd(
      try object.integer("value_usd", in: 0...Self.usdMax, default: 1_000_000))
    zone.ageSeconds = try object.integer("age_seconds", in: 0...Self.secondsMax, default: 3_600)
    zone.failedAttempts = Int(
      try object.integer("failed_attempts", in: 1...100_000, default: 1))
    try object.finish()
    return zone
  }

  // MARK: - Paths

  private mutating func paths(into plans: inout PlanSettings) throws(ConfigError) {
    guard var object = try section("paths") else { return }
    plans.usesDirect = try object.flag("direct", default: true)
    plans.mainLiquidator = try object.optionalAddress("main_liquidator")
    plans.publicLiquidator = try object.optionalAddress("public_liquidator")
    plans.brokerLiquidator = try object.optionalAddress("broker_liquidator")
    let sources = try object.list("pre_liquidation", max: Self.preLiquidationsMax)
    for (index, source) in sources.enumerated() {
      var item = try object.item("pre_liquidation", index, source)
      let contract = try item.preLiquidation()
      if plans.preLiquidations.contains(where: { $0.address == contract.address }) {
        throw item.error("address", contract.address.description, "the contract is listed twice")
      }
      try item.finish()
      plans.preLiquidations.append(contract)
    }
    try object.finish()
  }

  private mutating func preLiquidation() throws(ConfigError) -> PreLiquidationContract {
    let address = try parsed("address", Self.addressRemedy) { Address($0) }
    let market = try parsed("market", "must be 0x and 64 hex digits") { Bytes32($0) }
    let oracle = try optionalAddress("oracle")
    let preLLTV = try wad("pre_lltv")
    let closeFactor = PreLiquidationTerms.Rise(try wad("pre_lcf_1"), try wad("pre_lcf_2"))
    let incentive = PreLiquidationTerms.Rise(try wad("pre_lif_1"), try wad("pre_lif_2"))
    guard
      let terms = PreLiquidationTerms(
        preLLTV: preLLTV, closeFactor: closeFactor, incentive: incentive)
    else {
      throw error(
        "pre_lcf_1", nil,
        "no contract has these terms: pre_lcf_1 ≤ pre_lcf_2, pre_lcf_1 ≤ 1, "
          + "1 ≤ pre_lif_1 ≤ pre_lif_2"
      )
    }
    return PreLiquidationContract(address: address, market: market, oracle: oracle, terms: terms)
  }

  /// Tokens, each with the contract that tells its price in USD.
  private mutating func usdFeeds() throws(ConfigError) -> [Address: Address] {
    guard var object = try object("usd_feeds") else { return [:] }
    var feeds: [Address: Address] = [:]
    guard object.names.count <= Self.feedsMax else {
      throw error(
        "usd_feeds", nil, "has \(object.names.count) items; at most \(Self.feedsMax) are allowed")
    }
    for name in object.names {
      guard let token = Address(name) else {
        throw ConfigError(file, field: object.path, value: name, remedy: Self.addressRemedy)
      }
      let feed = try object.parsed(name, Self.addressRemedy) { Address($0) }
      guard feeds.updateValue(feed, forKey: token) == nil else {
        throw object.error(name, name, "the token is listed twice")
      }
    }
    return feeds
  }

  // MARK: - Values

  static let addressRemedy = "must be 0x and 40 hex digits with a valid checksum"

  private mutating func optionalAddress(_ key: String) throws(ConfigError) -> Address? {
    guard names.contains(key) else {
      _ = source(key)
      record(key, "none", nil)
      return nil
    }
    return try parsed(key, Self.addressRemedy) { Address($0) }
  }

  private mutating func wad(_ key: String) throws(ConfigError) -> Wad {
    try parsed(key, Self.wadRemedy) { Self.wad($0) }
  }

  private mutating func optionalWad(_ key: String) throws(ConfigError) -> Wad? {
    guard names.contains(key) else {
      _ = source(key)
      record(key, "none", nil)
      return nil
    }
    return try wad(key)
  }

  private static let wadRemedy =
    "must be a decimal number in quotes, as \"0.86\", with at most 18 places"

  /// A decimal number below a million with at most 18 places.
  static func wad(_ text: String) -> Wad? {
    let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
    guard let whole = parts.first, (1...6).contains(whole.utf8.count) else { return nil }
    let places = parts.count == 2 ? parts[1] : "0"
    guard (1...18).contains(places.utf8.count),
      let raw = U256(
        decimal: whole + places + String(repeating: "0", count: 18 - places.utf8.count))
    else { return nil }
    return Wad(raw: raw)
  }

  private mutating func flag(
    _ key: String, default standard: Bool
  ) throws(ConfigError) -> Bool {
    guard let source = source(key) else {
      record(key, String(standard), nil)
      return standard
    }
    guard case .bool(let value) = source.value else {
      throw error(key, nil, "must be true or false, not \(source.kind)")
    }
    record(key, String(value), source)
    return value
  }

  /// Whole dollars as USD with 8 decimals.
  private static func usd(_ dollars: UInt64) -> U256 {
    U256(UInt128(dollars) * 100_000_000)
  }
}
