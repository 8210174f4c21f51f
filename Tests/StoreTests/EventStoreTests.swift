import Ethereum
import Postgres
import Quantities
import Store
import TestKit
import Testing

@Suite struct EventStoreTests {
  let ground: Ground

  init() throws { ground = try Ground() }

  private func append(_ logs: [Log]) throws -> Int {
    try ground.db.transaction { try EventStore.append(logs, chainID: Ground.chainID, in: $0) }
  }

  private func appendNew(_ logs: [Log]) throws -> [Log] {
    try ground.db.transaction { try EventStore.appendNew(logs, chainID: Ground.chainID, in: $0) }
  }

  private func appendBlocks(_ headers: [BlockHeader]) throws {
    try ground.db.transaction { try Blocks.append(headers, chainID: Ground.chainID, in: $0) }
  }

  private func stored(
    of addresses: Set<Address> = [Ground.core], through last: UInt64 = 1_000,
    chainID: UInt64 = Ground.chainID
  ) throws -> [(log: Log, timestamp: UInt64)] {
    var found: [(Log, UInt64)] = []
    try ground.db.transaction(.readOnly) { tx in
      try EventStore.forEachLog(of: addresses, chainID: chainID, through: last, in: tx) {
        found.append(($0, $1))
      }
    }
    return found
  }

  private func count() throws -> Int {
    try ground.value(Int.self, "select count(*) from event")
  }

  // MARK: Appending

  @Test func aLogEntersOnce() throws {
    let logs = [Log(11, 0), Log(11, 1), Log(13, 0)]
    #expect(try append(logs) == 3)
    #expect(try append(logs) == 0)
    #expect(try append([Log(11, 1), Log(13, 0), Log(13, 1)]) == 1)
    #expect(try append([]) == 0)
    #expect(try count() == 4)
  }

  @Test func aLogThatIsToldOtherwiseIsTakenOut() throws {
    _ = try append([Log(11, 0), Log(11, 1), Log(11, 0, branch: "b"), Log(13, 0)])
    var told = [Log(11, 0), Log(11, 1, of: Address(tail: 5)), Log(13, 0), Log(13, 1)]
    told[2].data = [9]
    let taken = try ground.db.transaction { tx in
      try EventStore.takeChanged(by: told, chainID: Ground.chainID, in: tx)
    }
    #expect(Set(taken) == [Log(11, 1), Log(13, 0)])
    #expect(try appendNew(told) == Array(told.dropFirst()))
    #expect(try count() == 5)
  }

  @Test func appendsTwiceWithinOneTransaction() throws {
    let chain = Ground.chainID
    let (counts, late) = try ground.db.transaction { tx in
      (
        [
          try EventStore.append([Log(11, 0)], chainID: chain, in: tx),
          try EventStore.append([Log(11, 0)], chainID: chain, in: tx),
          try EventStore.append([Log(11, 0), Log(11, 1)], chainID: chain, in: tx),
        ],
        try EventStore.appendNew([Log(11, 1), Log(11, 2)], chainID: chain, in: tx)
      )
    }
    #expect(counts == [1, 0, 1])
    #expect(late == [Log(11, 2)])
    #expect(try count() == 3)
  }

  @Test func whatFailedForAnotherReasonIsNotTakenForADuplicate() throws {
    let error = #expect(throws: PostgresError.self) { try append([Log(11, .max)]) }
    #expect(error?.sqlState == "23514")
    #expect(try count() == 0)
  }

  @Test func givesOnlyTheLateLogsInChainOrder() throws {
    #expect(try append([Log(11, 1), Log(13, 0)]) == 2)
    let late = try appendNew([Log(11, 0), Log(11, 1), Log(12, 5), Log(13, 0), Log(13, 2)])
    #expect(late == [Log(11, 0), Log(12, 5), Log(13, 2)])
    #expect(try appendNew(late).isEmpty)
    #expect(try appendNew([]).isEmpty)
    #expect(try count() == 5)
  }

