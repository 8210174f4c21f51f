import Chain
import Ethereum
import Postgres
import Store
import Systems

/// Follows the blocks of one deployment and keeps its mirror: one transaction for each window, with
/// the events, the changed rows and the cursor.
///
/// It can stop or die anywhere and the next one goes on from there. No network call happens inside
/// a transaction.
public struct Follower<System: OnChainSystem> {
  public let system: System
  public let deployment: Deployment
  public let limits: IngestLimits
  public private(set) var cursor: Cursor

  let chain: Chain
  let db: Connection
  let writer: Writer
  private var watched: Set<Address>

  /// The cursor that all jobs judge the mirror by.
  public static var job: String { "consume-events" }

  public init(
    _ system: System, of deployment: Deployment, limits: IngestLimits, chain: Chain,
    db: Connection, writer: Writer
  ) throws {
    self.system = system
    self.deployment = deployment
    self.limits = limits
    self.chain = chain
    self.db = db
    self.writer = writer
    (cursor, watched) = try db.transaction(.readOnly) { tx in
      (
        try Cursor.read(Self.job, of: deployment.id, in: tx),
        try system.watched(of: deployment, in: tx)
      )
    }
  }

  /// The first block that has not been read.
  public var next: UInt64 { cursor.block.map { $0 + 1 } ?? deployment.firstBlock }

  // MARK: Going on

  /// Reads one window from `next` to at most `last`, and applies it.
  ///
  /// Blocks less than the reorg limit below `head` may be taken back later. Without `commit`
  /// everything is tried and nothing kept. Throws `ChainError.parentMismatch` if the chain has left
  /// the blocks that were read.
  public mutating func step(through last: UInt64, head: UInt64, commit: Bool = true) throws -> Step
  {
    let finality = limits.finality(of: head)
    let window = try read(
      from: next, through: min(last, next + limits.windowBlocks - 1),
      everyHeaderFrom: try everyHeaderFrom(finality))
    let before = try headerBeforeTheFirst()
    let times = BlockTimes(
      window.headers.map { ($0.number, $0.timestamp) }, uniquingKeysWith: { first, _ in first })
    guard let end = window.headers.last, end.number == window.range.upperBound else {
      preconditionFailure("a window comes with the header of its last block")
    }

    var applied = ApplyReport()
    cursor = try write(commit: commit) { tx in
      var mirror = try system.mirror(touchedBy: window.logs, of: deployment, in: tx)
      applied = try system.apply(
        window.logs, of: deployment, times: times, finality: finality, to: &mirror)
      try Blocks.append(before + window.headers, chainID: deployment.chainID, in: tx)
      _ = try EventStore.append(window.logs, chainID: deployment.chainID, in: tx)
      try system.store(mirror, of: deployment, in: tx)
      try system.prune(finality: finality, of: deployment, in: tx)
      return try cursor.move(Self.job, of: deployment.id, to: end.number, hash: end.hash, in: tx)
    }
    return Step(
      range: window.range, logs: window.logs.count, suspicious: window.doubts.count,
      applied: applied)
  }

  /// A transaction of the writer.
  ///
  /// - Returns: where the cursor stands after it; without `commit` that is where it stood.
  private func write(
    commit: Bool = true, _ body: (borrowing Transaction) throws -> Cursor
  ) throws -> Cursor {
    do {
      return try db.transaction { tx in
        try writer.check(in: tx)
        try cursor.lock(Self.job, of: deployment.id, in: tx)
        let moved = try body(tx)
        if !commit { throw Rehearsal() }
        return moved
      }
    } catch is Rehearsal {
      return cursor
    }
  }

  /// Blocks that may be taken back need every header, and so do blocks that some deployment of this
  /// chain has seen taken back: only their own headers can say that they are on the chain again.
  private func everyHeaderFrom(_ finality: UInt64) throws -> UInt64 {
    let orphan = try db.transaction(.readOnly) { tx in
      try Blocks.lowestOrphan(from: next, chainID: deployment.chainID, in: tx)
    }
    return min(finality, orphan ?? finality)
  }

  /// A reorganisation may reach the first block that is read: then the block before it is the
  /// common one.
  private func headerBeforeTheFirst() throws -> [BlockHeader] {
    guard cursor.block == nil, next > 0 else { return [] }
    return try chain.header(number: next - 1).map { [$0] } ?? []
  }

