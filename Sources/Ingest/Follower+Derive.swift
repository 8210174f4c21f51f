import Ethereum
import Postgres
import Store
import Systems

/// Deriving the mirror again from stored events.
extension Follower {
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
    changes.noteOthers()
    let watched = try db.transaction(.readOnly) { tx in
      try system.watched(of: deployment, in: tx)
    }
    unlisted = watched.subtracting(filters.keys)
  }

  func derive(
    _ markets: Set<Bytes32>?, head: UInt64, in tx: borrowing Transaction
  ) throws -> Cursor {
    guard let block = cursor.block, let hash = cursor.hash else { return cursor }
    var mirror = try system.baseMirror(
      following: markets, keepsHistory: true, of: deployment, in: tx)
    try EventStore.forEachLog(
      of: watched, on: ancestry(of: cursor, in: tx), chainID: deployment.chainID,
      from: bootstrapBlock.map { $0 + 1 } ?? 0, through: block, in: tx
    ) { log, timestamp in
      _ = try system.apply(
        [log], of: deployment, times: [log.blockNumber: timestamp],
        finality: limits.finality(of: head), to: &mirror)
    }
    try system.replace(with: mirror, of: deployment, in: tx)
    try correctTold(in: tx)
    try tell(of: 0...block, head: head, in: tx)
    return try cursor.move(Self.job, of: deployment.id, to: block, hash: hash, in: tx)
  }
}