  @Test func theSamePlaceInAnotherBlockIsAnotherLog() throws {
    #expect(try append([Log(11, 0)]) == 1)
    #expect(try append([Log(11, 0, branch: "b")]) == 1)
    #expect(try appendNew([Log(11, 0, branch: "c")]) == [Log(11, 0, branch: "c")])
    #expect(try count() == 3)
  }

  // MARK: Reading

  @Test func givesBackEveryFieldAsItCame() throws {
    let logs =
      (0...4).map { Log(11, UInt32($0), topics: $0, data: [UInt8](repeating: 0xAB, count: $0)) }
      + [
        Log(11, 5, data: []), Log(11, 6, data: [UInt8](repeating: 7, count: 100_000)),
        Log(11, 7, transactionIndex: .max), Log(12, UInt32(Int32.max), transactionIndex: 3),
      ]
    #expect(try append(logs) == logs.count)
    try appendBlocks([BlockHeader(11), BlockHeader(12)])
    let found = try stored()
    #expect(found.map(\.log) == logs)
    #expect(found.map(\.timestamp) == logs.map { BlockHeader($0.blockNumber).timestamp })
  }

  @Test func readsInChainOrderHoweverTheLogsCame() throws {
    var generator = SeededGenerator(seed: 0x1092)
    let logs = (11...30).flatMap { block in (0..<5).map { Log(block, $0) } }
    for part in logs.shuffled(using: &generator).chunks(of: 7) { _ = try append(part) }
    try appendBlocks((11...30).map { BlockHeader($0) })
    #expect(try stored().map(\.log) == logs)
    #expect(try stored(through: 14).map(\.log) == Array(logs.prefix(20)))
    #expect(try stored(through: 10).isEmpty)
  }

  @Test func readsOnlyLogsOfCanonicalBlocks() throws {
    _ = try append([Log(11, 0), Log(12, 0), Log(12, 1), Log(13, 0)])
    // Block 13 was never read as a header.
    try appendBlocks([BlockHeader(11), BlockHeader(12)])
    #expect(try stored().map(\.log) == [Log(11, 0), Log(12, 0), Log(12, 1)])

    _ = try append([Log(12, 0, branch: "b")])
    try appendBlocks([BlockHeader(12, "b", on: "a")])
    #expect(try stored().map(\.log) == [Log(11, 0), Log(12, 0, branch: "b")])

    try ground.db.transaction { tx in
      try Blocks.orphan([(12, BlockHeader.hash(12, "b"))], chainID: Ground.chainID, in: tx)
    }
    #expect(try stored().map(\.log) == [Log(11, 0)])
  }

  @Test func readsOnlyTheContractsAndTheChainThatAreAskedFor() throws {
    let model = Address(tail: 5)
    _ = try append([Log(11, 0), Log(11, 1, of: model), Log(11, 2, of: Address(tail: 6))])
    try appendBlocks([BlockHeader(11)])
    #expect(try stored(of: [model]).map(\.log.logIndex) == [1])
    #expect(try stored(of: [Ground.core, model]).map(\.log.logIndex) == [0, 1])
    #expect(try stored(of: []).isEmpty)
    #expect(try stored(chainID: 1).isEmpty)
  }

  @Test func anErrorOfTheReaderEndsTheReading() throws {
    _ = try append([Log(11, 0), Log(11, 1), Log(11, 2)])
    try appendBlocks([BlockHeader(11)])
    var seen = 0
    #expect(throws: Abandoned.self) {
      try ground.db.transaction(.readOnly) { tx in
        try EventStore.forEachLog(
          of: [Ground.core], chainID: Ground.chainID, through: 20, in: tx
        ) { _, _ in
          seen += 1
          if seen == 2 { throw Abandoned() }
        }
      }
    }
    #expect(seen == 2)
    #expect(try stored().count == 3)
  }
}

extension Array {
  /// Consecutive pieces of that length; the last may be shorter.
  fileprivate func chunks(of length: Int) -> [[Element]] {
    stride(from: 0, to: count, by: length).map { Array(self[$0..<Swift.min($0 + length, count)]) }
  }
}
