import Ethereum
import Postgres

extension Blocks {
  /// The hash of the stored block of that number; nil if none is stored.
  public static func canonical(
    number: UInt64, chainID: UInt64, in tx: borrowing Transaction
  ) throws -> Bytes32? {
    try tx.query(
      """
      select hash from block
      where chain_id = \(chainID) and number = \(number) and canonical
      """
    ).first?.get(0, Bytes32.self)
  }

  /// The last stored canonical block of a range; nil if none is stored.
  public static func last(
    in blocks: ClosedRange<UInt64>, chainID: UInt64, in tx: borrowing Transaction
  ) throws -> BlockHeader? {
    let rows = try tx.query(
      """
      select number, hash, parent_hash, timestamp from block
      where chain_id = \(chainID) and number between \(blocks.lowerBound) and \(blocks.upperBound)
        and canonical
      order by number desc limit 1
      """)
    guard let row = rows.first else { return nil }
    return BlockHeader(
      number: try row.get(0, UInt64.self), hash: try row.get(1, Bytes32.self),
      parentHash: try row.get(2, Bytes32.self), timestamp: try row.get(3, UInt64.self))
  }
}

extension Blocks {
  /// The newest of these blocks that is stored as canonical.
  public static func newestCanonical(
    among blocks: [(number: UInt64, hash: Bytes32)], chainID: UInt64, in tx: borrowing Transaction
  ) throws -> (number: UInt64, hash: Bytes32)? {
    let rows = try tx.query(
      """
      select b.number, b.hash from block b
      join unnest(\(blocks.map { Int64($0.number) }), \(blocks.map(\.hash))) as own(number, hash)
        on b.number = own.number and b.hash = own.hash
      where b.chain_id = \(chainID) and b.canonical order by b.number desc limit 1
      """)
    guard let row = rows.first else { return nil }
    return (try row.get(0, UInt64.self), try row.get(1, Bytes32.self))
  }
}
