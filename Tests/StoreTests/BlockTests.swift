import Ethereum
import Postgres
import Store
import TestKit
import Testing

@Suite struct BlockTests {
  let ground: Ground

  init() throws { ground = try Ground() }

  private func append(_ headers: [BlockHeader], chainID: UInt64 = Ground.chainID) throws {
    try ground.db.transaction { try Blocks.append(headers, chainID: chainID, in: $0) }
  }

  private func header(_ number: UInt64, _ branch: String = "a") throws -> BlockHeader? {
    try ground.db.transaction(.readOnly) { tx in
      try Blocks.header(
        number: number, hash: BlockHeader.hash(number, branch), chainID: Ground.chainID, in: tx)
    }
  }

  private func ancestry(of number: UInt64, _ branch: String = "a", limit: Int) throws -> [UInt64] {
    try ground.db.transaction(.readOnly) { tx in
      let own = try Blocks.ancestry(
        of: BlockHeader.hash(number, branch), number: number, limit: limit,
        chainID: Ground.chainID, in: tx)
      return own.map(\.number)
    }
  }

  /// Number and first letter of the branch of every canonical block.
  private func canonical() throws -> Set<Bytes32> {
    try ground.db.transaction(.readOnly) { tx in
      Set(
        try tx.query("select hash from block where canonical").map { try $0.get(0, Bytes32.self) })
    }
  }

  private func count() throws -> Int {
    try ground.value(Int.self, "select count(*) from block")
  }

  @Test func givesBackTheHeaderThatWasAppended() throws {
    try append([BlockHeader(11), BlockHeader(12)])
    #expect(try header(12) == BlockHeader(12))
    #expect(try header(13) == nil)
    #expect(try header(12, "b") == nil)
  }

  @Test func aBlockEntersOnce() throws {
    try append([BlockHeader(11), BlockHeader(12)])
    try append([BlockHeader(12), BlockHeader(13)])
    try append([])
    #expect(try count() == 3)
    #expect(try canonical().count == 3)
  }

  @Test func aBlockOfAnotherHashTakesThePlaceOfTheFirst() throws {
    try append([BlockHeader(11), BlockHeader(12)])
    try append([BlockHeader(12, "b", on: "a")])
    #expect(try canonical() == [BlockHeader.hash(11), BlockHeader.hash(12, "b")])
    #expect(try count() == 3)
    // The chain may come back to the first.
    try append([BlockHeader(12)])
    #expect(try canonical() == [BlockHeader.hash(11), BlockHeader.hash(12)])
  }

  /// Many blocks go another way than few; what they leave is the same.
  @Test(arguments: [1, 63, 64, 500] as [UInt64])
  func manyBlocksEnterAsFewDo(_ count: UInt64) throws {
    let (first, last) = (11 as UInt64, 10 + count)
    try append((first...last).map { BlockHeader($0) })
    #expect(try self.count() == Int(count))
    // All of them again, and one more.
    try append((first...(last + 1)).map { BlockHeader($0) })
    #expect(try self.count() == Int(count) + 1)
    #expect(try canonical() == Set((first...(last + 1)).map { BlockHeader.hash($0) }))
    // Another branch from the middle on.
    let fork = first + count / 2
    try append((fork...last).map { BlockHeader($0, "b", on: $0 == fork ? "a" : "b") })
    let expected = (first...(last + 1)).map {
      BlockHeader.hash($0, (fork...last).contains($0) ? "b" : "a")
    }
    #expect(try canonical() == Set(expected))
    // And back to the first.
    try append((first...last).map { BlockHeader($0) })
    #expect(try canonical() == Set((first...(last + 1)).map { BlockHeader.hash($0) }))
  }

