import Chain
import Ethereum
import Postgres
import Store
import Systems

/// Fills the event store above the cursor, in any order and in many runs at once.
///
/// It changes no mirror: what it has fetched is verified in the ledger, and a follower applies it.
/// Blocks are fetched only when they can no longer be taken back.
public struct Fetcher<System: OnChainSystem> {
  public let system: System
  public let deployment: Deployment
  public let limits: IngestLimits
  public let shard: Shard

  let chain: Chain
  let db: Connection

  public init(
    _ system: System, of deployment: Deployment, limits: IngestLimits, shard: Shard, chain: Chain,
    db: Connection
  ) {
    self.system = system
    self.deployment = deployment
    self.limits = limits
    self.shard = shard
    self.chain = chain
    self.db = db
  }

  /// Fetches the first piece of `blocks` that belongs to the shard and is not verified.
  ///
  /// A stored block that the chain has left, as a deployment leaves it that is paused, is taken off
  /// the chain if that can be proved; if not, the piece is left to the follower.
  ///
  /// - Returns: the first block that was not looked at, what was read, and why a piece was not
  ///   kept; nil when nothing is left.
  public func fetch(
    in blocks: ClosedRange<UInt64>
  ) throws -> (next: UInt64, step: Step?, obstacle: IngestError?)? {
    guard let piece = shard.piece(of: blocks) else { return nil }
    let (cursor, open) = try db.transaction(.readOnly) { tx in
      let filters = try known(in: tx)
      return (
        try Cursor.read(Follower<System>.job, of: deployment.id, in: tx),
        try Ledger.unverified(in: piece, among: filters, of: deployment.id, in: tx)
      )
    }
    if let block = cursor.block, block >= piece.lowerBound { return (block + 1, nil, nil) }
    guard !open.isEmpty else { return (piece.upperBound + 1, nil, nil) }
    var walk = WindowWalk(
      system: system, deployment: deployment, limits: limits, chain: chain,
      everyHeaderFrom: .max, watched: open, parent: nil)
    let read = try walk.read(from: piece.lowerBound, through: piece.upperBound)
    // The link to what another shard has fetched: its last block is our first one's parent.
    let before = piece.lowerBound > 0 ? try chain.header(number: piece.lowerBound - 1) : nil
    let next = read.window.range.upperBound + 1
    do {
      let isKept = try keep(read, before: before)
      return (next, isKept ? Step(read.window, applied: .init()) : nil, nil)
    } catch let error as IngestError {
      return (next, nil, error)
    }
  }

  /// The contracts to read; before anything was read, those that the system begins with.
  private func known(in tx: borrowing Transaction) throws -> [Address: Int32] {
    let filters = try Ledger.filters(of: deployment.id, in: tx)
    if !filters.isEmpty { return filters }
    let watched = try system.watched(of: deployment, in: tx)
    return Dictionary(watched.map { ($0, 0) }, uniquingKeysWith: { first, _ in first })
  }

  /// False if a follower has passed these blocks in the meantime: what it read it has applied, and
  /// an event that came now would be in no mirror.
  private func keep(_ read: ReadWindow, before: BlockHeader?) throws -> Bool {
    let window = read.window
    let headers = (before.map { [$0] } ?? []) + window.headers
    let left = try LeftBehind(
      chain: chain, db: db, chainID: deployment.chainID, blocksMax: limits.windowBlocks
    ).find(contradicting: headers, through: window.range.upperBound)
    return try db.transaction { tx in
      // The cursor first and the ledger after it, as the follower does: so they cannot deadlock.
      let cursor = try Cursor.read(Follower<System>.job, of: deployment.id, in: tx)
      try cursor.hold(Follower<System>.job, of: deployment.id, in: tx)
      try Ledger.lock(deployment.id, in: tx)
      // One that is not there yet cannot be held; the follower makes it with the ledger locked.
      if cursor.revision == 0,
        try Cursor.read(Follower<System>.job, of: deployment.id, in: tx) != cursor
      {
        throw CursorError.moved
      }
      if let block = cursor.block, block >= window.range.lowerBound { return false }
      try Blocks.orphan(left, chainID: deployment.chainID, in: tx)
      if let block = try Blocks.contradicted(by: headers, chainID: deployment.chainID, in: tx) {
        throw IngestError.contradiction(block: block)
      }
      try Blocks.append(headers, chainID: deployment.chainID, in: tx)
      _ = try EventStore.append(window.logs, chainID: deployment.chainID, in: tx)
      let filters = try list(read.watched, cursor: cursor, in: tx)
      try Ledger.note(
        window, of: versions(of: filters, coveredBy: read.watched), deployment: deployment.id,
        in: tx)
      return true
    }
  }

  /// Adds contracts as a filter version of which all that the mirror stands on is missing.
  private func list(
    _ addresses: Set<Address>, cursor: Cursor, in tx: borrowing Transaction
  ) throws -> [Address: Int32] {
    let before = try Ledger.filters(of: deployment.id, in: tx)
    if addresses.isSubset(of: before.keys) { return before }
    let all = try Ledger.watch(addresses, of: deployment.id, in: tx)
    let new = Set(all.values).subtracting(before.values)
    let begin =
      try Deployments.bootstrapBlock(of: deployment.id, in: tx).map { $0 + 1 }
      ?? deployment.firstBlock
    if let block = cursor.block, block >= begin {
      try Ledger.note(
        LedgerRange(begin...block, .missing, reason: "not watched then"), of: new,
        deployment: deployment.id, in: tx)
    }
    return all
  }
}

/// One of several runs that share blocks among them: each has every n-th stretch of blocks, counted
/// from block 0, so that runs that know different heads leave no gap.
public struct Shard: Equatable, Sendable {
  public let index: UInt64
  public let count: UInt64
  /// Blocks in a stretch.
  public let stretch: UInt64

  /// `index` counts from 0.
  public init(index: UInt64, count: UInt64, stretch: UInt64) {
    precondition(index < count && stretch > 0, "a shard is one of so many")
    self.index = index
    self.count = count
    self.stretch = stretch
  }

  /// The first blocks of a range that belong to the shard, at most one stretch.
  func piece(of blocks: ClosedRange<UInt64>) -> ClosedRange<UInt64>? {
    let number = blocks.lowerBound / stretch
    let ahead = (index + count - number % count) % count
    let (start, overflow) = (number + ahead).multipliedReportingOverflow(by: stretch)
    guard !overflow else { return nil }
    let first = max(blocks.lowerBound, start)
    guard first <= blocks.upperBound else { return nil }
    let (end, isPastEnd) = start.addingReportingOverflow(stretch - 1)
    return first...min(blocks.upperBound, isPastEnd ? .max : end)
  }
}
