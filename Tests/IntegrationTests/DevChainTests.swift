import Ethereum
import Foundation
import Postgres
import Quantities
import TestKit
import Testing

/// Real transactions on a local EVM against the built binary: the tables must equal the contracts'
/// own views and those of a clean run, whatever happens on the way.
@Suite(.serialized) struct DevChainTests {
  static let shapes = ["moolah", "morpho"]

  // MARK: The contract's word

  @Test(arguments: shapes, Length.pick(short: [11], long: [11, 12, 13, 14, 15, 16]))
  func equalsTheContractsViewsAndVerdicts(shape: String, seed: UInt64) throws {
    let story = try Story(seed: seed, shape: shape)
    var candidates = 0
    for _ in 0..<Length.pick(short: 10, long: 60) {
      try story.chain.advance(25)
      try story.consume()
      try story.run("refresh-debt")
      try story.run("scan-liquidations")
      candidates += try story.checkAgainstTheContract()
    }
    #expect(candidates > 0, "the story never has anything to liquidate")
  }

  /// A scan of a past block finds what a scan found when the block was the newest.
  @Test func judgesABlockOfThePast() throws {
    let story = try Story(seed: 12, shape: "moolah")
    var then: [(block: Int, candidates: [String: String])] = []
    for _ in 0..<8 {
      try story.chain.advance(20)
      try story.consume()
      try story.run("scan-liquidations")
      let block = try #require(try story.chain.truth()["block"] as? Int)
      then.append((block, try story.found().candidates))
    }
    for (block, candidates) in then {
      let result = try story.program.run("scan-liquidations", "--at-block", String(block))
      #expect(result.exit == 0 || result.exit == 1, "\(result.errors)")
      #expect(try story.found().candidates == candidates)
    }
    #expect(then.contains { !$0.candidates.isEmpty })
    let ahead = try story.program.run("scan-liquidations", "--at-block", "1000000")
    #expect(ahead.exit == 75)
  }

  // MARK: Reorganisations

  static let depths = Length.pick(short: [1, 2, 3, 5, 8, 13, 21, 34, 55, 64], long: Array(1...64))

  @Test(arguments: shapes, depths)
  func takesBackReorganisations(shape: String, depth: Int) throws {
    let story = try Story(seed: UInt64(100 + depth), shape: shape, windowBlocks: 7)
    try story.chain.advance(30 + depth)
    try story.consume()
    for round in 0..<2 {
      // Some transactions come back later, some never.
      try story.chain.reorg(depth: depth, keep: round == 0, delay: round * 2)
      if round == 1 { try story.chain.advance(5) }
      // The batch is cut in the middle, and the next run goes on.
      try story.program.consume("--max-blocks", String(depth / 2 + 1))
      try story.consume()
      try story.checkAgainstTheContract(verdicts: false)
      try story.checkAgainstACleanRun()
    }
  }

  @Test func takesBackAReorganisationThatHappensInTheMiddleOfABatch() throws {
    let story = try Story(seed: 300, shape: "moolah", windowBlocks: 1)
    try story.chain.advance(60)
    try story.consume()
    for depth in [1, 4, 9, 30] {
      try story.chain.advance(40)
      let running = story.program.start(["consume-events"])
      try running.launch()
      Thread.sleep(forTimeInterval: 0.15)
      try story.chain.reorg(depth: depth, keep: true, delay: 1)
      let result = running.wait()
      #expect(result.exit == 0, "\(result.errors)")
      try story.consume()
      try story.checkAgainstTheContract(verdicts: false)
      try story.checkAgainstACleanRun()
    }
  }

  @Test func stopsAtAReorganisationDeeperThanTheLimit() throws {
    let story = try Story(seed: 301, shape: "moolah", reorgLimit: 8)
    try story.chain.advance(40)
    try story.consume()
    let before = try TableDump(story.db)
    try story.chain.reorg(depth: 12, keep: true)
    let result = try story.program.run("consume-events")
    #expect(result.exit == 65)
    #expect(result.errors.contains("reorg_limit"))
    #expect(try TableDump(story.db) == before)
  }

  /// The common block is the one just at the limit, and that one must have been stored.
  @Test func takesBackExactlyAsDeepAsTheLimit() throws {
    let story = try Story(seed: 305, shape: "moolah", reorgLimit: 8)
    try story.chain.advance(40)
    try story.consume()
    try story.chain.reorg(depth: 8, keep: true, delay: 1)
    try story.consume()
    try story.checkAgainstTheContract(verdicts: false)
    try story.checkAgainstACleanRun()
  }

