import Ethereum
import Postgres
import Quantities
import RiskCore
import TestKit
import Testing

@testable import Systems

/// What samples of prices leave in the tables for the next ones.
@Suite struct PriceTablesTests {
  private static let oracle = address(0xA)
  private static let key = PriceKey(oracle: oracle, token: address(0xB))
  private static let pair = PriceKey(oracle: oracle, token: nil)

  private static func address(_ tail: UInt64) -> Address {
    unwrapped(Bytes32(U256(tail)).address)
  }

  private static func block(_ number: UInt64) -> BlockMark {
    BlockMark(number: number, hash: Bytes32(U256(number)), timestamp: 12 * number)
  }

  private static let step = StepBound(bound: BasisPoints(raw: 2_000), runs: 2, seconds: 12)

  /// A board with one answer that was judged at a block.
  private func board(
    _ value: UInt64, _ key: PriceKey, at block: BlockMark, memory: PriceMemory?
  ) -> PriceBoard {
    var board = PriceBoard()
    board.settings.step = Self.step
    board.answers[key] = .price(U256(value))
    board.memories[key] = memory
    board.check(at: block.timestamp, scales: [:])
    return board
  }

  private func sample(
    _ value: UInt64, _ key: PriceKey = key, at number: UInt64, carries: Bool = true,
    on db: Connection
  ) throws -> PriceSample? {
    let block = Self.block(number)
    return try db.transaction { tx in
      let memories = try PriceTables.memories(of: [key], on: 1, before: block, in: tx)
      let board = board(value, key, at: block, memory: memories[key])
      try tx.executeBatch(
        PriceTables.insertions(of: board, on: 1, at: block, run: nil, carries: carries))
      return board.samples[key]
    }
  }

  private func memory(
    _ key: PriceKey = key, before number: UInt64, on db: Connection
  ) throws -> PriceMemory? {
    try db.transaction(.readOnly) { tx in
      try PriceTables.memories(of: [key], on: 1, before: Self.block(number), in: tx)[key]
    }
  }

  @Test func aHeldStepGoesOnInTheNextRun() throws {
    let database = try TemporaryDatabase()
    let db = try database.connection()
    #expect(try sample(1_000, at: 10, on: db)?.refusal == nil)
    let reasons = try [(500, 11), (505, 12), (500, 13), (700, 14)].map {
      try sample($0.0, at: $0.1, on: db)?.refusal?.reason
    }
    #expect(reasons == [.priceJump, .priceJump, nil, .priceJump])
    let held = try #require(try memory(before: 13, on: db)?.price.held)
    #expect(held == HeldLevel(value: 500, since: 132, runs: 1))
  }

  @Test func judgingABlockAgainGivesTheSame() throws {
    let database = try TemporaryDatabase()
    let db = try database.connection()
    _ = try sample(1_000, at: 10, on: db)
    let first = try sample(500, at: 11, on: db)
    #expect(try sample(500, at: 11, on: db) == first)
    #expect(try sample(500, at: 11, on: db) == first)
  }

  @Test func aSampleOfABlockThatTheChainHasLeftIsForgotten() throws {
    let database = try TemporaryDatabase()
    let db = try database.connection()
    _ = try sample(1_000, at: 10, on: db)
    _ = try sample(1_100, at: 11, on: db)
    #expect(try memory(before: 12, on: db)?.price.reference == 1_100)
    try db.transaction { tx in
      _ = try tx.execute(
        """
        insert into block (chain_id, number, hash, parent_hash, timestamp, canonical)
        values (1, 11, \(Self.block(11).hash), \(Self.block(10).hash), 132, false)
        """)
    }
    #expect(try memory(before: 12, on: db)?.price.reference == 1_000)
  }

  @Test func aSampleOfThePastLeavesNoTrace() throws {
    let database = try TemporaryDatabase()
    let db = try database.connection()
    _ = try sample(1_000, at: 10, on: db)
    _ = try sample(700, at: 11, carries: false, on: db)
    #expect(try memory(before: 12, on: db)?.last == 1_000)
  }

  @Test func thePricesOfOneOracleAreApart() throws {
    let database = try TemporaryDatabase()
    let db = try database.connection()
    _ = try sample(1_000, at: 10, on: db)
    _ = try sample(3, Self.pair, at: 10, on: db)
    #expect(try memory(before: 11, on: db)?.last == 1_000)
    #expect(try memory(Self.pair, before: 11, on: db)?.last == 3)
    let other = PriceKey(oracle: Self.oracle, token: Self.address(0xC))
    #expect(try memory(other, before: 11, on: db) == nil)
  }

  /// The read is one index search a price, whatever the history.
  @Test func theLastSampleIsFoundByTheIndex() throws {
    let database = try TemporaryDatabase()
    let db = try database.connection()
    try db.transaction { tx in
      _ = try tx.execute(
        """
        insert into price (chain_id, oracle, token, block_number, block_hash, value, how, carries,
          last_value, unchanged_runs)
        select 1, \(Self.oracle), int4send(t) || decode(repeat('00', 16), 'hex'), n, sha256('x'), n,
          'call_at_block', true, n, 0
        from generate_series(1, 200) t, generate_series(1, 500) n
        """)
    }
    try db.transaction { tx in _ = try tx.execute("analyze price") }
    let keys = (1...200).map { index in
      PriceKey(
        oracle: Self.oracle,
        token: Address(bytes: [0, 0, 0, UInt8(index)] + [UInt8](repeating: 0, count: 16)))
    }
    let (found, reads) = try db.transaction { tx in
      let found = try PriceTables.memories(
        of: Set(keys), on: 1, before: Self.block(400), in: tx)
      let reads = try tx.query(
        """
        select coalesce(sum(pg_stat_get_xact_tuples_returned(c.oid)), 0)::bigint
        from pg_class c where c.relname = 'price'
        """)[0].get(0, Int64.self)
      return (found, reads)
    }
    #expect(found.count == 200)
    #expect(found.values.allSatisfy { $0.last == 399 })
    #expect(reads == 0, "the table was read row by row")
  }

  @Test func decimalsChecksAreKept() throws {
    let database = try TemporaryDatabase()
    let db = try database.connection()
    let keys = [
      DecimalsKey(price: Self.key, decimals: 8), DecimalsKey(price: Self.pair, decimals: 24),
    ]
    for check in [DecimalsCheck.quarantined("12 decades"), .passed] {
      let found = try db.transaction { tx in
        try tx.executeBatch(
          keys.flatMap { PriceTables.insertions(of: [$0: check], on: 1, at: Self.block(3)) })
        return try PriceTables.decimalsChecks(of: [Self.key], on: 1, in: tx)
      }
      #expect(found == [keys[0]: check, keys[1]: check])
    }
  }
}
