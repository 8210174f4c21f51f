import Ethereum
import Foundation
import Postgres
import Quantities
import Store
import TestKit
import Testing

/// Events that another indexer writes into our tables, in transactions that commit in any order:
/// the mirror must always equal a clean run's at its cursor, and reach the head in the end.
@Suite(.serialized) struct ForeignStoreTests {
  // MARK: Transactions that commit out of order

  @Test(arguments: Length.pick(short: Array(1...12), long: Array(1...400)) as [UInt64])
  func losesNothingWhateverCommitsFirst(seed: UInt64) throws {
    let story = try ForeignStory(seed: 800 + seed % 4, shape: seed % 2 == 0 ? "moolah" : "morpho")
    try story.chain.advance(40)
    var generator = SeededGenerator(seed: seed)
    var indexers: [Indexer] = []
    var next = story.chain.firstBlock
    let head = try story.head()
    while next <= head || !indexers.isEmpty {
      switch Int.random(in: 0..<10, using: &generator) {
      case 0..<4 where next <= head && indexers.count < 4:
        // Takes the next blocks; its transaction stays open.
        let last = min(head, next + UInt64.random(in: 0...9, using: &generator))
        indexers.append(try Indexer(story, next...last))
        next = last + 1
      case 4..<7 where !indexers.isEmpty:
        // One of them commits, any of them, and declares its own blocks.
        let index = Int.random(in: 0..<indexers.count, using: &generator)
        try indexers.remove(at: index).finish()
      default:
        _ = try story.consume()
        try story.checkOnTheWay(seed: seed)
      }
    }
    try story.consume(until: head)
    try story.checkAgainstTheContract()
    try story.checkAgainstACleanRun()
  }

  /// One declares all blocks while another, which wrote some of them before, has not committed.
  @Test func aDeclarationWaitsForTransactionsThatWereOpenThen() throws {
    let story = try ForeignStory(seed: 810, shape: "moolah")
    try story.chain.advance(40)
    let head = try story.head()
    let slow = try Indexer(story, 20...29)
    try Indexer(story, 1...19).finish(declaring: nil)
    try Indexer(story, 30...head).finish(declaring: 1...head)
    let waiting = try story.consume()
    #expect(waiting.output.contains("not declared yet"), "\(waiting.output)")
    #expect(try story.cursor() == nil)
    try slow.finish(declaring: nil)
    try story.consume(until: head)
    try story.checkAgainstACleanRun()
  }

  /// A transaction that rolls back has never been.
  @Test func whatIsRolledBackIsNotWaitedForForEver() throws {
    let story = try ForeignStory(seed: 811, shape: "morpho")
    try story.chain.advance(20)
    let head = try story.head()
    let failing = try Indexer(story, head - 2...head)
    try Indexer(story, 1...head - 3).finish()
    #expect(try story.consume().output.contains("not declared yet"))
    #expect(try story.cursor() == nil)
    try failing.rollBack()
    try story.consume(until: head - 3)
    try Indexer(story, head - 2...head).finish()
    try story.consume(until: head)
    try story.checkAgainstACleanRun()
  }

  /// Events that come into a declared range by a transaction that may have companions are waited
  /// for as well.
  @Test func anEventThatIsNotSettledHoldsItsBlockBack() throws {
    let story = try ForeignStory(seed: 812, shape: "moolah")
    try story.chain.advance(30)
    let head = try story.head()
    try Indexer(story, 1...head, without: 20...20).finish()
    // The declaration is believed before the companion begins.
    try story.waitUntilSettled()
    let companion = try Indexer(story, head...head)
    try Indexer(story, 20...20).finish(declaring: nil)
    try story.consume(until: 19)
    _ = try story.consume()
    #expect(try story.cursor() == 19)
    try companion.rollBack()
    try story.consume(until: head)
    try story.checkAgainstACleanRun()
  }

