import Ethereum
import Postgres
import Systems
import TestKit
import Testing

@testable import Moolah

/// A mirror that goes from window to window, against one that is read anew for each.
@Suite struct KeptMirrorTests {
  private struct Story {
    let windows: [[Log]]
    let times: BlockTimes

    init(_ name: String, window: Int = 7) throws {
      var generator = SeededGenerator(seed: 0x3017)
      let (logs, times) = try LogStream.named(name).chainWithRareEvents(using: &generator)
      self.init(logs, times, window: window)
    }

    init(_ logs: [Log], _ times: BlockTimes, window: Int = 7) {
      let blocks = Dictionary(grouping: logs, by: \.blockNumber).sorted { $0.key < $1.key }
      windows = stride(from: 0, to: blocks.count, by: window).map { start in
        blocks[start..<min(start + window, blocks.count)].flatMap(\.value)
      }
      self.times = times
    }
  }

  /// What is left when every window is read anew.
  private func reference(_ story: Story, finality: UInt64 = 0) throws -> MirrorDump {
    let stored = try StoredMirror()
    for logs in story.windows { try stored.consume(logs, story.times, finality: finality) }
    return try stored.dump()
  }

  @Test(arguments: LogStream.names, [0, 100, 1_000] as [UInt64])
  func leavesTheSameRows(_ name: String, finality: UInt64) throws {
    let story = try Story(name)
    let expected = try reference(story, finality: finality)
    let stored = try StoredMirror()
    var kept: MoolahMirror?
    for logs in story.windows {
      try stored.consume(logs, story.times, finality: finality, keeping: &kept)
    }
    #expect(try stored.dump().difference(from: expected) == [])
    // From an empty database on, nothing had to be read.
    #expect(try #require(kept).positions.count == expected.count("position"))
    #expect(expected.count("position") > 40)
  }

  /// Every row has the id that it got, and is as it stands in the tables.
  @Test func holdsTheRowsAsTheyAreStored() throws {
    let story = try Story("fixture_logs_11")
    let stored = try StoredMirror()
    var kept: MoolahMirror?
    for logs in story.windows {
      try stored.consume(logs, story.times, keeping: &kept)
      let held = try #require(kept)
      let loaded = try stored.db.transaction(.readOnly) { tx in
        try stored.moolah.mirror(
          touchedBy: story.windows.flatMap { $0 }, of: stored.deployment, in: tx)
      }
      #expect(held.positions.byKey.mapValues(\.asStored) == loaded.positions.byKey)
      #expect(held.markets.mapValues(\.asStored) == loaded.markets)
      #expect(held.operations.isEmpty && held.liquidations.isEmpty && held.facts.isEmpty)
      #expect(held.positionImages.isEmpty && held.marketImages.isEmpty && held.coreImages.isEmpty)
    }
  }

  @Test(arguments: 1...5)
  func goesOnFromRowsThatItHasNotMade(_ windows: Int) throws {
    let story = try Story("fixture_logs_12")
    let expected = try reference(story)
    let stored = try StoredMirror()
    for logs in story.windows.prefix(windows) { try stored.consume(logs, story.times) }
    var kept: MoolahMirror?
    for logs in story.windows.dropFirst(windows) {
      try stored.consume(logs, story.times, keeping: &kept)
    }
    #expect(try stored.dump().difference(from: expected) == [])
  }

  @Test(arguments: 2...4)
  func positionsThatWereLetGoAreReadAgain(_ period: Int) throws {
    let story = try Story("fixture_logs_11")
    let expected = try reference(story)
    let stored = try StoredMirror()
    var kept: MoolahMirror?
    for (index, logs) in story.windows.enumerated() {
      try stored.consume(logs, story.times, keeping: &kept)
      let count = try #require(kept).positions.count
      kept?.forgetPositions(above: count)
      #expect(kept?.positions.count == count)
      if index % period == 0 {
        kept?.forgetPositions(above: count - 1)
        #expect(kept?.positions.count == 0)
      }
    }
    #expect(try stored.dump().difference(from: expected) == [])
  }

  @Test func aMarketSetAsideStandsStillFromWindowToWindow() throws {
    var generator = SeededGenerator(seed: 0x3017)
    var (logs, times) = try LogStream.named("fixture_logs_11")
      .chainWithRareEvents(using: &generator)
    let topic = ABI.topic("WithdrawCollateral(bytes32,address,address,address,uint256)")
    let spoiled = try #require(
      logs.firstIndex { $0.topics.first == topic && $0.blockNumber > 40 })
    logs[spoiled].data.replaceSubrange(32..<64, with: [UInt8](repeating: 0xFF, count: 32))
    let story = Story(logs, times)
    let stored = try StoredMirror()
    var kept: MoolahMirror?
    var waiting = 0
    for logs in story.windows {
      waiting += try stored.consume(logs, story.times, keeping: &kept).waiting
    }
    #expect(try stored.dump().difference(from: reference(story)) == [])
    #expect(try stored.setAside().map(\.market) == [logs[spoiled].topics[1]])
    #expect(waiting > 10)
  }
}

extension PositionRow {
  /// Without what only the program knows.
  fileprivate var asStored: PositionRow {
    PositionRow(id: id, state: state, asOfBlock: asOfBlock, isChanged: isChanged)
  }
}

extension MarketRow {
  fileprivate var asStored: MarketRow {
    var row = self
    row.imagedAt = 0
    row.isWhole = false
    return row
  }
}
