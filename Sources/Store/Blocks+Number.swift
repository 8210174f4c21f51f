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
}
