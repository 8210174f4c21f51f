import Ethereum
import Postgres
import Quantities
import RiskCore
import Systems
import Testing

/// What becomes of a memory whose blocks the chain has left.
@Suite struct MemoryTablesTests {
  let stored: StoredMirror
  let run: Int64
  var settings = ControlSettings()

  init() throws {
    stored = try StoredMirror()
    run = try stored.db.transaction { tx in
      try tx.query(
        """
        insert into run (job, arguments, deployments, version, host, pid)
        values ('scan-liquidations', '', 'test', '0', 'here', 1) returning id
        """)[0].get(0, Int64.self)
    }
  }

  /// Scans at a block of a branch, with or without the candidate.
  @discardableResult
  private func scan(_ number: UInt64, branch: UInt64 = 0, finds: Bool = true) throws -> Candidate? {
    let block = ControlsTests.block(number, at: number * 10, branch: branch)
    return try stored.db.transaction { tx in
      var judgement = Judgement()
      if finds { judgement.candidates = [ControlsTests.candidate()] }
      judgement.markets = [
        MarketJudgement(marketID: 1, market: ControlsTests.market, price: 1)
      ]
      var memory: CandidateMemory? = try CandidateMemory(of: stored.deployment, in: tx)
      Controls(settings).decide(
        &judgement, of: [ControlsTests.market], at: block, memory: &memory)
      try memory?.store(
        judgement.candidates, of: stored.deployment, at: block, run: run, in: tx)
      return judgement.candidates.first
    }
  }

  private func leave(_ numbers: ClosedRange<UInt64>, branch: UInt64) throws {
    try stored.db.transaction { tx in
      for number in numbers {
        let block = ControlsTests.block(number, at: number * 10, branch: branch)
        try tx.execute(
          """
          insert into block (chain_id, number, hash, parent_hash, timestamp, canonical)
          values (1, \(number), \(block.hash), \(block.hash), \(block.timestamp), false)
          """)
      }
    }
  }

  @Test mutating func confirmationsOfBlocksThatTheChainHasLeftDoNotCount() throws {
    settings.delay.confirmations = 3
    try scan(100)
    try scan(101, branch: 1)
    #expect(try scan(102, branch: 1)?.outcome == .open)
    try leave(101...102, branch: 1)
    #expect(try scan(101)?.outcome == .delayed)
    #expect(try scan(102)?.outcome == .delayed)
    let third = try scan(103)
    #expect(third?.outcome == .open)
    // It has been over its line all the same.
    #expect(third?.firstSeen == 1_000)
  }

  @Test mutating func whatWasNamedInABlockThatTheChainHasLeftIsNamedAgain() throws {
    settings.dedupSeconds = 1_000
    settings.delay.confirmations = 2
    try scan(99)
    #expect(try scan(100, branch: 1)?.outcome == .open)
    try leave(100...100, branch: 1)
    #expect(try scan(100)?.outcome == .delayed)
    #expect(try scan(101)?.outcome == .open)
    #expect(try scan(102)?.outcome == .recentlyProcessed)
  }

  @Test func anEpisodeThatEndedInABlockThatTheChainHasLeftGoesOn() throws {
    try scan(100)
    try scan(101, branch: 1, finds: false)
    // Another began there.
    try scan(102, branch: 1)
    try leave(101...102, branch: 1)
    #expect(try scan(101)?.firstSeen == 1_000)
    #expect(try scan(102)?.firstSeen == 1_000)
    try scan(103, finds: false)
    #expect(try scan(104)?.firstSeen == 1_040)
    #expect(try stored.count("candidate_memory") == 3)
  }
}
