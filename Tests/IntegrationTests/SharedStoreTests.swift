import Chain
import Ethereum
import Moolah
import Postgres
import Store
import Systems
import TestKit
import Testing

@testable import Ingest

/// Events that others have stored, against what an endpoint tells of their blocks.
@Suite struct SharedStoreTests {
  // MARK: Withheld

  /// What the endpoint withheld once it withholds again, and nothing else may be missing: but who
  /// says so?
  @Test func theSameShortAnswerDoesNotClearTheDoubtThatItRaised() throws {
    let ground = try StreamGround()
    try ground.store(ground.logs.filter { $0.blockNumber == 20 })
    ground.withholds = { _, log in log.blockNumber == 20 }
    var follower = try ground.follower()
    try ground.follow(&follower)
    #expect(try follower.open().map(\.range.state) == [.suspect])
    try ground.mend(&follower)
    let open = try follower.open().map(\.range)
    #expect(open.map(\.state) == [.suspect] && open.first?.reason == "withheld (node0)")
    #expect(open.first?.attempts == 2)
    // The stored events are in the mirror all the same.
    #expect(try ground.mirror() == StreamGround.cleanMirror())
    ground.withholds = { _, _ in false }
    try ground.mend(&follower)
    #expect(try follower.open().isEmpty)
  }

  @Test func anotherEndpointIsAskedAfterOneHasWithheld() throws {
    let ground = try StreamGround(endpoints: 2)
    try ground.store(ground.logs.filter { $0.blockNumber == 20 })
    // More is missing than what is stored.
    ground.withholds = { endpoint, log in endpoint == 0 && (20...30).contains(log.blockNumber) }
    var follower = try ground.follower()
    try ground.follow(&follower)
    try ground.mend(&follower)
    #expect(try follower.open().isEmpty)
    #expect(try ground.mirror() == StreamGround.cleanMirror())
  }

  @Test func whatStoredEventsRevealIsMissing() throws {
    let ground = try StreamGround()
    let creations = ground.logs.filter { $0.topics.first == Self.created }
    #expect(creations.count == 6)
    try ground.store(creations)
    ground.withholds = { _, log in log.topics.first == Self.created }
    var follower = try ground.follower()
    try ground.follow(&follower)
    let missing = try follower.open().map(\.range).filter { $0.state == .missing }
    #expect(missing.map(\.blocks) == [1...StreamGround.last])
    try ground.mend(&follower)
    #expect(try ground.mirror() == StreamGround.cleanMirror())
  }

  @Test func whatIsRevealedWhileReadingAgainIsMissing() throws {
    let ground = try StreamGround()
    let creations = ground.logs.filter { $0.topics.first == Self.created }
    // At first nobody tells of any market.
    ground.withholds = { _, _ in true }
    var follower = try ground.follower()
    try ground.follow(&follower)
    try ground.store(creations)
    _ = try follower.fillIn(from: 1, through: StreamGround.last, head: StreamGround.head)
    #expect(try follower.open().map(\.range.state.rawValue).sorted() == ["missing", "suspect"])
  }

  // MARK: Events of shared contracts

