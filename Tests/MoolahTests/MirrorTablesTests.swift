import Ethereum
import Postgres
import Quantities
import Systems
import TestKit
import Testing

@testable import Moolah

/// The mirror in PostgreSQL, against the pure one and against itself.
@Suite struct MirrorTablesTests {
  /// Logs that make every event, and the times of their blocks.
  struct Story {
    let logs: [Log]
    let times: BlockTimes
    var last: UInt64 { logs.last?.blockNumber ?? 0 }

    func logs(in blocks: ClosedRange<UInt64>) -> [Log] {
      logs.filter { blocks.contains($0.blockNumber) }
    }

    func windows(of length: UInt64) -> [[Log]] {
      stride(from: 1, through: last, by: UInt64.Stride(length)).map { first in
        logs(in: first...(first + length - 1))
      }
    }
  }

  private static func story(_ name: String, seed: UInt64 = 0x3017) throws -> Story {
    var generator = SeededGenerator(seed: seed)
    let (logs, times) = try LogStream.named(name).chainWithRareEvents(using: &generator)
    return Story(logs: logs, times: times)
  }

  private func run(
    _ story: Story, through last: UInt64 = .max, finality: UInt64 = 0, window: UInt64 = 50
  ) throws -> StoredMirror {
    let stored = try StoredMirror()
    for logs in story.windows(of: window) {
      try stored.consume(logs.filter { $0.blockNumber <= last }, story.times, finality: finality)
    }
    return stored
  }

  // MARK: Round trip

  static let windows: [UInt64] = [1, 7, 50, 1_000]