  @Test func onlyReadCommittedMayDeclare() throws {
    let story = try ForeignStory(seed: 813, shape: "moolah")
    let error = #expect(throws: PostgresError.self) {
      try story.db.transaction(.repeatableRead) { tx in
        try tx.execute(
          """
          insert into declared_range (chain_id, from_block, to_block, to_hash)
          values (1, 1, 2, \(Bytes32(U256(1))))
          """)
      }
    }
    #expect(error?.sqlState == "25000")
  }

  /// Whoever claims a lower transaction is not believed earlier.
  @Test func theDeclaringTransactionCannotBeMadeUp() throws {
    let story = try ForeignStory(seed: 814, shape: "moolah")
    let open = try story.database.connection()
    try open.transaction { tx in
      try tx.execute("select pg_current_xact_id()")
      let db = try story.db
      let isLater = try db.transaction { tx in
        try tx.query(
          """
          insert into declared_range (chain_id, from_block, to_block, to_hash, declared_xid)
          values (1, 1, 2, \(Bytes32(U256(1))), '5')
          returning declared_xid > pg_snapshot_xmin(pg_current_snapshot())
          """
        ).first?.get(0, Bool.self)
      }
      #expect(isLater == true)
    }
  }

  // MARK: Late declarations

  @Test func blocksThatAreDeclaredAgainAreReadAgain() throws {
    let story = try ForeignStory(seed: 820, shape: "moolah")
    try story.chain.advance(40)
    let head = try story.head()
    try Indexer(story, 1...head, without: 15...24).finish()
    for _ in 0..<200 where try story.cursor() != Int64(head) {
      let early = try story.program.run("consume-events")
      #expect(early.exit == 0 || early.exit == 1)
    }
    #expect(try story.cursor() == Int64(head))
    try Indexer(story, 15...24).finish()
    try story.run(until: "ranges_declared_late 1", exit: 0)
    try story.checkAgainstTheContract()
    try story.checkAgainstACleanRun()
    let quiet = try story.consume()
    #expect(!quiet.output.contains("ranges_declared_late"), "\(quiet.output)")
  }

  /// An indexer of some contracts only: a rate model that is revealed is missing until its events
  /// are declared as well.
  @Test func contractsThatAreNotDeclaredAreMissing() throws {
    let story = try ForeignStory(seed: 821, shape: "moolah")
    try story.chain.advance(40)
    let head = try story.head()
    let core = try #require(Address(story.chain.core))
    try Indexer(story, 1...head, of: [core]).finish()
    try story.run(until: "open_ranges", exit: 1)
    #expect(
      try story.value("select count(*) from block_range where state = 'missing'") ?? 0 > 0)
    #expect(try story.cursor() == Int64(head))
    try Indexer(story, 1...head).finish()
    try story.run(until: "ranges_declared_late 1", exit: 0)
    try story.checkAgainstTheContract()
    try story.checkAgainstACleanRun()
  }

  /// The steady state of an indexer that knows nothing of a revealed contract.
  @Test func aContractThatIsNotDeclaredCostsNothingEachRun() throws {
    let story = try ForeignStory(seed: 824, shape: "moolah")
    try story.chain.advance(40)
    let head = try story.head()
    let core = try #require(Address(story.chain.core))
    try Indexer(story, 1...head, of: [core]).finish()
    try story.run(until: "open_ranges", exit: 1)
    let before = try story.revision()
    let again = try story.program.run("consume-events")
    #expect(again.exit == 1, "\(again.errors)")
    #expect(try story.revision() == before)
  }

  /// A declaration that reaches beyond what the node has is taken note of once, and what it says of
  /// blocks that were applied must not be forgotten with it.
  @Test func whatIsDeclaredBeyondTheNodeIsOpenUntilTheNodeHasIt() throws {
    let story = try ForeignStory(seed: 825, shape: "moolah")
    try story.chain.advance(40)
    let head = try story.head()
    try Indexer(story, 1...head - 4, without: head - 9...head - 5).finish()
    for _ in 0..<200 where try story.cursor() != Int64(head) - 4 {
      _ = try story.program.run("consume-events")
    }
    try story.chain.ask(["do": "fault", "lag": 2, "count": -1])
    try Indexer(story, head - 9...head).finish()
    try story.waitUntilSettled()
    try story.run(until: "open_ranges", exit: 1)
    try story.chain.ask(["do": "fault", "clear": true])
    for _ in 0..<200 where try story.cursor() != Int64(head) {
      _ = try story.program.run("consume-events")
    }
    try story.program.succeed("consume-events")
    try story.checkAgainstTheContract()
    try story.checkAgainstACleanRun()
  }

  @Test func moreDeclarationsThanAreLookedAtTogetherAreAllReadAgain() throws {
    let story = try ForeignStory(seed: 826, shape: "moolah")
    try story.chain.advance(40)
    let head = try story.head()
    try Indexer(story, 1...head, without: head - 5...head).finish()
    for _ in 0..<200 where try story.cursor() != Int64(head) {
      _ = try story.program.run("consume-events")
    }
    // Ten thousand about the first block come before the one that matters.
    try story.db.transaction { tx in
      try tx.execute(
        """
        insert into declared_range (chain_id, from_block, to_block, to_hash)
        select chain_id, 1, 1, hash from block, generate_series(1, 10000)
        where number = 1 and canonical
        """)
    }
    try Indexer(story, head - 5...head).finish()
    try story.waitUntilSettled()
    try story.run(until: "ranges_declared_late", exit: 0)
    try story.checkAgainstTheContract()
    try story.checkAgainstACleanRun()
  }

  @Test func aDeclarationThatLeavesTheContractOutIsNone() throws {
    let story = try ForeignStory(seed: 822, shape: "moolah")
    try story.chain.advance(10)
    let head = try story.head()
    try Indexer(story, 1...head, of: [.zero]).finish()
    try story.waitUntilSettled()
    #expect(try story.consume().output.contains("block 1 is not declared yet"))
    #expect(try story.cursor() == nil)
  }

  @Test func nothingIsAppliedOverAGapInTheDeclarations() throws {
    let story = try ForeignStory(seed: 823, shape: "moolah")
    try story.chain.advance(20)
    let head = try story.head()
    try Indexer(story, 1...4).finish()
    try Indexer(story, 7...head).finish()
    try story.waitUntilSettled()
    try story.consume(until: 4)
    try Indexer(story, 5...6).finish()
    try story.waitUntilSettled()
    try story.consume(until: head)
    try story.checkAgainstTheContract()
  }

  // MARK: A node's word

  @Test func anEndThatTheNodeContradictsIsSuspect() throws {
    let story = try ForeignStory(seed: 830, shape: "moolah")
    try story.chain.advance(40)
    let head = try story.head()
    try Indexer(story, 1...20).finish()
    let wrong = try Indexer(story, 21...head, lastHash: Bytes32(U256(77)))
    try wrong.finish()
    try story.run(until: "declarations_contradicted", exit: 1)
    #expect(try story.cursor() == 20)
    #expect(try story.value("select count(*) from block_range where state = 'suspect'") ?? 0 > 0)
    try story.db.transaction { tx in
      try tx.execute("delete from event where block_number > 20")
      try tx.execute("delete from block where number > 20")
    }
    try Indexer(story, 21...head).finish()
    try story.consume(until: head)
    try story.checkAgainstACleanRun()
  }

  @Test func aLateDeclarationThatTheNodeContradictsIsSuspect() throws {
    let story = try ForeignStory(seed: 831, shape: "moolah")
    try story.chain.advance(40)
    let head = try story.head()
    try Indexer(story, 1...head).finish()
    try story.consume(until: head)
    let dump = try TableDump(story.db)
    try story.db.transaction { tx in
      try tx.execute(
        """
        insert into block (chain_id, number, hash, parent_hash, timestamp)
        values (31337, 12, \(Bytes32(U256(5))), \(Bytes32(U256(4))), 1)
        """)
      try tx.execute(
        """
        insert into declared_range (chain_id, from_block, to_block, to_hash)
        values (31337, 10, 12, \(Bytes32(U256(5))))
        """)
    }
    try story.run(until: "declarations_contradicted", exit: 1)
    #expect(
      try story.value("select min(from_block) from block_range where state = 'suspect'") == 10)
    // Suspect it stays, until the right blocks are declared.
    #expect(try story.program.run("consume-events").exit == 1)
    try story.db.transaction { tx in
      try tx.execute("delete from block where hash = \(Bytes32(U256(5)))")
    }
    try story.program.succeed("consume-events")
    #expect(try TableDump(story.db) == dump)
  }

  /// The node is behind the indexer: what it cannot confirm waits.
  @Test func waitsForANodeThatIsBehind() throws {
    let story = try ForeignStory(seed: 832, shape: "moolah")
    try story.chain.advance(40)
    let head = try story.head()
    try Indexer(story, 1...head - 4).finish()
    try Indexer(story, head - 3...head).finish()
    try story.chain.ask(["do": "fault", "lag": 2, "count": -1])
    try story.consume(until: head - 4)
    _ = try story.consume()
    #expect(try story.cursor() == Int64(head) - 4)
    try story.chain.ask(["do": "fault", "clear": true])
    try story.consume(until: head)
    try story.checkAgainstACleanRun()
  }

  // MARK: Reorganisations

  @Test(arguments: [1, 5, 12])
  func followsAReorganisationThatTheIndexerAnnounces(depth: Int) throws {
    let story = try ForeignStory(seed: UInt64(840 + depth), shape: "moolah")
    try story.chain.advance(40)
    let before = try story.head()
    try Indexer(story, 1...before).finish()
    try story.consume(until: before)
    try story.chain.reorg(depth: depth, keep: true, delay: 1)
    let head = try story.head()
    let first = before - UInt64(depth) + 1

    // The announcement alone takes the blocks back; nothing goes on before they are declared.
    try story.orphan(from: first)
    let writing = try Indexer(story, first...head)
    let taken = try story.consume()
    #expect(taken.output.contains("blocks_taken_back \(depth)"), "\(taken.output)")
    #expect(try story.cursor() == Int64(first) - 1)
    try writing.finish()
    try story.consume(until: head)
    try story.checkAgainstTheContract()
    try story.checkAgainstACleanRun()
  }

  /// Declared, not applied yet, and replaced: the old declaration is void.
  @Test func aDeclarationOfBlocksThatAreGoneIsVoid() throws {
    let story = try ForeignStory(seed: 850, shape: "moolah")
    try story.chain.advance(40)
    let before = try story.head()
    try Indexer(story, 1...before - 10).finish()
    try Indexer(story, before - 9...before).finish()
    try story.waitUntilSettled()
    try story.program.consume("--to-block", String(before - 12))
    #expect(try story.cursor() == Int64(before) - 12)
    try story.chain.reorg(depth: 6, keep: true)
    let head = try story.head()
    try story.orphan(from: before - 5)
    try Indexer(story, before - 5...before - 3).finish(declaring: nil)
    try story.consume(until: before - 10)
    _ = try story.consume()
    #expect(try story.cursor() == Int64(before) - 10)
    try Indexer(story, before - 2...head).finish(declaring: before - 9...head)
    try story.consume(until: head)
    try story.checkAgainstTheContract()
    try story.checkAgainstACleanRun()
  }

  @Test func aReorganisationDeeperThanTheLimitIsRefused() throws {
    let story = try ForeignStory(seed: 851, shape: "moolah", reorgLimit: 6)
    try story.chain.advance(40)
    let head = try story.head()
    try Indexer(story, 1...head).finish()
    try story.consume(until: head)
    try story.orphan(from: head - 9)
    #expect(try story.program.run("consume-events").exit == 65)
  }

  // MARK: Options

  @Test func aNodeIsNeverAskedForLogs() throws {
    let story = try ForeignStory(seed: 860, shape: "moolah", reorgLimit: 2)
    try story.chain.advance(20)
    let none = try story.consume()
    #expect(none.output.contains("block 1 is not declared yet"), "\(none.output)")
    #expect(try story.program.run("consume-events", "--from-block", "1").exit == 64)
    try story.program.succeed("fetch-events")
    #expect(try story.logRequests() == 0)
    #expect(try story.value("select count(*) from event") == 0)
  }

  @Test func allDeploymentsOfAChainHaveOneSource() throws {
    let story = try ForeignStory(seed: 861, shape: "moolah")
    let two = ForeignStory.configuration(story.chain, reorgLimit: 64).replacing(
      #""deployments": {"#,
      with: """
        "deployments": {
          "two": {
            "chain": "local", "system": "moolah", "first_block": 1,
            "address": "\(Address.zero)",
          },
        """)
    let result = try Program(configuration: two, database: nil).run("config", "check")
    #expect(result.exit == 78)
    #expect((result.output + result.errors).contains("one writer"), "\(result.errors)")
  }
}

