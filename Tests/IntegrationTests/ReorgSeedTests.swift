import Chain
import Ethereum
import Foundation
import Ingest
import Moolah
import Postgres
import Store
import Systems
import TestKit
import Testing

/// Random forks, up to the limit, between runs and in the middle of them, back and forth, with
/// transactions that move to other blocks: in the end the tables are those of one clean run.
@Suite struct ReorgSeedTests {
  /// The reorg limit of a seed: now and then the one that is configured by default.
  private static func limit(of seed: UInt64) -> UInt64 {
    seed % 16 == 0 ? 64 : seed % 4 == 0 ? 3 : 8
  }

  /// Seeds that one test takes, each a deployment on a chain of its own in one database.
  private static let seedsAtOnce: UInt64 = 50

  @Test(arguments: 0..<Length.pick(short: UInt64(2), long: 200))
  func endsInTheTablesOfACleanRun(batch: UInt64) throws {
    let database = try TemporaryDatabase()
    let db = try database.connection()
    var forks = 0
    var takenBack = 0
    for seed in batch * Self.seedsAtOnce..<(batch + 1) * Self.seedsAtOnce {
      var trial = try ReorgTrial(seed: seed, limit: Self.limit(of: seed), db)
      try trial.play()
      forks += trial.forks
      takenBack += trial.takenBack
    }
    print("reorg seeds | \(Self.seedsAtOnce) seeds | \(forks) forks, \(takenBack) runs took back")
    #expect(takenBack > 0)
  }
}

/// One seed: a chain, a deployment that follows it, and one that reads it when all is over.
private struct ReorgTrial {
  let seed: UInt64
  let limit: UInt64
  let db: Connection
  let node: ForkingNode
  let deployment: Deployment
  var generator: SeededGenerator
  var forks = 0
  var takenBack = 0

  init(seed: UInt64, limit: UInt64, _ db: Connection) throws {
    (self.seed, self.limit, self.db) = (seed, limit, db)
    node = ForkingNode(chainID: 2 * seed + 1, seed: seed)
    generator = SeededGenerator(seed: seed &+ 0x5EED)
    deployment = try Self.deployment(on: node, db)
  }

  mutating func play() throws {
    node.mine(Int.random(in: 4...Int(2 * limit), using: &generator))
    try settle()
    for _ in 0..<Int.random(in: 1...4, using: &generator) {
      let isDuring = Int.random(in: 0..<3, using: &generator) == 0
      if isDuring {
        let (change, requests) = (change(), Int.random(in: 0...6, using: &generator))
        node.mine(Int.random(in: 0...4, using: &generator))
        node.interrupt(after: requests, change)
      } else {
        change()(node)
      }
      try settle()
    }
    try compare()
  }

  /// What happens to the chain next, decided now.
  private mutating func change() -> (ForkingNode) -> Void {
    let depth = Int.random(in: 1...Int(limit), using: &generator)
    let more = Int.random(in: 0...3, using: &generator)
    forks += 1
    switch Int.random(in: 0..<4, using: &generator) {
    case 0: return { [limit] in $0.goBack(depth: Int(limit)) }
    case 1:
      return {
        $0.mine(more)
        $0.fork(depth: depth, more: 0)
      }
    default: return { $0.fork(depth: depth, more: more) }
    }
  }

  /// Runs until the mirror is at the head; whatever moved meanwhile is seen by the next run.
  private mutating func settle() throws {
    for _ in 0..<6 {
      let cursor = try run(deployment, node)
      if cursor.hash == node.head.hash { return }
    }
    Issue.record("seed \(seed): the mirror does not come to rest at \(node.head)")
  }

  private mutating func run(_ deployment: Deployment, _ node: ForkingNode) throws -> Cursor {
    guard case .mine(let writer) = try Writer.take(deployment.id, holder: "test", on: db) else {
      throw ProgramError(message: "nobody else is the writer")
    }
    defer { try? writer.release(on: db) }
    let window = UInt64.random(in: 1...7, using: &generator)
    let chain = try node.chain()
    let follower = try Follower(
      Moolah(.moolah), of: deployment, limits: IngestLimits(windowBlocks: window, reorg: limit),
      chain: chain, db: db, writer: writer)
    var wasTakenBack = false
    var consumption = Consumption(
      follower, orders: ConsumptionOrders(), isStopping: { false }
    ) { news in
      if case .reconciled(.takenBack) = news { wasTakenBack = true }
    }
    do {
      let greeting = try chain.greet(at: consumption.follower.cursor.block)
      try consumption.run(to: greeting.head, stored: greeting.stored)
    } catch let error as ChainError where error.isTransient {
      // The chain has moved under its feet, as any run may find: the next one goes on.
    }
    if wasTakenBack { takenBack += 1 }
    return consumption.follower.cursor
  }

  // MARK: The comparison

  private mutating func compare() throws {
    let clean = ForkingNode(as: node, chainID: node.chainID + 1)
    let other = try Self.deployment(on: clean, db)
    _ = try run(other, clean)
    let (mine, theirs) = (try dump(deployment), try dump(other))
    let extra = mine.filter { !theirs.contains($0) }
    let missing = theirs.filter { !mine.contains($0) }
    #expect(mine == theirs, "seed \(seed): extra \(extra), missing \(missing)")
    #expect(mine.contains { $0.hasPrefix("cursor") }, "seed \(seed): nothing was read")
  }

  private static func deployment(on node: ForkingNode, _ db: Connection) throws -> Deployment {
    let name = "toy-\(node.chainID)"
    let id = try db.transaction { tx in
      try Deployments.register(
        name: name, chainID: node.chainID, system: "moolah", address: ForkingNode.core,
        firstBlock: 1, in: tx)
    }
    return Deployment(
      id: id, name: name, chainID: node.chainID, address: ForkingNode.core, firstBlock: 1)
  }

  /// All that a deployment's mirror is, and what may still be taken back of it.
  private func dump(_ deployment: Deployment) throws -> [String] {
    let id = deployment.id
    let queries: [SQL] = [
      """
      select concat_ws(' ', 'cursor', block_number, block_hash) from cursor
      where deployment_id = \(id)
      """,
      """
      select concat_ws(' ', 'event', e.block_number, e.log_index, e.block_hash,
        e.transaction_hash, e.topic0, e.topic1, e.topic2, e.data)
      from event e join block b on b.chain_id = e.chain_id and b.number = e.block_number
        and b.hash = e.block_hash and b.canonical
      where e.chain_id = \(deployment.chainID)
      """,
      """
      select concat_ws(' ', 'market', market_key, total_supply_assets, total_supply_shares,
        total_borrow_assets, total_borrow_shares, last_update, coalesce(fee_wad::text, '-'),
        as_of_block)
      from market where deployment_id = \(id)
      """,
      """
      select concat_ws(' ', 'position', market_key, user_address, supply_shares, borrow_shares,
        collateral, p.as_of_block)
      from position p join market m on m.id = p.market_id where m.deployment_id = \(id)
      """,
      """
      select concat_ws(' ', 'operation', block_number, log_index, market_key, kind, user_address,
        assets, coalesce(shares::text, '-'), transaction_hash)
      from user_operation o join market m on m.id = o.market_id where o.deployment_id = \(id)
      """,
      """
      select concat_ws(' ', 'range', from_block, to_block, state) from block_range
      where deployment_id = \(id)
      """,
      "select concat_ws(' ', 'aside', market_key) from set_aside where deployment_id = \(id)",
    ]
    return try db.transaction(.readOnly) { tx in
      try queries.flatMap { try tx.query($0).map { try $0.get(0, String.self) } }.sorted()
    }
  }
}