  /// A young chain: the block that created the contract is itself replaced, with all after it.
  @Test func takesBackTheFirstBlockThatWasRead() throws {
    let story = try Story(seed: 306, shape: "moolah")
    try story.consume()
    let head = try #require(try story.chain.truth()["block"] as? Int)
    try story.chain.ask([
      "do": "rpc", "method": "dev_reorg", "params": [["depth": head, "keep": true]],
    ])
    let again = try story.program.succeed("consume-events")
    #expect(again.output.contains("blocks_taken_back \(head)"), "\(again.output)")
    try story.checkAgainstTheContract(verdicts: false)
    try story.checkAgainstACleanRun()
  }

  @Test func aDryRunChangesNothing() throws {
    let story = try Story(seed: 307, shape: "moolah")
    try story.chain.advance(30)
    try story.consume()
    let before = try TableDump(story.db)
    try story.chain.reorg(depth: 4, keep: true)
    try story.chain.advance(5)
    for job in ["consume-events", "refresh-debt", "scan-liquidations"] {
      let result = try story.program.run(job, "--dry-run")
      #expect([0, 1, 75].contains(result.exit), "\(job): \(result.errors)")
    }
    #expect(try TableDump(story.db) == before)
  }

  @Test func aNodeThatIsBehindTakesNothingBack() throws {
    let story = try Story(seed: 302, shape: "moolah")
    try story.chain.advance(40)
    try story.consume()
    let before = try TableDump(story.db)
    try story.chain.ask(["do": "fault", "lag": 5, "count": -1])
    let result = try story.program.run("consume-events")
    #expect(result.exit == 0)
    #expect(try TableDump(story.db) == before)
  }

  // MARK: Death and company

  @Test func survivesKillAtRandomTimes() throws {
    let story = try Story(seed: 401, shape: "morpho", windowBlocks: 3)
    var generator = SeededGenerator()
    for _ in 0..<Length.pick(short: 6, long: 60) {
      try story.chain.advance(20)
      try story.program.run(
        ["consume-events"], killAfter: .milliseconds(Int.random(in: 5...120, using: &generator)))
      if Bool.random(using: &generator) { try story.chain.reorg(depth: 3, keep: true, delay: 1) }
    }
    try story.consume()
    try story.checkAgainstTheContract(verdicts: false)
    try story.checkAgainstACleanRun()
  }

  @Test func runsTogetherWithItself() throws {
    let story = try Story(seed: 402, shape: "moolah", windowBlocks: 2)
    for _ in 0..<Length.pick(short: 3, long: 30) {
      try story.chain.advance(40)
      let runs = (0..<4).map { _ in story.program.start(["consume-events", "--json"]) }
      for run in runs { try run.launch() }
      let results = runs.map { $0.wait() }
      #expect(results.allSatisfy { $0.exit == 0 }, "\(results.map(\.errors))")
    }
    try story.consume()
    try story.checkAgainstTheContract(verdicts: false)
    try story.checkAgainstACleanRun()
  }

  @Test func stopsAtACommitPointOnSIGTERM() throws {
    let story = try Story(seed: 403, shape: "moolah", windowBlocks: 1)
    try story.chain.advance(200)
    let running = story.program.start(["consume-events"])
    try running.launch()
    Thread.sleep(forTimeInterval: 0.2)
    let asked = ContinuousClock.now
    running.terminate()
    let result = running.wait()
    #expect(result.exit == 143, "\(result.errors)")
    #expect(ContinuousClock.now - asked < .seconds(5))
    try story.consume()
    try story.checkAgainstACleanRun()
  }

  // MARK: Late events

  /// The node hides a log from the middle of the chain, several times: the blocks are open until a
  /// later run reads them whole, and no run ends well before that.
  @Test func aHiddenLogIsFoundLater() throws {
    let story = try Story(seed: 404, shape: "moolah")
    try story.chain.advance(60)
    try story.program.succeed("consume-events", "--to-block", "40")
    try story.chain.ask(["do": "fault", "drop_log": true, "method": "eth_getLogs", "count": 3])
    let damaged = try story.program.run("consume-events")
    let isWhole = try TableDump(story.db) == story.cleanRun()
    #expect((damaged.exit == 0) == isWhole, "\(damaged.output)")
    #expect(damaged.output.contains("open_ranges") == !isWhole, "\(damaged.output)")
    for _ in 0..<3 { _ = try story.program.run("consume-events") }
    try story.program.succeed("consume-events")
    try story.checkAgainstTheContract(verdicts: false)
    try story.checkAgainstACleanRun()
  }

  @Test func fillsInEventsThatWereMissed() throws {
    let story = try Story(seed: 405, shape: "moolah")
    try story.chain.advance(60)
    try story.consume()
    try story.db.transaction { tx in
      _ = try tx.execute("delete from event where block_number between 35 and 45")
    }
    try story.program.succeed("consume-events", "--from-block", "30")
    try story.checkAgainstTheContract(verdicts: false)
    try story.checkAgainstACleanRun()
  }
}