// MARK: - The foreign indexer

/// A dev chain whose events an indexer of the test's own writes.
final class ForeignStory {
  let chain: DevChain
  let database: TemporaryDatabase
  let program: Program
  private let source: Story

  var db: Connection { get throws { try database.connection() } }

  init(seed: UInt64, shape: String, reorgLimit: Int = 64) throws {
    source = try Story(seed: seed, shape: shape, reorgLimit: reorgLimit)
    chain = source.chain
    database = source.database
    program = try Program(
      configuration: Self.configuration(
        chain, system: shape == "moolah" ? "moolah" : "morpho-blue", reorgLimit: reorgLimit),
      database: database.url)
  }

  static func configuration(
    _ chain: DevChain, system: String = "moolah", reorgLimit: Int
  ) -> String {
    String.oneDeployment(
      "story", system: system, core: chain.core, chainID: chain.chainID,
      firstBlock: chain.firstBlock, rpc: chain.rpc, reorgLimit: reorgLimit
    ).replacing(#""first_block":"#, with: #""events": "foreign", "first_block":"#)
  }

  /// Consumes until the cursor is there: transactions of other tests in the cluster count as well.
  func consume(until block: UInt64, _ location: SourceLocation = #_sourceLocation) throws {
    for _ in 0..<200 {
      _ = try consume()
      if try cursor() == Int64(block) { return }
      Thread.sleep(forTimeInterval: 0.05)
    }
    #expect(try cursor() == Int64(block), sourceLocation: location)
  }

  /// Runs until the result says something, or ends otherwise than wanted.
  func run(
    until text: String, exit: Int32, _ location: SourceLocation = #_sourceLocation
  ) throws {
    for _ in 0..<200 {
      let result = try program.run("consume-events")
      if result.exit == exit, result.output.contains(text) { return }
      #expect([0, exit].contains(result.exit), "\(result.errors)", sourceLocation: location)
      Thread.sleep(forTimeInterval: 0.05)
    }
    Issue.record("no run said \"\(text)\"", sourceLocation: location)
  }

  /// Consumes without asking for a single log.
  func consume() throws -> Program.Result {
    let before = try logRequests()
    let result = try program.consume()
    #expect(try logRequests() == before)
    return result
  }

  func head() throws -> UInt64 {
    UInt64(try #require(try chain.truth()["block"] as? Int))
  }

  func value(_ sql: SQL) throws -> Int64? { try source.value(sql) }

  func cursor() throws -> Int64? {
    try value("select block_number from cursor where job = 'consume-events'")
  }

  /// How often the mirror was written.
  func revision() throws -> Int64? {
    try value("select revision from cursor where job = 'consume-events'")
  }

  /// How often the node was asked for logs, the test's own questions left out.
  func logRequests() throws -> Int {
    let stats = try rpc("dev_stats", []) as? [String: Any]
    let counts = try #require(stats?["counts"] as? [String: Any])
    return counts["eth_getLogs"] as? Int ?? 0
  }

  /// What a run on the way leaves must be true at its cursor.
  func checkOnTheWay(seed: UInt64) throws {
    guard let cursor = try cursor() else { return }
    let fresh = try TemporaryDatabase()
    let clean = try source.program(on: fresh)
    _ = try clean.run("consume-events", "--to-block", String(cursor))
    let (mine, whole) = (try mirror(db), try mirror(fresh.connection()))
    #expect(
      mine == whole,
      """
      seed \(seed), block \(cursor)
      extra: \(mine.subtracting(whole).prefix(3))
      missing: \(whole.subtracting(mine).prefix(3))
      """)
  }

  func checkAgainstTheContract() throws { try source.checkAgainstTheContract(verdicts: false) }

  func checkAgainstACleanRun() throws {
    let (mine, clean) = (try mirror(db), try mirror(source.cleanDatabase().connection()))
    #expect(
      mine == clean,
      """
      extra: \(mine.subtracting(clean).prefix(3))
      missing: \(clean.subtracting(mine).prefix(3))
      """)
    #expect(mine.count > 10)
  }