  /// Reads a window, and reads it again for contracts that its own logs reveal.
  private mutating func read(
    from first: UInt64, through last: UInt64, everyHeaderFrom: UInt64
  ) throws -> Window {
    var last = last
    for _ in 0..<limits.revelationsMax {
      let parent = cursor.block.flatMap { block in
        block + 1 == first ? cursor.hash.map { (number: block, hash: $0) } : nil
      }
      let window = try chain.window(
        LogFilter(addresses: watched.sorted(), topics0: []), from: first, through: last,
        everyHeaderFrom: everyHeaderFrom, parent: parent)
      let revealed = system.addresses(revealedBy: window.logs, of: deployment)
        .subtracting(watched)
      if revealed.isEmpty { return window }
      watched.formUnion(revealed)
      last = window.range.upperBound
    }
    throw IngestError.endlessRevelations(first: first)
  }

  // MARK: Reorganisations

  /// Takes back what the chain has taken back; without `commit` it only tells what it would.
  ///
  /// - Throws: `IngestError.reorgTooDeep` if no common block is stored within the limit.
  public mutating func reconcile(head: BlockHeader, commit: Bool = true) throws -> Reconciliation {
    guard let block = cursor.block, let hash = cursor.hash else { return .unchanged }
    if head.number == block, head.hash == hash { return .unchanged }
    if head.number >= block, try chain.header(number: block)?.hash == hash { return .unchanged }
    // So far behind that nothing it says can be compared.
    if head.number + limits.reorg < block { return .nodeBehind(by: block - head.number) }

    let own = try ancestry(of: cursor)
    let theirs = try chain.headers(numbers: own.map(\.number).filter { $0 <= head.number })
    let onChain = Dictionary(
      theirs.map { ($0.number, $0.hash) }, uniquingKeysWith: { first, _ in first })
    let ancestor = own.first { onChain[$0.number] == $0.hash }
    // A node that is behind, but on our chain, takes nothing back.
    if ancestor?.number == head.number { return .nodeBehind(by: block - head.number) }
    let kept = try ancestor?.number ?? beforeEverything(own)

    cursor = try write(commit: commit) { tx in
      try system.takeBack(to: kept, of: deployment, in: tx)
      try Blocks.orphan(own.filter { $0.number > kept }, chainID: deployment.chainID, in: tx)
      guard let ancestor else { return try cursor.forget(Self.job, of: deployment.id, in: tx) }
      return try cursor.move(
        Self.job, of: deployment.id, to: ancestor.number, hash: ancestor.hash, in: tx)
    }
    watched = try db.transaction(.readOnly) { tx in try system.watched(of: deployment, in: tx) }
    return .takenBack(blocks: block - kept)
  }

  /// The block before the first, if all that was read may still be taken back.
  private func beforeEverything(_ own: [(number: UInt64, hash: Bytes32)]) throws -> UInt64 {
    let first = deployment.firstBlock
    guard first > 0, let lowest = own.last?.number, lowest <= first else {
      throw IngestError.reorgTooDeep(block: cursor.block ?? first, limit: limits.reorg)
    }
    return first - 1
  }

  /// The deployment's own chain, newest first, as far as it may be taken back.
  private func ancestry(of cursor: Cursor) throws -> [(number: UInt64, hash: Bytes32)] {
    try db.transaction(.readOnly) { tx in try ancestry(of: cursor, in: tx) }
  }

  private func ancestry(
    of cursor: Cursor, in tx: borrowing Transaction
  ) throws -> [(number: UInt64, hash: Bytes32)] {
    guard let block = cursor.block, let hash = cursor.hash else { return [] }
    return try Blocks.ancestry(
      of: hash, number: block, limit: Int(limits.reorg), chainID: deployment.chainID, in: tx)
  }

  // MARK: Deriving again

  /// Markets that stand still and are due for another attempt.
  public func due(attemptsMax: Int) throws -> Set<Bytes32> {
    try db.transaction(.readOnly) { tx in
      Set(
        try system.setAside(of: deployment, in: tx).filter { $0.attempts < attemptsMax }
          .map(\.market))
    }
  }

  /// Derives markets (nil: all) from their stored events, up to the cursor.
  public mutating func derive(_ markets: Set<Bytes32>?, head: UInt64) throws {
    cursor = try write { tx in try derive(markets, head: head, in: tx) }
  }

