import Ethereum
import Postgres

/// Table `block`: the headers that were read.
public enum Blocks {
  /// Adds headers of the canonical chain; others at the same numbers no longer are.
  public static func append(
    _ headers: [BlockHeader], chainID: UInt64, in tx: borrowing Transaction
  ) throws {
    if headers.isEmpty { return }
    let areCopied = try headers.count >= copiedMin && copy(headers, chainID: chainID, in: tx)
    if areCopied, try areAlone(headers, chainID: chainID, in: tx) { return }
    if !areCopied { try insert(headers, chainID: chainID, in: tx) }
    try tx.execute(
      """
      update block b set canonical = false
      from unnest(\(headers.map(\.number)), \(headers.map(\.hash))) as now(number, hash)
      where b.chain_id = \(chainID) and b.number = now.number and b.hash <> now.hash
        and b.canonical
      """)
  }

  /// Fewer headers are inserted, which takes fewer round trips.
  private static let copiedMin = 64

  /// - Returns: false if one of them is stored already; then none has been copied.
  private static func copy(
    _ headers: [BlockHeader], chainID: UInt64, in tx: borrowing Transaction
  ) throws -> Bool {
    do {
      try tx.savepoint {
        try tx.copyIn("block", columns: "chain_id, number, hash, parent_hash, timestamp") { rows in
          for header in headers {
            rows.beginRow()
            try rows.append(chainID)
            try rows.append(header.number)
            try rows.append(header.hash)
            try rows.append(header.parentHash)
            try rows.append(header.timestamp)
          }
        }
      }
      return true
    } catch let error as PostgresError where error.sqlState == "23505" {
      return false
    }
  }

  private static func insert(
    _ headers: [BlockHeader], chainID: UInt64, in tx: borrowing Transaction
  ) throws {
    try tx.execute(
      """
      insert into block (chain_id, number, hash, parent_hash, timestamp)
      select \(chainID), * from unnest(\(headers.map(\.number)), \(headers.map(\.hash)),
        \(headers.map(\.parentHash)), \(headers.map(\.timestamp)))
      on conflict (chain_id, number, hash) do update set canonical = true where not block.canonical
      """)
  }

  /// Whether no other canonical block lies among them. Asked after they were written, so that what
  /// another deployment of the chain has committed meanwhile is seen.
  private static func areAlone(
    _ headers: [BlockHeader], chainID: UInt64, in tx: borrowing Transaction
  ) throws -> Bool {
    let numbers = headers.map(\.number)
    guard let first = numbers.min(), let last = numbers.max() else { return true }
    let count = try tx.query(
      """
      select count(*) from block
      where chain_id = \(chainID) and number between \(first) and \(last) and canonical
      """
    ).first?.get(0, Int.self)
    return count == headers.count
  }

  /// A block and its stored ancestors, newest first: at most `limit` of them, so that the last one
  /// is where `limit` blocks have been taken back. Ends where a parent is not stored.
  public static func ancestry(
    of block: Bytes32, number: UInt64, limit: Int, chainID: UInt64, in tx: borrowing Transaction
  ) throws -> [(number: UInt64, hash: Bytes32)] {
    try tx.query(
      """
      with recursive own as (
        select number, hash, parent_hash from block
        where chain_id = \(chainID) and number = \(number) and hash = \(block)
        union all
        select b.number, b.hash, b.parent_hash from block b
        join own on b.chain_id = \(chainID) and b.number = own.number - 1
          and b.hash = own.parent_hash
        where own.number > \(number) - \(Int64(limit))
      )
      select number, hash from own order by number desc
      """
    ).map { (try $0.get(0, UInt64.self), try $0.get(1, Bytes32.self)) }
  }

  /// The header of a stored block.
  public static func header(
    number: UInt64, hash: Bytes32, chainID: UInt64, in tx: borrowing Transaction
  ) throws -> BlockHeader? {
    let rows = try tx.query(
      """
      select parent_hash, timestamp from block
      where chain_id = \(chainID) and number = \(number) and hash = \(hash)
      """)
    guard let row = rows.first else { return nil }
    return BlockHeader(
      number: number, hash: hash, parentHash: try row.get(0, Bytes32.self),
      timestamp: try row.get(1, UInt64.self))
  }

  /// The numbers among those at which some deployment of the chain has taken a block back.
  public static func orphans(
    in numbers: Range<UInt64>, chainID: UInt64, in tx: borrowing Transaction
  ) throws -> Set<UInt64> {
    if numbers.isEmpty { return [] }
    return Set(
      try tx.query(
        """
        select distinct number from block
        where chain_id = \(chainID) and number between \(numbers.lowerBound)
          and \(Int64(clamping: numbers.upperBound - 1)) and not canonical
        """
      ).map { try $0.get(0, UInt64.self) })
  }

  /// The first of these headers that is not the stored canonical block of its number.
  public static func contradicted(
    by headers: [BlockHeader], chainID: UInt64, in tx: borrowing Transaction
  ) throws -> UInt64? {
    try contradictions(of: headers, atMost: 1, chainID: chainID, in: tx).first?.number
  }

  /// The stored canonical blocks that have other hashes than these headers of their numbers.
  public static func contradictions(
    of headers: [BlockHeader], atMost count: Int, chainID: UInt64, in tx: borrowing Transaction
  ) throws -> [(number: UInt64, hash: Bytes32)] {
    try tx.query(
      """
      select b.number, b.hash from block b
      join unnest(\(headers.map { Int64($0.number) }), \(headers.map(\.hash))) as now(number, hash)
        on b.number = now.number and b.hash <> now.hash
      where b.chain_id = \(chainID) and b.canonical order by b.number limit \(Int64(count))
      """
    ).map { (try $0.get(0, UInt64.self), try $0.get(1, Bytes32.self)) }
  }

  /// The stored canonical blocks of a range, ascending.
  public static func canonical(
    in blocks: ClosedRange<UInt64>, chainID: UInt64, in tx: borrowing Transaction
  ) throws -> [BlockHeader] {
    try tx.query(
      """
      select number, hash, parent_hash, timestamp from block
      where chain_id = \(chainID) and number between \(blocks.lowerBound)
        and \(Int64(clamping: blocks.upperBound)) and canonical
      order by number
      """
    ).map { row in
      BlockHeader(
        number: try row.get(0, UInt64.self), hash: try row.get(1, Bytes32.self),
        parentHash: try row.get(2, Bytes32.self), timestamp: try row.get(3, UInt64.self))
    }
  }

  /// These blocks are no longer on the chain.
  public static func orphan(
    _ blocks: [(number: UInt64, hash: Bytes32)], chainID: UInt64, in tx: borrowing Transaction
  ) throws {
    // Two deployments of a chain may do this at once: in one order they cannot deadlock.
    let blocks = blocks.sorted { $0.number < $1.number }
    let numbers = blocks.map(\.number)
    let hashes = blocks.map(\.hash)
    try tx.execute(
      """
      update block b set canonical = false from unnest(\(numbers), \(hashes)) as gone(number, hash)
      where b.chain_id = \(chainID) and b.number = gone.number and b.hash = gone.hash
      """)
  }
}