  /// All but the events, of which the indexer may have more.
  private func mirror(_ db: Connection) throws -> Set<String> {
    Set(try TableDump(db).lines.filter { !$0.hasPrefix("event ") })
  }

  /// Waits until every declaration is believed.
  func waitUntilSettled() throws {
    for _ in 0..<200 {
      let waiting = try value(
        """
        select count(*) from declared_range
        where declared_xid > pg_snapshot_xmin(pg_current_snapshot())
        """)
      if waiting == 0 { return }
      Thread.sleep(forTimeInterval: 0.05)
    }
    Issue.record("some transaction never ends")
  }

  /// The blocks from one on have left the chain.
  func orphan(from first: UInt64) throws {
    try db.transaction { tx in
      try tx.execute("update block set canonical = false where number >= \(first)")
    }
  }
}

/// One session of the foreign indexer: its transaction is open until it is finished, and has
/// written the events and headers of its blocks, in the manner of `docs/foreign-event-store.md`.
final class Indexer {
  private let db: Connection
  private let story: ForeignStory
  private let blocks: ClosedRange<UInt64>
  private let addresses: Set<Address>?
  private let end: Bytes32
  private let session: OpenTransaction

  init(
    _ story: ForeignStory, _ blocks: ClosedRange<UInt64>, of addresses: Set<Address>? = nil,
    without left: ClosedRange<UInt64>? = nil, lastHash: Bytes32? = nil
  ) throws {
    self.story = story
    self.blocks = blocks
    self.addresses = addresses
    db = try story.database.connection()
    var statements: [SQL] = []
    var end = Bytes32.zero
    for number in blocks {
      let header =
        try story.rpc(
          "eth_getBlockByNumber", [Hex.quantity(number), false]) as? [String: Any] ?? [:]
      let words = try ["hash", "parentHash"].map { key in
        try #require(Bytes32(header[key] as? String ?? ""))
      }
      let hash = number == blocks.upperBound ? lastHash ?? words[0] : words[0]
      end = hash
      let time = try #require(Hex.parseQuantity(header["timestamp"] as? String ?? ""))
      statements.append(
        """
        insert into block (chain_id, number, hash, parent_hash, timestamp)
        values (\(story.chain.chainID), \(number), \(hash), \(words[1]), \(time))
        on conflict (chain_id, number, hash) do update set canonical = true
        """)
      if left?.contains(number) ?? false { continue }
      statements += try story.events(of: number, hash: hash, by: addresses)
    }
    self.end = end
    session = try OpenTransaction(story.database, statements)
  }

