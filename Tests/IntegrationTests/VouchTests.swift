import Foundation
import Postgres
import TestKit
import Testing

/// One node alone that lies about a log where no header can tell: the contract does, the blocks are
/// open, and the run does not end with 0 before they have been read again.
@Suite struct VouchTests {
  /// What the contract said at the end of a run.
  private struct Counters {
    private let counters: [String: Int]
    let exit: Int32

    init(_ result: Program.Result) throws {
      counters = try result.json()["counters"] as? [String: Int] ?? [:]
      exit = result.exit
    }

    subscript(name: String) -> Int { counters[name] ?? 0 }
  }

  private func consume(_ trial: Trial, _ arguments: String...) throws -> Counters {
    try Counters(trial.program.run(["consume-events", "--json"] + arguments))
  }

  private func openReasons(_ trial: Trial) throws -> Set<String> {
    try trial.database.connection().transaction(.readOnly) { tx in
      let rows = try tx.query(
        "select distinct coalesce(reason, '') from block_range where state <> 'verified'")
      return Set(try rows.map { try $0.get(0, String.self) })
    }
  }

  private func openDivergences(_ trial: Trial) throws -> Int {
    try trial.database.connection().transaction(.readOnly) { tx in
      try tx.query("select count(*) from divergence where resolved_at is null")[0]
        .get(0, Int.self)
    }
  }

  @Test func aWithheldLogOpensTheBlocksUntilTheyAreReadAgain() throws {
    let trial = try Trial(FaultGround.shared.get())
    try trial.proxy.plan([PlannedFault("drop_log").with(skip: 5)])
    let lied = try consume(trial)
    #expect(lied.exit == 1)
    #expect(lied["open_divergences"] > 0)
    #expect(try openReasons(trial) == ["the contract tells otherwise"])
    #expect(try openDivergences(trial) == lied["open_divergences"])
    #expect(try TableDump(trial.database.connection()) != trial.reference)

    let healed = try consume(trial)
    #expect(healed.exit == 0)
    #expect(healed["divergences_resolved"] == lied["open_divergences"])
    #expect(try openReasons(trial) == [] && openDivergences(trial) == 0)
    let dump = try TableDump(trial.database.connection())
    #expect(dump == trial.reference, "\(dump.difference(from: trial.reference))")
  }

  @Test func aChangedLogIsReplacedAndInDoubtUntilItIsToldTwice() throws {
    let trial = try Trial(FaultGround.shared.get())
    try trial.proxy.plan([PlannedFault("wrong_data").with(skip: 5)])
    let lied = try consume(trial)
    #expect(lied.exit == 1 && lied["open_divergences"] > 0)

    let replaced = try consume(trial)
    #expect(replaced.exit == 1 && replaced["divergences_resolved"] == lied["open_divergences"])
    #expect(try openReasons(trial).contains { $0.hasPrefix("changed") })
    let dump = try TableDump(trial.database.connection())
    #expect(dump == trial.reference, "\(dump.difference(from: trial.reference))")

    #expect(try consume(trial).exit == 0)
    #expect(try openReasons(trial) == [])
  }

  /// A node that goes on lying keeps the blocks open, for a bounded number of runs that read them.
  @Test func aLieThatIsToldAgainKeepsTheBlocksOpen() throws {
    let trial = try Trial(FaultGround.shared.get())
    try trial.proxy.plan([PlannedFault("drop_log", ["place": 0]).with(count: -1)])
    var readAgain: [Int] = []
    for _ in 0..<8 {
      let run = try consume(trial, "--deadline", "20s")
      #expect(run.exit == 1)
      #expect(try openReasons(trial) != [] && openDivergences(trial) > 0)
      readAgain.append(run["blocks_read_again"])
    }
    #expect(readAgain.last == 0, "\(readAgain)")
    try trial.proxy.plan([])
    #expect(try consume(trial, "--retry-open").exit == 0)
    let dump = try TableDump(trial.database.connection())
    #expect(dump == trial.reference, "\(dump.difference(from: trial.reference))")
  }

  @Test func aMarketWhoseCreationWasWithheldIsFoundInTheSameRun() throws {
    let trial = try Trial(FaultGround.shared.get())
    try trial.proxy.plan([PlannedFault("drop_block").with(skip: 5)])
    let run = try consume(trial)
    #expect(try trial.proxy.counts().total == 1)
    #expect(run["late_events"] > 0)
    #expect(try consume(trial).exit == 0)
    let dump = try TableDump(trial.database.connection())
    #expect(dump == trial.reference, "\(dump.difference(from: trial.reference))")
  }

