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

  /// The statements whose answers `init` takes, in their order.
  static let questions: [SQL] = [Endpoints.all, Chains.all]

  /// What the database has answered to `questions`.
  init(_ answers: some RandomAccessCollection<Rows>, chainID: UInt64) throws {
    let answers = Array(answers)
    self.init(
      endpoints: try Endpoints.stored(answers[0], chainID: chainID).map(EndpointMemory.init),
      genesis: try Chains.stored(answers[1], chainID: chainID))
  }

  /// Stores what `chain` has learnt. Costs no transaction when that is nothing.
  ///
  /// Block 0 is noted for ever, and a false one would have every honest endpoint refused: only a
  /// run that has succeeded notes it, once more than one answer speaks for it.
  func store(whatIsNewIn chain: Chain, hasSucceeded: Bool, on db: Connection) throws {
    let genesis = hasSucceeded && genesis == nil ? try? chain.confirmedGenesis() : nil
    let new = chain.memory.filter { !endpoints.contains($0) }
    if new.isEmpty, genesis == nil { return }
    try db.transaction { tx in
      try Endpoints.store(new.map(EndpointRecord.init), chainID: chain.chainID, in: tx)
      if let genesis { try Chains.note(genesis: genesis, of: chain.chainID, in: tx) }
    }
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
