import Postgres
import Store
import TestKit
import Testing

/// What the tables show that somebody should know, and what it costs to look.
@Suite struct WatchTests {
  /// Rows of a table that a look reads, by the server's own count.
  private func rowsRead(
    of table: String, on db: Connection, _ look: (borrowing Transaction) throws -> Void
  ) throws -> Int {
    try db.transaction(.readOnly) { tx in
      try look(tx)
      return try tx.query(
        """
        select coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)
        from pg_stat_xact_user_tables where relname = \(table)
        """)[0].get(0, Int.self)
    }
  }

  private func insertRun(
    _ job: String, _ deployments: String = "core", at second: Int64, exit: Int32,
    status: String = "succeeded", from: Int64? = nil, through: Int64? = nil, in ground: Ground
  ) throws {
    try ground.db.transaction { tx in
      try tx.execute(
        """
        insert into run (job, arguments, deployments, started_at, finished_at, status, exit_code,
          version, host, pid, from_block, to_block)
        values (\(job), '', \(deployments), to_timestamp(\(second)), to_timestamp(\(second)),
          \(status), \(exit), '0', 'h', 1, \(from), \(through))
        """)
    }
  }

  private func failing(at now: UInt64, in ground: Ground) throws -> [String] {
    try ground.db.transaction(.readOnly) { tx in
      try Watch.failingJobs(inARow: 3, except: "alert", at: now, in: tx).map(\.subject)
    }
  }

  @Test func lookingAtJobsDoesNotReadAllRunsThatEverWere() throws {
    let ground = try Ground()
    try ground.db.transaction { tx in
      try tx.execute(
        """
        insert into run (job, arguments, deployments, started_at, finished_at, status, exit_code,
          version, host, pid)
        select (array['audit', 'consume-events', 'scan-liquidations'])[1 + i % 3], '', 'core',
          to_timestamp(i * 60), to_timestamp(i * 60), 'succeeded', 0, '0', 'h', 1
        from generate_series(1, 20000) i
        """)
      try tx.execute("analyze run")
    }
    let read = try rowsRead(of: "run", on: ground.db) { tx in
      _ = try Watch.failingJobs(inARow: 3, except: "alert", at: 1_200_000, in: tx)
      _ = try Watch.silentJobs(
        [("audit", 60), ("consume-events", 60)], on: ["core"], at: 1_200_000, in: tx)
    }
    #expect(read < 200)
  }

  @Test func lookingNearTheLineDoesNotReadAllScansThatEverWere() throws {
    let ground = try Ground()
    try ground.db.transaction { tx in
      try tx.execute(
        """
        insert into market (deployment_id, market_key, loan_token, collateral_token, oracle, irm,
          lltv_wad, total_supply_assets, total_supply_shares, total_borrow_assets,
          total_borrow_shares, last_update, as_of_block)
        select \(ground.deployment), decode(lpad(to_hex(i), 64, '0'), 'hex'), o.a, o.a, o.a, o.a, 1,
          0, 0, 0, 0, 0, 1
        from generate_series(1, 10) i, (select decode(repeat('00', 20), 'hex') as a) o
        """)
      try tx.execute(
        """
        insert into run (job, arguments, deployments, version, host, pid)
        select 'scan-liquidations', '', 'core', '0', 'h', 1 from generate_series(1, 2000)
        """)
      try tx.execute(
        """
        insert into scan_market (run_id, market_id, block_number, block_hash, at_timestamp, price,
          healthy, liquidatable, unknown)
        select r.id, m.id, r.id, m.market_key, r.id, 1, 0, 0, 0 from run r, market m
        """)
      try tx.execute("analyze scan_market, market, run")
    }
    let read = try rowsRead(of: "scan_market", on: ground.db) { tx in
      let near = try Watch.nearLine(of: ground.deployment, within: 200, in: tx)
      #expect(near?.timestamp == 2_000)
    }
    #expect(read < 200)
  }

  @Test func aDailyJobThatFailsThreeTimesIsFailing() throws {
    let ground = try Ground()
    for day in Int64(0)...2 { try insertRun("audit", at: day * 86_400, exit: 69, in: ground) }
    #expect(try failing(at: 2 * 86_400 + 60, in: ground) == ["audit core"])
    // One that is no longer run is forgotten.
    #expect(try failing(at: 20 * 86_400, in: ground) == [])
  }

  @Test func aBackfillThatGoesOnUntilItsDeadlineIsNotFailing() throws {
    let ground = try Ground()
    for run in Int64(0)...2 {
      try insertRun(
        "consume-events", at: run, exit: 75, status: "partial", from: run * 100,
        through: run * 100 + 99, in: ground)
      try insertRun("scan-liquidations", at: run, exit: 75, status: "partial", in: ground)
    }
    #expect(try failing(at: 60, in: ground) == ["scan-liquidations core"])
  }

  @Test func aRunThatFoundTheLockTakenIsNoSuccess() throws {
    let ground = try Ground()
    try insertRun("audit", "core,other", at: 100, exit: 0, in: ground)
    try insertRun("audit", "other", at: 200, exit: 1, in: ground)
    try insertRun("audit", at: 200, exit: 0, status: "skipped_locked", in: ground)
    let silent = try ground.db.transaction(.readOnly) { tx in
      try Watch.silentJobs([("audit", 60)], on: ["core", "other"], at: 210, in: tx)
    }
    #expect(silent.map(\.subject) == ["audit core"])
    #expect(silent.first?.facts()["last_success"] == "100")
  }

  @Test func anUnknownDebtIsNotAwayFromItsLine() throws {
    let ground = try Ground()
    try ground.db.transaction { tx in
      try tx.execute(
        """
        insert into market (deployment_id, market_key, loan_token, collateral_token, oracle, irm,
          lltv_wad, total_supply_assets, total_supply_shares, total_borrow_assets,
          total_borrow_shares, last_update, as_of_block)
        select \(ground.deployment), decode(repeat('01', 32), 'hex'), o.a, o.a, o.a, o.a, 1,
          0, 0, 0, 0, 0, 1
        from (select decode(repeat('00', 20), 'hex') as a) o
        """)
      try tx.execute(
        """
        insert into position (market_id, user_address, supply_shares, borrow_shares, collateral,
          as_of_block)
        select m.id, decode(repeat(u.byte, 20), 'hex'), 0, u.shares, 0, 1
        from market m, (values ('aa', 5), ('bb', 0)) u(byte, shares)
        """)
    }
    let market = "0x" + String(repeating: "01", count: 32)
    let owing = market + "/0x" + String(repeating: "aa", count: 20)
    let paid = market + "/0x" + String(repeating: "bb", count: 20)
    let notAway = try ground.db.transaction(.readOnly) { tx in
      try Watch.notAway([owing, paid], of: ground.deployment, scan: 1, within: 200, in: tx)
    }
    #expect(notAway == [owing])
  }
}
