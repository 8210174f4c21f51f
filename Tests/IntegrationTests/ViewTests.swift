import Ethereum
import Foundation
import Postgres
import Quantities
import TestKit
import Testing

/// What others read: the views, on the rows that the program leaves.
@Suite(.serialized) struct ViewTests {
  /// A chain that was consumed, refreshed and scanned, with positions of every kind.
  private static let story = Result { () throws -> Story in
    let story = try Story(seed: 520, shape: "moolah")
    try story.chain.advance(60)
    try story.consume()
    try story.run("refresh-debt")
    try story.run("scan-liquidations")
    return story
  }

  private func rows<Value>(
    _ sql: SQL, _ database: Story? = nil, _ read: (Row) throws -> Value
  ) throws -> [Value] {
    let db = try (database ?? Self.story.get()).db
    return try db.transaction(.readOnly) { try $0.query(sql).map(read) }
  }

  private func count(_ sql: SQL, _ story: Story? = nil) throws -> Int {
    try #require(try rows(sql, story) { try $0.get(0, Int.self) }.first)
  }

  // MARK: Positions

  @Test func aUsersPositionHasExactlyTheFieldsOfTheRequirement() throws {
    let names = try rows(
      """
      select column_name::text from information_schema.columns
      where table_name = 'moolah_user_position' order by ordinal_position
      """
    ) { try $0.get(0, String.self) }
    #expect(
      names == [
        "userAddress", "marketId", "chainId", "collateralAmount", "borrowShares", "borrowedAmount",
        "liquidationPriceRatio", "updatedAt",
      ])
    #expect(
      try count("select count(*) from moolah_user_position")
        == count("select count(*) from position"))
    #expect(
      try count(
        """
        select count(*) from moolah_user_position group by "userAddress", "marketId", "chainId"
        order by 1 desc limit 1
        """) == 1)
  }

  /// A position that is not known has no numbers, and its reason is listed.
  @Test func whatIsUnknownIsListedWithItsReason() throws {
    let copy = try Self.story.get().copy()
    let db = try copy.db
    try db.transaction { tx in
      _ = try tx.execute(
        """
        insert into set_aside (deployment_id, market_key, block_number, log_index, reason, attempts)
        select deployment_id, market_key, 1, 0, 'a test', 1 from market m
        where exists (select from position p where p.market_id = m.id and p.borrow_shares > 0)
        limit 1
        """)
    }
    try copy.program.succeed("refresh-debt", exit: 1)
    try copy.program.succeed("scan-liquidations", exit: 1)
    let found = try db.transaction(.readOnly) { tx in
      try tx.query(
        """
        select count(*) from position_now p
        where (p.borrowed is null) <> (p.unknown_reason is not null)
          or (p.borrowed is null) <> exists (select from moolah_unknown u
            join market m on m.market_key = u."marketId" and m.id = p.market_id
            where u."unknown" = 'debt' and u."userAddress" = p.user_address
              and u.reason = p.unknown_reason)
        union all
        select count(*) filter (where "unknown" = 'verdict') from moolah_unknown
        where reason = 'market_set_aside'
        union all
        select count(*) filter (where "unknown" = 'debt') from moolah_unknown
        where reason = 'market_set_aside'
        """
      ).map { try $0.get(0, Int.self) }
    }
    #expect(found[0] == 0)
    #expect(found[1] == 1)
    #expect(found[2] > 0)
  }

  /// Every position with debt is healthy, liquidatable or unknown, and the views tell which.
  @Test func theListsAddUpToThePositionsWithDebt() throws {
    let sums = try rows(
      """
      select (select count(*) from position where borrow_shares > 0),
        (select sum(healthy + overdue) from market_scan)::bigint,
        (select count(*) from moolah_liquidatable),
        coalesce((select sum(positions) from moolah_unknown where "unknown" = 'verdict'), 0)::bigint
      """
    ) { row in try (0...3).map { try row.get($0, Int.self) } }
    let sum = try #require(sums.first)
    #expect(sum[0] == sum[1] + sum[2] + sum[3])
    #expect(sum[1] > 0 && sum[2] > 0)
  }

  // MARK: Liquidatable

  @Test func theLiquidatableAreThoseOfTheLastScanInWholeTokens() throws {
    let found = try rows(
      """
      select m.market_key, v."userAddress", v."borrowedAmount"::text, v."collateralAmount"::text,
        c.debt, c.collateral, l.decimals, k.decimals
      from moolah_liquidatable v
      join market m on m.market_key = v."marketId"
      join candidate c on c.market_id = m.id and c.user_address = v."userAddress"
        and c.certainty = 'verified' and c.block_number = v."blockNumber"
      join token l on l.address = m.loan_token
      join token k on k.address = m.collateral_token
      """
    ) { row in
      let (debt, collateral) = (try row.get(4, U256.self), try row.get(5, U256.self))
      #expect(
        try row.get(2, String.self) == shown(debt, decimals: Int(row.get(6, Int16.self))))
      #expect(
        try row.get(3, String.self) == shown(collateral, decimals: Int(row.get(7, Int16.self))))
      return "\(try row.get(0, Bytes32.self)) \(try row.get(1, Address.self).lowercaseHex)"
    }
    let candidates = try Self.story.get().found().candidates
    #expect(Set(found) == Set(candidates.keys))
    #expect(!found.isEmpty)
    #expect(
      try count(
        "select count(*) from moolah_liquidatable where \"liquidationPrice\" <= \"currentPrice\"")
        == 0)
  }

  /// A raw amount as a decimal number.
  private func shown(_ amount: U256, decimals: Int) -> String {
    let digits = amount.description
    if decimals == 0 { return digits }
    let padded = String(repeating: "0", count: max(0, decimals + 1 - digits.count)) + digits
    return "\(padded.dropLast(decimals)).\(padded.suffix(decimals))"
  }

  @Test func redPositionsAreTheSameListTheWorstFirst() throws {
    let rates = try rows("select \"liqRate\" from moolah_red_position") {
      try $0.get(0, U256?.self)
    }
    #expect(rates.count == (try count("select count(*) from moolah_liquidatable")))
    let known = rates.compactMap { $0 }
    #expect(rates.prefix(rates.count - known.count).allSatisfy { $0 == nil })
    #expect(known == known.sorted(by: >))
    #expect(
      try count("select count(*) from moolah_red_position where \"liqRate\" <= \"collateralPrice\"")
        == 0)
  }

  @Test func whoIsCloseToTheLineIsJudgedByTheContractsCapacity() throws {
    let expected = try rows(
      """
      select p.position_id, p.collateral, p.borrowed, s.price, m.lltv_wad
      from position_now p join market_scan s on s.market_id = p.market_id
      join market m on m.id = p.market_id
      where p.borrow_shares > 0 and p.borrowed is not null and s.price is not null
      """
    ) { row -> U256 in
      let wad = U256(1_000_000_000_000_000_000 as UInt64)
      let quoted = try U256.mulDivDown(
        row.get(1, U256.self), row.get(3, U256.self), wad.multiplied(by: wad))
      let capacity = try U256.mulDivDown(quoted, row.get(4, U256.self), wad)
      return try U256.mulDivDown(capacity, U256(1_000_000 as UInt64), row.get(2, U256.self))
    }.filter { $0 < 1_500_000 }
    let found = try rows(
      "select trunc(\"safeFactor\" * 1000000) from moolah_close_to_liquidate"
    ) { try $0.get(0, U256.self) }
    #expect(found == expected.sorted())
    #expect(!found.isEmpty)
  }

  // MARK: Canonical

  @Test func whatWasJudgedAtABlockThatIsGoneIsShownNoMore() throws {
    let story = try Story(seed: 521, shape: "moolah")
    try story.chain.advance(40)
    var found = 0
    for _ in 0..<20 where found == 0 {
      try story.chain.advance(5)
      try story.consume()
      try story.run("scan-liquidations")
      found = try count("select count(*) from moolah_liquidatable", story)
    }
    #expect(found > 0, "the story never comes to a liquidation")
    let history = try count("select count(*) from moolah_liquidation_history", story)
    #expect(try history == count("select count(*) from liquidation", story))
    try story.chain.reorg(depth: 4, keep: true, delay: 1)
    try story.chain.advance(1)
    try story.consume()
    #expect(try count("select count(*) from moolah_liquidatable", story) == 0)
    #expect(try count("select count(*) from moolah_red_position", story) == 0)
    #expect(
      try count("select count(*) from moolah_unknown where reason = 'not_scanned'", story) > 0)
    #expect(
      try count("select count(*) from moolah_liquidation_history", story)
        == count("select count(*) from liquidation", story))
  }

  // MARK: History

  @Test func dollarsAreThoseOfTheNearestPriceWithinTenMinutes() throws {
    let copy = try Self.story.get().copy()
    let db = try copy.db
    let (whole, lots) = (U256(300_000_000 as UInt64), U256(99_900_000_000 as UInt64))
    let shown = try db.transaction { tx in
      let chain = try tx.query("select chain_id from deployment")[0].get(0, Int64.self)
      _ = try tx.execute("delete from price")
      _ = try tx.execute("delete from liquidation")
      let market = try tx.query(
        """
        select m.id, m.oracle, m.loan_token, m.collateral_token from market m
        join market_scale s on s.market_id = m.id and s.loan_unit is not null
          and s.collateral_unit is not null where m.loan_token <> m.collateral_token limit 1
        """)[0]
      let id = try market.get(0, Int32.self)
      let oracle = try market.get(1, Address.self)
      for (number, seconds, canonical) in [
        (9_000_001, 0, true), (9_000_002, 400, true), (9_000_003, 700, true),
        (9_000_004, 705, false), (9_000_005, 5_000, true),
      ] as [(Int64, Int64, Bool)] {
        _ = try tx.execute(
          """
          insert into block (chain_id, number, hash, parent_hash, timestamp, canonical)
          values (\(chain), \(number), \(Bytes32(U256(UInt64(number)))), \(Bytes32.zero),
            \(1_000_000 + seconds), \(canonical))
          """)
        _ = try tx.execute(
          """
          insert into liquidation
          select \(try tx.query("select id from deployment")[0].get(0, Int32.self)), \(number), 0,
            \(id), \(Address.zero), \(Address.zero), 5 * ('1e' || l.decimals)::numeric, 1,
            2 * ('1e' || c.decimals)::numeric, 0, 0, false, \(1_000_000 + seconds), \(Bytes32.zero)
          from token l, token c where l.address = \(try market.get(2, Address.self))
            and c.address = \(try market.get(3, Address.self))
          """)
      }
      // Priced at the first and, wrongly, on a block that is gone.
      for (number, value) in [(9_000_001, whole), (9_000_004, lots)] as [(Int64, U256)] {
        for token in [try market.get(2, Address.self), try market.get(3, Address.self)] {
          _ = try tx.execute(
            """
            insert into price (chain_id, oracle, token, block_number, block_hash, value, how)
            values (\(chain), \(oracle), \(token), \(number), \(Bytes32(U256(UInt64(number)))),
              \(value), 'call_at_block')
            """)
        }
      }
      return try tx.query(
        """
        select coalesce("repaidInUsd"::text, '-') || ' ' || coalesce("seizedInUsd"::text, '-')
          || ' ' || "usdHow"
        from moolah_liquidation_history order by "blockNumber"
        """
      ).map { try $0.get(0, String.self) }
    }
    #expect(
      shown == [
        "15.00000000 6.00000000 exact", "15.00000000 6.00000000 interpolated", "- - no_price",
        "- - no_price", "- - no_price",
      ])
  }

  /// A block that shares its second with another is not priced there, and what the guards refused
  /// prices nothing.
  @Test func dollarsAreNeitherThoseOfARefusedSampleNorExactForAnotherBlock() throws {
    let copy = try Self.story.get().copy()
    let shown: () throws -> [String] = {
      try copy.db.transaction(.readOnly) { tx in
        try tx.query(
          """
          select coalesce("repaidInUsd"::text, '-') || ' ' || coalesce("seizedInUsd"::text, '-')
            || ' ' || "usdHow" from moolah_liquidation_history order by "blockNumber"
          """
        ).map { try $0.get(0, String.self) }
      }
    }
    try copy.db.transaction { tx in
      _ = try tx.execute("delete from price")
      _ = try tx.execute("delete from decimals_check")
      _ = try tx.execute("delete from liquidation")
      for block in [9_000_001, 9_000_002] as [Int64] {
        _ = try tx.execute(
          """
          insert into block (chain_id, number, hash, parent_hash, timestamp, canonical)
          select chain_id, \(block), \(Bytes32(U256(UInt64(block)))), \(Bytes32.zero), 1000000, true
          from deployment
          """)
        _ = try tx.execute(
          """
          insert into liquidation
          select m.deployment_id, \(block), 0, m.id, \(Address.zero), \(Address.zero),
            5 / s.loan_unit, 1, 2 / s.collateral_unit, 0, 0, false, 1000000, \(Bytes32.zero)
          from market m join market_scale s on s.market_id = m.id and s.loan_unit is not null
            and s.collateral_unit is not null
          where m.loan_token <> m.collateral_token order by m.id limit 1
          """)
      }
      // Both tokens at the first block; at the second only what the guards have refused.
      for (block, value, reason) in [
        (9_000_001, 300_000_000, nil), (9_000_002, 99_900_000_000, "stale_price"),
      ] as [(Int64, Int64, String?)] {
        _ = try tx.execute(
          """
          insert into price (chain_id, oracle, token, block_number, block_hash, value, how, reason)
          select s.chain_id, s.oracle, t.token, \(block), \(Bytes32(U256(UInt64(block)))), \(value),
            'call_at_block', \(reason)
          from liquidation h join market_scale s on s.market_id = h.market_id,
            lateral (values (s.loan_token), (s.collateral_token)) t (token)
          where h.block_number = 9000001
          """)
      }
    }
    #expect(
      try shown() == ["15.00000000 6.00000000 exact", "15.00000000 6.00000000 interpolated"])
    try copy.db.transaction { tx in
      _ = try tx.execute(
        """
        insert into decimals_check (chain_id, oracle, token, decimals, state, block_number,
          block_hash, at_timestamp)
        select s.chain_id, s.oracle, s.collateral_token::bytea, 8, 'quarantined', 9000001,
          \(Bytes32.zero), 1000000
        from liquidation h join market_scale s on s.market_id = h.market_id
        where h.block_number = 9000001
        """)
    }
    #expect(try shown() == ["15.00000000 - no_price", "15.00000000 - no_price"])
  }

  // MARK: Readers

  @Test func theReaderRoleReadsEveryViewAndChangesNothing() throws {
    let copy = try Self.story.get().copy()
    let views = [
      "moolah_user_position", "moolah_liquidatable", "moolah_red_position",
      "moolah_close_to_liquidate", "moolah_unknown", "moolah_liquidation_history", "position_now",
      "position_debt", "completeness",
    ]
    for view in views {
      let read = try psql(copy.database, "set role plimsoll_reader; select count(*) from \(view)")
      #expect(read.exit == 0, "\(view): \(read.errors)")
    }
    let write = try psql(copy.database, "set role plimsoll_reader; delete from market_unknown")
    #expect(write.exit != 0)
    #expect(write.errors.contains("permission denied"))
  }

  /// Each block of SQL in the documentation.
  @Test func theQueriesOfTheDocumentationRun() throws {
    let file = URL(filePath: #filePath).deletingLastPathComponent().appending(
      path: "../../docs/reading.md")
    let text = try String(contentsOf: file, encoding: .utf8)
    let queries = text.components(separatedBy: "```sql\n").dropFirst().compactMap {
      $0.components(separatedBy: "```").first
    }
    #expect(queries.count >= 7)
    for query in queries {
      let result = try psql(try Self.story.get().database, query)
      #expect(result.exit == 0, "\(query): \(result.errors)")
    }
  }

  private func psql(
    _ database: TemporaryDatabase, _ text: String
  ) throws -> Program.Result {
    let running = Running(
      binary: URL(filePath: "/usr/bin/psql"),
      arguments: [try database.url, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", text],
      directory: FileManager.default.temporaryDirectory,
      environment: ProcessInfo.processInfo.environment)
    try running.launch()
    return running.wait()
  }

  // MARK: Whole states

  /// A reader that asks again and again while debts are refreshed: all it sees is of one second.
  @Test func aReaderSeesNoHalfRefreshedState() throws {
    let copy = try Self.story.get().copy()
    let begin = try grow(copy)
    let log = StateLog()
    let reader = Thread {
      do {
        let db = try copy.db
        while !log.isOver { log.add(try Self.state(db)) }
        db.close()
      } catch {
        log.fail(error)
      }
    }
    reader.start()
    var whole: [StateLog.State] = []
    let db = try copy.db
    for step in 1...Length.pick(short: 8, long: 40) {
      let at = String(begin + UInt64(step) * 3_600)
      let result = try copy.program.run("refresh-debt", "--at", at)
      #expect(result.exit == 0 || result.exit == 1, "\(result.errors)")
      whole.append(try Self.state(db))
    }
    log.end()
    while !reader.isFinished { Thread.sleep(forTimeInterval: 0.01) }
    let seen = log.states
    print("half-refreshed: \(seen.count) looks, \(Set(seen).count) states")
    #expect(log.error == nil)
    #expect(seen.allSatisfy { $0.first == $0.last })
    #expect(Set(seen.dropFirst()).isSubset(of: Set(whole + seen.prefix(1))))
    #expect(Set(seen).count > 3, "the reader was too slow to see anything change")
    #expect(Set(whole.map(\.sum)).count == whole.count)
  }

  /// A refresh that is kept waiting after it has written half of its rows.
  @Test func aReaderSeesTheStateBeforeInTheMiddleOfARefresh() throws {
    let copy = try Self.story.get().copy()
    let begin = try grow(copy)
    let (db, blocker, observer) = (try copy.db, try copy.db, try copy.db)
    let before = try Self.state(db)
    let running = copy.program.start(["refresh-debt", "--at", String(begin + 3_600)])
    try blocker.transaction { tx in
      // The last row of those that are left waits for us.
      _ = try tx.execute(
        "update market_now set as_of_block = as_of_block where market_id = "
          + "(select max(market_id) from market_now)")
      try running.launch()
      var isWaiting = false
      for _ in 0..<90 where !isWaiting {
        Thread.sleep(forTimeInterval: 0.1)
        isWaiting = try observer.transaction(.readOnly) { tx in
          try tx.query(
            """
            select count(*) from pg_stat_activity
            where datname = current_database() and wait_event_type = 'Lock'
            """)[0].get(0, Int.self) > 0
        }
      }
      #expect(isWaiting)
      for _ in 0..<5 { #expect(try Self.state(db) == before) }
    }
    let result = running.wait()
    #expect(result.exit == 0 || result.exit == 1, "\(result.errors)")
    let after = try Self.state(db)
    #expect(after.first == after.last && after.last == Int64(begin + 3_600))
    #expect(after.sum > before.sum)
  }

  /// Thousands of positions more, so that a refresh has a middle.
  private func grow(_ copy: Story.Copy) throws -> UInt64 {
    let db = try copy.db
    try db.transaction { tx in
      _ = try tx.execute(
        """
        insert into position (market_id, user_address, supply_shares, borrow_shares, collateral,
          as_of_block)
        select m.id, substr(sha256((m.id || ' ' || n)::text::bytea), 1, 20), 0,
          1 + m.total_borrow_shares / 1000, 1000000, 1
        from market m, generate_series(1, 1500) n where m.broker is null
        """)
    }
    try copy.program.run("refresh-debt")
    return UInt64(try Self.state(db).last)
  }

  private static func state(_ db: Connection) throws -> StateLog.State {
    try db.transaction(.readOnly) { tx in
      let row = try tx.query(
        """
        select min(n.as_of_timestamp), max(n.as_of_timestamp), coalesce(sum(d.borrowed), 0)
        from market_now n left join position p on p.market_id = n.market_id
        left join position_debt d on d.position_id = p.id
        """)[0]
      return StateLog.State(
        first: try row.get(0, Int64.self), last: try row.get(1, Int64.self),
        sum: try row.get(2, U256.self))
    }
  }
}

/// What a reader has seen.
private final class StateLog: @unchecked Sendable {
  struct State: Hashable {
    let first: Int64
    let last: Int64
    let sum: U256
  }

  private let lock = NSLock()
  private var seen: [State] = []
  private var failure: (any Error)?
  private var hasEnded = false

  var states: [State] { lock.withLock { seen } }
  var error: (any Error)? { lock.withLock { failure } }
  var isOver: Bool { lock.withLock { hasEnded } }

  func add(_ state: State) { lock.withLock { seen.append(state) } }
  func fail(_ error: any Error) { lock.withLock { failure = error } }
  func end() { lock.withLock { hasEnded = true } }
}
