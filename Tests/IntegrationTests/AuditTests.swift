import Ethereum
import Foundation
import Postgres
import Store
import TestKit
import Testing

/// `plimsoll audit` against real contracts: silent on a true mirror, loud on every damaged field.
@Suite(.serialized) struct AuditTests {
  static let shapes = ["moolah", "morpho"]

  /// A mirror at the head of a story, with everything that is asked of contracts stored.
  private func audited(seed: UInt64, shape: String, steps: Int = 60) throws -> Story {
    let story = try Story(seed: seed, shape: shape)
    try story.chain.advance(steps)
    try story.consume()
    try story.run("refresh-debt")
    return story
  }

  private func audit(
    _ story: Story, _ arguments: String..., exit: Int32,
    _ location: SourceLocation = #_sourceLocation
  ) throws -> AuditResult {
    let result = try story.program.run(["audit", "--json", "--limit", "1000"] + arguments)
    #expect(
      result.exit == exit, "\(result.output)\n\(result.errors)", sourceLocation: location)
    return try AuditResult(result)
  }

  // MARK: A true mirror

  @Test(arguments: shapes, Length.pick(short: [600], long: [600, 601, 602, 603]))
  func findsNothingInATrueMirror(shape: String, seed: UInt64) throws {
    let story = try audited(seed: seed, shape: shape, steps: 150)
    let all = try audit(story, "--all", exit: 0)
    #expect(all.divergences.isEmpty)
    #expect(all.counters["unknown"] == 0)
    let positions = try story.count("select count(*) from position")
    #expect(all.counters["position_claims"] == positions)
    for kind in ["core", "market", "token", "rate_model"] {
      #expect(all.counters["\(kind)_claims"] ?? 0 > 0, "nothing of \(kind) was asked")
    }
    let sampled = try audit(story, "--sample", "3", exit: 0)
    #expect((sampled.counters["position_claims"] ?? 0) < positions)
    #expect((sampled.counters["position_claims"] ?? 0) >= 3)
    #expect(try story.count("select count(*) from divergence") == 0)
  }

  // MARK: Damage

  /// A column whose every value is claimed of the contract: what to add to a number, or the bytes
  /// that take an address' place.
  struct Damage: CustomTestStringConvertible, Sendable {
    let column: String
    let field: String
    let sql: SQL
    var testDescription: String { column }
    let shapes: [String]

    init(_ column: String, _ field: String, in shapes: [String] = AuditTests.shapes, _ sql: SQL) {
      self.column = column
      self.field = field
      self.sql = sql
      self.shapes = shapes
    }
  }

  static let damages: [Damage] = [
    Damage(
      "core_state.fee_recipient", "fee_recipient",
      "update core_state set fee_recipient = '\\x00000000000000000000000000000000000000aa'"),
    Damage(
      "core_state.default_market_fee_wad", "default_market_fee", in: ["moolah"],
      "update core_state set default_market_fee_wad = default_market_fee_wad + 1"),
    Damage(
      "market.loan_token", "loan_token",
      """
      update market set loan_token = '\\x00000000000000000000000000000000000000aa'
      where id = (select min(id) from market)
      """),
    Damage(
      "market.collateral_token", "collateral_token",
      """
      update market set collateral_token = '\\x00000000000000000000000000000000000000aa'
      where id = (select min(id) from market)
      """),
    Damage(
      "market.oracle", "oracle",
      """
      update market set oracle = '\\x00000000000000000000000000000000000000aa'
      where id = (select min(id) from market)
      """),
    Damage(
      "market.irm of every market", "irm",
      "update market set irm = '\\x00000000000000000000000000000000000000aa'"),
    Damage(
      "market.irm", "irm",
      "update market set irm = decode(repeat('00', 20), 'hex') where id = (\(adaptive))"),
    Damage(
      "market.lltv_wad", "lltv",
      "update market set lltv_wad = lltv_wad - 1 where id = (select min(id) from market)"),
    Damage(
      "market.broker is there", "broker", in: ["moolah"],
      """
      update market set broker = '\\x00000000000000000000000000000000000000aa'
      where id = (select min(id) from market where broker is null)
      """),
    Damage(
      "market.broker is lost", "broker", in: ["moolah"],
      "update market set broker = null where broker is not null"),
    Damage(
      "market.total_supply_assets", "total_supply_assets",
      """
      update market set total_supply_assets = total_supply_assets + 1
      where id = (select min(id) from market)
      """),
    Damage(
      "market.total_supply_shares", "total_supply_shares",
      """
      update market set total_supply_shares = total_supply_shares + 1
      where id = (select min(id) from market)
      """),
    Damage(
      "market.total_borrow_assets", "total_borrow_assets",
      """
      update market set total_borrow_assets = total_borrow_assets + 1
      where id = (select min(id) from market)
      """),
    Damage(
      "market.total_borrow_shares beyond every word", "total_borrow_shares",
      """
      update market set total_borrow_shares = repeat('9', 78)::numeric
      where id = (select min(id) from market)
      """),
    Damage(
      "market.last_update", "last_update",
      "update market set last_update = last_update - 1 where id = (\(adaptive))"),
    Damage(
      "market.last_update is negative", "last_update",
      "update market set last_update = -5 where id = (\(adaptive))"),
    Damage(
      "market.last_update of a market without interest", "last_update",
      """
      update market set last_update = last_update + 1000000000
      where irm = decode(repeat('00', 20), 'hex')
      """),
    Damage(
      "market.fee_wad", "fee",
      """
      update market set fee_wad = fee_wad + 1
      where id = (select min(id) from market where fee_wad is not null)
      """),
    Damage(
      "market.rate_at_target_wad", "rate_at_target",
      "update market set rate_at_target_wad = rate_at_target_wad + 1 where id = (\(adaptive))"),
    Damage(
      "market.rate_at_target_wad is lost", "rate_at_target",
      "update market set rate_at_target_wad = null where id = (\(adaptive))"),
    Damage(
      "market.rate_at_target_wad of a fixed rate", "rate_at_target", in: ["moolah"],
      """
      update market set rate_at_target_wad = 7 where id = (select min(id) from market
        where rate_at_target_wad is null and irm <> decode(repeat('00', 20), 'hex'))
      """),
    Damage(
      "market.market_key", "last_update",
      """
      update market set market_key = decode(repeat('ab', 32), 'hex')
      where id = (select min(id) from market)
      """),
    Damage(
      "market is lost with its positions", "supply_shares_of_positions",
      "delete from position where market_id = (select min(id) from market)"),
    Damage(
      "position.supply_shares", "supply_shares",
      """
      update position set supply_shares = supply_shares + 1
      where id = (select min(id) from position)
      """
    ),
    Damage(
      "position.borrow_shares", "borrow_shares",
      """
      update position set borrow_shares = borrow_shares + 1
      where id = (select min(id) from position)
      """
    ),
    Damage(
      "position.collateral", "collateral",
      "update position set collateral = collateral + 1 where id = (select min(id) from position)"),
    Damage(
      "position.collateral beyond every word", "collateral",
      """
      update position set collateral = repeat('9', 78)::numeric
      where id = (select min(id) from position)
      """),
    Damage(
      "position.collateral beyond the core's tokens", "held_by_core",
      """
      update position set collateral = collateral + 1e40 where id = (select min(id) from position)
      """),
    Damage(
      "position.user_address", "borrow_shares",
      """
      update position set user_address = decode(repeat('ab', 20), 'hex')
      where id = (select min(id) from position where borrow_shares > 0)
      """),
    Damage(
      "position.market_id", "supply_shares_of_positions",
      """
      update position p set market_id = (select max(id) from market)
      where id = (select min(id) from position where supply_shares > 0
        and market_id <> (select max(id) from market)
        and user_address not in (select user_address from position
          where market_id = (select max(id) from market)))
      """),
    Damage(
      "position is lost", "borrow_shares_of_positions",
      "delete from position where id = (select min(id) from position where borrow_shares > 0)"),
    Damage(
      "fact.rate_cap", "rate_cap", in: ["moolah"],
      "update fact set value = value + 1 where name = 'rate_cap'"),
    Damage(
      "fact.rate_floor", "rate_floor", in: ["moolah"],
      "update fact set value = value + 1 where name = 'rate_floor'"),
    Damage(
      "fact.min_cap", "min_cap", in: ["moolah"],
      "update fact set value = value + 1 where name = 'min_cap'"),
    Damage(
      "fact.fixed_rate", "fixed_rate", in: ["moolah"],
      "update fact set value = value + 1 where name = 'fixed_rate'"),
    Damage("token.decimals", "decimals", "update token set decimals = decimals + 1"),
  ]

  private static let adaptive: SQL =
    "select min(id) from market where rate_at_target_wad is not null"

  /// One field at a time: found with both values, healed from the events, found equal, closed.
  @Test(arguments: shapes)
  func findsAndRepairsEachDamagedField(shape: String) throws {
    let story = try audited(seed: 610, shape: shape, steps: 120)
    let whole = try TableDump(story.db)
    for damage in Self.damages where damage.shapes.contains(shape) {
      let rows = try story.db.transaction { tx in try tx.execute(damage.sql) }
      #expect(rows > 0, "\(damage.column): nothing was damaged")
      let found = try audit(story, "--all", exit: 1)
      let named = found.divergences.filter { $0.field == damage.field }
      #expect(!named.isEmpty, "\(damage.column): \(found.divergences)")
      for divergence in named where divergence.relation == "equal" {
        #expect(divergence.expected != divergence.actual, "\(damage.column)")
      }
      #expect(found.divergences.allSatisfy { $0.block == found.block }, "\(damage.column)")
      let open = try story.count("select count(*) from divergence where resolved_at is null")
      #expect(open == found.divergences.count, "\(damage.column)")

      let repaired = try audit(story, "--all", "--repair", exit: 0)
      #expect(repaired.divergences.isEmpty, "\(damage.column): \(repaired.divergences)")
      let healed = try TableDump(story.db)
      #expect(healed == whole, "\(damage.column): \(healed.difference(from: whole))")
      #expect(
        try story.count("select count(*) from divergence where resolved_at is null") == 0,
        "\(damage.column)")
      // Facts and tokens that a repair forgets are asked again.
      try story.run("refresh-debt")
    }
    _ = try audit(story, "--all", exit: 0)
  }

  // MARK: Missing events

  /// A log that never came leaves rows that agree with each other: only the contract tells.
  @Test(arguments: [
    "0xa3b9472a1399e17e123f3c2e6586c23e504184d504de59cdaa2b375e880c6184",  // SupplyCollateral
    "0x570954540bed6b1304a87dfe815a5eda4a648f7097a16240dcd85c9b5fd42a43",  // Borrow
    "0xedf8870433c83823eb071d3df1caa8d008f12f6440918c20d75a3602cda30fe0",  // Supply
    "0x52acb05cebbd3cd39715469f22afbf5a17496295ef3bc9bb5944056c63ccaa09",  // Repay
    "0x9d9bd501d0657d7dfe415f779a620a62b78bc508ddc0891fbbd8b7ac0f8fce87",  // AccrueInterest
    "0x139d6f58e9a127229667c8e3b36e88890a66cfc8ab1024ddc513e189e125b75b",  // SetFee
  ])
  func namesTheBlocksWhereAnEventIsMissing(topic: String) throws {
    let story = try audited(seed: 620, shape: "moolah", steps: 120)
    let whole = try TableDump(story.db)
    let topic = try #require(Bytes32(topic))
    // One from the middle, and never was.
    let gone = try story.db.transaction { tx in
      try tx.query(
        """
        with possible as (
            select * from event where topic0 = \(topic)
              and substring(data from 33 for 32) <> decode(repeat('00', 32), 'hex')
          ), chosen as (
            select * from possible order by block_number, log_index
            offset (select count(*) / 2 from possible) limit 1
          )
          delete from event e using chosen c where e.block_number = c.block_number
          and e.log_index = c.log_index returning e.block_number, e.topic1
        """)[0]
    }
    let block = try gone.get(0, UInt64.self)
    let market = try gone.get(1, Bytes32.self).description
    // Its effect goes with it: derived from what is left, as a run that never saw it.
    try story.db.transaction { tx in
      try tx.execute(
        """
        insert into set_aside (deployment_id, market_key, block_number, log_index, reason, attempts)
        select id, \(gone.get(1, Bytes32.self)), 0, 0, 'test', 1 from deployment
        """)
    }
    _ = try story.program.run("consume-events")
    #expect(try TableDump(story.db) != whole)

    let found = try audit(story, "--all", exit: 1)
    #expect(found.divergences.contains { $0.market == market }, "\(found.divergences)")
    let repaired = try audit(story, "--all", "--repair", exit: 1)
    #expect(repaired.divergences.contains { $0.market == market })
    let note = try #require(repaired.notes.first { $0.contains("events are missing") })
    #expect(note.contains(market))
    let open = try story.db.transaction(.readOnly) { tx in
      try tx.query("select from_block, to_block from block_range where state = 'suspect'")[0]
    }
    let blocks = try open.get(0, UInt64.self)...open.get(1, UInt64.self)
    #expect(blocks.contains(block), "\(blocks)")
    #expect(blocks.count < 60, "\(blocks)")

    // The next run reads the open blocks again, and what was missing is there.
    try story.program.consume()
    _ = try audit(story, "--all", exit: 0)
    let healed = try TableDump(story.db)
    #expect(healed == whole, "\(healed.difference(from: whole))")
    #expect(try story.count("select count(*) from divergence where resolved_at is null") == 0)
  }

  // MARK: What cannot be told

  @Test func countsWhatNoContractAnswersAsUnknown() throws {
    let story = try audited(seed: 630, shape: "moolah")
    let token = try story.db.transaction(.readOnly) { tx in
      try tx.query("select collateral_token from market order by id limit 1")[0].get(
        0, Address.self)
    }
    // revert(0, 0)
    try story.chain.ask([
      "do": "rpc", "method": "anvil_setCode", "params": [token.lowercaseHex, "0x60006000fd"],
    ])
    try story.chain.mine(1, seconds: 12)
    try story.consume()
    let result = try audit(story, "--all", exit: 1)
    #expect(result.divergences.isEmpty)
    #expect(result.unknown.contains { $0["contract"] as? String == token.description })
    #expect(result.unknown.allSatisfy { $0["kind"] as? String == "token" })
    #expect(result.counters["unknown"] == result.unknown.count)
  }

  /// What was open stays open as long as nobody answers.
  @Test func closesNothingThatWasNotAnswered() throws {
    let story = try audited(seed: 631, shape: "moolah")
    try story.db.transaction { try $0.execute("update token set decimals = decimals + 1") }
    _ = try audit(story, exit: 1)
    let open: SQL = "select count(*) from divergence where resolved_at is null"
    let before = try story.count(open)
    #expect(before > 0)
    try story.db.transaction { try $0.execute("update token set decimals = decimals - 1") }
    for token in try story.db.transaction(
      .readOnly,
      {
        try $0.query("select address from token").map { try $0.get(0, Address.self) }
      })
    {
      try story.chain.ask([
        "do": "rpc", "method": "anvil_setCode", "params": [token.lowercaseHex, "0x60006000fd"],
      ])
    }
    try story.chain.mine(1, seconds: 12)
    try story.consume()
    _ = try audit(story, exit: 1)
    #expect(try story.count(open) == before)
  }

  @Test func endsWith75WithoutTheBlockOrItsState() throws {
    let story = try audited(seed: 632, shape: "moolah")
    try story.chain.ask(["do": "fault", "lag": 4, "count": -1])
    _ = try audit(story, exit: 75)
    try story.chain.ask(["do": "fault", "clear": true])

    let gone = ["code": -32000, "message": "missing trie node 1a2b (path )"] as [String: Any]
    try story.chain.ask(["do": "fault", "method": "eth_call", "error": gone, "count": -1])
    _ = try audit(story, exit: 75)
    try story.chain.ask(["do": "fault", "clear": true])

    try story.chain.reorg(depth: 5, keep: true, delay: 1)
    _ = try audit(story, exit: 75)
    try story.consume()
    _ = try audit(story, "--all", exit: 0)
  }

  @Test func saysThatNothingHasBeenConsumed() throws {
    let story = try Story(seed: 633, shape: "morpho")
    _ = try audit(story, exit: 75)
  }

  @Test func listsMarketsThatStandStillAsSuch() throws {
    let story = try audited(seed: 634, shape: "moolah")
    try story.db.transaction { tx in
      try tx.execute(
        """
        insert into set_aside (deployment_id, market_key, block_number, log_index, reason, attempts)
        select deployment_id, market_key, 1, 1, 'test', 3 from market
        """)
    }
    try story.chain.advance(30)
    _ = try story.program.run("consume-events")
    let result = try audit(story, "--all", exit: 1)
    let positions = result.divergences.filter { $0.kind != "core" }
    #expect(!positions.isEmpty)
    #expect(positions.allSatisfy { $0.isSetAside })
    #expect(result.counters["divergences_set_aside"] == positions.count)
  }

  // MARK: Company

  @Test func leavesADeploymentToTheAuditThatHasIt() throws {
    let story = try audited(seed: 640, shape: "moolah")
    try story.chain.ask(["do": "fault", "method": "eth_call", "sleep_ms": 400, "count": 2])
    let runs = (0..<2).map { _ in story.program.start(["audit", "--json"]) }
    for run in runs { try run.launch() }
    let results = runs.map { $0.wait() }
    #expect(results.allSatisfy { $0.exit == 0 }, "\(results.map(\.errors))")
    let statuses = try results.map { try $0.json()["status"] as? String ?? "" }.sorted()
    #expect(statuses == ["skipped_locked", "succeeded"] || statuses == ["succeeded", "succeeded"])
  }

  /// The one who comes second leaves the mirror alone; in the end it is right.
  @Test func repairsBesideARunningConsumer() throws {
    let story = try audited(seed: 641, shape: "moolah")
    for round in 0..<Length.pick(short: 3, long: 20) {
      try story.chain.advance(40)
      try story.db.transaction { tx in
        try tx.execute(
          """
          update position set collateral = collateral + 1
          where id = (select min(id) from position)
          """
        )
      }
      let consumer = story.program.start(["consume-events", "--window", "2"])
      let repair = story.program.start(["audit", "--all", "--repair"])
      try consumer.launch()
      if round > 0 { usleep(UInt32(20_000 * round)) }
      try repair.launch()
      let ended = [consumer.wait(), repair.wait()]
      #expect([0, 1].contains(ended[0].exit), "\(ended[0].errors)")
      #expect([0, 75].contains(ended[1].exit), "\(ended[1].errors)")
      // If the repair had to wait, the contract tells this run what is wrong.
      let between = try story.program.run("consume-events")
      #expect([0, 1].contains(between.exit), "\(between.errors)")
      _ = try audit(story, "--all", "--repair", exit: 0)
      try story.consume()
      try story.checkAgainstACleanRun()
    }
  }

  @Test func leavesARepairToLaterWhileAnotherRunIsTheWriter() throws {
    let story = try audited(seed: 642, shape: "morpho")
    let damage: SQL = "update market set lltv_wad = lltv_wad - 1"
    try story.db.transaction { try $0.execute(damage) }
    let before = try TableDump(story.db)
    let db = try story.db
    let deployment = try story.count("select id from deployment")
    let taking = try Writer.take(Int32(deployment), holder: "a test", on: db)
    guard case .mine(let writer) = taking else {
      Issue.record("the writer is taken")
      return
    }
    let result = try audit(story, "--repair", exit: 75)
    #expect(result.notes.contains { $0.contains("a test") })
    #expect(!result.divergences.isEmpty)
    #expect(try TableDump(db) == before)
    try writer.release(on: db)
    _ = try audit(story, "--repair", exit: 0)
  }

  @Test func aDryRunWritesNothing() throws {
    let story = try audited(seed: 643, shape: "morpho")
    try story.db.transaction { try $0.execute("update market set lltv_wad = lltv_wad - 1") }
    let before = try TableDump(story.db)
    let result = try audit(story, "--dry-run", "--repair", exit: 1)
    #expect(result.notes.contains { $0.contains("would be derived again") })
    #expect(try TableDump(story.db) == before)
    #expect(try story.count("select count(*) from divergence") == 0)
  }

  // MARK: Choosing

  @Test func looksOnlyAtWhatIsAskedFor() throws {
    let story = try audited(seed: 650, shape: "moolah")
    let row = try story.db.transaction(.readOnly) { tx in
      try tx.query(
        """
        select m.market_key, p.user_address, (select count(*) from market) from position p
        join market m on m.id = p.market_id order by p.id limit 1
        """)[0]
    }
    let market = try row.get(0, Bytes32.self).description
    let user = try row.get(1, Address.self).description
    let one = try audit(story, "--market", market, "--all", exit: 0)
    #expect(one.counters["market_claims"] == 3)
    // A user is asked for in every market, with a row or without.
    let users = try audit(story, "--user", user, exit: 0)
    let markets = try row.get(2, Int.self)
    #expect(users.counters["position_claims"] == markets)
    try story.db.transaction { tx in
      try tx.execute("delete from position where user_address = \(row.get(1, Address.self))")
    }
    let lost = try audit(story, "--user", user, exit: 1)
    #expect(lost.divergences.contains { $0.user == user && $0.actual == "0" })
    let both = try story.program.run("audit", "--all", "--sample", "3")
    #expect(both.exit == 64)
  }
}