  @Test func aRunWithNothingNewAsksNothing() throws {
    let trial = try Trial(FaultGround.shared.get())
    #expect(try consume(trial)["claims_asked"] > 0)
    try trial.proxy.plan([PlannedFault("remote_error", method: "eth_call").with(count: -1)])
    let idle = try consume(trial)
    #expect(idle.exit == 0 && idle["claims_asked"] == 0 && idle["unvouched"] == 0)
    #expect(try trial.proxy.counts().total == 0)
  }

  @Test func farFromTheHeadNothingIsAsked() throws {
    let ground = try FaultGround(seed: 503, steps: 160)
    let trial = try Trial(ground)
    let far = try consume(trial, "--max-blocks", "40")
    #expect(far.exit == 0 && far["unvouched"] == 1 && far["claims_asked"] == 0)
    let near = try consume(trial)
    #expect(near.exit == 0 && near["unvouched"] == 0 && near["claims_asked"] > 0)
  }

  @Test(arguments: [
    PlannedFault("remote_error", method: "eth_call"),
    PlannedFault(
      "remote_error", ["code": -32000, "message": "missing trie node"], method: "eth_call"),
    PlannedFault("null_result", method: "eth_call"),
  ])
  func anAnswerThatCannotBeHadIsNoError(fault: PlannedFault) throws {
    let trial = try Trial(FaultGround.shared.get())
    try trial.proxy.plan([fault.with(count: -1)])
    let run = try consume(trial)
    #expect(run.exit == 0 && run["unvouched"] == 1, "\(fault)")
    #expect(try TableDump(trial.database.connection()) == trial.reference)
  }

  /// What differs already is asked of the contract, whoever found it, and keeps every run from
  /// ending with 0.
  @Test func anOpenDivergenceIsAskedAgainByARunWithNothingNew() throws {
    let trial = try Trial(FaultGround.shared.get())
    try trial.program.consume()
    let db = try trial.database.connection()
    try db.transaction { tx in
      try tx.execute("update position set collateral = collateral - 1 where collateral > 5")
    }
    try trial.program.succeed("audit", "--all", exit: 1)
    let found = try openDivergences(trial)
    let still = try consume(trial)
    #expect(still.exit == 1 && still["open_divergences"] == found && still["claims_asked"] > 0)
    try db.transaction { tx in
      try tx.execute("update position set collateral = collateral + 1 where collateral > 4")
    }
    let healed = try consume(trial)
    #expect(healed.exit == 0 && healed["divergences_resolved"] == found)
  }

  /// A run adds up no positions and asks no token, unless a market differs already: such a row
  /// stays an audit's.
  @Test func whatOnlyAnAuditAsksIsNotResolvedByARun() throws {
    let trial = try Trial(FaultGround.shared.get())
    try trial.program.consume()
    let db = try trial.database.connection()
    try db.transaction { tx in
      try tx.execute(
        """
        insert into divergence (deployment_id, kind, contract, market_key, field, relation,
          set_aside, block_number, block_hash, first_run_id, run_id)
        select d.id, 'market', d.address, m.market_key, 'a field of a later audit', 'equal', false,
          1, m.market_key, r.id, r.id
        from deployment d join market m on m.deployment_id = d.id, run r
        order by m.id, r.id limit 1
        """)
    }
    let run = try consume(trial)
    #expect(run.exit == 1 && run["claims_asked"] > 0 && run["divergences_resolved"] == 0)
    #expect(try openDivergences(trial) == 1)
  }

  // MARK: How much goes unnoticed

  /// One endpoint alone, without a second and without an audit: what one run makes of each lie
  /// about each of many logs.
  @Test(arguments: ["drop_log", "drop_block", "drop_all", "wrong_topic", "wrong_data"])
  func noLieThatChangesANumberGoesUnnoticed(lie: String) throws {
    let ground = try FaultGround.shared.get()
    var outcomes: [String: Int] = [:]
    for place in 0..<Length.pick(short: 4, long: 32) {
      let trial = try Trial(ground)
      // The proxy draws the log, by the seed of the plan.
      try trial.proxy.plan([PlannedFault(lie).with(skip: 1 + place % 6)], seed: UInt64(place))
      let run = try consume(trial)
      guard try trial.proxy.counts().total > 0 else { continue }
      let isEqual = try TableDump(trial.database.connection()) == trial.reference
      let outcome = isEqual ? "repaired" : run.exit == 0 ? "unnoticed" : "noticed"
      outcomes[outcome, default: 0] += 1
      #expect(outcome != "unnoticed", "\(lie), seed \(place)")
    }
    print("one endpoint alone | \(lie) | \(outcomes.sorted { $0.key < $1.key })")
    #expect(!outcomes.isEmpty)
  }
}
