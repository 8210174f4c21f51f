import Ethereum
import HTTP
import Quantities
import Systems
import Testing

@testable import JobRunner

@Suite struct PriceConfigurationTests {
  private static let oracle = "0x1111111111111111111111111111111111111111"
  private static let token = "0x2222222222222222222222222222222222222222"

  private static let prices = """
    "max_step_bps": 1500,
    "sources": {
      "dex": { "kind": "http", "url_file": "dex.url", "pointer": "/data/0/price", "decimals": 2,
        "time_pointer": "/time", "max_age_seconds": 90 },
      "feed": { "kind": "feed", "address": "\(oracle)", "max_age_seconds": 60 },
      "twin": { "kind": "peek", "oracle": "\(oracle)", "token": "\(token)" },
      "pair": { "kind": "price", "oracle": "\(oracle)", "decimals": 24 },
    },
    "rules": [
      { "oracle": "\(oracle)", "token": "\(token)", "confirm_runs": 5,
        "feed": { "address": "\(oracle)", "heartbeat_seconds": 3600, "min_answer": "10",
          "max_answer": "1000", "bounds_of": "\(token)" },
        "frozen_runs": 30,
        "peg": { "value": "100000000", "max_deviation_bps": 100 },
        "rate": { "contract": "\(token)", "function": "stEthPerToken()",
          "underlying": "\(oracle)", "max_step_bps": 50 },
        "second": { "source": "dex", "over": "feed", "max_deviation_bps": 200,
          "required": true } },
      { "oracle": "\(oracle)" },
    ]
    """

  private func load(_ prices: String?) throws -> Configuration {
    let directory = try ScratchDirectory()
    let text = ConfigurationTests.whole.replacing(
      "\"window_blocks\": 500",
      with: prices.map { "\"prices\": { \($0) }" } ?? "\"window_blocks\": 500")
    var flags = Configuration.Flags()
    flags.config = try directory.write("plimsoll.json", text)
    return try Configuration.load(
      flags: flags, environment: [:], systems: ["moolah", "morpho-blue"])
  }

  private func error(_ prices: String) -> String {
    do {
      _ = try load(prices)
      return ""
    } catch {
      return "\(error)"
    }
  }

