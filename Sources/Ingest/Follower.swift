import Chain
import Ethereum
import Postgres
import Store
import Systems

/// Follows the blocks of one deployment and keeps its mirror: one transaction for the windows that
/// are written together, with the events, the changed rows, the ledger and the cursor.
///
/// It can stop or die anywhere and the next one goes on from there. No network call happens inside
/// a transaction.
public struct Follower<System: OnChainSystem> {
  public let system: System
  public let deployment: Deployment
  public let limits: IngestLimits
  public internal(set) var cursor: Cursor

  let chain: Chain
  let db: Connection
  let writer: Writer
  /// The contracts that are watched, each with the filter version that added it.
  var filters: [Address: Int32]
  /// Contracts that the mirror has revealed and the ledger does not know yet.
  var unlisted: Set<Address>
  /// The mirror as it was stored when the cursor came to that revision.
  private var kept: (revision: Int64, mirror: System.Mirror)?
  /// The block whose state the deployment stands on; nil: it is read from its first block on.
  public internal(set) var bootstrapBlock: UInt64?
  /// Whether it was seen that the contract did not exist before the first block.
  var isBeginningProved = false
  /// What this follower has read and changed.
  var changes = RunChanges()
  /// What it has read again and not derived yet.
  var underived = Underived()
  /// The transaction below which every declaration of a foreign indexer was taken note of.
  var horizon: Int64 = 0

  /// The cursor that all jobs judge the mirror by.
  public static var job: String { "consume-events" }

