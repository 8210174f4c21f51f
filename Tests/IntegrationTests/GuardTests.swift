import Chain
import Ethereum
import Foundation
import HTTP
import Moolah
import Postgres
import Store
import Systems
import TestKit
import Testing

@testable import Ingest

/// What protects the tables when something happens between reading and writing.
@Suite struct GuardTests {
  @Test func blocksTakenBackSinceTheyWereReadAreNotApplied() throws {
    let ground = try GuardGround()
    var follower = try ground.follower()
    ground.meanwhile { db, id in
      try db.transaction { tx in
        let header = GuardGround.header(40, "other")
        try Blocks.append([header], chainID: GuardGround.chainID, in: tx)
        try Blocks.orphan([(40, header.hash)], chainID: GuardGround.chainID, in: tx)
      }
    }
    #expect(throws: CursorError.moved) {
      try follower.follow(through: 60, head: GuardGround.head) { _ in true }
    }
    #expect(try ground.cursor() == .start)
  }

  @Test func whatWasNotWatchedWhenItWasReadIsMissing() throws {
    let ground = try GuardGround()
    var follower = try ground.follower()
    ground.meanwhile { db, id in
      _ = try db.transaction { tx in try Ledger.watch([.zero], of: id, in: tx) }
    }
    try follower.follow(through: 60, head: GuardGround.head) { _ in true }
    #expect(
      try follower.open().map(\.range)
        == [LedgerRange(1...60, .missing, reason: "not watched then")])
  }

  @Test func blocksReadAgainThatAreOthersChangeNothing() throws {
    let ground = try GuardGround()
    var follower = try ground.follower()
    try follower.follow(through: 60, head: GuardGround.head) { _ in true }
    ground.branch = "other"
    #expect(throws: IngestError.contradiction(block: 60)) {
      try follower.fillIn(from: 30, through: 60, head: GuardGround.head)
    }
    #expect(try ground.canonical(60) == GuardGround.header(60, "own").hash)
  }

  /// Whoever was caught withholding logs of some blocks says nothing of them any more where there
  /// are others; if these do not answer, the blocks stay open.
  @Test(arguments: ["withheld (caught)", "disagreement (caught)"], [false, true])
  func anEndpointThatWasCaughtDoesNotClearItself(reason: String, areOthersSilent: Bool) throws {
    let ground = try GuardGround()
    ground.nodes = ["caught", "other"]
    var follower = try ground.follower()
    try follower.follow(through: 60, head: GuardGround.head) { _ in true }
    #expect(ground.askedForLogs.last == "caught")
    try follower.suspect(30...40, reason: reason)
    if areOthersSilent { ground.silent = ["other"] }
    let open = try #require(try follower.open().first)
    _ = try follower.mend(open, head: GuardGround.head)
    #expect(ground.askedForLogs.last == (areOthersSilent ? "caught" : "other"))
    #expect(try follower.open().map(\.range.state) == (areOthersSilent ? [.suspect] : []))
  }

  @Test func aFollowerThatWasReplacedWritesNothing() throws {
    let ground = try GuardGround()
    var follower = try ground.follower()
    ground.meanwhile { db, id in
      _ = try db.transaction { try $0.execute("update writer set epoch = epoch + 1") }
    }
    #expect(throws: WriterError.replaced) {
      try follower.follow(through: 60, head: GuardGround.head) { _ in true }
    }
    #expect(try ground.cursor() == .start)
  }

  @Test func aRepairIsTheWritersAlone() throws {
    let ground = try GuardGround()
    var follower = try ground.follower()
    try follower.follow(through: 60, head: GuardGround.head) { _ in true }
    try ground.db.transaction { tx in
      try tx.execute("update writer set epoch = epoch + 1")
      // Whoever forgets facts waits for this, and ends.
      try tx.execute(
        """
        create function refuse() returns trigger language plpgsql
        as $$ begin raise exception 'forgotten'; end $$
        """)
      try tx.execute(
        "create trigger refuse before delete on fact for each statement execute function refuse()")
    }
    #expect(throws: WriterError.replaced) { try follower.repair(nil, head: GuardGround.head) }
  }

  @Test func whatAFollowerHasPassedMeanwhileIsNotKept() throws {
    let ground = try GuardGround()
    ground.meanwhile { db, id in
      _ = try db.transaction { tx in
        try Cursor.start.move(
          "consume-events", of: id, to: 70, hash: GuardGround.header(70, "own").hash, in: tx)
      }
    }
    let fetched = try #require(try ground.fetcher().fetch(in: 1...60))
    #expect(fetched.step == nil)
    #expect(try ground.canonical(60) == nil)
  }

  @Test func fetchedBlocksThatAreOthersAreNotKept() throws {
    let ground = try GuardGround()
    try ground.db.transaction { tx in
      try Blocks.append(
        [GuardGround.header(60, "other")], chainID: GuardGround.chainID, in: tx)
    }
    let fetched = try #require(try ground.fetcher().fetch(in: 1...60))
    #expect(fetched.obstacle == .contradiction(block: 60) && fetched.step == nil)
    #expect(fetched.next == 61)
    #expect(try ground.canonical(60) == GuardGround.header(60, "other").hash)
  }

  /// The block above it that is stored leads to another.
  @Test func fetchedBlocksTakeThePlaceOfOneThatWasLeftBehind() throws {
    let ground = try GuardGround()
    try ground.db.transaction { tx in
      try Blocks.append(
        [GuardGround.header(60, "other"), GuardGround.header(62, "own")],
        chainID: GuardGround.chainID, in: tx)
    }
    let fetched = try #require(try ground.fetcher().fetch(in: 1...60))
    #expect(fetched.obstacle == nil && fetched.step != nil)
    #expect(try ground.canonical(60) == GuardGround.header(60, "own").hash)
  }

  @Test func windowsThatDoNotGoTogetherAreNotJoined() {
    func window(_ blocks: ClosedRange<UInt64>, _ watched: Set<Address>, logs: Int) -> ReadWindow {
      let log = Log(
        address: .zero, topics: [], data: [], blockNumber: blocks.lowerBound, blockHash: .zero,
        transactionHash: .zero, transactionIndex: 0, logIndex: 0)
      return ReadWindow(
        window: Window(
          range: blocks, logs: [Log](repeating: log, count: logs), headers: []),
        headersBefore: [], watched: watched, everyHeaderFrom: .max)
    }
    let first = window(1...5, [.zero], logs: 3)
    #expect(first.canTake(window(6...9, [.zero], logs: 2), logsMax: 5))
    #expect(!first.canTake(window(6...9, [.zero, GuardGround.core], logs: 2), logsMax: 5))
    #expect(!first.canTake(window(6...9, [.zero], logs: 3), logsMax: 5))
    #expect(!first.canTake(window(7...9, [.zero], logs: 2), logsMax: 5))
    // Whoever gave less than is stored has to be known.
    var other = window(6...9, [.zero], logs: 2)
    other.window.endpoint = "another"
    #expect(!first.canTake(other, logsMax: 5))
  }
}

