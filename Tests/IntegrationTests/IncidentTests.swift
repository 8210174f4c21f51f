import Foundation
import Postgres
import TestKit
import Testing

/// The great incidents of lending protocols, replayed on contracts with the program as cron runs
/// it: what it reported and when, and what it would have said without the setting that does it.
@Suite(.serialized) struct IncidentTests {
  // MARK: Oracles

  /// Morpho Blue's PAXG/USDC in October 2024: an oracle with twelve decimals too many.
  @Test func paxgIsInQuarantineBeforeAnybodyBorrows() throws {
    let story = try IncidentStory(seed: 901, shape: "morpho")
    try story.token("PAXG")
    try story.token("USDC", decimals: 6)
    // 2650 dollars: 36 digits more, and 12 fewer for the tokens' decimals.
    let wrong = try story.deploy("PairOracle", "uint256", [try Self.number("265", zeros: 37)])
    let right = try story.deploy("PairOracle", "uint256", [try Self.number("265", zeros: 25)])
    let dex = try PriceServer(price: "2651.3")
    func rule(_ oracle: String) -> String {
      """
      { "oracle": "\(oracle)", "second": { "source": "dex", "max_deviation_bps": 500 } }
      """
    }
    let source = try dex.source()
    try story.watch([
      .init(
        name: "with a second source",
        prices: """
          "sources": { "dex": { \(source) } }, "rules": [\(rule(wrong)), \(rule(right))]
          """),
      .init(name: "without"),
    ])
    var market = ""
    let created = try story.step("a market with a wrong oracle, 230,000 USDC lent") {
      market = try story.market(
        "PAXG/USDC", loan: "USDC", collateral: "PAXG", lltv: 915, lent: "230000", oracle: wrong)
    }
    #expect(created[0].says("quarantined") && created[0].says("12 decades apart"))
    #expect(
      try story.count("select count(*) from outbox where facts->>'figures' like '%12 decades%'")
        == 1)
    let looted = try story.step("0.132 PAXG (350 dollars) borrow 229,999 USDC") {
      try story.lend(in: market, [("taker", "0.132", "229999")])
    }
    #expect(looted[0].exit == 1)
    #expect(looted[0].unknown == 1 && looted[0].healthy + looted[0].liquidatable == 0)
    #expect(looted[0].says("quarantined") && looted[0].says("12 decades apart"))
    #expect(looted[1].healthy == 1 && looted[1].exit == 0)
    let silent = try story.step("ten minutes later the second source is silent") {
      dex.become(.status(503))
      try story.chain.mine(1, seconds: 600)
    }
    #expect(silent[0].unknown == 1 && silent[0].says("quarantined"))
    try story.step("and is for another quarter of an hour") {
      try story.chain.mine(1, seconds: 900)
    }
    // What its price said is not over because it says nothing.
    #expect(try story.count("select count(*) from outbox where event = 'resolved'") == 0)
    let repaired = try story.step("a market with a right oracle, and a loan") {
      dex.become(.tells("2651.3"))
      let second = try story.market(
        "PAXG/USDC (2)", loan: "USDC", collateral: "PAXG", lltv: 915, lent: "500000",
        oracle: right)
      try story.lend(in: second, [("honest", "100", "200000")])
    }
    #expect(repaired[0].unknown == 1 && repaired[0].healthy == 1)
    try story.finish(as: "paxg")
  }

  /// Too large for an integer of 64 bits.
  private static func number(_ digits: String, zeros: Int) throws -> NSDecimalNumber {
    let text = digits + String(repeating: "0", count: zeros)
    return NSDecimalNumber(decimal: try #require(Decimal(string: text)))
  }

  /// Venus and Blizz in May 2022: LUNA's feed stood at its floor, far above the market.
  @Test func lunaAtItsFloorIsNoPrice() throws {
    let story = try IncidentStory(seed: 902)
    try story.token("BUSD", dollars: 100_000_000)
    try story.token("LUNA", dollars: 110_000_000)
    let feed = try story.deploy(
      "Feed", "int256,int192,int192", [110_000_000, 10_700_000, 100_000_000_000])
    try story.watch([
      .init(
        name: "with the feed's floor and heartbeat",
        prices: story.rule(
          "LUNA",
          """
          "max_step_bps": 10000,
          "feed": { "address": "\(feed)", "heartbeat_seconds": 3600, "bounds_of": "\(feed)" }
          """)),
      .init(name: "without"),
    ])
    func answer(_ price: Int, after seconds: Int) throws {
      try story.send(
        [(feed, "setAnswer(int256)", [price]), story.pricing("LUNA", price)], after: seconds)
    }
    var market = ""
    let before = try story.step("LUNA at 1.10 dollars, six loans") {
      market = try story.market(
        "LUNA/BUSD", loan: "BUSD", collateral: "LUNA", lltv: 700, lent: "3000000")
      try story.lend(
        in: market, (1...6).map { ("early-\($0)", "100000", String(10_000 * $0)) })
    }
    #expect(before.allSatisfy { $0.healthy == 6 && $0.exit == 0 })
    let falling = try story.step("0.50 dollars") { try answer(50_000_000, after: 1_800) }
    // A real fall is no fault.
    let fallen = try story.unhealthy(in: market)
    #expect(!fallen.isEmpty)
    #expect(falling.allSatisfy { $0.listed == fallen && $0.outcome("open") == fallen.count })
    let floor = try story.step("the market at 0.05, the feed at its floor of 0.107") {
      try answer(10_700_000, after: 1_800)
    }
    #expect(floor[0].says("price_at_bound"))
    let looted = try story.step(
      "LUNA bought for 0.01 is worth 0.107 here: 5,000,000 of them borrow 350,000 BUSD"
    ) { try story.lend(in: market, [("taker", "5000000", "350000")], after: 600) }
    // The only one that is told of as healthy is the one that cannot be.
    #expect(looted[1].healthy == 1)
    let stale = try story.step("the feed has told nothing for more than an hour") {
      try story.chain.mine(1, seconds: 3_600)
    }
    #expect(stale[0].says("stale_price"))
    for looks in [floor, looted, stale] {
      #expect(looks[0].exit == 1)
      #expect(looks[0].healthy + looks[0].liquidatable == 0)
      #expect(looks[0].unknown == (looks == floor ? 6 : 7))
      #expect(looks[1].unknown == 0 && looks[1].exit == 0)
    }
    #expect(story.wasTold("the feed answered 10700000, its floor is 10700000"))
    try story.finish(as: "luna")
  }

  /// Compound's DAI in November 2020: 1.30 dollars on one exchange only.
  @Test func daiOfOneVenueIsHeld() throws {
    let story = try IncidentStory(seed: 903)
    try story.token("DAI", dollars: 100_000_000)
    try story.token("ETH", dollars: 50_000_000_000)
    let dex = try PriceServer(price: "1.00")
    let source = try dex.source()
    let anyStep = story.rule("DAI", "\"max_step_bps\": 10000")
    try story.watch([
      .init(
        name: "with a second source",
        prices: """
          "sources": { "dex": { \(source) } },
          \(story.rule(
            "DAI",
            """
            "max_step_bps": 10000, "second": { "source": "dex", "max_deviation_bps": 200 }
            """))
          """),
      .init(
        name: "with `delay` only", prices: anyStep,
        controls: "\"delay\": { \"seconds\": 3600, \"confirmations\": 2 }"),
      .init(name: "without", prices: anyStep),
    ])
    var market = ""
    let before = try story.step("DAI at 1.00 dollar, ten loans") {
      market = try story.market(
        "ETH/DAI", loan: "DAI", collateral: "ETH", lltv: 860, lent: "1000000")
      try story.lend(
        in: market, (0..<10).map { ("loan-\($0)", "100", String(31_000 + 1_100 * $0)) })
    }
    #expect(before.allSatisfy { $0.healthy == 10 })
    func quote(_ oracle: Int, _ second: String, after seconds: Int) throws {
      dex.become(.tells("\"\(second)\""))
      try story.setPrice(of: "DAI", oracle, after: seconds)
    }
    let near = try story.step("1.02; elsewhere 1.01") { try quote(102_000_000, "1.01", after: 300) }
    #expect(near[0].unknown == 0)
    var bad = 0
    for (price, text) in [(117_000_000, "1.17"), (130_000_000, "1.30"), (108_000_000, "1.08")] {
      let spike = try story.step("\(text); elsewhere 1.02") {
        try quote(price, "1.02", after: 300)
      }
      #expect(spike[0].exit == 1 && spike[0].unknown == 10)
      #expect(spike[0].healthy + spike[0].liquidatable == 0)
      #expect(spike[0].says("price_disagrees") && spike[0].says("but dex says 1.02"))
      #expect(spike[1].outcome("open") == 0)
      #expect(spike[2].listed == (try story.unhealthy(in: market)))
      bad = max(bad, spike[2].outcome("open"))
    }
    #expect(bad == 8)
    let over = try story.step("1.01; elsewhere 1.01") { try quote(101_000_000, "1.01", after: 300) }
    #expect(over.allSatisfy { $0.healthy == 10 && $0.exit == 0 })
    try story.step("a quarter of an hour later") { try story.chain.mine(1, seconds: 900) }
    #expect(
      story.wasTold("- Figures: DAI: 1.17, but dex says 1.02: 14.71 % apart, bound 2 %\n"))
    try story.finish(as: "dai")
  }

  /// Aave's CAPO in March 2026: a ratio 2.85 % too low for some blocks.
  @Test func aRatioThatTheMarketDoesNotShareIsHeldOff() throws {
    let story = try IncidentStory(seed: 904)
    try story.token("WETH", dollars: 200_000_000_000)
    try story.token("wstETH", dollars: 245_600_000_000)
    let staked = try story.deploy("Staked", "uint256", [1_228_000_000_000_000_000])
    try story.watch([
      .init(
        name: "with `rate`",
        prices: story.rule(
          "wstETH",
          """
          "rate": { "contract": "\(staked)", "function": "stEthPerToken()",
            "underlying": "\(story.tokens["WETH"] ?? "")", "max_step_bps": 50,
            "hold_seconds": 3600 }
          """)),
      .init(name: "without", prices: ""),
    ])
    var market = ""
    let before = try story.step("wstETH at 1.228 WETH, 40 loans") {
      market = try story.market(
        "wstETH/WETH", loan: "WETH", collateral: "wstETH", lltv: 965, lent: "20000")
      // Up to 381.2 WETH may be owed; 34 owe more than 370.3, which is the line after the fault.
      let close = (0..<34).map { ("loan-\($0)", "321.7", "\(371 + $0 / 4).\($0 % 4 * 25)") }
      let far = (34..<40).map { ("loan-\($0)", "321.7", String(200 + $0)) }
      try story.lend(in: market, close + far)
    }
    #expect(before.allSatisfy { $0.healthy == 40 && $0.exit == 0 })
    let usual = try story.step("the market and the rate move: no step of the ratio") {
      try story.send(
        [
          story.pricing("WETH", 196_000_000_000), story.pricing("wstETH", 240_700_000_000),
          (staked, "setRate(uint256)", ["1228050000000000000"]),
        ], after: 3_600)
    }
    #expect(usual.allSatisfy { $0.healthy == 40 && $0.exit == 0 })
    let wrong = try story.step("the ratio falls by 2.85 % in one block") {
      try story.setPrice(of: "wstETH", 233_840_000_000, after: 12)
    }
    let still = try story.step("and stays") { try story.chain.mine(1, seconds: 600) }
    for looks in [wrong, still] {
      #expect(looks[0].exit == 1 && looks[0].unknown == 40)
      #expect(looks[0].healthy + looks[0].liquidatable == 0)
      #expect(looks[0].says("rate_step") && looks[0].says("2.86 % in one step, bound 0.5 %"))
      #expect(looks[1].outcome("open") == 34)
    }
    let mended = try story.step("it is mended") {
      try story.setPrice(of: "wstETH", 240_700_000_000, after: 600)
    }
    #expect(mended.allSatisfy { $0.healthy == 40 && $0.exit == 0 })
    try story.step("a quarter of an hour later") { try story.chain.mine(1, seconds: 900) }
    // A hold is no refusal: what stays is taken.
    let again = try story.step("another time the ratio falls") {
      try story.setPrice(of: "wstETH", 233_840_000_000, after: 12)
    }
    #expect(again[0].unknown == 40)
    let middle = try story.step("half an hour") { try story.chain.mine(1, seconds: 1_800) }
    #expect(middle[0].unknown == 40)
    let taken = try story.step("and more than an hour: it is the new ratio") {
      try story.chain.mine(1, seconds: 2_400)
    }
    #expect(taken[0].exit == 0 && taken[0].unknown == 0 && taken[0].outcome("open") == 34)
    #expect(taken[0].listed == (try story.unhealthy(in: market)))
    try story.finish(as: "capo")
  }
}
