import Ethereum
import Quantities
import Systems

// `chains.NAME.prices`: how prices are judged.

extension ConfigurationObject {
  static let priceRulesMax = 10_000
  static let priceSourcesMax = 1_000
  /// Ten times the reference; a bound beyond is no bound.
  private static let basisPointsMax: UInt64 = 100_000

  mutating func prices() throws(ConfigError) -> PriceConfiguration {
    var prices = PriceConfiguration()
    guard var object = try object("prices") else { return prices }
    prices.settings.step = try object.stepBound(standard: 2_000)
    prices.settings.utilisationWarning = BasisPoints(
      raw: U256(
        try object.integer("warn_utilisation_bps", in: 1...10_000, default: 9_900)))
    prices.settings.borrowRateWarning = BasisPoints(
      raw: U256(
        try object.integer("warn_borrow_rate_bps", in: 1...100_000_000, default: 10_000)))
    try object.sources(into: &prices)
    for (index, source) in try object.list("rules", max: Self.priceRulesMax).enumerated() {
      var item = try object.item("rules", index, source)
      let (key, rule) = try item.priceRule(of: prices.settings)
      if prices.settings.rules[key] != nil {
        throw item.error("oracle", key.oracle.description, "the price has a rule already")
      }
      prices.settings.rules[key] = rule
      try item.finish()
    }
    try object.finish()
    return prices
  }

  private mutating func bound(
    _ key: String, default standard: UInt64? = nil
  ) throws(ConfigError) -> BasisPoints {
    BasisPoints(raw: U256(try integer(key, in: 1...Self.basisPointsMax, default: standard)))
  }

  private mutating func address(_ key: String) throws(ConfigError) -> Address {
    try parsed(key, "must be 0x and 40 hex digits with a valid checksum") { Address($0) }
  }

  private mutating func optionalAddress(_ key: String) throws(ConfigError) -> Address? {
    guard names.contains(key) else { return nil }
    return try address(key)
  }

  private mutating func flag(_ key: String) throws(ConfigError) -> Bool {
    guard let source = source(key) else {
      record(key, "false", nil)
      return false
    }
    guard case .bool(let value) = source.value else {
      throw error(key, nil, "must be true or false, not \(source.kind)")
    }
    record(key, String(value), source)
    return value
  }

  private mutating func stepBound(standard: UInt64?) throws(ConfigError) -> StepBound {
    StepBound(
      bound: try bound("max_step_bps", default: standard),
      runs: Int(try integer("confirm_runs", in: 1...1_000, default: 3)),
      seconds: try integer("confirm_seconds", in: 0...604_800, default: 300))
  }

  // MARK: - Sources

  private mutating func sources(into prices: inout PriceConfiguration) throws(ConfigError) {
    guard var all = try object("sources") else { return }
    for name in all.names {
      guard Self.isName(name) else {
        throw all.error(name, nil, "the name of a source \(Self.nameRemedy)")
      }
      guard var object = try all.object(name) else { continue }
      let kind = try object.parsed("kind", "must be http, feed, peek or price") {
        ["http", "feed", "peek", "price"].contains($0) ? $0 : nil
      }
      if kind == "http" { prices.outside.append(try object.outsideSource(named: name)) }
      prices.settings.sources[name] = try object.chainSource(kind)
      try object.finish()
    }
    guard all.names.count <= Self.priceSourcesMax else {
      throw error("sources", nil, "at most \(Self.priceSourcesMax) are allowed")
    }
  }

  private mutating func decimals(default standard: UInt64?) throws(ConfigError) -> Int {
    Int(try integer("decimals", in: 0...77, default: standard))
  }

  private mutating func chainSource(_ kind: String) throws(ConfigError) -> PriceSource {
    switch kind {
    case "feed":
      return .feed(
        try address("address"), decimals: try decimals(default: 8),
        maxAgeSeconds: try optionalInteger("max_age_seconds", in: 1...31_536_000))
    case "peek":
      return .peek(
        oracle: try address("oracle"), token: try address("token"),
        decimals: try decimals(default: 8))
    case "price":
      return .pair(oracle: try address("oracle"), decimals: try decimals(default: nil))
    default: return .outside
    }
  }