  /// Fewer logs than this are applied sooner than a thread has begun.
  private static var logsForAThread: Int { 2_000 }

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
    (cursor, filters, unlisted, bootstrapBlock) = try db.transaction(.readOnly) { tx in
      let filters = try Ledger.filters(of: deployment.id, in: tx)
      return (
        try Cursor.read(Self.job, of: deployment.id, in: tx), filters,
        try system.watched(of: deployment, in: tx).subtracting(filters.keys),
        try Deployments.bootstrapBlock(of: deployment.id, in: tx)
      )
    }
  }

  /// The first block whose events are asked for: nothing is read below it, and nothing is missing
  /// there.
  public var begin: UInt64 { bootstrapBlock.map { $0 + 1 } ?? deployment.firstBlock }

  /// The first block that has not been read.
  public var next: UInt64 { cursor.block.map { $0 + 1 } ?? begin }

  /// Every contract whose logs are read.
  var watched: Set<Address> { unlisted.union(filters.keys) }

  // MARK: Going on

  /// Reads from `next` to at most `last`, and applies what it reads, until all is done or `goOn`
  /// says no after a transaction.
  ///
  /// Blocks less than the reorg limit below `head` may be taken back later. Without `commit` the
  /// first window is tried and nothing kept. Throws `ChainError.parentMismatch` if the chain has
  /// left the blocks that were read.
  public mutating func follow(
    through last: UInt64, head: UInt64, commit: Bool = true, _ goOn: (Step) -> Bool
  ) throws {
    let walk = try walk(head: head)
    guard last - next >= limits.windowBlocks, commit else {
      return try followAlone(walk, through: last, head: head, commit: commit, goOn)
    }
    let ahead = try ReadAhead(walk, from: next, through: last)
    defer { ahead.stop() }
    while let read = try ahead.next() {
      guard goOn(try apply(read, head: head)) else { return }
    }
  }

  /// Without a thread: a usual run has one window to read.
  private mutating func followAlone(
    _ walk: WindowWalk<System>, through last: UInt64, head: UInt64, commit: Bool,
    _ goOn: (Step) -> Bool
  ) throws {
    var walk = walk
    while next <= last {
      let read = try walk.read(from: next, through: last)
      guard goOn(try apply(read, head: head, commit: commit)), commit else { return }
    }
  }

  private mutating func apply(_ read: ReadWindow, head: UInt64, commit: Bool = true) throws -> Step
  {
    var read = read
    let window = read.window
    let finality = limits.finality(of: head)
    var times = BlockTimes(
      window.headers.map { ($0.number, $0.timestamp) }, uniquingKeysWith: { first, _ in first })
    guard let end = window.headers.last, end.number == window.range.upperBound else {
      preconditionFailure("a window comes with the header of its last block")
    }

    let (system, deployment) = (system, deployment)
    var applied = ApplyReport()
    var filters = filters
    var previous = takeKept()
    var stored: System.Mirror?
    cursor = try write(commit: commit) { tx in
      try checkHeaders(of: read, in: tx)
      let headers = read.headersBefore + window.headers
      let isShared = try EventStore.holdsAny(
        in: window.range, chainID: deployment.chainID, in: tx)
      // Others may have stored events of these blocks: they are applied with those of the window.
      if isShared {
        try append(headers, in: tx)
        (read, times) = try union(of: read, in: tx)
      }
      let logs = read.window.logs
      let logTimes = times
      var mirror = try system.mirror(
        touchedBy: logs, after: previous.take(), of: deployment, in: tx)
      // The server takes the events while the mirror is worked out.
      let applying = Meanwhile(ifWorthIt: logs.count >= Self.logsForAThread) {
        applied = try system.apply(
          logs, of: deployment, times: logTimes, finality: finality, to: &mirror)
      }
      defer { applying.wait() }
      if !isShared { try append(headers, in: tx) }
      _ = try EventStore.append(logs, chainID: deployment.chainID, in: tx)
      try applying.get()
      try checkBeginning(applied, in: tx)
      try system.store(&mirror, of: deployment, in: tx)
      if !logs.isEmpty { try tell(of: read.window.range, head: head, in: tx) }
      try system.prune(finality: finality, of: deployment, in: tx)
      filters = try note(read, in: tx)
      stored = mirror
      return try cursor.move(Self.job, of: deployment.id, to: end.number, hash: end.hash, in: tx)
    }
    if commit {
      keep(stored.take())
      self.filters = filters
      // What only stored events have revealed was not asked for.
      unlisted.formUnion(system.addresses(revealedBy: read.window.logs, of: deployment))
      unlisted.subtract(filters.keys)
      changes.noteRead(read.window.range, read.window.logs, applied)
    }
    return Step(read.window, applied: applied)
  }

  /// The window with the canonical events of its blocks that are stored already. If it lacks one,
  /// the endpoint has withheld it, and maybe more: the window is in doubt.
  private func union(
    of read: ReadWindow, in tx: borrowing Transaction
  ) throws -> (ReadWindow, BlockTimes) {
    var read = read
    var times = BlockTimes(
      read.window.headers.map { ($0.number, $0.timestamp) }, uniquingKeysWith: { one, _ in one })
    let (lacking, storedTimes) = try stored(lackedBy: read, in: tx)
    if lacking.isEmpty { return (read, times) }
    read.window.logs = (read.window.logs + lacking).sorted {
      ($0.blockNumber, $0.logIndex) < ($1.blockNumber, $1.logIndex)
    }
    read.doubtAsWithheld()
    times.merge(storedTimes) { one, _ in one }
    return (read, times)
  }

  /// The canonical events of a window's blocks and contracts that are stored and that it lacks.
  func stored(
    lackedBy read: ReadWindow, in tx: borrowing Transaction
  ) throws -> (logs: [Log], times: BlockTimes) {
    let stored = try EventStore.logs(
      of: read.watched, in: read.window.range, chainID: deployment.chainID, tx: tx)
    let given = Set(read.window.logs.map { LogPlace(block: $0.blockNumber, index: $0.logIndex) })
    let lacking = stored.logs.filter {
      !given.contains(LogPlace(block: $0.blockNumber, index: $0.logIndex))
    }
    return (lacking, stored.times)
  }

  /// A transaction of the writer.
  ///
  /// - Returns: where the cursor stands after it; without `commit` that is where it stood.
  func write(
    _ mode: TransactionMode = .readWrite, commit: Bool = true,
    _ body: (borrowing Transaction) throws -> Cursor
  ) throws -> Cursor {
    do {
      return try db.transaction(mode) { tx in
        try writer.check(in: tx)
        // A cursor that is not there yet cannot be locked.
        if cursor.revision == 0 { try Ledger.lock(deployment.id, in: tx) }
        try cursor.lock(Self.job, of: deployment.id, in: tx)
        let moved = try body(tx)
        if !commit { throw Rehearsal() }
        return moved
      }
    } catch is Rehearsal {
      return cursor
    }
  }

  /// The mirror that the last transaction has stored, if nothing has changed it since.
  mutating func takeKept() -> System.Mirror? {
    guard let kept = kept.take(), kept.revision == cursor.revision else { return nil }
    return kept.mirror
  }

  mutating func keep(_ mirror: consuming System.Mirror?) {
    kept = mirror.map { (cursor.revision, $0) }
  }

  // MARK: Headers

  /// Reads on from the cursor.
  ///
  /// Blocks that may be taken back need every header. So does each number at which some deployment
  /// of this chain has seen a block taken back: only its own header can say that it is on the chain
  /// again.
  ///
  /// A reorganisation may reach the first block that is read: then the block before it is the
  /// common one.
  private func walk(head: UInt64) throws -> WindowWalk<System> {
    let finality = limits.finality(of: head)
    let orphans = try db.transaction(.readOnly) { tx in
      try Blocks.orphans(
        in: next..<max(next, finality), chainID: deployment.chainID, in: tx)
    }
    let isFirst = cursor.block == nil && next > 0
    return WindowWalk(
      system: system, deployment: deployment, limits: limits, chain: chain,
      everyHeaderFrom: finality, also: orphans, watched: watched,
      parent: cursor.block.flatMap { block in cursor.hash.map { (block, $0) } },
      headersBefore: isFirst ? try chain.header(number: next - 1).map { [$0] } ?? [] : [])
  }

  private func append(_ headers: [BlockHeader], in tx: borrowing Transaction) throws {
    try Blocks.append(headers, chainID: deployment.chainID, in: tx)
  }

  /// Another deployment may have taken blocks back since the window was asked for.
  private func checkHeaders(of read: ReadWindow, in tx: borrowing Transaction) throws {
    let range = read.window.range
    // The last block's header is there in any case.
    let end = min(read.everyHeaderFrom, range.upperBound)
    guard range.lowerBound < end else { return }
    let orphans = try Blocks.orphans(
      in: range.lowerBound..<end, chainID: deployment.chainID, in: tx)
    if !orphans.isSubset(of: read.also) { throw CursorError.moved }
  }
}

/// What was read and applied in one transaction.
public struct Step: Sendable {
  public let range: ClosedRange<UInt64>
  public let logs: Int
  /// Blocks whose logs may not all be there; they are open in the ledger.
  public let doubts: [Doubt]
  public let applied: ApplyReport

  init(_ window: Window, applied: ApplyReport) {
    range = window.range
    logs = window.logs.count
    doubts = window.doubts
    self.applied = applied
  }
}

/// Where a log stands on its chain.
private struct LogPlace: Hashable {
  let block: UInt64
  let index: UInt32
}

/// Ends a transaction that was only a rehearsal.
private struct Rehearsal: Error {}
