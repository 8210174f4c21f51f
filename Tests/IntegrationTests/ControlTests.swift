import Ethereum
import Foundation
import Postgres
import Quantities
import TestKit
import Testing

/// The program under each control, on contracts: what becomes of its candidates.
@Suite(.serialized) struct ControlTests {
  private static let made = Result { try ControlStory(seed: 520) }
  private var story: ControlStory { get throws { try Self.made.get() } }

  // MARK: Open, and its amounts

  @Test func whatIsOpenGoesThroughWithTheVeryAmounts() throws {
    let story = try story
    let scanned = try story.ground("").scan()
    let open = scanned.of("verified")
    #expect(open.count > 3)
    #expect(scanned.outcomes == ["open"])
    #expect(scanned.paths == ["direct"])
    for candidate in open { try expectCall(candidate, story) }
    #expect(Set(open.compactMap { $0["plan"] }) == ["full", "underwater"])
  }

  @Test func aLimitedPurseTakesAPartThatTheContractAllows() throws {
    let story = try story
    let scanned = try story.ground("\"max_repay_usd\": 400").scan()
    let open = scanned.of("verified").filter { $0["outcome"] == "open" }
    let parts = open.filter { $0["plan"] == "partial" }
    #expect(!parts.isEmpty)
    for candidate in open { try expectCall(candidate, story) }
  }