  private mutating func outsideSource(
    named name: String
  ) throws(ConfigError) -> OutsidePriceSource {
    let url = try secret(allowsInline: false)
    let remedy = "must be a JSON pointer such as /data/0/price"
    let pointer = try parsed("pointer", remedy) { JSONPointer($0) }
    var timePointer: JSONPointer?
    if names.contains("time_pointer") {
      timePointer = try parsed("time_pointer", remedy) { JSONPointer($0) }
    }
    let maxAge = try optionalInteger("max_age_seconds", in: 1...31_536_000)
    if (timePointer == nil) != (maxAge == nil) {
      throw error(
        "max_age_seconds", maxAge.map(String.init), "goes together with time_pointer")
    }
    return OutsidePriceSource(
      name: name, url: url, pointer: pointer, decimals: try decimals(default: 0),
      timePointer: timePointer, maxAgeSeconds: maxAge,
      maxResponseBytes: Int(
        try integer("max_response_bytes", in: 16...1_048_576, default: 65_536)),
      timeoutMilliseconds: try integer("timeout_ms", in: 10...60_000, default: 3_000))
  }

  // MARK: - Rules

  private mutating func priceRule(
    of settings: PriceSettings
  ) throws(ConfigError) -> (PriceKey, PriceRule) {
    let key = PriceKey(oracle: try address("oracle"), token: try optionalAddress("token"))
    var rule = PriceRule()
    // What a rule does not say of steps is as for every price.
    let step = settings.step
    rule.step = StepBound(
      bound: try bound(
        "max_step_bps", default: step.flatMap { UInt64(exactly: $0.bound.raw) }),
      runs: Int(
        try integer("confirm_runs", in: 1...1_000, default: step.map { UInt64($0.runs) })),
      seconds: try integer("confirm_seconds", in: 0...604_800, default: step?.seconds))
    if var feed = try object("feed") {
      rule.feed = try feed.feedRule()
      try feed.finish()
    }
    rule.frozenRuns = try optionalInteger("frozen_runs", in: 1...1_000_000).map { Int($0) }
    if var peg = try object("peg") {
      rule.peg = PegRule(
        value: try peg.amount("value").magnitude, bound: try peg.bound("max_deviation_bps"))
      try peg.finish()
    }
    if var rate = try object("rate") {
      rule.rate = try rate.rateRule(of: key)
      try rate.finish()
    }
    if var second = try object("second") {
      rule.second = try second.secondRule(among: settings.sources.keys.sorted())
      try second.finish()
    }
    return (key, rule)
  }

  private mutating func feedRule() throws(ConfigError) -> FeedRule {
    var rule = FeedRule(address: try address("address"))
    rule.heartbeatSeconds = try optionalInteger("heartbeat_seconds", in: 1...31_536_000)
    if names.contains("min_answer") { rule.lowest = try amount("min_answer") }
    if names.contains("max_answer") { rule.highest = try amount("max_answer") }
    rule.boundsOf = try optionalAddress("bounds_of")
    return rule
  }

  /// A positive integer of any size, in quotes.
  private mutating func amount(_ key: String) throws(ConfigError) -> I256 {
    try parsed(key, "must be a whole number above 0 in quotes") { text in
      guard let value = U256(decimal: text), !value.isZero else { return nil }
      return try? I256(narrowing: value)
    }
  }

  private mutating func rateRule(of key: PriceKey) throws(ConfigError) -> RateRule {
    let contract = try address("contract")
    let signature = try parsed("function", "must be a function without arguments: rate()") {
      $0.hasSuffix("()") && Self.isVariable(String($0.dropLast(2))) ? $0 : nil
    }
    let underlying = try optionalAddress("underlying").map {
      PriceKey(oracle: key.oracle, token: $0)
    }
    return RateRule(
      call: RateCall(contract: contract, signature: signature), underlying: underlying,
      step: StepBound(
        bound: try bound("max_step_bps"),
        runs: Int(try integer("confirm_runs", in: 1...1_000, default: 1)),
        seconds: try integer("hold_seconds", in: 0...604_800, default: 3_600)))
  }

  private mutating func secondRule(among names: [String]) throws(ConfigError) -> SecondRule {
    func known(_ name: String) -> String? { names.contains(name) ? name : nil }
    let list = names.isEmpty ? "there is none" : names.joined(separator: ", ")
    let remedy = "must be the name of one of prices.sources: \(list)"
    let source = try parsed("source", remedy, known)
    var over: String?
    if self.names.contains("over") { over = try parsed("over", remedy, known) }
    return SecondRule(
      source: source, over: over, bound: try bound("max_deviation_bps"),
      isRequired: try flag("required"))
  }
}
