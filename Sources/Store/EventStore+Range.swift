import Ethereum
import Postgres

extension EventStore {
  /// The canonical logs of these contracts in a range of blocks, in chain order, with the time of
  /// each block that has some.
  public static func logs(
    of addresses: Set<Address>, in blocks: ClosedRange<UInt64>, chainID: UInt64,
    tx: borrowing Transaction
  ) throws -> (logs: [Log], times: [UInt64: UInt64]) {
    var logs: [Log] = []
    var times: [UInt64: UInt64] = [:]
    try forEachLog(
      of: addresses, chainID: chainID, from: blocks.lowerBound, through: blocks.upperBound, in: tx
    ) { log, timestamp in
      logs.append(log)
      times[log.blockNumber] = timestamp
    }
    return (logs, times)
  }

  /// Whether any event of these blocks is stored. One look at the index.
  public static func holdsAny(
    in blocks: ClosedRange<UInt64>, chainID: UInt64, in tx: borrowing Transaction
  ) throws -> Bool {
    try tx.query(
      """
      select exists (select from event where chain_id = \(chainID)
        and block_number between \(blocks.lowerBound) and \(blocks.upperBound))
      """
    ).first?.get(0, Bool.self) ?? true
  }

  /// The last block that a piece of at most `logsMax` logs from `first` on can hold whole; `last`
  /// if there are no more. A block with more logs than that is a piece of its own.
  public static func pieceEnd(
    from first: UInt64, through last: UInt64, logsMax: Int, chainID: UInt64,
    in tx: borrowing Transaction
  ) throws -> UInt64 {
    let block = try tx.query(
      """
      select block_number from event
      where chain_id = \(chainID) and block_number between \(first) and \(last)
      order by block_number, log_index limit 1 offset \(Int64(logsMax))
      """
    ).first?.get(0, UInt64.self)
    guard let block else { return last }
    return max(first, block - 1)
  }
}