  @Test func withoutPricesNothingIsBounded() throws {
    let settings = try load("").deployments[0].prices
    #expect(settings.rules.isEmpty)
    #expect(try load(nil).deployments[0].prices.step == nil)
    #expect(
      settings.step == StepBound(bound: BasisPoints(raw: 2_000), runs: 3, seconds: 300))
  }

  @Test func readsEverything() throws {
    let configuration = try load(Self.prices)
    let settings = configuration.deployments[0].prices
    let oracle = try #require(Address(Self.oracle))
    let token = try #require(Address(Self.token))
    let key = PriceKey(oracle: oracle, token: token)
    var rule = PriceRule(
      step: StepBound(bound: BasisPoints(raw: 1_500), runs: 5, seconds: 300))
    var feed = FeedRule(address: oracle)
    feed.heartbeatSeconds = 3_600
    feed.lowest = 10
    feed.highest = 1_000
    feed.boundsOf = token
    rule.feed = feed
    rule.frozenRuns = 30
    rule.peg = PegRule(value: 100_000_000, bound: BasisPoints(raw: 100))
    rule.rate = RateRule(
      call: RateCall(contract: token, signature: "stEthPerToken()"),
      underlying: PriceKey(oracle: oracle, token: oracle),
      step: StepBound(bound: BasisPoints(raw: 50), runs: 1, seconds: 3_600))
    rule.second = SecondRule(
      source: "dex", over: "feed", bound: BasisPoints(raw: 200), isRequired: true)
    #expect(settings.rules[key] == rule)
    #expect(
      settings.rules[PriceKey(oracle: oracle, token: nil)] == PriceRule(step: settings.step))
    #expect(
      settings.sources == [
        "dex": .outside, "feed": .feed(oracle, decimals: 8, maxAgeSeconds: 60),
        "twin": .peek(oracle: oracle, token: token, decimals: 8),
        "pair": .pair(oracle: oracle, decimals: 24),
      ])
    let dex = try #require(configuration.chains[0].prices.outside.first)
    #expect(dex.pointer.tokens == ["data", "0", "price"])
    #expect((dex.decimals, dex.maxAgeSeconds, dex.maxResponseBytes) == (2, 90, 65_536))
    #expect(!configuration.settings.contains { $0.value.contains("http://") })
  }

  @Test(arguments: [
    (
      #""rules": [{ "oracle": "0x11", "token": "0x22" }]"#,
      "oracle: \"0x11\": must be 0x and 40 hex digits with a valid checksum"
    ),
    (#""rules": [{}]"#, "rules[0].oracle: is missing"),
    (
      #""rules": [{ "oracle": "\#(oracle)" }, { "oracle": "\#(oracle)" }]"#,
      "rules[1].oracle: \"\(oracle)\": the price has a rule already"
    ),
    (
      #""rules": [{ "oracle": "\#(oracle)", "second": { "source": "x" } }]"#,
      "second.source: \"x\": must be the name of one of prices.sources: there is none"
    ),
    (
      #""rules": [{ "oracle": "\#(oracle)", "peg": { "value": 1 } }]"#,
      "peg.value: must be a text in quotes"
    ),
    (
      #""rules": [{ "oracle": "\#(oracle)", "peg": { "value": "0" } }]"#,
      "peg.value: \"0\": must be a whole number above 0 in quotes"
    ),
    (
      #""rules": [{ "oracle": "\#(oracle)", "rate": "#
        + #"{ "contract": "\#(oracle)", "function": "f(u)" } }]"#,
      "rate.function: \"f(u)\": must be a function without arguments: rate()"
    ),
    (
      #""sources": { "a": { "kind": "ftp" } }"#,
      "sources.a.kind: \"ftp\": must be http, feed, peek or price"
    ),
    (
      #""sources": { "a": { "kind": "http", "url": "http://x", "pointer": "/a" } }"#,
      "sources.a: needs exactly one of url_env or url_file; it has none"
    ),
    (
      #""sources": { "a": { "kind": "http", "url_env": "A", "pointer": "a" } }"#,
      "sources.a.pointer: \"a\": must be a JSON pointer such as /data/0/price"
    ),
    (
      #""sources": { "a": { "kind": "http", "url_env": "A", "pointer": "/a", "#
        + #""max_age_seconds": 5 } }"#,
      "sources.a.max_age_seconds: \"5\": goes together with time_pointer"
    ),
    (#""max_step_bps": 0"#, "prices.max_step_bps: \"0\": must be a whole number from 1"),
    (#""max_jump": 1"#, "prices.max_jump: unknown key"),
    (
      #""sources": { "a": { "kind": "feed", "address": "\#(oracle)", "pointer": "/a" } }"#,
      "sources.a.pointer: unknown key"
    ),
  ])
  func refusesWhatItCannotMean(prices: String, line: String) {
    #expect(error(prices).contains(line), "\(error(prices))")
  }

  // MARK: Answers

  private static func source(
    _ pointer: String, decimals: Int = 0, time: String? = nil
  ) throws -> OutsidePriceSource {
    OutsidePriceSource(
      name: "dex", url: .environment("X"), pointer: try #require(JSONPointer(pointer)),
      decimals: decimals, timePointer: time.flatMap { JSONPointer($0) },
      maxAgeSeconds: time == nil ? nil : 60, maxResponseBytes: 1_000, timeoutMilliseconds: 100)
  }

  private func price(
    _ body: String, _ source: OutsidePriceSource, status: Int = 200
  ) -> Result<SecondPrice, SecondProblem> {
    source.price(
      in: .success(HTTPResponse(status: status, body: Array(body.utf8))), now: 1_000_000)
  }

  private func problem(_ result: Result<SecondPrice, SecondProblem>) -> String {
    if case .failure(let problem) = result { problem.text } else { "" }
  }

  @Test func aNumberOrATextIsAPrice() throws {
    let source = try Self.source("/a~1b/1/~0", decimals: 2)
    let expected = SecondPrice(value: 185_025, decimals: 4)
    #expect(price(#"{"a/b": [0, {"~": 1850.25}]}"#, source) == .success(expected))
    #expect(price(#"{"a/b": [0, {"~": "1850.25"}]}"#, source) == .success(expected))
  }

  @Test(arguments: [
    (#"{"p": null}"#, 200, "no number at /p"), (#"{"p": -1}"#, 200, "no number at /p"),
    (#"{"p": "x"}"#, 200, "no number at /p"), (#"[1]"#, 200, "no number at /p"),
    ("<html>", 200, "the answer is not JSON"), ("{}", 503, "HTTP status 503"),
    ("", 302, "HTTP status 302"),
  ])
  func whatIsNoPriceIsAProblem(body: String, status: Int, text: String) throws {
    #expect(problem(price(body, try Self.source("/p"), status: status)) == text)
  }

  @Test(arguments: [
    ("999940", ""), ("999939", "61 s old, at most 60 s are allowed"), ("999940000", ""),
    ("1000060", ""), ("1000061", "its time lies ahead of the clock"), ("\"x\"", "no time at /t"),
    ("999950.5", ""),
  ])
  func aPriceHasItsAge(time: String, text: String) throws {
    // A time in milliseconds is told from one in seconds by its size.
    let time = time == "999940000" ? "1700000000000" : time
    let now: UInt64 = time == "1700000000000" ? 1_700_000_060 : 1_000_000
    let source = try Self.source("/p", time: "/t")
    let body = Array(#"{"p": 1, "t": \#(time)}"#.utf8)
    let result = source.price(in: .success(HTTPResponse(status: 200, body: body)), now: now)
    #expect(problem(result) == text)
  }

  @Test func aTransportErrorNamesNoURL() throws {
    let result = try Self.source("/p").price(in: .failure(.timeout), now: 0)
    #expect(problem(result) == "no answer in time")
  }
}
