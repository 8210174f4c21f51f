import Ethereum
import Postgres

/// A range of blocks of which a foreign indexer says that every event is stored.
public struct Declaration: Sendable, Equatable {
  public let blocks: ClosedRange<UInt64>
  /// The last block's hash.
  public let end: Bytes32
  /// The contracts whose events are stored; nil: every contract of the chain.
  public let addresses: Set<Address>?

  public func covers(_ contracts: Set<Address>) -> Bool {
    addresses.map(contracts.isSubset) ?? true
  }
}

/// Tables `declared_range` and `foreign_reading`: what a foreign indexer says of the events that it
/// writes, and how far that was taken note of.
///
/// The indexer's transactions commit in any order, and a later number may be there before an
/// earlier one. A declaration is believed when no transaction is running any more that was running
/// when it was made (`declared_xid` is at most the oldest running one, the horizon): then all that
/// was written before it is visible, or was rolled back. A declaration whose last block is not on
/// the stored canonical chain is void.
public enum Declarations {
  /// Declarations that are looked at together.
  public static let readMax = 10_000

  /// The oldest transaction that is running.
  public static func horizon(in tx: borrowing Transaction) throws -> Int64 {
    try tx.query("select pg_snapshot_xmin(pg_current_snapshot())::text::bigint").only
      .get(0, Int64.self)
  }

  /// The horizon below which a deployment has taken note of every declaration.
  public static func noted(of deployment: Int32, in tx: borrowing Transaction) throws -> Int64 {
    try tx.query(
      "select horizon::text::bigint from foreign_reading where deployment_id = \(deployment)"
    ).first?.get(0, Int64.self) ?? 0
  }

  /// Notes that every declaration below a horizon was taken note of.
  public static func note(
    _ horizon: Int64, of deployment: Int32, in tx: borrowing Transaction
  ) throws {
    try tx.execute(
      """
      insert into foreign_reading (deployment_id, horizon)
      values (\(deployment), \(String(horizon))::text::xid8)
      on conflict (deployment_id) do update set horizon = excluded.horizon
      """)
  }

  /// Whether anything was declared between two horizons.
  public static func isAnyNew(
    from old: Int64, to new: Int64, chainID: UInt64, in tx: borrowing Transaction
  ) throws -> Bool {
    try tx.query(
      """
      select exists (select from declared_range where chain_id = \(chainID)
        and declared_xid > \(String(old))::text::xid8
        and declared_xid <= \(String(new))::text::xid8)
      """
    ).only.get(0, Bool.self)
  }

  /// Declarations between two horizons that reach into a range of blocks, by their first blocks; at
  /// most ten thousand.
  public static func reaching(
    into blocks: ClosedRange<UInt64>, from old: Int64 = 0, to new: Int64, chainID: UInt64,
    in tx: borrowing Transaction
  ) throws -> [Declaration] {
    try tx.query(
      """
      select d.from_block, d.to_block, d.to_hash, d.addresses from declared_range d
      join block b on b.chain_id = d.chain_id and b.number = d.to_block and b.hash = d.to_hash
        and b.canonical
      where d.chain_id = \(chainID) and d.to_block >= \(blocks.lowerBound)
        and d.from_block <= \(blocks.upperBound)
        and d.declared_xid > \(String(old))::text::xid8
        and d.declared_xid <= \(String(new))::text::xid8
      order by d.from_block, d.to_block limit \(Int64(readMax))
      """
    ).map { row in
      Declaration(
        blocks: try row.get(0, UInt64.self)...row.get(1, UInt64.self),
        end: try row.get(2, Bytes32.self),
        addresses: try row.get(3, [Address]?.self).map(Set.init))
    }
  }

  /// The blocks of a range that declarations between two horizons reach into, without the first
  /// ten thousand of them in the order of `reaching`; ascending.
  public static func rest(
    into blocks: ClosedRange<UInt64>, from old: Int64, to new: Int64, chainID: UInt64,
    in tx: borrowing Transaction
  ) throws -> [ClosedRange<UInt64>] {
    try tx.query(
      """
      select lower(part), upper(part) - 1 from (
        select unnest(range_agg(int8range(greatest(from_block, \(blocks.lowerBound)::bigint),
          least(to_block, \(blocks.upperBound)), '[]'))) as part
        from (
          select d.from_block, d.to_block from declared_range d
          join block b on b.chain_id = d.chain_id and b.number = d.to_block
            and b.hash = d.to_hash and b.canonical
          where d.chain_id = \(chainID) and d.to_block >= \(blocks.lowerBound)
            and d.from_block <= \(blocks.upperBound)
            and d.declared_xid > \(String(old))::text::xid8
            and d.declared_xid <= \(String(new))::text::xid8
          order by d.from_block, d.to_block offset \(Int64(readMax))
        ) late
      ) parts order by part
      """
    ).map { try $0.get(0, UInt64.self)...$0.get(1, UInt64.self) }
  }

  /// The first block of a range with an event that a transaction wrote which is not older than
  /// every running one: others of its kind may still come.
  ///
  /// `xmin` has 32 bits and wraps; it is compared within the few transactions that may be running.
  public static func firstUnsettled(
    in blocks: ClosedRange<UInt64>, chainID: UInt64, in tx: borrowing Transaction
  ) throws -> UInt64? {
    try tx.query(
      """
      with now as (
        select pg_snapshot_xmin(pg_current_snapshot())::text::bigint as oldest,
          pg_snapshot_xmax(pg_current_snapshot())::text::bigint as next
      )
      select min(e.block_number) from event e, now
      where e.chain_id = \(chainID)
        and e.block_number between \(blocks.lowerBound) and \(blocks.upperBound)
        and (e.xmin::text::bigint - oldest & 4294967295) < next - oldest
      """
    ).first?.get(0, UInt64?.self)
  }
}
