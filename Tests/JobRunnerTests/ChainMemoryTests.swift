import Chain
import Ethereum
import HTTP
import Postgres
import Store
import TestKit
import Testing

@testable import JobRunner

/// What a run takes from the database about a chain, and leaves there.
@Suite struct ChainMemoryTests {
  private static let memory = EndpointMemory(
    name: "a", windowLimit: 500, windowMaximum: 1000, aggregateLimit: 20, batchLimit: 3,
    batchMaximum: 4, logsPerAnswerMax: 10_000, concurrency: 8, knowsBlockHashes: false, score: -300)

  private func chain(_ memory: [EndpointMemory]) throws -> Chain {
    Chain(
      name: "toy", chainID: 56,
      endpoints: [Endpoint(name: "a", url: try EndpointURL("http://a.invalid"))],
      transport: ScriptedTransport(bodies: []), memory: memory)
  }

  @Test func whatARunHasLearntTheNextOneKnows() throws {
    let database = try TemporaryDatabase()
    let db = try database.connection()
    func load() throws -> ChainMemory {
      try db.transaction(.readOnly) { tx in
        try ChainMemory(ChainMemory.questions.map { try tx.query($0) }, chainID: 56)
      }
    }
    #expect(try load() == ChainMemory(endpoints: [], genesis: nil))
    let first = try chain([Self.memory])
    first.expect(genesis: .zero)
    try load().store(whatIsNewIn: first, hasSucceeded: false, on: db)
    #expect(try load() == ChainMemory(endpoints: first.memory, genesis: nil))
    try load().store(whatIsNewIn: first, hasSucceeded: true, on: db)
    let stored = try load()
    #expect(stored == ChainMemory(endpoints: first.memory, genesis: .zero))
    #expect(stored.endpoints[0].windowLimit == 500)
    #expect(stored.endpoints[0].score == -150)
  }

  @Test func aLimitThatIsTooLongForTheDatabaseIsCut() {
    var huge = Self.memory
    huge.windowLimit = .max
    #expect(EndpointRecord(huge).windowLimit == .max)
    #expect(EndpointMemory(EndpointRecord(Self.memory)) == Self.memory)
  }
}
