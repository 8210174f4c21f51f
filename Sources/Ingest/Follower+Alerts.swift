import Postgres
import Store
import Systems

/// What others are told of the blocks that a follower writes, in the transaction that writes them.
extension Follower {
  /// Tells of liquidations and replaced contracts in the recent ones of some blocks: a backfill
  /// does not tell of a year.
  func tell(of blocks: ClosedRange<UInt64>, head: UInt64, in tx: borrowing Transaction) throws {
    let first = max(blocks.lowerBound, head > limits.toldBlocks ? head - limits.toldBlocks : 0)
    guard limits.toldBlocks > 0, first <= blocks.upperBound else { return }
    try Alerts.noticeLiquidations(
      in: first...blocks.upperBound, of: deployment.id, chainID: deployment.chainID, in: tx)
    try Alerts.noticeUpgrades(
      in: first...blocks.upperBound, of: deployment.id, chainID: deployment.chainID, in: tx)
  }

  /// Corrects what was told of blocks that the chain has left.
  func takeBackTold(above ancestor: UInt64, in tx: borrowing Transaction) throws {
    guard limits.toldBlocks > 0 else { return }
    try Alerts.takeBackNotices(above: ancestor, of: deployment.id, in: tx)
  }

  /// Corrects what was told of events that are no longer there, or no longer as they were told.
  func correctTold(in tx: borrowing Transaction) throws {
    guard limits.toldBlocks > 0 else { return }
    try Alerts.takeBackFalseNotices(of: deployment.id, chainID: deployment.chainID, in: tx)
  }
}
