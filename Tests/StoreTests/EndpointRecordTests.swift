import Ethereum
import Postgres
import TestKit
import Testing

@testable import Store

@Suite struct EndpointRecordTests {
  let ground: Ground

  init() throws { ground = try Ground() }

  private static let known = EndpointRecord(
    name: "a", windowLimit: 500, windowMaximum: 1000, aggregateLimit: 20, batchLimit: 3,
    batchMaximum: 4, logsPerAnswerMax: 10_000, concurrency: 8, knowsBlockHashes: false, score: -300)
  private static let unknown = EndpointRecord(
    name: "b", concurrency: 2, knowsBlockHashes: true, score: 0)

  private func store(_ records: [EndpointRecord], chainID: UInt64 = 56) throws -> Int {
    try ground.db.transaction { try Endpoints.store(records, chainID: chainID, in: $0) }
  }

  private func load(chainID: UInt64 = 56) throws -> [EndpointRecord] {
    try ground.db.transaction(.readOnly) { tx in
      try Endpoints.stored(tx.query(Endpoints.all), chainID: chainID)
    }
  }

  @Test func whatIsStoredIsLoaded() throws {
    #expect(try load().isEmpty)
    #expect(try store([Self.unknown, Self.known]) == 2)
    #expect(try load() == [Self.known, Self.unknown])
    #expect(try store([]) == 0)
    #expect(try load(chainID: 1).isEmpty)
  }

  @Test func onlyWhatHasChangedIsWritten() throws {
    _ = try store([Self.known, Self.unknown])
    #expect(try store([Self.known, Self.unknown]) == 0)
    var changed = Self.unknown
    changed.windowLimit = 7
    #expect(try store([Self.known, changed]) == 1)
    #expect(try load() == [Self.known, changed])
    #expect(try store([Self.known, Self.unknown]) == 1)
    #expect(try load() == [Self.known, Self.unknown])
  }

  @Test func chainsHaveEndpointsOfTheirOwn() throws {
    _ = try store([Self.known])
    var other = Self.known
    other.score = 0
    _ = try store([other], chainID: 1)
    #expect(try load() == [Self.known])
    #expect(try load(chainID: 1) == [other])
  }

  @Test func theBeginningOfAChainIsNotedOnce() throws {
    let genesis = BlockHeader.hash(0)
    func noted() throws -> Bytes32? {
      try ground.db.transaction(.readOnly) { try Chains.genesis(of: 56, in: $0) }
    }
    #expect(try noted() == nil)
    for _ in 0..<2 {
      try ground.db.transaction { try Chains.note(genesis: genesis, of: 56, in: $0) }
    }
    #expect(try noted() == genesis)
    #expect(throws: ChainsError.otherGenesis(chainID: 56)) {
      try ground.db.transaction { try Chains.note(genesis: BlockHeader.hash(1), of: 56, in: $0) }
    }
    #expect(try noted() == genesis)
    try ground.db.transaction { try Chains.note(genesis: BlockHeader.hash(1), of: 1, in: $0) }
  }
}
