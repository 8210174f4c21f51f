import Ethereum
import Foundation
import Postgres
import Quantities
import TestKit
import Testing

/// Scans while the mirror moves, and of blocks that the chain has left.
@Suite(.serialized) struct ScanTests {
  @Test func judgesAgainWhenTheMirrorMovesBeforeItWrites() throws {
    let story = try Story(seed: 500, shape: "moolah")
    try story.chain.advance(30)
    try story.consume()

    // The cursor's row is held, so the scan that has judged must wait for it.
    let db = try story.db
    let running = story.program.start(["scan-liquidations", "--json", "-v"])
    try db.transaction { tx in
      try tx.execute("update cursor set revision = revision + 1")
      try running.launch()
      #expect(try isAnyoneWaiting(story), "the scan writes without holding the mirror")
    }
    let result = running.wait()
    #expect(result.exit == 0 || result.exit == 1, "\(result.errors)")
    let scans = try db.transaction(.readOnly) { tx in
      try tx.query("select count(*), count(distinct run_id) from scan_market")[0]
    }
    #expect(try scans.get(0, Int.self) > 0)
    #expect(try scans.get(1, Int.self) == 1)
  }

  /// True as soon as a session waits for a lock.
  private func isAnyoneWaiting(_ story: Story) throws -> Bool {
    let observer = try story.db
    for _ in 0..<90 {
      let waiting = try observer.transaction(.readOnly) { tx in
        try tx.query(
          """
          select count(*) from pg_stat_activity
          where datname = current_database() and wait_event_type = 'Lock'
          """)[0].get(0, Int.self)
      }
      if waiting > 0 { return true }
      Thread.sleep(forTimeInterval: 0.1)
    }
    return false
  }

  @Test func doesNotMixTheStoredEventsOfOneForkWithTheAnswersOfAnother() throws {
    let story = try Story(seed: 501, shape: "moolah")
    try story.chain.advance(30)
    try story.consume()
    let head = try #require(try story.chain.truth()["block"] as? Int)
    let past = ["scan-liquidations", "--at-block", String(head - 3)]
    let before = try story.program.run(past)
    #expect(before.exit == 0 || before.exit == 1, "\(before.errors)")
    try story.chain.reorg(depth: 8, keep: true, delay: 2)
    try story.chain.advance(5)
    let mixed = try story.program.run(past)
    #expect(mixed.exit == 75, "\(mixed.errors)")
    try story.consume()
    let after = try story.program.run(past)
    #expect(after.exit == 0 || after.exit == 1, "\(after.errors)")
  }

  @Test func refusesABlockBeforeTheFirst() throws {
    let story = try Story(seed: 502, shape: "moolah")
    try story.chain.advance(5)
    try story.consume()
    let result = try story.program.run(
      "scan-liquidations", "--at-block", String(story.chain.firstBlock - 1))
    #expect(result.exit == 64, "\(result.errors)")
    #expect(result.errors.contains("first_block"))
  }
}
