import Ethereum
import Postgres

/// What one run has learnt of an endpoint, as table `endpoint_memory` keeps it. A limit of nil
/// means that nothing was refused.
public struct EndpointRecord: Equatable, Sendable {
  /// The endpoint's name in the configuration; its URL is never stored.
  public var name: String
  public var windowLimit: Int64?
  public var windowMaximum: Int64?
  public var aggregateLimit: Int64?
  public var batchLimit: Int64?
  public var batchMaximum: Int64?
  public var logsPerAnswerMax: Int64?
  /// Batches at once, from 1.
  public var concurrency: Int64
  public var knowsBlockHashes: Bool
  /// Never positive.
  public var score: Int64

  public init(
    name: String, windowLimit: Int64? = nil, windowMaximum: Int64? = nil,
    aggregateLimit: Int64? = nil, batchLimit: Int64? = nil, batchMaximum: Int64? = nil,
    logsPerAnswerMax: Int64? = nil, concurrency: Int64, knowsBlockHashes: Bool, score: Int64
  ) {
    self.name = name
    self.windowLimit = windowLimit
    self.windowMaximum = windowMaximum
    self.aggregateLimit = aggregateLimit
    self.batchLimit = batchLimit
    self.batchMaximum = batchMaximum
    self.logsPerAnswerMax = logsPerAnswerMax
    self.concurrency = concurrency
    self.knowsBlockHashes = knowsBlockHashes
    self.score = score
  }
}

/// Table `endpoint_memory`.
public enum Endpoints {
  /// The statement that reads everything remembered of every chain, for `stored`: few rows.
  public static let all: SQL =
    """
    select chain_id, endpoint, window_limit, window_maximum, aggregate_limit, batch_limit,
      batch_maximum, logs_per_answer_max, concurrency, knows_block_hashes, score
    from endpoint_memory order by endpoint
    """

  /// What `all` has read of a chain.
  public static func stored(_ rows: Rows, chainID: UInt64) throws -> [EndpointRecord] {
    try rows.filter { try $0.get(0, UInt64.self) == chainID }.map { row in
      EndpointRecord(
        name: try row.get(1, String.self), windowLimit: try row.get(2, Int64?.self),
        windowMaximum: try row.get(3, Int64?.self), aggregateLimit: try row.get(4, Int64?.self),
        batchLimit: try row.get(5, Int64?.self), batchMaximum: try row.get(6, Int64?.self),
        logsPerAnswerMax: try row.get(7, Int64?.self), concurrency: try row.get(8, Int64.self),
        knowsBlockHashes: try row.get(9, Bool.self), score: try row.get(10, Int64.self))
    }
  }

  /// Stores what has changed, in one statement; two runs may do so at once.
  ///
  /// - Returns: how many rows that were.
  @discardableResult
  public static func store(
    _ records: [EndpointRecord], chainID: UInt64, in tx: borrowing Transaction
  ) throws -> Int {
    // In one order two runs cannot deadlock.
    let records = records.sorted { $0.name < $1.name }
    if records.isEmpty { return 0 }
    // Arrays hold no nulls; a limit is above zero.
    let limits = { (value: KeyPath<EndpointRecord, Int64?>) in
      records.map { $0[keyPath: value] ?? 0 }
    }
    return try tx.execute(
      """
      insert into endpoint_memory as old (chain_id, endpoint, window_limit, window_maximum,
        aggregate_limit, batch_limit, batch_maximum, logs_per_answer_max, concurrency,
        knows_block_hashes, score)
      select \(chainID), name, nullif(wl, 0), nullif(wm, 0), nullif(al, 0), nullif(bl, 0),
        nullif(bm, 0), nullif(lm, 0), concurrency, hashes, score
      from unnest(\(records.map(\.name)), \(limits(\.windowLimit)), \(limits(\.windowMaximum)),
        \(limits(\.aggregateLimit)), \(limits(\.batchLimit)), \(limits(\.batchMaximum)),
        \(limits(\.logsPerAnswerMax)), \(records.map(\.concurrency)),
        \(records.map(\.knowsBlockHashes)), \(records.map(\.score)))
        as new(name, wl, wm, al, bl, bm, lm, concurrency, hashes, score)
      on conflict (chain_id, endpoint) do update set
        (window_limit, window_maximum, aggregate_limit, batch_limit, batch_maximum,
          logs_per_answer_max, concurrency, knows_block_hashes, score, updated_at)
        = (excluded.window_limit, excluded.window_maximum, excluded.aggregate_limit,
          excluded.batch_limit, excluded.batch_maximum, excluded.logs_per_answer_max,
          excluded.concurrency, excluded.knows_block_hashes, excluded.score, now())
      where (old.window_limit, old.window_maximum, old.aggregate_limit, old.batch_limit,
          old.batch_maximum, old.logs_per_answer_max, old.concurrency, old.knows_block_hashes,
          old.score)
        is distinct from (excluded.window_limit, excluded.window_maximum,
          excluded.aggregate_limit, excluded.batch_limit, excluded.batch_maximum,
          excluded.logs_per_answer_max, excluded.concurrency, excluded.knows_block_hashes,
          excluded.score)
      """)
  }
}

/// Table `chain`: what block 0 of each chain is.
public enum Chains {
  /// The statement that reads every chain's block 0, for `stored`.
  public static let all: SQL = "select chain_id, genesis_hash from chain"

  /// The hash of block 0 of a chain, if `all` has read it.
  public static func stored(_ rows: Rows, chainID: UInt64) throws -> Bytes32? {
    try rows.first { try $0.get(0, UInt64.self) == chainID }?.get(1, Bytes32.self)
  }

  /// The hash of block 0, or nil when none was noted yet.
  public static func genesis(
    of chainID: UInt64, in tx: borrowing Transaction
  ) throws -> Bytes32? {
    try tx.query("select genesis_hash from chain where chain_id = \(chainID)").first?
      .get(0, Bytes32.self)
  }

  /// Notes the hash of block 0, once and for all.
  ///
  /// - Throws: `ChainsError.otherGenesis` if another is noted.
  public static func note(
    genesis: Bytes32, of chainID: UInt64, in tx: borrowing Transaction
  ) throws {
    let added = try tx.execute(
      """
      insert into chain (chain_id, genesis_hash) values (\(chainID), \(genesis))
      on conflict do nothing
      """)
    if added == 1 { return }
    guard let stored = try self.genesis(of: chainID, in: tx), stored == genesis else {
      throw ChainsError.otherGenesis(chainID: chainID)
    }
  }
}

/// Why a chain is not the one of the database.
public enum ChainsError: Error, Equatable, CustomStringConvertible {
  /// Its block 0 is another than the one that was noted.
  case otherGenesis(chainID: UInt64)

  public var description: String {
    switch self {
    case .otherGenesis(let chainID):
      "chain \(chainID): its block 0 is not the one that this database has noted; it is another "
        + "chain with the same number; if the noted one is wrong: delete from chain where "
        + "chain_id = \(chainID)"
    }
  }
}
