import Ethereum
import Postgres

/// Table `event`: raw logs, append-only. A log enters once.
public enum EventStore {
  /// Adds logs, skipping those that are there.
  ///
  /// The usual case, that none is there, is one COPY into the table; only if the key refuses a row
  /// are the logs staged and sorted out.
  ///
  /// - Returns: how many were new.
  public static func append(
    _ logs: [Log], chainID: UInt64, in tx: borrowing Transaction
  ) throws -> Int {
    if logs.isEmpty { return 0 }
    do {
      return try tx.savepoint {
        try tx.copyIn("event", columns: columns) { rows in
          for log in logs { try rows.append(log, chainID: Int64(chainID)) }
        }
      }
    } catch let error as PostgresError where error.sqlState == "23505" {
      return try stage(logs, chainID: chainID, in: tx).count
    }
  }

  /// Adds logs and returns the new ones, in chain order.
  public static func appendNew(
    _ logs: [Log], chainID: UInt64, in tx: borrowing Transaction
  ) throws -> [Log] {
    if logs.isEmpty { return [] }
    let new = Set(try stage(logs, chainID: chainID, in: tx))
    return logs.filter { new.contains(EventKey(block: $0.blockNumber, index: $0.logIndex)) }
  }

  /// Takes out stored logs of which these say something else at the same place of the same block.
  ///
  /// - Returns: what was taken out.
  public static func takeChanged(
    by logs: [Log], chainID: UInt64, in tx: borrowing Transaction
  ) throws -> [Log] {
    if logs.isEmpty { return [] }
    let told = Dictionary(
      logs.map { (Place($0), $0) }, uniquingKeysWith: { first, _ in first })
    var changed: [Log] = []
    let rows = try tx.query(
      """
      select e.block_number, e.log_index, e.block_hash, e.transaction_hash, e.transaction_index,
        e.address, e.topic0, e.topic1, e.topic2, e.topic3, e.data
      from unnest(\(logs.map { Int64(clamping: $0.blockNumber) }),
        \(logs.map { Int64($0.logIndex) }), \(logs.map(\.blockHash))) as t(number, index, hash)
      join event e on e.chain_id = \(chainID) and e.block_number = t.number
        and e.log_index = t.index and e.block_hash = t.hash
      """)
    for row in rows {
      let log = try Log(row)
      if let now = told[Place(log)], now != log { changed.append(log) }
    }
    try tx.executeBatch(
      changed.map { log in
        """
        delete from event where chain_id = \(chainID) and block_number = \(log.blockNumber)
          and log_index = \(Int32(bitPattern: log.logIndex)) and block_hash = \(log.blockHash)
        """
      })
    return changed
  }

  /// The key of a log on its chain.
  private struct Place: Hashable {
    let block: Bytes32
    let index: UInt32

    init(_ log: Log) {
      block = log.blockHash
      index = log.logIndex
    }
  }

  private static let columns: StaticString =
    """
    chain_id, block_number, log_index, block_hash, transaction_hash, transaction_index, address,
    topic0, topic1, topic2, topic3, data
    """

  private struct EventKey: Hashable {
    let block: UInt64
    let index: UInt32
  }

  private static func stage(
    _ logs: [Log], chainID: UInt64, in tx: borrowing Transaction
  ) throws -> [EventKey] {
    try tx.execute(
      "create temporary table if not exists event_staged (like event) on commit delete rows")
    try tx.execute("delete from event_staged")
    try tx.copyIn("event_staged", columns: columns) { rows in
      for log in logs { try rows.append(log, chainID: Int64(chainID)) }
    }
    return try tx.query(
      """
      insert into event select * from event_staged order by block_number, log_index
      on conflict do nothing returning block_number, log_index
      """
    ).map {
      EventKey(
        block: try $0.get(0, UInt64.self), index: UInt32(bitPattern: try $0.get(1, Int32.self)))
    }
  }

  /// Every log of these contracts in a range of blocks, in chain order: of a deployment's own
  /// blocks as far as they are given, of the canonical chain before them. Another deployment of the
  /// chain may have seen another fork since, and marked the newest blocks by it.
  ///
  /// Memory stays constant.
  public static func forEachLog(
    of addresses: Set<Address>, on own: [(number: UInt64, hash: Bytes32)] = [], chainID: UInt64,
    from first: UInt64 = 0, through last: UInt64, in tx: borrowing Transaction,
    _ body: (Log, _ timestamp: UInt64) throws -> Void
  ) throws {
    let lowest = own.last?.number ?? last + 1
    try tx.forEachRow(
      """
      select e.block_number, e.log_index, e.block_hash, e.transaction_hash, e.transaction_index,
        e.address, e.topic0, e.topic1, e.topic2, e.topic3, e.data, b.timestamp
      from event e
      join block b on b.chain_id = e.chain_id and b.number = e.block_number
        and b.hash = e.block_hash
      where e.chain_id = \(chainID) and e.block_number between \(first) and \(last)
        and (b.canonical and e.block_number < \(lowest)
          or e.block_hash = any(\(own.map(\.hash))))
        and e.address = any(\(addresses.sorted()))
      order by e.block_number, e.log_index
      """
    ) { row in
      try body(Log(row), try row.get(11, UInt64.self))
    }
  }
}

extension Log {
  /// Takes the eleven columns of a log, from block number to data.
  fileprivate init(_ row: borrowing Row) throws {
    self.init(
      address: try row.get(5, Address.self),
      topics: try (6...9).compactMap { try row.get($0, Bytes32?.self) },
      data: try row.get(10, [UInt8].self), blockNumber: try row.get(0, UInt64.self),
      blockHash: try row.get(2, Bytes32.self), transactionHash: try row.get(3, Bytes32.self),
      transactionIndex: UInt32(bitPattern: try row.get(4, Int32.self)),
      logIndex: UInt32(bitPattern: try row.get(1, Int32.self)))
  }
}

extension CopyWriter {
  fileprivate mutating func append(_ log: Log, chainID: Int64) throws {
    beginRow()
    try append(chainID)
    try append(log.blockNumber)
    try append(Int32(bitPattern: log.logIndex))
    try append(log.blockHash)
    try append(log.transactionHash)
    try append(Int32(bitPattern: log.transactionIndex))
    try append(log.address)
    for topic in log.topics.prefix(4) { try append(topic) }
    for _ in 0..<max(0, 4 - log.topics.count) { try appendNull() }
    try append(log.data)
  }
}