  /// A run dies between storing what a window has and deriving its markets.
  @Test func blocksWhoseMarketsAreNotDerivedYetAreMissing() throws {
    let ground = try StreamGround()
    var follower = try ground.follower()
    try ground.follow(&follower)
    let mirror = try ground.mirror()
    let version = try #require(follower.filters[StreamGround.model])
    try ground.db.transaction { tx in
      try Ledger.note(
        LedgerRange(1...StreamGround.last, .missing, reason: "not watched then"), of: [version],
        deployment: ground.deployment.id, in: tx)
      try tx.execute("update market set rate_at_target_wad = 1 where irm = \(StreamGround.model)")
    }
    for open in try follower.open() { _ = try follower.mend(open, head: StreamGround.head) }

    var next = try ground.follower()
    #expect(
      try next.open().map(\.range)
        == [LedgerRange(1...StreamGround.last, .missing, reason: "to be derived")])
    try ground.mend(&next)
    #expect(try next.open().isEmpty)
    let now = try ground.mirror()
    #expect(now == mirror, "\(now.subtracting(mirror)), \(mirror.subtracting(now))")
  }

  @Test func whatConcernsEveryMarketStaysSo() {
    let part = Underived.Part(
      read: Window(range: 1...2, logs: [], headers: []), versions: [1], attempts: 0)
    var underived = Underived()
    underived.add(part, [.zero])
    #expect(underived.markets == [.zero])
    underived.add(part, nil)
    underived.add(part, [.zero])
    #expect(underived.markets == nil && underived.windows.count == 3)
  }

  // MARK: Blocks that were left behind

  /// Another deployment has read a block at the head, which then left the chain, and was removed
  /// before it could take it back.
  @Test func anEventOfABlockThatWasLeftBehindGoesAgain() throws {
    let ground = try StreamGround()
    try ground.store([Self.phantom(of: ground)], branch: "fork")
    var follower = try ground.follower()
    try ground.follow(&follower)
    #expect(try follower.open().map(\.range.state) == [.suspect])
    try ground.mend(&follower)
    #expect(try follower.open().isEmpty)
    #expect(try ground.canonical(21) == StreamGround.header(21).hash)
    #expect(try ground.mirror() == StreamGround.cleanMirror())
  }

  /// Nothing above the block is stored that would prove it.
  @Test func aBlockThatOneAnswerContradictsStays() throws {
    let ground = try StreamGround()
    var follower = try ground.follower()
    try ground.follow(&follower)
    ground.branch = { _ in "other" }
    #expect(throws: IngestError.contradiction(block: StreamGround.last)) {
      try follower.fillIn(
        from: StreamGround.last, through: StreamGround.last, head: StreamGround.head)
    }
    #expect(
      try ground.canonical(StreamGround.last) == StreamGround.header(StreamGround.last).hash)
  }

  @Test func ofBlocksThatWereTakenBackOnlyTheirOwnHeadersAreRead() throws {
    let ground = try StreamGround()
    try ground.db.transaction { tx in
      let old = StreamGround.header(21, "fork")
      try Blocks.append([old], chainID: StreamGround.chainID, in: tx)
      try Blocks.orphan([(21, old.hash)], chainID: StreamGround.chainID, in: tx)
    }
    var follower = try ground.follower()
    try ground.follow(&follower)
    #expect(try ground.canonical(21) == StreamGround.header(21).hash)
    #expect(try ground.canonical(23) == nil)
    // One for each block with logs, and a few besides.
    #expect(ground.headersAsked < 137 * 2 + 20, "\(ground.headersAsked)")
  }

  // MARK: Forks

  @Test func oneOfTwoEndpointsDoesNotTakeBlocksBack() throws {
    let ground = try StreamGround(endpoints: 2)
    var follower = try ground.follower()
    try ground.follow(&follower)
    let mirror = try ground.mirror()
    ground.branch = { $0 == 0 ? "other" : "own" }
    let error = #expect(throws: ChainError.self) {
      try follower.reconcile(
        head: StreamGround.header(StreamGround.head, "other"),
        stored: StreamGround.header(StreamGround.last, "other"))
    }
    guard case .forked? = error else {
      Issue.record("got \(String(describing: error))")
      return
    }
    #expect(try ground.mirror() == mirror)
  }

  @Test func twoOfThreeEndpointsKeepTheBlocks() throws {
    let ground = try StreamGround(endpoints: 3)
    var follower = try ground.follower()
    try ground.follow(&follower)
    ground.branch = { $0 == 0 ? "other" : "own" }
    #expect(
      try follower.reconcile(
        head: StreamGround.header(StreamGround.head, "other"),
        stored: StreamGround.header(StreamGround.last, "other")) == .unchanged)
  }

  @Test func allEndpointsTogetherSayThatAReorganisationIsTooDeep() throws {
    let ground = try StreamGround(endpoints: 2)
    var follower = try ground.follower()
    try ground.follow(&follower)
    ground.branch = { _ in "other" }
    #expect(throws: IngestError.self) {
      try follower.reconcile(head: StreamGround.header(StreamGround.head, "other"))
    }
  }

  // MARK: What is stored

  /// `CreateMarket(bytes32,(address,address,address,address,uint256))`.
  private static let created = ABI.topic(
    "CreateMarket(bytes32,(address,address,address,address,uint256))")

  /// An event that the chain has at another place, in an empty block.
  private static func phantom(of ground: StreamGround) throws -> Log {
    var log = try #require(
      ground.logs.first {
        $0.blockNumber < 20
          && $0.topics.first
            == ABI.topic(
              "Supply(bytes32,address,address,uint256,uint256)")
      })
    log.blockNumber = 21
    log.blockHash = StreamGround.header(21, "fork").hash
    return log
  }
}
