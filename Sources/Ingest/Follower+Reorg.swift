import Chain
import Ethereum
import Postgres
import Store
import Systems

/// Taking back what the chain has taken back.
extension Follower {
  /// Takes back what the chain has taken back; without `commit` it only tells what it would.
  ///
  /// `stored` is the chain's block of the cursor's number, if it was asked for already. Blocks are
  /// taken back on the word of two endpoints, or of as many as must agree, where there are as many.
  ///
  /// - Throws: `IngestError.reorgTooDeep` if no common block is stored within the limit, and
  ///   `ChainError.forked` if endpoints lead to different ones.
  public mutating func reconcile(
    head: BlockHeader, stored: BlockHeader? = nil, commit: Bool = true
  ) throws -> Reconciliation {
    guard let block = cursor.block, let hash = cursor.hash else { return .unchanged }
    if head.number == block, head.hash == hash { return .unchanged }
    if head.number >= block, try (stored ?? chain.header(number: block))?.hash == hash {
      return .unchanged
    }
    // So far behind that nothing it says can be compared.
    if head.number + limits.reorg < block { return .nodeBehind(by: block - head.number) }

    let own = try ancestry(of: cursor)
    // In the middle of a history not every block is stored, and the node may know none that is.
    if let lowest = own.last, head.number < lowest.number {
      return .nodeBehind(by: block - head.number)
    }
    let common = try common(of: own, through: head.number)
    // A node that is behind, but on our chain, takes nothing back.
    guard let common, common != .block(head.number) else {
      return .nodeBehind(by: block - head.number)
    }
    if common == .block(block) { return .unchanged }
    return try takeBack(
      own, to: own.first { common == .block($0.number) }, commit: commit)
  }

  /// Where our own blocks and the chain part; nil if no endpoint can tell.
  private func common(
    of own: [(number: UInt64, hash: Bytes32)], through last: UInt64
  ) throws(ChainError) -> Common? {
    let own = own.filter { $0.number <= last }
    return try chain.agreed(on: own.map(\.number)) { theirs in
      let onChain = Dictionary(
        theirs.map { ($0.number, $0.hash) }, uniquingKeysWith: { first, _ in first })
      guard let newest = theirs.map(\.number).max() else { return nil }
      let ancestor = own.first { onChain[$0.number] == $0.hash }?.number
      // One that has nothing above the common block cannot know that it is the last.
      if newest == ancestor, newest != own.first?.number { return nil }
      return ancestor.map(Common.block) ?? .noBlock
    }
  }

  /// Takes back the blocks of the deployment's own chain above the common one; nil: all.
  mutating func takeBack(
    _ own: [(number: UInt64, hash: Bytes32)], to ancestor: (number: UInt64, hash: Bytes32)?,
    commit: Bool
  ) throws -> Reconciliation {
    let kept = try ancestor?.number ?? beforeEverything(own)
    let block = cursor.block ?? kept
    cursor = try write(commit: commit) { tx in
      try system.takeBack(to: kept, of: deployment, in: tx)
      try takeBackTold(above: kept, in: tx)
      try Blocks.orphan(own.filter { $0.number > kept }, chainID: deployment.chainID, in: tx)
      try Ledger.takeBack(
        to: ancestor?.number, watching: system.watched(of: deployment, in: tx),
        of: deployment.id, in: tx)
      guard let ancestor else { return try cursor.forget(Self.job, of: deployment.id, in: tx) }
      return try cursor.move(
        Self.job, of: deployment.id, to: ancestor.number, hash: ancestor.hash, in: tx)
    }
    if commit { changes.noteOthers() }
    (filters, unlisted) = try db.transaction(.readOnly) { tx in
      let filters = try Ledger.filters(of: deployment.id, in: tx)
      return (filters, try system.watched(of: deployment, in: tx).subtracting(filters.keys))
    }
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
  func ancestry(of cursor: Cursor) throws -> [(number: UInt64, hash: Bytes32)] {
    try db.transaction(.readOnly) { tx in try ancestry(of: cursor, in: tx) }
  }

  func ancestry(
    of cursor: Cursor, in tx: borrowing Transaction
  ) throws -> [(number: UInt64, hash: Bytes32)] {
    guard let block = cursor.block, let hash = cursor.hash else { return [] }
    return try Blocks.ancestry(
      of: hash, number: block, limit: Int(limits.reorg), chainID: deployment.chainID, in: tx)
  }
}

/// The newest block that is ours and the chain's.
private enum Common: Equatable, CustomStringConvertible {
  case block(UInt64)
  case noBlock

  var description: String {
    switch self {
    case .block(let number): "block \(number) is the last common one"
    case .noBlock: "no block within the limit is a common one"
    }
  }
}

/// What became of the blocks that were read before.
public enum Reconciliation: Equatable, Sendable {
  case unchanged
  case takenBack(blocks: UInt64)
  case nodeBehind(by: UInt64)
}