/// A deployment that no event was written for, and a chain of empty blocks on which a test can do
/// something in the middle of a reading.
private final class GuardGround {
  static let chainID: UInt64 = 56
  static let head: UInt64 = 100
  static let core = Address(word0: 1, word1: 2, word2: 3)

  let database: TemporaryDatabase
  let db: Connection
  let deployment: Deployment
  /// The names of the endpoints, all of one node.
  var nodes = ["node"]
  /// Endpoints that do not answer.
  var silent: Set<String> = []
  /// Who was asked for logs, in turn.
  private(set) var askedForLogs: [String] = []
  /// The name of the fork that the node is on.
  var branch = "own"

  private var action: ((Connection, Int32) throws -> Void)?
  private let limits = IngestLimits(windowBlocks: 1000, reorg: 10)

  init() throws {
    database = try TemporaryDatabase()
    db = try database.connection()
    let id = try db.transaction { tx in
      try Deployments.register(
        name: "ground", chainID: Self.chainID, system: "moolah", address: Self.core,
        firstBlock: 1, in: tx)
    }
    deployment = Deployment(
      id: id, name: "ground", chainID: Self.chainID, address: Self.core, firstBlock: 1)
  }

  /// Does this in a session of its own when the node is asked for logs, once.
  func meanwhile(_ action: @escaping (Connection, Int32) throws -> Void) { self.action = action }