  @Test func manyBlocksAmongOthersTakeOnlyTheirOwnPlaces() throws {
    try append([BlockHeader(50, "c"), BlockHeader(51), BlockHeader(300)])
    try append((11...200).filter { $0 != 51 }.map { BlockHeader($0) })
    let expected = (11...200).map { BlockHeader.hash($0) } + [BlockHeader.hash(300)]
    #expect(try canonical() == Set(expected))
    #expect(try count() == expected.count + 1)
  }

  @Test func theSameNumberOfAnotherChainIsAnotherBlock() throws {
    try append([BlockHeader(11)])
    try append([BlockHeader(11, "b")], chainID: 1)
    #expect(try canonical().count == 2)
  }

  @Test func refusesNumbersThatTheDatabaseCannotHold() throws {
    for header in [
      BlockHeader(number: .max, hash: .zero, parentHash: .zero, timestamp: 1),
      BlockHeader(number: 11, hash: .zero, parentHash: .zero, timestamp: .max),
    ] {
      let error = #expect(throws: PostgresError.self) { try append([header]) }
      #expect(error?.kind == .encoding)
    }
    #expect(try count() == 0)
  }

  // MARK: Ancestry

  @Test func theAncestryIsTheBlockAndAsManyAncestorsAsTheLimitSays() throws {
    try append((11...20).map { BlockHeader($0) })
    #expect(try ancestry(of: 20, limit: 3) == [20, 19, 18, 17])
    #expect(try ancestry(of: 20, limit: 0) == [20])
    #expect(try ancestry(of: 20, limit: 100) == Array((11...20).reversed()))
    #expect(try ancestry(of: 21, limit: 3) == [])
  }

  @Test func theAncestryFollowsParentsAndNotNumbers() throws {
    try append((11...16).map { BlockHeader($0) })
    try append([BlockHeader(15, "b", on: "a"), BlockHeader(16, "b")])
    #expect(try ancestry(of: 16, "b", limit: 10) == [16, 15, 14, 13, 12, 11])
    let hashes = try ground.db.transaction(.readOnly) { tx in
      try Blocks.ancestry(
        of: BlockHeader.hash(16, "a"), number: 16, limit: 2, chainID: Ground.chainID, in: tx
      ).map(\.hash)
    }
    #expect(hashes == [16, 15, 14].map { BlockHeader.hash($0, "a") })
  }

  @Test func theAncestryEndsWhereABlockIsMissing() throws {
    try append([BlockHeader(11), BlockHeader(12), BlockHeader(14), BlockHeader(15)])
    #expect(try ancestry(of: 15, limit: 10) == [15, 14])
    // A block of the right number is no parent if it has another hash.
    try append([BlockHeader(13, "b")])
    #expect(try ancestry(of: 15, limit: 10) == [15, 14])
  }

  @Test func theAncestryStaysOnItsChain() throws {
    try append([BlockHeader(12)])
    try append([BlockHeader(11)], chainID: 1)
    #expect(try ancestry(of: 12, limit: 10) == [12])
  }

  // MARK: Orphans

  @Test func anOrphanStaysButIsNoLongerCanonical() throws {
    try append((11...14).map { BlockHeader($0) })
    try ground.db.transaction { tx in
      try Blocks.orphan(
        [(13, BlockHeader.hash(13)), (14, BlockHeader.hash(14))], chainID: Ground.chainID, in: tx)
    }
    #expect(try canonical() == [BlockHeader.hash(11), BlockHeader.hash(12)])
    #expect(try header(14) == BlockHeader(14))
  }

  @Test func anOrphanTakesNoOtherBlockAlong() throws {
    try append([BlockHeader(11)])
    try append([BlockHeader(11)], chainID: 1)
    try ground.db.transaction { tx in
      try Blocks.orphan([(11, BlockHeader.hash(11, "b"))], chainID: Ground.chainID, in: tx)
      try Blocks.orphan([], chainID: Ground.chainID, in: tx)
    }
    #expect(try canonical().count == 1)
    #expect(try ground.value(Int.self, "select count(*) from block where canonical") == 2)
  }
}