  @Test(arguments: LogStream.names, windows)
  func holdsWhatThePureMirrorHolds(_ name: String, window: UInt64) throws {
    let story = try Self.story(name)
    let stored = try run(story, window: window)
    var pure = stored.moolah.blankMirror(following: nil)
    _ = try stored.moolah.apply(
      story.logs, of: stored.deployment, times: story.times, finality: 0, to: &pure)
    let loaded = try stored.db.transaction(.readOnly) { tx in
      try stored.moolah.mirror(touchedBy: story.logs, of: stored.deployment, in: tx)
    }

    #expect(loaded.core.comparable == pure.core.comparable)
    #expect(loaded.markets.mapValues(\.comparable) == pure.markets.mapValues(\.comparable))
    #expect(
      loaded.positions.byKey.mapValues(\.comparable)
        == pure.positions.byKey.mapValues(\.comparable))
    #expect(loaded.setAside.isEmpty)
    let dump = try stored.dump()
    #expect(dump.count("position") == pure.positions.count)
    #expect(dump.count("core_state_before") == pure.coreImages.count)
    #expect(dump.count("market_before") == pure.marketImages.count)
    #expect(dump.count("position_before") == pure.positionImages.count)
    #expect(dump.count("user_operation") == pure.operations.count)
    #expect(dump.count("liquidation") == pure.liquidations.count)
    #expect(dump.count("fact") == pure.facts.count)
    // The story must be able to fail us.
    #expect(pure.liquidations.count > 5 && pure.facts.count > 10 && pure.coreImages.count > 5)
    #expect(pure.markets.values.contains { $0.broker != nil })
  }

  @Test(arguments: LogStream.names)
  func isTheSameInWhateverWindowsTheLogsCome(_ name: String) throws {
    let story = try Self.story(name)
    let whole = try run(story, window: 1_000).dump()
    for window in Self.windows.dropLast() {
      let dump = try run(story, window: window).dump()
      #expect(dump.difference(from: whole) == [], "windows of \(window)")
    }
  }

  /// Largest and smallest numbers of the contract survive the tables.
  @Test func theLargestNumbersComeBack() throws {
    let story = try Self.story("fixture_logs_11")
    let stored = try run(story, through: 20)
    var mirror = try stored.db.transaction(.readOnly) { tx in
      try stored.moolah.mirror(touchedBy: story.logs, of: stored.deployment, in: tx)
    }
    let key = try #require(mirror.markets.keys.first)
    let user = PositionKey(
      market: key, user: unwrapped(Address("0x" + String(repeating: "f", count: 40))))
    mirror.markets[key]?.state = MarketState(
      totalSupplyAssets: .max, totalSupplyShares: .max, totalBorrowAssets: .max,
      totalBorrowShares: 0, lastUpdate: UInt64(Int64.max), fee: Wad(raw: .max))
    mirror.markets[key]?.rateAtTarget = Wad(raw: .max)
    mirror.markets[key]?.isFeeKnown = true
    mirror.markets[key]?.isChanged = true
    mirror.positions.insert(
      PositionRow(
        id: nil, state: PositionState(supplyShares: .max, borrowShares: .max, collateral: .max),
        asOfBlock: 3, isChanged: true), at: user)
    let loaded = try stored.db.transaction { tx in
      try stored.moolah.store(mirror, of: stored.deployment, in: tx)
      return try stored.moolah.marketRows([key], of: stored.deployment, in: tx)
    }
    #expect(loaded[key]?.comparable == mirror.markets[key]?.comparable)
    let row = try #require(
      try stored.dump().tables["position"]?.first { $0.contains("ffffffffff") })
    #expect(row.contains("\(U256.max),\(UInt128.max),\(UInt128.max),3"))
  }

  // MARK: Taking back

  @Test(arguments: LogStream.names)
  func takenBackToAnyBlockItIsWhatAFreshRunToThatBlockLeaves(_ name: String) throws {
    let story = try Self.story(name)
    let stored = try StoredMirror()
    var fresh: [UInt64: MirrorDump] = [0: try stored.dump()]
    for logs in story.windows(of: 1) {
      try stored.consume(logs, story.times)
      fresh[logs.last?.blockNumber ?? 0] = try stored.dump()
    }
    // At once from the end, to every block.
    for block in 0...story.last {
      let dump = try stored.dump(afterTakingBackTo: block)
      #expect(dump.difference(from: try #require(fresh[block])) == [], "to block \(block)")
    }
    // In seeded steps, one after the other, and forward again.
    var generator = SeededGenerator(seed: 0xBACC)
    var block = story.last
    while block > 0 {
      let ancestor = block - min(block, UInt64.random(in: 1...12, using: &generator))
      try stored.takeBack(to: ancestor)
      #expect(try stored.dump().difference(from: try #require(fresh[ancestor])) == [])
      block = ancestor
    }
    #expect(try stored.dump().isEmpty)
    for logs in story.windows(of: 7) { try stored.consume(logs, story.times) }
    #expect(try stored.dump().difference(from: try #require(fresh[story.last])) == [])
  }

  @Test func takingBackLeavesOtherDeploymentsAlone() throws {
    let story = try Self.story("fixture_logs_11")
    let stored = try run(story)
    let other = Deployment(
      id: stored.deployment.id + 1, name: "other", chainID: 1, address: .zero, firstBlock: 0)
    let before = try stored.dump()
    try stored.db.transaction { tx in
      try stored.moolah.takeBack(to: 0, of: other, in: tx)
      try stored.moolah.prune(finality: 1_000, of: other, in: tx)
    }
    #expect(try stored.dump() == before)
  }

  @Test func aMarketThatIsTakenBackLeavesNothing() throws {
    let story = try Self.story("fixture_logs_12")
    let stored = try run(story)
    #expect(try !stored.dump().isEmpty)
    try stored.db.transaction { tx in
      // What refreshes and scans leave beside the mirror.
      try tx.execute(
        """
        insert into market_now select id, as_of_block, \(Bytes32.zero), 1, 1, 1, 1, 1, 1 from market
        """)
      try tx.execute("insert into stored_debt select id, 5 from position")
    }
    try stored.takeBack(to: 0)
    #expect(try stored.dump().isEmpty)
    let left = try stored.db.transaction(.readOnly) { tx in
      try tx.query(
        "select (select count(*) from market_now) + (select count(*) from stored_debt)")[0]
        .get(0, Int.self)
    }
    #expect(left == 0)
  }

  @Test func noPositionStaysBehindInAMarketThatIsNoMore() throws {
    let story = try Self.story("fixture_logs_11")
    let stored = try run(story)
    try stored.db.transaction { tx in
      // A position whose image is lost; the market's is there.
      let id = try tx.query(
        """
        insert into position (market_id, user_address, supply_shares, borrow_shares, collateral,
          as_of_block)
        select max(id), \(Address.zero), 0, 1, 1, 1 from market returning id
        """)[0].get(0, Int64.self)
      try tx.execute("insert into stored_debt values (\(id), 5)")
    }
    try stored.takeBack(to: 0)
    #expect(try stored.count("position") == 0)
    #expect(try stored.count("stored_debt") == 0)
  }

  @Test func derivedNumbersGoOnlyWithTheirBlock() throws {
    let story = try Self.story("fixture_logs_11")
    let stored = try run(story)
    let kept = try stored.db.transaction { tx in
      try tx.execute(
        """
        insert into market_now
        select id, case when id % 2 = 0 then 100 else 120 end, \(Bytes32.zero), 1, 1, 1, 1, 1, 1
        from market
        """)
      try tx.execute("insert into stored_debt select id, 5 from position")
      try stored.moolah.takeBack(to: 110, of: stored.deployment, in: tx)
      return try tx.query(
        "select count(*), count(*) filter (where as_of_block <= 110) from market_now"
      ).map { [try $0.get(0, Int.self), try $0.get(1, Int.self)] }[0]
    }
    #expect(kept[0] == kept[1] && kept[0] > 0)
  }

  // MARK: Finality

  @Test(arguments: [0, 1, 60, 136, 200] as [UInt64])
  func pruningForgetsOnlyImagesAtOrBelowFinality(_ finality: UInt64) throws {
    let story = try Self.story("fixture_logs_11")
    let stored = try run(story)
    let before = try stored.dump()
    try stored.db.transaction { tx in
      try stored.moolah.prune(finality: finality, of: stored.deployment, in: tx)
    }
    let images = ["core_state_before", "market_before", "position_before"]
    let after = try stored.dump()
    #expect(
      after.without("core_state_before", "market_before", "position_before")
        == before.without("core_state_before", "market_before", "position_before"))
    for table in images {
      #expect(Set(after.tables[table] ?? []).isSubset(of: before.tables[table] ?? []))
      let oldest = try stored.db.transaction(.readOnly) { tx in
        try tx.query(
          """
          select min(block_number) from (select block_number from core_state_before
            union all select block_number from market_before
            union all select block_number from position_before) images
          """)[0].get(0, Int64?.self)
      }
      #expect(oldest.map { UInt64($0) > finality } ?? (finality >= story.last))
    }
    // It is the same as if the images had never been made.
    #expect(after.difference(from: try run(story, finality: finality).dump()) == [])
    for block in max(finality, 1)...max(finality, story.last) where block % 9 == 0 {
      #expect(
        try stored.dump(afterTakingBackTo: block).difference(
          from: try run(story, through: block, finality: finality).dump()) == [])
    }
  }

  @Test func refusesToTakeBackBelowFinality() throws {
    let story = try Self.story("fixture_logs_11")
    let stored = try run(story, finality: 100)
    let before = try stored.dump()
    for ancestor in [0, 50, 99] as [UInt64] {
      #expect(throws: TakeBackError.imagesForgotten(ancestor: ancestor)) {
        try stored.takeBack(to: ancestor)
      }
      #expect(try stored.dump() == before)
    }
    try stored.takeBack(to: 100)
    #expect(
      try stored.dump().difference(from: try run(story, through: 100, finality: 100).dump()) == [])
  }

  // MARK: Deriving again

  @Test(arguments: LogStream.names, [0, 100, 1_000] as [UInt64])
  func derivedAgainTheRowsAreTheSame(_ name: String, finality: UInt64) throws {
    let story = try Self.story(name)
    let stored = try run(story, finality: finality)
    let before = try stored.dump()
    let markets = try stored.db.transaction(.readOnly) { tx in
      try tx.query("select market_key from market order by id").map { try $0.get(0, Bytes32.self) }
    }
    for following in [nil, [markets[0]], Set(markets.prefix(3)), []] as [Set<Bytes32>?] {
      try stored.derive(following, from: story.logs, story.times, finality: finality)
      #expect(try stored.dump().difference(from: before) == [])
    }
    // What was derived can be taken back as well.
    let ancestor = max(finality, 30)
    #expect(
      try stored.dump(afterTakingBackTo: ancestor).difference(
        from: try run(story, through: ancestor, finality: finality).dump()) == [])
  }

  @Test func aMarketThatNoEventCreatesAnyMoreGoes() throws {
    let story = try Self.story("fixture_logs_11")
    let stored = try run(story)
    let named = try markets(of: story)
    let gone = try #require(named.last)
    let rest = try story.logs.filter { try MoolahEvent($0)?.market != gone }
    try stored.derive([gone], from: rest, story.times)
    let fresh = try StoredMirror()
    try fresh.consume(rest, story.times)
    // Facts are the rate model's, and stay.
    #expect(
      try stored.dump().without("fact").difference(from: try fresh.dump().without("fact")) == [])
  }

  /// Every market that a story names, in the order of its events.
  private func markets(of story: Story) throws -> [Bytes32] {
    try story.logs.compactMap { try MoolahEvent($0)?.market }
  }

  // MARK: Set aside

  /// The story with one event of a market spoiled: more is withdrawn than there is.
  private func spoiled(_ story: Story) throws -> (story: Story, log: Log, market: Bytes32) {
    let topic = ABI.topic("WithdrawCollateral(bytes32,address,address,address,uint256)")
    let index = try #require(
      story.logs.firstIndex { $0.topics.first == topic && $0.blockNumber > 40 })
    var logs = story.logs
    logs[index].data.replaceSubrange(32..<64, with: [UInt8](repeating: 0xFF, count: 32))
    return (Story(logs: logs, times: story.times), logs[index], logs[index].topics[1])
  }

  @Test func aMarketSetAsideStandsStillWhileTheOthersGoOn() throws {
    let clean = try Self.story("fixture_logs_11")
    let (story, log, market) = try spoiled(clean)
    for window in Self.windows {
      let stored = try run(story, window: window)
      let aside = try #require(try stored.setAside().first)
      #expect(try stored.setAside().count == 1)
      #expect(aside.market == market)
      #expect(aside.blockNumber == log.blockNumber)
      #expect(aside.logIndex == log.logIndex)
      #expect(aside.attempts == 1)
      #expect(aside.reason.contains("cannot be applied"))
      let without = { (dump: MirrorDump, table: String) in
        Set(dump.tables[table] ?? []).filter { !$0.contains(market.description.dropFirst(2)) }
      }
      let (dump, expected) = (try stored.dump(), try run(clean).dump())
      for table in ["market", "position", "market_before", "user_operation", "liquidation"] {
        #expect(without(dump, table) == without(expected, table))
      }
      // The market itself is as the last good event has left it.
      let until = clean.logs.filter {
        ($0.blockNumber, $0.logIndex) < (log.blockNumber, log.logIndex)
      }
      let still = try StoredMirror()
      try still.consume(until, clean.times)
      let ofMarket = { (dump: MirrorDump) in
        (dump.tables["market"] ?? []).filter { $0.contains(market.description.dropFirst(2)) }
      }
      #expect(ofMarket(dump) == ofMarket(try still.dump()))
    }
  }

  @Test func eachAttemptThatFailsIsCountedAndASuccessClearsIt() throws {
    let clean = try Self.story("fixture_logs_11")
    let (story, _, market) = try spoiled(clean)
    let stored = try run(story)
    let before = try stored.dump()
    for attempts in 2...4 {
      try stored.derive([market], from: story.logs, story.times)
      #expect(try stored.setAside().map(\.attempts) == [attempts])
      #expect(
        try stored.dump().without("set_aside").difference(from: before.without("set_aside")) == [])
    }
    // Another market's attempt is not its attempt.
    let named = try markets(of: clean)
    let other = try #require(named.first { $0 != market })
    try stored.derive([other], from: story.logs, story.times)
    #expect(try stored.setAside().map(\.attempts) == [4])

    try stored.derive([market], from: clean.logs, clean.times)
    #expect(try stored.setAside().isEmpty)
    #expect(try stored.dump().difference(from: try run(clean).dump()) == [])
  }

  @Test func derivingAllMarketsTriesThoseSetAsideAsWell() throws {
    let clean = try Self.story("fixture_logs_11")
    let (story, _, market) = try spoiled(clean)
    let stored = try run(story)
    try stored.derive(nil, from: story.logs, story.times)
    #expect(try stored.setAside().map(\.attempts) == [2])
    #expect(try stored.setAside().map(\.market) == [market])
    try stored.derive(nil, from: clean.logs, clean.times)
    #expect(try stored.dump().difference(from: try run(clean).dump()) == [])
  }

  @Test func whatIsSetAsideIsTakenBackWithItsBlock() throws {
    let clean = try Self.story("fixture_logs_11")
    let (story, log, _) = try spoiled(clean)
    let stored = try run(story)
    for ancestor in (log.blockNumber - 5)...(log.blockNumber + 5) {
      #expect(
        try stored.dump(afterTakingBackTo: ancestor).difference(
          from: try run(story, through: ancestor).dump()) == [])
    }
    try stored.takeBack(to: log.blockNumber - 1)
    #expect(try stored.setAside().isEmpty)
    // The new branch has the event that the old one had spoiled.
    try stored.consume(clean.logs(in: log.blockNumber...clean.last), clean.times)
    #expect(try stored.dump().difference(from: try run(clean).dump()) == [])
  }

  @Test func anAttemptThatGetsFurtherMovesTheMark() throws {
    let clean = try Self.story("fixture_logs_11")
    let (story, first, market) = try spoiled(clean)
    let stored = try run(story)
    // The first event is right now; a later one of the market is not.
    var logs = clean.logs
    let later = try #require(
      logs.lastIndex { $0.topics.dropFirst().first == market && $0.address == LogStream.core })
    logs[later].data.removeLast(32)
    #expect(logs[later].blockNumber > first.blockNumber)
    try stored.derive([market], from: logs, clean.times)
    let aside = try #require(try stored.setAside().first)
    #expect(aside.blockNumber == logs[later].blockNumber)
    #expect(aside.attempts == 2)
    #expect(
      try stored.dump(afterTakingBackTo: logs[later].blockNumber - 1).difference(
        from: try run(clean, through: logs[later].blockNumber - 1).dump()) == [])
  }
}

// MARK: - Rows without their bookkeeping

extension CoreRow {
  fileprivate var comparable: [String] {
    [feeRecipient.description, "\(defaultMarketFee?.raw.description ?? "-")", "\(asOfBlock)"]
  }
}

extension MarketRow {
  fileprivate var comparable: MarketRow {
    var row = self
    row.id = nil
    row.imagedAt = 0
    row.isChanged = false
    row.isWhole = false
    return row
  }
}

extension PositionRow {
  fileprivate var comparable: PositionRow {
    PositionRow(id: nil, state: state, asOfBlock: asOfBlock)
  }
}