/// The result of an audit as a program reads it.
struct AuditResult {
  struct Divergence {
    let kind, field: String
    let relation: String
    let market, user, expected, actual: String?
    let isSetAside: Bool
    let block: String
  }

  var divergences: [Divergence] = []
  var unknown: [[String: Any]] = []
  var counters: [String: Int] = [:]
  var notes: [String] = []
  var facts: [String: String] = [:]

  /// The block of the only deployment.
  var block: String? { facts.first { $0.key.hasSuffix(" block") }?.value }

  init(_ result: Program.Result) throws {
    let object = try result.json()
    counters = object["counters"] as? [String: Int] ?? [:]
    notes = object["notes"] as? [String] ?? []
    facts = object["facts"] as? [String: String] ?? [:]
    unknown = object["unknown"] as? [[String: Any]] ?? []
    for row in object["divergences"] as? [[String: Any]] ?? [] {
      func text(_ key: String) -> String? { row[key] as? String }
      divergences.append(
        Divergence(
          kind: text("kind") ?? "", field: text("field") ?? "", relation: text("relation") ?? "",
          market: text("market"), user: text("user"), expected: text("expected"),
          actual: text("actual"), isSetAside: text("set_aside") == "true",
          block: text("block") ?? ""))
    }
  }
}

extension Story {
  /// What a query with one number answers.
  func count(_ sql: SQL) throws -> Int {
    try db.transaction(.readOnly) { tx in try tx.query(sql)[0].get(0, Int.self) }
  }
}
