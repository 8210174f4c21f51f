import Foundation
import Postgres
import TestKit
import Testing

/// Events that are fetched ahead, in shards, in any order, beside a follower, and killed: applied,
/// they give the tables of a clean run.
@Suite struct FetchTests {
  @Test(arguments: ["moolah", "morpho"])
  func fetchedInShardsAndAppliedGivesTheTablesOfACleanRun(shape: String) throws {
    let story = try Story(seed: 811, shape: shape, windowBlocks: 4, reorgLimit: 6)
    try story.chain.advance(120)
    for shard in [3, 1, 2] {
      let fetched = try story.program.succeed("fetch-events", "--shard", "\(shard)/3")
      #expect(fetched.output.contains("events"))
    }
    // Contracts that one shard has revealed are missing from the others' blocks until they look.
    for shard in [1, 2, 3] {
      try story.program.succeed("fetch-events", "--shard", "\(shard)/3")
    }
    let applied = try story.program.succeed("consume-events", "--apply")
    #expect(applied.output.contains("was not fetched yet"))
    let final = try story.headBlock() - 6
    #expect(try story.cursorBlock() == final)
    try story.program.succeed("consume-events")
    try story.checkAgainstACleanRun()
    let open = try story.openRanges()
    #expect(open == [])
  }

  @Test func nothingIsAppliedOverAGap() throws {
    let story = try Story(seed: 812, shape: "moolah", windowBlocks: 5, reorgLimit: 4)
    try story.chain.advance(80)
    try story.program.succeed("fetch-events", "--shard", "2/2")
    let applied = try story.program.succeed("consume-events", "--apply")
    #expect(applied.output.contains("was not fetched yet"))
    let reached = try story.cursorBlock() ?? 0
    #expect(reached < 10)
    // Without --apply the gaps are read from the node, and what was fetched is not read again.
    try story.program.succeed("consume-events")
    try story.checkAgainstACleanRun()
    let open = try story.openRanges()
    #expect(open == [])
  }

  /// Two fetches, a follower and kills, all at once.
  @Test func fetchingBesideAFollowerLosesAndDoublesNothing() throws {
    let story = try Story(seed: 813, shape: "moolah", windowBlocks: 3, reorgLimit: 8)
    try story.chain.advance(100)
    for round in 0..<6 {
      let runs = [
        story.program.start(["fetch-events", "--shard", "1/2"]),
        story.program.start(["fetch-events", "--shard", "2/2"]),
        story.program.start(["consume-events", "--max-blocks", "15"]),
      ]
      for run in runs { try run.launch() }
      usleep(UInt32(20_000 * round))
      let killed = round % 2 == 0 ? round % 3 : nil
      if let killed { runs[killed].kill() }
      for (index, run) in runs.enumerated() {
        let result = run.wait()
        if index != killed { #expect(result.exit == 0, "\(result.output)\(result.errors)") }
      }
      try story.chain.advance(5)
    }
    try story.consume()
    try story.checkAgainstACleanRun()
    let open = try story.openRanges()
    #expect(open == [])
  }

  /// What a fetch has stored is canonical, whatever the node says to the follower later.
  @Test(arguments: 0..<4)
  func whatAFetchHasStoredIsAppliedAlthoughTheNodeWithholdsItLater(skip: Int) throws {
    let story = try Story(seed: 811, shape: "moolah", windowBlocks: 4, reorgLimit: 6)
    try story.chain.advance(120)
    for shard in [3, 1, 2] {
      try story.program.succeed("fetch-events", "--shard", "\(shard)/3")
    }
    try story.chain.ask([
      "do": "fault", "method": "eth_getLogs", "empty_logs": true, "skip": 2 * skip, "count": 1,
    ])
    var exits: [Int32] = []
    for _ in 0..<4 where exits.last != 0 {
      exits.append(try story.program.run("consume-events").exit)
    }
    #expect(exits.last == 0, "\(exits)")
    try story.checkAgainstACleanRun()
    let open = try story.openRanges()
    #expect(open == [])
  }

  /// A run of windows of one block meets the rate model's contract after its first blocks: they are
  /// read again for it, and the ledger says so.
  @Test func blocksBeforeARevelationAreReadAgain() throws {
    let story = try Story(seed: 814, shape: "moolah", windowBlocks: 1)
    try story.chain.advance(30)
    try story.consume()
    let versions = try story.db.transaction(.readOnly) { tx in
      try tx.query(
        """
        select filter_version, min(from_block), max(to_block), bool_and(state = 'verified')
        from block_range group by filter_version order by filter_version
        """
      ).map { row in
        (
          first: try row.get(1, Int64.self), last: try row.get(2, Int64.self),
          isWhole: try row.get(3, Bool.self)
        )
      }
    }
    #expect(versions.count >= 2)
    #expect(Set(versions.map(\.first)).count == 1)
    #expect(Set(versions.map(\.last)).count == 1)
    #expect(versions.allSatisfy { $0.isWhole })
    try story.checkAgainstACleanRun()
  }

  /// What an operator takes as complete is complete by his word, and the ledger keeps the word.
  @Test func anOperatorMayAcceptWhatIsOpen() throws {
    let story = try Story(seed: 815, shape: "moolah")
    try story.chain.advance(20)
    try story.consume()
    try story.db.transaction { tx in
      _ = try tx.execute(
        """
        update block_range set state = 'suspect', reason = 'test', attempts = 99
        where filter_version = 1
        """)
    }
    let open = try story.program.run("consume-events")
    #expect(open.exit == 1)
    #expect(open.output.contains("open_ranges"))
    // What is judged on them says so.
    let scan = try story.program.run("scan-liquidations")
    #expect(scan.exit == 1)
    #expect(scan.output.contains("not proved complete"), "\(scan.output)")
    let refused = try story.program.run("consume-events", "--accept-open", "--from-block", "0")
    #expect(refused.exit == 64)
    try story.program.succeed(
      "consume-events", "--accept-open", "--from-block", "0", "--to-block", "100000")
    try story.program.succeed("consume-events")
    let reasons = try story.db.transaction(.readOnly) { tx in
      try tx.query("select reason from block_range where reason is not null").map {
        try $0.get(0, String.self)
      }
    }
    #expect(reasons.contains { $0.hasPrefix("accepted by run") }, "\(reasons)")
  }
}

extension Story {
  func cursorBlock() throws -> Int64? {
    try db.transaction(.readOnly) { tx in
      try tx.query("select block_number from cursor").first?.get(0, Int64.self)
    }
  }

  func headBlock() throws -> Int64 {
    Int64(try chain.truth()["block"] as? Int ?? 0)
  }

  /// State and blocks of what is not verified.
  func openRanges() throws -> [String] {
    try db.transaction(.readOnly) { tx in
      try tx.query(
        """
        select concat_ws(' ', state, filter_version, from_block, to_block, reason) from block_range
        where state <> 'verified' order by from_block
        """
      ).map { try $0.get(0, String.self) }
    }
  }
}