  /// The contract, called with the plan, answers the plan's amounts.
  private func expectCall(_ candidate: [String: String], _ story: ControlStory) throws {
    let id = candidate["market"] ?? ""
    let market = try #require(try story.markets().first { $0["id"] as? String == id })
    func address(_ key: String) throws -> ABIValue {
      .address(try #require(Address(market[key] as? String ?? "")))
    }
    func number(_ key: String) throws -> U256 {
      try #require(U256(decimal: candidate[key] ?? "?"))
    }
    let isBySeizing = candidate["by_seizing"] == "true"
    let payer = try #require(
      (market["positions"] as? [[String: Any]])?.compactMap { $0["user"] as? String }.first {
        Address($0)?.description != candidate["user"]
      })
    let parameters = ABIValue.tuple([
      try address("loan_token"), try address("collateral_token"), try address("oracle"),
      try address("irm"), .uint(try #require(U256(decimal: market["lltv"] as? String ?? "?"))),
    ])
    let answer = try story.ask(
      story.coreAddress,
      "liquidate((address,address,address,address,uint256),address,uint256,uint256,bytes)",
      parameters, .address(try #require(Address(candidate["user"] ?? ""))),
      .uint(isBySeizing ? try number("seized_assets") : .zero),
      .uint(isBySeizing ? .zero : try number("repaid_shares")), .bytes([]), from: payer)
    let words = ABIWords(answer)
    #expect(try words.word(0) == (try number("seized_assets")))
    #expect(try words.word(1) == (try number("repaid_assets")))
  }

  // MARK: What the contracts say

  @Test func aPausedContractIsNamed() throws {
    let story = try story
    try story.send(story.coreAddress, "pause()")
    let scanned = try story.ground("").scan()
    try story.send(story.coreAddress, "unpause()")
    #expect(scanned.outcomes == ["paused"])
    #expect(scanned.paths == ["report_only"])
  }

  @Test func whoIsListedDecidesAboutThePath() throws {
    let story = try story
    let yes = try story.contract(1, answering: 1)
    let no = try story.contract(2, answering: 0)
    let mute = try story.contract(3, answering: nil)
    let markets = try story.markets().compactMap { Bytes32($0["id"] as? String ?? "") }
    func list(_ signature: String, _ account: Address) throws {
      for market in markets {
        try story.send(
          story.coreAddress, signature, .fixedBytes(market.bytes), .address(account))
      }
    }
    let accounts = [yes, no, mute]
    for account in accounts { try list("addLiquidationWhitelist(bytes32,address)", account) }
    func scan(_ paths: String) throws -> Scanned {
      try story.ground("\"paths\": { \(paths) }").scan()
    }
    let none = try scan("")
    let main = try scan("\"main_liquidator\": \"\(yes)\"")
    let refused = try scan("\"main_liquidator\": \"\(no)\"")
    let silent = try scan("\"main_liquidator\": \"\(mute)\"")
    let everyone = try scan("\"public_liquidator\": \"\(yes)\"")
    let nobody = try scan("\"public_liquidator\": \"\(no)\"")
    let stranger = try scan("\"main_liquidator\": \"\(story.contract(4, answering: 1))\"")
    for account in accounts { try list("removeLiquidationWhitelist(bytes32,address)", account) }

    #expect(none.outcomes == ["whitelist_only"])
    #expect(none.paths == ["report_only"])
    #expect(main.outcomes == ["open"])
    #expect(main.paths == ["main_liquidator"])
    #expect(refused.outcomes == ["whitelist_only"])
    #expect(silent.outcomes == ["permission_unknown"])
    #expect(everyone.outcomes == ["open"])
    #expect(everyone.paths == ["public_liquidator"])
    #expect(nobody.outcomes == ["whitelist_only"])
    // Its own list takes the market, but the core contract does not know it.
    #expect(stranger.outcomes == ["whitelist_only"])
  }

  @Test func withoutAnyWayOfOursItIsOnlyReported() throws {
    let story = try story
    let scanned = try story.ground("\"paths\": { \"direct\": false }").scan()
    #expect(scanned.outcomes == ["report_only"])
    let open = try story.contract(5, answering: 0)
    let paths = "\"paths\": { \"direct\": false, \"public_liquidator\": \"\(open)\" }"
    #expect(try story.ground(paths).scan().paths == ["public_liquidator"])
  }

  // MARK: The plan

  @Test func whatWouldLeaveDustIsNotOpen() throws {
    let story = try story
    // Nobody may leave less than a billion dollars.
    try story.send(
      story.coreAddress, "setMinLoanValue(uint256)", .uint(100_000_000_000_000_000))
    let scanned = try story.ground("\"max_repay_usd\": 1").scan()
    try story.send(story.coreAddress, "setMinLoanValue(uint256)", .uint(1_500_000_000))
    #expect(scanned.outcomes == ["dust_rule"])
  }

  @Test func withoutAPriceInDollarsALimitInDollarsIsNotGuessedAt() throws {
    let story = try story
    let mute = try story.contract(6, answering: nil)
    let tokens = try ["USDX", "DAIX", "WETHX", "BTCX"].map { try story.token($0) }
    let feeds = tokens.map { "\"\($0)\": \"\(mute)\"" }.joined(separator: ", ")
    let scanned = try story.ground("\"max_repay_usd\": 400, \"usd_feeds\": { \(feeds) }").scan()
    #expect(scanned.outcomes == ["plan_unknown"])
    // Without a limit it is open, and counts as large.
    let unlimited = try story.ground("\"min_size_usd\": 1000, \"usd_feeds\": { \(feeds) }").scan()
    #expect(unlimited.outcomes == ["open"])
    #expect(unlimited.of("verified").allSatisfy { $0["zone"] == "value_unknown" })
  }

  @Test func whatIsTooSmallIsLeftAlone() throws {
    let story = try story
    let scanned = try story.ground("\"min_size_usd\": 1000000000").scan()
    #expect(scanned.outcomes == ["below_minimum"])
    let all = try story.ground("").scan().of("verified")
    let values = all.compactMap { U256(decimal: $0["debt_usd"] ?? "?") }.sorted()
    let middle = try #require(UInt64(exactly: values[values.count / 2])) / 100_000_000
    let some = try story.ground("\"min_size_usd\": \(middle)").scan()
    #expect(some.outcomes == ["below_minimum", "open"])
    for candidate in some.of("verified") {
      let debt = try #require(U256(decimal: candidate["debt_usd"] ?? "?"))
      let isBelow = debt < U256(middle * 100_000_000)
      #expect((candidate["outcome"] == "below_minimum") == isBelow)
    }
  }

  // MARK: Time

  @Test func theDelayIsKeptOverRuns() throws {
    let story = try story
    let ground = try story.ground("\"delay\": { \"seconds\": 30, \"confirmations\": 2 }")
    #expect(try ground.scan().outcomes == ["delayed"])
    let first = try ground.memory()
    #expect(try ground.rescan().outcomes == ["delayed"])
    #expect(try ground.memory() == first)
    try story.chain.mine(1, seconds: 29)
    #expect(try ground.scan().outcomes == ["delayed"])
    try story.chain.mine(1, seconds: 1)
    #expect(try ground.scan().outcomes == ["open"])
  }

  @Test func whatIsHealthyAgainIsForgottenAndKeptAsHistory() throws {
    let story = try story
    let ground = try story.ground("\"delay\": { \"seconds\": 1 }")
    func scan() throws -> [[String: String]] {
      try ground.scan().of("verified").filter { ($0["pair"] ?? "").hasPrefix("WETHX/") }
    }
    let found = try scan()
    #expect(!found.isEmpty)
    try story.setPrice(of: "WETHX", 3_000_000_000_000)
    #expect(try scan().isEmpty)
    try story.setPrice(of: "WETHX", ControlStory.fallen)
    let again = try scan()
    #expect(again.map { $0["user"] } == found.map { $0["user"] })
    #expect(again.allSatisfy { $0["outcome"] == "delayed" })
    let token = try story.token("WETHX")
    for state in [true, false] {
      #expect(
        try ground.count(
          """
          select count(*) from candidate_memory c
          join market m on m.market_key = c.market_key and m.collateral_token = \(token)
          where (c.ended_block is not null) = \(state)
          """) == found.count)
    }
  }

  @Test func whatWasNamedIsNotNamedAgainWithinTheWindow() throws {
    let story = try story
    let ground = try story.ground("\"dedup_seconds\": 60")
    #expect(try ground.scan().outcomes == ["open"])
    let first = try ground.memory()
    // The same block again says the same again, and two at once count once.
    #expect(try ground.rescan().outcomes == ["open"])
    let both = (0..<2).map { _ in ground.program.start(["scan-liquidations"]) }
    for run in both { try run.launch() }
    for run in both { #expect([0, 1].contains(run.wait().exit)) }
    #expect(try ground.memory() == first)
    try story.chain.mine(1, seconds: 59)
    #expect(try ground.scan().outcomes == ["recently_processed"])
    let before = try ground.memory()
    #expect(try ground.rescan(["--dry-run"]).outcomes == ["recently_processed"])
    #expect(try ground.memory() == before)
    try story.chain.mine(1, seconds: 1)
    #expect(try ground.scan().outcomes == ["open"])
  }

  @Test func anEpisodeBegunOnAnOrphanedBlockBeginsAnew() throws {
    let story = try story
    try story.chain.mine(3, seconds: 12)
    let ground = try story.ground("\"delay\": { \"seconds\": 1000000 }")
    let found = try ground.scan().of("verified").count
    let orphaned: SQL = """
      select count(*) from candidate_memory c
      where c.ended_block is null and exists (select from block b
        where b.number = c.first_seen_block and b.hash = c.first_seen_hash and not b.canonical)
      """
    #expect(try ground.count(orphaned) == 0)
    try story.chain.reorg(depth: 2, keep: true)
    try ground.program.consume()
    #expect(try ground.count(orphaned) == found)
    _ = try ground.scan()
    #expect(try ground.count(orphaned) == 0)
    #expect(
      try ground.count("select count(*) from candidate_memory where ended_block is null") == found)
  }

  @Test func aBlockOfThePastIsJudgedWithoutMemory() throws {
    let story = try story
    let ground = try story.ground("\"delay\": { \"seconds\": 30 }")
    try story.chain.mine(1, seconds: 12)
    _ = try ground.scan()
    let before = try ground.memory()
    let head = try #require(try story.chain.truth()["block"] as? Int)
    let past = try ground.rescan(["--at-block", String(head - 1)])
    #expect(past.outcomes == ["open"])
    #expect(try ground.memory() == before)
  }

  @Test func aProtectedBorrowerWaitsForADay() throws {
    let story = try story
    let ground = try story.ground("")
    try ground.program.consume()
    try ground.db.transaction { tx in
      try tx.execute(
        """
        insert into guard_market (deployment_id, market_key, raised_lltv_wad)
        select deployment_id, market_key, 2000000000000000000 from market
        """)
      try tx.execute(
        """
        insert into guard_user (deployment_id, user_address, capacity_usd)
        select distinct m.deployment_id, p.user_address, 1000000000000000000
        from position p join market m on m.id = p.market_id
        """)
    }
    let first = try ground.scan()
    #expect(first.outcomes == ["protected"])
    let inGrace: SQL = "select count(*) from guarded_position where state = 'protected'"
    #expect(try ground.count(inGrace) == first.of("verified").count)
    #expect(
      try ground.count("select count(*) from guarded_position where state = 'guarded'") > 0)
    try story.chain.mine(1, seconds: 86_399)
    #expect(try ground.scan().outcomes == ["protected"])
    try story.chain.mine(1, seconds: 1)
    // Whoever crosses during that day has just begun to wait.
    let later = try ground.scan()
    let known = Set(first.of("verified").compactMap { $0["user"] })
    for candidate in later.of("verified") where known.contains(candidate["user"] ?? "") {
      let isOver = candidate["guard_state"] == "grace_over"
      #expect((candidate["outcome"] == "open") == isOver)
    }
    #expect(later.outcomes.contains("open"))
  }

