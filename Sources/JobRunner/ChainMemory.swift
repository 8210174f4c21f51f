import Chain
import Ethereum
import Postgres
import Store

/// What the database knows of a chain before a run, and learns of it after.
public struct ChainMemory: Sendable, Equatable {
  /// What earlier runs have learnt of the endpoints.
  public var endpoints: [EndpointMemory]

  /// The hash of block 0, once it was noted.
  public var genesis: Bytes32?

  public init(endpoints: [EndpointMemory], genesis: Bytes32?) {
    self.endpoints = endpoints
    self.genesis = genesis
  }

  /// Reads it.
  public static func load(chainID: UInt64, in tx: borrowing Transaction) throws -> ChainMemory {
    let records = try Endpoints.load(chainID: chainID, in: tx)
    return ChainMemory(
      endpoints: records.map(EndpointMemory.init),
      genesis: try Chains.genesis(of: chainID, in: tx))
  }

  /// Stores what `chain` has learnt of its endpoints. Costs one statement, or none when it knows
  /// no more than this memory.
  public func store(whatIsNewIn chain: Chain, in tx: borrowing Transaction) throws {
    let new = chain.memory.filter { !endpoints.contains($0) }
    try Endpoints.store(new.map(EndpointRecord.init), chainID: chain.chainID, in: tx)
  }
}

extension EndpointMemory {
  init(_ record: EndpointRecord) {
    let limit = { (value: Int64?) in value.map { UInt64(clamping: $0) } }
    self.init(
      name: record.name, windowLimit: limit(record.windowLimit),
      windowMaximum: limit(record.windowMaximum), aggregateLimit: limit(record.aggregateLimit),
      batchLimit: limit(record.batchLimit), batchMaximum: limit(record.batchMaximum),
      logsPerAnswerMax: limit(record.logsPerAnswerMax), concurrency: Int(record.concurrency),
      knowsBlockHashes: record.knowsBlockHashes, score: Int(record.score))
  }
}

extension EndpointRecord {
  init(_ memory: EndpointMemory) {
    let limit = { (value: UInt64?) in value.map { Int64(clamping: $0) } }
    self.init(
      name: memory.name, windowLimit: limit(memory.windowLimit),
      windowMaximum: limit(memory.windowMaximum), aggregateLimit: limit(memory.aggregateLimit),
      batchLimit: limit(memory.batchLimit), batchMaximum: limit(memory.batchMaximum),
      logsPerAnswerMax: limit(memory.logsPerAnswerMax), concurrency: Int64(memory.concurrency),
      knowsBlockHashes: memory.knowsBlockHashes, score: Int64(memory.score))
  }
}
