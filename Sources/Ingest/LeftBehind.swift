import Chain
import Ethereum
import Postgres
import Store

/// Finds stored blocks that the chain has left although nobody has said so: a deployment read them
/// at the head, and then was paused or removed.
///
/// One answer does not take a block off the chain. It has left it if the headers above it, as two
/// endpoints tell them where there are two, lead without a gap to a block that is stored as well.
struct LeftBehind {
  let chain: Chain
  let db: Connection
  let chainID: UInt64
  /// Headers that are followed at most.
  let blocksMax: UInt64

  /// Contradicted blocks that are looked at.
  private static var foundMax: Int { 16 }

  /// Of the stored blocks that these headers contradict, those that are proved to be left, up to
  /// the last one that cannot be taken back any more.
  func find(
    contradicting headers: [BlockHeader], through last: UInt64
  ) throws -> [(number: UInt64, hash: Bytes32)] {
    let found = try db.transaction(.readOnly) { tx in
      try Blocks.contradictions(of: headers, atMost: Self.foundMax, chainID: chainID, in: tx)
    }
    return try found.filter { block in try block.number <= last && isLeft(block) }
  }

  private func isLeft(_ block: (number: UInt64, hash: Bytes32)) throws -> Bool {
    let (end, isEndless) = block.number.addingReportingOverflow(blocksMax)
    guard !isEndless, block.number < end else { return false }
    let above = try db.transaction(.readOnly) { tx in
      try Blocks.canonical(in: block.number + 1...end, chainID: chainID, in: tx)
    }
    guard let highest = above.last?.number else { return false }
    do throws(ChainError) {
      return try isLeft(block, above: above, highest)
    } catch {
      switch error {
      case .forked, .tooFewWitnesses: return false
      default: throw error
      }
    }
  }

  private func isLeft(
    _ block: (number: UInt64, hash: Bytes32), above: [BlockHeader], _ highest: UInt64
  ) throws(ChainError) -> Bool {
    try chain.agreed(on: Array(block.number...highest)) { told in
      // Without a gap from the block on; the chain has checked their links.
      let linked = zip(told, block.number...).prefix { $0.number == $1 }.map { $0.0 }
      guard let other = linked.first, other.hash != block.hash else { return false }
      let known = Dictionary(
        linked.map { ($0.number, $0) }, uniquingKeysWith: { first, _ in first })
      return above.contains { stored in
        known[stored.number]?.hash == stored.hash
          && known[stored.number - 1]?.hash == stored.parentHash
      }
    } ?? false
  }
}