  @Test func theZoneShowsWhatIsFlagged() throws {
    let story = try story
    let ground = try story.ground("\"zone\": { \"value_usd\": 1000000000, \"age_seconds\": 60 }")
    let first = try ground.scan()
    #expect(first.counters["in_liquidation_zone"] == 0)
    try ground.db.transaction { tx in
      try tx.execute(
        """
        insert into zone_flag (deployment_id, market_key, user_address, reason)
        select deployment_id, market_key, user_address, 'asked for' from candidate_memory limit 1
        """)
    }
    #expect(try ground.rescan().counters["in_liquidation_zone"] == 1)
    #expect(try ground.count("select count(*) from liquidation_zone where reasons = 'manual'") == 1)
    try story.chain.mine(1, seconds: 61)
    let old = try ground.scan()
    #expect(old.of("verified").allSatisfy { ($0["zone"] ?? "").contains("age") })
  }

  // MARK: Pre-liquidation

  @Test func whoStandsInABandIsNamedForItsContract() throws {
    let story = try story
    let markets = try story.markets()
    let terms = """
      "pre_lltv": "0.3", "pre_lcf_1": "0.5", "pre_lcf_2": "0.5", "pre_lif_1": "1.01",
      "pre_lif_2": "1.01"
      """
    let listed = markets.enumerated().map { index, market in
      """
      { "address": "0x\(String(repeating: "0", count: 36))c0\(index + 10)",
        "market": "\(market["id"] as? String ?? "")", \(terms) }
      """
    }
    let controls = "\"paths\": { \"pre_liquidation\": [\(listed.joined(separator: ", "))] }"
    let refused = try story.ground(controls).scan()
    let inBand = refused.of("pre_liquidatable")
    #expect(!inBand.isEmpty)
    #expect(Set(inBand.compactMap { $0["outcome"] }) == ["not_authorized"])
    #expect(Set(inBand.compactMap { $0["path"] }) == ["pre_liquidation"])
    #expect(inBand.allSatisfy { $0["plan"] == "partial" })

    let first = try #require(inBand.first)
    let user = try #require(Address(first["user"] ?? ""))
    let authorized = try #require(Address(first["contract"] ?? ""))
    try story.send(
      story.coreAddress, "setAuthorization(address,bool)", .address(authorized), .bool(true),
      from: user.lowercaseHex)
    let open = try story.ground(controls).scan().of("pre_liquidatable").filter {
      $0["outcome"] == "open"
    }
    try story.send(
      story.coreAddress, "setAuthorization(address,bool)", .address(authorized), .bool(false),
      from: user.lowercaseHex)
    #expect(open.map { $0["user"] } == [user.description])
  }
}