  /// Commits, and then declares in a transaction of its own; nil declares nothing.
  func finish(declaring range: ClosedRange<UInt64>?) throws {
    try session.end(commit: true)
    guard let range else { return }
    try db.transaction { tx in
      try tx.execute(
        """
        insert into declared_range (chain_id, from_block, to_block, to_hash, addresses)
        values (\(story.chain.chainID), \(range.lowerBound), \(range.upperBound), \(end),
          \(addresses?.sorted()))
        """)
    }
  }

  /// Declares what it has written.
  func finish() throws { try finish(declaring: blocks) }

  func rollBack() throws { try session.end(commit: false) }
}

/// A transaction on a thread of its own, which stays open until the test ends it.
private final class OpenTransaction: @unchecked Sendable {
  private let written = DispatchSemaphore(value: 0)
  private let decided = DispatchSemaphore(value: 0)
  private let ended = DispatchSemaphore(value: 0)
  private let statements: [SQL]
  private var commits = false
  private var failure: (any Error)?

  private struct RolledBack: Error {}

  init(_ database: TemporaryDatabase, _ statements: [SQL]) throws {
    self.statements = statements
    Thread.detachNewThread { [self] in
      do { try run(on: database) } catch is RolledBack {} catch { failure = error }
      written.signal()
      ended.signal()
    }
    written.wait()
    if let failure { throw failure }
  }