  func follower() throws -> Follower<Moolah> {
    guard case .mine(let writer) = try Writer.take(deployment.id, holder: "test", on: db) else {
      throw ProgramError(message: "nobody else is the writer")
    }
    return try Follower(
      Moolah(.moolah), of: deployment, limits: limits, chain: chain(), db: db, writer: writer)
  }

  func fetcher() throws -> Fetcher<Moolah> {
    Fetcher(
      Moolah(.moolah), of: deployment, limits: limits,
      shard: Shard(index: 0, count: 1, stretch: 1000), chain: try chain(), db: db)
  }

  func cursor() throws -> Cursor {
    try db.transaction(.readOnly) { tx in
      try Cursor.read("consume-events", of: deployment.id, in: tx)
    }
  }

  func canonical(_ number: UInt64) throws -> Bytes32? {
    try db.transaction(.readOnly) { tx in
      try Blocks.canonical(number: number, chainID: Self.chainID, in: tx)
    }
  }

  static func header(_ number: UInt64, _ branch: String) -> BlockHeader {
    func hash(_ number: UInt64) -> Bytes32 { keccak256(Array("\(branch) \(number)".utf8)) }
    return BlockHeader(
      number: number, hash: hash(number), parentHash: hash(number &- 1), timestamp: 1_000 + number)
  }

  // MARK: The node

  private func chain() throws -> Chain {
    let urls = try nodes.indices.map { try EndpointURL("http://127.0.0.1:\($0 + 1)") }
    let transport = ScriptedTransport { [unowned self] request, _ in
      let name = urls.firstIndex(of: request.url).map { nodes[$0] } ?? ""
      if silent.contains(name) { return .failure(.connection("nobody is there")) }
      if String(decoding: request.body, as: UTF8.self).contains("eth_getLogs") {
        askedForLogs.append(name)
      }
      return .success(HTTPResponse(status: 200, body: answer(request.body)))
    }
    return Chain(
      name: "ground", chainID: Self.chainID,
      endpoints: zip(nodes, urls).map { Endpoint(name: $0, url: $1) },
      transport: transport, sleep: { _ in })
  }

  private func answer(_ body: [UInt8]) -> [UInt8] {
    let object = try? JSONSerialization.jsonObject(with: Data(body))
    guard let batch = object as? [[String: Any]] else {
      return Array(one(object as? [String: Any] ?? [:]).utf8)
    }
    return Array("[\(batch.map(one).joined(separator: ","))]".utf8)
  }

  private func one(_ call: [String: Any]) -> String {
    let tag = (call["params"] as? [Any])?.first as? String ?? "latest"
    let result: String
    switch call["method"] as? String {
    case "eth_chainId": result = #""\#(Hex.quantity(Self.chainID))""#
    case "eth_getBlockByNumber": result = block(Hex.parseQuantity(tag) ?? Self.head)
    case "eth_getLogs":
      act()
      result = "[]"
    default: result = "null"
    }
    return #"{"jsonrpc":"2.0","id":\#(call["id"] ?? 0),"result":\#(result)}"#
  }

  private func block(_ number: UInt64) -> String {
    let header = Self.header(number, branch)
    return """
      {"number":"\(Hex.quantity(number))","hash":"\(header.hash)",\
      "parentHash":"\(header.parentHash)","timestamp":"\(Hex.quantity(header.timestamp))"}
      """
  }

  private func act() {
    guard let action else { return }
    self.action = nil
    do {
      try action(try database.connection(), deployment.id)
    } catch {
      Issue.record("what happens meanwhile failed: \(error)")
    }
  }
}
