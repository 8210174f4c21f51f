import Chain
import Ethereum
import Postgres
import Store
import Systems

/// Applying events that were fetched before.
extension Follower {
  /// Applies stored events from `next` on, as far as every filter version is verified in the
  /// ledger, in one transaction of a bounded number of logs.
  ///
  /// Contracts that these events reveal are new filter versions, missing from the first block on.
  ///
  /// - Returns: nil if the next block was not fetched.
  public mutating func applyStored(
    through last: UInt64, head: UInt64, commit: Bool = true
  ) throws -> Step? {
    guard next <= last else { return nil }
    var step: Step?
    var filters = filters
    var previous = takeKept()
    var stored: System.Mirror?
    var read: (window: Window, applied: ApplyReport)?
    cursor = try write(commit: commit) { tx in
      guard let piece = try storedPiece(through: last, in: tx) else { return cursor }
      // Runs that fetch may have revealed contracts since this one began.
      filters = try Ledger.filters(of: deployment.id, in: tx)
      let (logs, times) = try EventStore.logs(
        of: Set(filters.keys), in: piece.blocks, chainID: deployment.chainID, tx: tx)
      var mirror = try system.mirror(
        touchedBy: logs, after: previous.take(), of: deployment, in: tx)
      let applied = try system.apply(
        logs, of: deployment, times: times, finality: limits.finality(of: head), to: &mirror)
      try checkBeginning(applied, in: tx)
      try system.store(&mirror, of: deployment, in: tx)
      if !logs.isEmpty { try tell(of: piece.blocks, head: head, in: tx) }
      let revealed = system.addresses(revealedBy: logs, of: deployment)
      filters = try list(
        revealed.subtracting(filters.keys), among: filters, missing: piece.blocks.upperBound,
        in: tx)
      let window = Window(range: piece.blocks, logs: logs, headers: [piece.end])
      step = Step(window, applied: applied)
      read = (window, applied)
      stored = mirror
      return try cursor.move(
        Self.job, of: deployment.id, to: piece.end.number, hash: piece.end.hash, in: tx)
    }
    if commit {
      keep(stored.take())
      self.filters = filters
      unlisted.subtract(filters.keys)
      if let read { changes.noteRead(read.window.range, read.window.logs, read.applied) }
    }
    return step
  }

  /// The last block, at most `last`, before the next that was fetched already.
  public func gapEnd(through last: UInt64) throws -> UInt64 {
    let fetched = try db.transaction(.readOnly) { tx in
      try Ledger.firstVerified(after: next, of: deployment.id, in: tx)
    }
    return fetched.map { min(last, $0 - 1) } ?? last
  }

  /// What the ledger has open at `next`, if those blocks were read at all.
  func openAtNext() throws -> LedgerRange? {
    try db.transaction(.readOnly) { tx in
      try Ledger.open(of: deployment.id, through: next, in: tx).map(\.range)
        .first { $0.blocks.contains(next) && $0.state != .missing }
    }
  }

  /// Blocks from `next` on that are verified, and end with a block whose header is stored.
  private func storedPiece(
    through last: UInt64, in tx: borrowing Transaction
  ) throws -> (blocks: ClosedRange<UInt64>, end: BlockHeader)? {
    guard
      let verified = try Ledger.verifiedEnd(from: next, of: deployment.id, in: tx)
    else { return nil }
    let limit = try EventStore.pieceEnd(
      from: next, through: min(last, verified), logsMax: limits.logsMax,
      chainID: deployment.chainID, in: tx)
    guard let end = try Blocks.last(in: next...limit, chainID: deployment.chainID, in: tx)
    else { return nil }
    return (next...end.number, end)
  }
}
