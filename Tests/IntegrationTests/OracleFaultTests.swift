import Ethereum
import Foundation
import Postgres
import Quantities
import TestKit
import Testing

/// Each way in which a price goes wrong, on a chain, with the program as cron runs it.
///
/// The market is skipped with its reason and figures, nothing in it is healthy or liquidatable, and
/// it is judged again once the fault is over.
@Suite(.serialized) struct OracleFaultTests {
  /// Skipped whole: a reason, figures, unknown positions, and neither verdict.
  private func expectSkipped(
    _ found: PricedStory.Found, _ reason: String, _ figures: String,
    _ location: SourceLocation = #_sourceLocation
  ) {
    #expect(found.reasons == [reason], sourceLocation: location)
    #expect(
      found.details.allSatisfy { $0.contains(figures) }, "\(found.details)",
      sourceLocation: location)
    #expect(found.details.isEmpty == figures.isEmpty, sourceLocation: location)
    #expect(found.unknown > 0, sourceLocation: location)
    #expect(found.healthy + found.liquidatable == 0, sourceLocation: location)
    #expect(found.candidates == 0, sourceLocation: location)
    #expect(found.exit == 1, sourceLocation: location)
    #expect(found.output.contains("skipped: \(reason)"), sourceLocation: location)
  }

  /// Judged: every position has a verdict.
  private func expectJudged(
    _ found: PricedStory.Found, _ location: SourceLocation = #_sourceLocation
  ) {
    #expect(found.reasons == [nil], "\(found.details)", sourceLocation: location)
    #expect(found.unknown == 0, sourceLocation: location)
    #expect(found.healthy + found.liquidatable > 0, sourceLocation: location)
  }

  // MARK: The oracle itself

  @Test func anOracleThatBreaksOrStandsAtZero() throws {
    let story = try PricedStory(seed: 801)
    expectJudged(try story.scan("WETHX"))
    try story.send(to: story.oracle, "setBroken(address,bool)", [story.token("WETHX"), true])
    expectSkipped(
      try story.scan("WETHX"), "price_call_reverted", "WETHX: invalid resilient oracle price")
    try story.send(to: story.oracle, "setBroken(address,bool)", [story.token("WETHX"), false])
    try story.setPrice(of: "WETHX", 0)
    expectSkipped(try story.scan("WETHX"), "zero_price", "")
    try story.calm()
    expectJudged(try story.scan("WETHX"))
  }

  @Test func aStockMarketThatIsClosedIsNamed() throws {
    let story = try PricedStory(seed: 802)
    try story.send(to: story.oracle, "setClosed(address,bool)", [story.token("WETHX"), true])
    expectSkipped(
      try story.scan("WETHX"), "price_call_reverted", "WETHX: StockMarketClosed()")
    try story.send(to: story.oracle, "setClosed(address,bool)", [story.token("WETHX"), false])
    expectJudged(try story.scan("WETHX"))
  }

  // MARK: Feeds

  /// LUNA in May 2022: the feed was paused at its floor, far above the market.
  @Test func aFeedThatIsStaleOrAtItsFloor() throws {
    let story = try PricedStory(seed: 803)
    let feed = try story.deploy(
      "Feed", "int256,int192,int192", [185_000_000_000, 10_000_000, 1_000_000_000_000])
    try story.judge(
      by: story.rule(
        "WETHX",
        """
        "feed": { "address": "\(feed)", "heartbeat_seconds": 3600, "bounds_of": "\(feed)" }
        """))
    expectJudged(try story.scan("WETHX"))
    try story.chain.mine(1, seconds: 4_000)
    expectSkipped(try story.scan("WETHX"), "stale_price", "s old, heartbeat 3600 s")
    try story.send(to: feed, "setAnswer(int256)", [184_000_000_000])
    expectJudged(try story.scan("WETHX"))

    try story.send(to: feed, "setAnswer(int256)", [10_000_000])
    expectSkipped(
      try story.scan("WETHX"), "price_at_bound",
      "the feed answered 10000000, its floor is 10000000")
    try story.send(to: feed, "setAnswer(int256)", [10_000_001])
    expectJudged(try story.scan("WETHX"))
    try story.send(to: feed, "setAnswer(int256)", [-5])
    expectSkipped(try story.scan("WETHX"), "feed_unreadable", "the feed answered -5")
    try story.send(to: feed, "setBroken(bool)", [true])
    expectSkipped(try story.scan("WETHX"), "feed_unreadable", "did not answer")
  }

  @Test func aFrozenPrice() throws {
    let story = try PricedStory(seed: 804)
    try story.judge(by: story.rule("WETHX", "\"frozen_runs\": 2"))
    for round in 0..<3 {
      try story.setPrice(of: "BNBX", 24_000_000_000 + UInt64(round))
      let found = try story.scan("WETHX")
      if round < 2 {
        expectJudged(found)
      } else {
        expectSkipped(found, "frozen_price", "the same for 2 runs while others moved, bound 2")
      }
    }
    try story.setPrice(of: "WETHX", 185_000_000_001)
    expectJudged(try story.scan("WETHX"))
  }

  // MARK: Steps

  @Test func aStepIsHeldUntilItIsConfirmed() throws {
    let story = try PricedStory(seed: 805, steps: 120)
    try story.judge(
      by: "\"max_step_bps\": 2000, \"confirm_runs\": 2, \"confirm_seconds\": 60")
    let before = try story.scan("WETHX")
    expectJudged(before)
    try story.setPrice(of: "WETHX", 127_280_000_000)
    expectSkipped(
      try story.scan("WETHX"), "price_jump", "31.2 % in one step, bound 20 %; held, 0 of 2 runs")
    // The same block again confirms nothing.
    expectSkipped(try story.scan("WETHX"), "price_jump", "0 of 2 runs, 0 of 60 s")
    try story.setPrice(of: "WETHX", 127_000_000_000, seconds: 100)
    expectSkipped(try story.scan("WETHX"), "price_jump", "1 of 2 runs, 100 of 60 s")
    try story.setPrice(of: "WETHX", 127_280_000_000)
    let taken = try story.scan("WETHX")
    expectJudged(taken)
    #expect(taken.healthy + taken.liquidatable == before.healthy + before.liquidatable)
    // One wrong answer that goes away leaves nothing behind.
    try story.setPrice(of: "WETHX", 900_000_000_000)
    #expect(try story.scan("WETHX").reasons == ["price_jump"])
    try story.setPrice(of: "WETHX", 127_280_000_000)
    expectJudged(try story.scan("WETHX"))
  }

  /// Aave's CAPO in March 2026: a ratio 2.85 % too low for a moment, far within any bound of the
  /// price itself.
  @Test func aPriceThatLeavesItsRateIsHeldOff() throws {
    let story = try PricedStory(seed: 806)
    let staked = try story.deploy("Staked", "uint256", [1_228_000_000_000_000_000])
    try story.judge(
      by: story.rule(
        "WETHX",
        """
        "rate": { "contract": "\(staked)", "function": "stEthPerToken()",
          "underlying": "\(story.token("BTCX"))", "max_step_bps": 50, "hold_seconds": 600 }
        """))
    expectJudged(try story.scan("WETHX"))
    // The market moves both, and the rate grows with the ratio: no step.
    try story.setPrice(of: "BTCX", 2_610_000_000_000)
    try story.setPrice(of: "WETHX", 166_500_000_000)
    expectJudged(try story.scan("WETHX"))
    try story.send(to: staked, "setRate(uint256)", [1_350_800_000_000_000_000])
    try story.setPrice(of: "WETHX", 183_150_000_000)
    expectJudged(try story.scan("WETHX"))
    // The price alone moves by 2.85 %.
    try story.setPrice(of: "WETHX", 177_930_225_000)
    expectSkipped(
      try story.scan("WETHX"), "rate_step",
      "against stEthPerToken(): 2.86 % in one step, bound 0.5 %")
    try story.setPrice(of: "WETHX", 183_150_000_000)
    expectJudged(try story.scan("WETHX"))
  }

  // MARK: Second sources

  /// Compound's DAI in November 2020: 1.30 dollars on one exchange only.
  @Test func anOracleThatDisagreesWithASecondSource() throws {
    let story = try PricedStory(seed: 807, steps: 90)
    let dex = try PriceServer(price: "1.00")
    try story.judge(
      by: "\"sources\": { \"dex\": { \(try dex.source()) } }, "
        + story.rule(
          "USDX",
          """
          "max_step_bps": 10000, "second": { "source": "dex", "max_deviation_bps": 200 }
          """))
    expectJudged(try story.scan("USDX"))
    try story.setPrice(of: "USDX", 102_000_000)
    expectJudged(try story.scan("USDX"))
    try story.setPrice(of: "USDX", 130_000_000)
    expectSkipped(
      try story.scan("USDX"), "price_disagrees",
      "1.3, but dex says 1: 30 % apart, bound 2 %")
    dex.become(.tells("\"1.29\""))
    expectJudged(try story.scan("USDX"))
  }

  @Test func aPegThatBreaks() throws {
    let story = try PricedStory(seed: 807, steps: 90)
    try story.judge(
      by: story.rule(
        "USDX", "\"peg\": { \"value\": \"100000000\", \"max_deviation_bps\": 100 }"))
    try story.setPrice(of: "USDX", 99_000_000)
    expectJudged(try story.scan("USDX"))
    try story.setPrice(of: "USDX", 98_999_999)
    expectSkipped(try story.scan("USDX"), "off_peg", "1.01 % off the peg, bound 1 %")
  }

  @Test func aSecondSourceThatFailsIsAWarningOrAReason() throws {
    let story = try PricedStory(seed: 809)
    let dex = try PriceServer(price: "1850")
    let source = try dex.source(timeout: 300)
    func judge(required: Bool) throws {
      try story.judge(
        by: "\"sources\": { \"dex\": { \(source) } }, "
          + story.rule(
            "WETHX",
            """
            "second": { "source": "dex", "max_deviation_bps": 500, "required": \(required) }
            """))
    }
    for mood in [
      PriceServer.Mood.status(503), .text("<html>"), .silent,
      .text(#"{"data": {"price": 1850, "time": 5}}"#), .text(#"{"data": {"time": 5}}"#),
    ] {
      dex.become(mood)
      try judge(required: true)
      let found = try story.scan("WETHX")
      expectSkipped(found, "second_source_unavailable", "WETHX: dex: ")
      #expect(!found.output.contains("SECRET-KEY"))
    }
    try judge(required: false)
    let found = try story.scan("WETHX")
    expectJudged(found)
    #expect(found.warnings.contains("second_source_unavailable"))
    #expect(found.output.contains("warning second_source_unavailable, dex: "))
  }

  /// xUSD in November 2025: the oracle said one dollar whatever happened, so that nothing became
  /// liquidatable.
  @Test func aHardCodedOracleHasAShadow() throws {
    let story = try PricedStory(seed: 810)
    let dex = try PriceServer(price: "1850")
    try story.judge(
      by: "\"sources\": { \"dex\": { \(try dex.source()) } }, "
        + story.rule("WETHX", "\"second\": { \"source\": \"dex\", \"max_deviation_bps\": 500 }"))
    let before = try story.scan("WETHX")
    expectJudged(before)
    #expect(!before.warnings.contains("shadow_liquidatable"))
    dex.become(.tells("500.5"))
    let after = try story.scan("WETHX")
    expectSkipped(after, "price_disagrees", "269.6")
    #expect(after.shadow > before.liquidatable)
    #expect(after.warnings.contains("shadow_liquidatable"))
    #expect(after.output.contains("would be liquidatable at the second source's price"))
  }

  /// PAXG in October 2024: twelve decimals too many in an oracle.
  @Test func aMarketWithWrongDecimalsIsQuarantinedAtDiscovery() throws {
    let story = try PricedStory(seed: 811, shape: "morpho")
    let market = try #require(
      (try story.chain.truth()["markets"] as? [[String: Any]])?.first { market in
        (market["positions"] as? [[String: Any]] ?? []).contains {
          $0["borrow_shares"] as? String != "0"
        }
      })
    let oracle = try #require(market["oracle"] as? String)
    let scale =
      try #require(market["loan_decimals"] as? Int)
      - (try #require(market["collateral_decimals"] as? Int))
    let dex = try PriceServer(price: "2.5")
    try story.judge(
      by: """
        "sources": { "dex": { \(try dex.source()) } },
        "rules": [{ "oracle": "\(oracle)", "max_step_bps": 10000,
          "second": { "source": "dex", "max_deviation_bps": 100000 } }]
        """)
    /// 2.5, times a power of ten.
    func setPrice(_ decades: Int) throws {
      let price = "25" + String(repeating: "0", count: 35 + scale + decades)
      try story.send(to: oracle, "setBroken(bool)", [false])
      let number = try #require(Decimal(string: price))
      try story.send(to: oracle, "setPrice(uint256)", [NSDecimalNumber(decimal: number)])
    }
    func scan() throws -> PricedStory.Found {
      var found = try story.scan("WETHX")
      let (output, exit) = (found.output, found.exit)
      found = try story.found(oracle)
      (found.output, found.exit) = (output, exit)
      return found
    }
    try setPrice(12)
    expectSkipped(try scan(), "quarantined", "12 decades apart")
    // Also while the second source is silent.
    dex.become(.status(500))
    #expect(try scan().reasons == ["quarantined"])
    dex.become(.tells("2.5"))
    try setPrice(0)
    // What was in quarantine is nothing that the next price is compared with.
    expectJudged(try scan())
    // What has passed once is the second source's affair.
    try setPrice(13)
    let later = try scan()
    #expect(later.reasons == ["price_disagrees"], "\(later.details)")
  }

  // MARK: What is asked when

  @Test func aBlockOfThePastAsksNoOutsideSourceAndLeavesNoTrace() throws {
    let story = try PricedStory(seed: 812)
    let dex = try PriceServer(price: "1850")
    try story.judge(
      by: "\"sources\": { \"dex\": { \(try dex.source()) } }, "
        + story.rule(
          "WETHX",
          """
          "second": { "source": "dex", "max_deviation_bps": 500, "required": true }
          """))
    expectJudged(try story.scan("WETHX"))
    #expect(dex.server.requestCount == 1)
    let head = try #require(try story.chain.truth()["block"] as? Int)
    expectSkipped(
      try story.scan("WETHX", "--at-block", String(head - 1)), "second_source_unavailable",
      "dex: was not asked")
    #expect(dex.server.requestCount == 1)
    let carrying = try story.database.connection().transaction(.readOnly) { tx in
      try tx.query("select count(distinct block_number) from price where carries")[0]
        .get(0, Int.self)
    }
    #expect(carrying == 1)
  }

  @Test func aRefreshAsksForNoPrice() throws {
    let story = try PricedStory(seed: 813)
    let dex = try PriceServer(price: "1850")
    try story.judge(
      by: "\"sources\": { \"dex\": { \(try dex.source()) } }, "
        + story.rule(
          "WETHX",
          """
          "second": { "source": "dex", "max_deviation_bps": 500, "required": true }
          """))
    for symbol in story.tokens.keys {
      try story.send(to: story.oracle, "setBroken(address,bool)", [story.token(symbol), true])
    }
    try story.program.consume()
    try story.program.succeed("refresh-debt", exit: story.hasBroker ? 1 : 0)
    #expect(dex.server.requestCount == 0)
    let stored = try story.database.connection().transaction(.readOnly) { tx in
      try tx.query("select count(*) from price")[0].get(0, Int.self)
    }
    #expect(stored == 0)
  }
}

extension PricedStory {
  /// A position in a broker's market has a debt that a refresh does not know.
  var hasBroker: Bool {
    get throws {
      try database.connection().transaction(.readOnly) { tx in
        try tx.query(
          """
          select exists (select from position p join market m on m.id = p.market_id
            where m.broker is not null and p.borrow_shares > 0)
          """)[0].get(0, Bool.self)
      }
    }
  }
}