  private func run(on database: TemporaryDatabase) throws {
    let db = try database.connection()
    try db.transaction { tx in
      for statement in statements { try tx.execute(statement) }
      written.signal()
      decided.wait()
      if !commits { throw RolledBack() }
    }
  }

  func end(commit: Bool) throws {
    commits = commit
    decided.signal()
    ended.wait()
    if let failure { throw failure }
  }
}

extension ForeignStory {
  func rpc(_ method: String, _ parameters: [Any]) throws -> Any? {
    try chain.ask(["do": "rpc", "method": method, "params": parameters])["result"]
  }

  /// Inserts of the events of a block.
  fileprivate func events(
    of number: UInt64, hash: Bytes32, by addresses: Set<Address>?
  ) throws -> [SQL] {
    let tag = Hex.quantity(number)
    let logs = try rpc("eth_getLogs", [["fromBlock": tag, "toBlock": tag]]) as? [[String: Any]]
    return try (logs ?? []).compactMap { log -> SQL? in
      let address = try #require(Address(log["address"] as? String ?? ""))
      if let addresses, !addresses.contains(address) { return nil }
      let topics = (log["topics"] as? [String] ?? []).map { Bytes32($0) }
      let index = try #require(Hex.parseQuantity(log["logIndex"] as? String ?? ""))
      let place = try #require(Hex.parseQuantity(log["transactionIndex"] as? String ?? ""))
      let transaction = try #require(Bytes32(log["transactionHash"] as? String ?? ""))
      let data = try #require(Hex.decode(log["data"] as? String ?? ""))
      func topic(_ index: Int) -> Bytes32? { index < topics.count ? topics[index] : nil }
      return """
        insert into event (chain_id, block_number, log_index, block_hash, transaction_hash,
          transaction_index, address, topic0, topic1, topic2, topic3, data)
        values (\(chain.chainID), \(number), \(Int32(index)), \(hash), \(transaction),
          \(Int32(place)), \(address), \(topic(0)), \(topic(1)), \(topic(2)), \(topic(3)), \(data))
        on conflict do nothing
        """
    }
  }
}