  private func derive(
    _ markets: Set<Bytes32>?, head: UInt64, in tx: borrowing Transaction
  ) throws -> Cursor {
    guard let block = cursor.block, let hash = cursor.hash else { return cursor }
    var mirror = system.blankMirror(following: markets)
    try EventStore.forEachLog(
      of: watched, on: ancestry(of: cursor, in: tx), chainID: deployment.chainID, through: block,
      in: tx
    ) { log, timestamp in
      _ = try system.apply(
        [log], of: deployment, times: [log.blockNumber: timestamp],
        finality: limits.finality(of: head), to: &mirror)
    }
    try system.replace(with: mirror, of: deployment, in: tx)
    return try cursor.move(Self.job, of: deployment.id, to: block, hash: hash, in: tx)
  }

  /// Reads blocks below the cursor again and adds what was missed; markets with late events are
  /// derived again, in the same transaction: a late event is late only once.
  ///
  /// A log of a contract that other deployments watch as well may be stored and yet be missing
  /// here, so the markets of such logs are returned, to be derived when the range is done.
  public mutating func fillIn(
    from first: UInt64, through last: UInt64, head: UInt64, commit: Bool = true
  ) throws -> (step: Step, shared: Set<Bytes32>) {
    let window = try read(
      from: first, through: min(last, first + limits.windowBlocks - 1), everyHeaderFrom: last + 1)
    var late: [Log] = []
    cursor = try write(commit: commit) { tx in
      if let block = try Blocks.contradicted(
        by: window.headers, chainID: deployment.chainID, in: tx)
      {
        throw IngestError.contradiction(block: block)
      }
      try Blocks.append(window.headers, chainID: deployment.chainID, in: tx)
      late = try EventStore.appendNew(window.logs, chainID: deployment.chainID, in: tx)
      if late.isEmpty { return cursor }
      return try derive(system.markets(concernedBy: late), head: head, in: tx)
    }
    var applied = ApplyReport()
    applied.applied = late.count
    let shared = window.logs.filter { $0.address != deployment.address }
    return (
      Step(
        range: window.range, logs: window.logs.count, suspicious: window.doubts.count,
        applied: applied),
      system.markets(concernedBy: shared) ?? []
    )
  }
}

/// What bounds the reading of a chain.
public struct IngestLimits: Sendable {
  /// Blocks that one transaction covers at most.
  public let windowBlocks: UInt64
  /// Blocks below the head that may still be taken back.
  public let reorg: UInt64
  /// Times that a window is read again for contracts which it reveals.
  public let revelationsMax = 4

  public init(windowBlocks: UInt64, reorg: UInt64) {
    precondition(windowBlocks > 0, "a window has at least one block")
    self.windowBlocks = windowBlocks
    self.reorg = reorg
  }

  /// The last block that can no longer be taken back.
  func finality(of head: UInt64) -> UInt64 { head > reorg ? head - reorg : 0 }
}

/// One window, read and applied.
public struct Step: Sendable {
  public let range: ClosedRange<UInt64>
  public let logs: Int
  /// Blocks whose bloom speaks of logs that did not come.
  public let suspicious: Int
  public let applied: ApplyReport
}

/// What became of the blocks that were read before.
public enum Reconciliation: Equatable, Sendable {
  case unchanged
  case takenBack(blocks: UInt64)
  case nodeBehind(by: UInt64)
}

public enum IngestError: Error, Equatable, Sendable, CustomStringConvertible {
  case reorgTooDeep(block: UInt64, limit: UInt64)
  case endlessRevelations(first: UInt64)
  case contradiction(block: UInt64)

  public var description: String {
    switch self {
    case .reorgTooDeep(let block, let limit):
      "the chain no longer has block \(block), nor any of the \(limit) blocks before it that were "
        + "read (reorg_limit); nothing was taken back. Is the node on another chain? If the chain "
        + "really was reorganised that deep, consume the deployment anew into an empty database"
    case .endlessRevelations(let first):
      "the window from block \(first) reveals new contracts each time it is read"
    case .contradiction(let block):
      "the node has another block \(block) than the one that was consumed; nothing was filled in"
    }
  }
}

/// Ends a transaction that was only a rehearsal.
private struct Rehearsal: Error {}
