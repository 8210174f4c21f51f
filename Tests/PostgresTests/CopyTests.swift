import Ethereum
import Postgres
import Quantities
import TestKit
import Testing

private struct Stop: Error, Equatable {}

@Suite struct CopyTests {
  let database: TemporaryDatabase
  let connection: Connection

  init() throws {
    database = try TemporaryDatabase(isEmpty: true)
    connection = try database.connection()
    try connection.transaction {
      try $0.execute(
        """
        create table item (
          id int8 primary key, kind int2, part int4, isOpen bool, shares numeric(78,0),
          assets numeric(78,0), owner bytea, hash bytea, data bytea, name text, seen int8)
        """)
    }
  }

  private static let columns: StaticString =
    "id, kind, part, isOpen, shares, assets, owner, hash, data, name, seen"

  private struct Item {
    let id: Int64
    let shares: U256

    var hash: Bytes32 { Bytes32(shares) }
    var owner: Address { Address(word0: shares.w0, word1: shares.w1, word2: 7) }
    var data: [UInt8] { [UInt8](repeating: UInt8(id % 256), count: Int(id % 50)) }
    var name: String? { id % 3 == 0 ? nil : "n\(id)" }
  }

  /// Every second value is longer than 64 bits, every fourth than 128, every eighth than 192.
  private static func items(_ count: Int) -> [Item] {
    var generator = SplitMix(state: 1)
    return (0..<count).map { id in
      func word(every step: Int) -> UInt64 { id % step == 0 ? generator.next() : 0 }
      let shares = U256(
        w0: word(every: 1), w1: word(every: 2), w2: word(every: 4), w3: word(every: 8))
      return Item(id: Int64(id), shares: shares)
    }
  }

  private static func matches(_ row: borrowing Row, _ item: Item) throws -> Bool {
    var matching: [Bool] = []
    matching.append(try row.get(0, Int64.self) == item.id)
    matching.append(try row.get(1, Int16.self) == Int16(item.id % 100))
    matching.append(try row.get(2, Int32.self) == Int32(item.id))
    matching.append(try row.get(3, Bool.self) == (item.id % 2 == 0))
    matching.append(try row.get(4, U256.self) == item.shares)
    matching.append(try row.get(5, UInt128.self) == item.shares.low)
    matching.append(try row.get(6, Address.self) == item.owner)
    matching.append(try row.get(7, Bytes32.self) == item.hash)
    matching.append(try row.get(8, [UInt8].self) == item.data)
    matching.append(try row.get(9, String?.self) == item.name)
    matching.append(try row.get(10, UInt64.self) == UInt64(item.id))
    return matching.allSatisfy { $0 }
  }

  private func copyIn(_ items: [Item]) throws -> Int {
    try connection.transaction { transaction in
      try transaction.copyIn("item", columns: Self.columns) { rows in
        for item in items {
          rows.beginRow()
          try rows.append(item.id)
          try rows.append(Int16(item.id % 100))
          try rows.append(Int32(item.id))
          try rows.append(item.id % 2 == 0)
          try rows.append(item.shares)
          try rows.append(item.shares.low)
          try rows.append(item.owner)
          try rows.append(item.hash)
          try rows.append(item.data)
          try rows.append(item.name)
          try rows.append(UInt64(item.id))
        }
      }
    }
  }

  @Test func aHundredThousandCopiedRowsAreReadEqual() throws {
    let items = Self.items(100_000)
    #expect(try copyIn(items) == items.count)
    var index = 0
    var differences = 0
    try connection.transaction(.readOnly) { transaction in
      try transaction.forEachRow(
        """
        select id, kind, part, isOpen, shares, assets, owner, hash, data, name, seen
        from item order by id
        """
      ) { row in
        let item = items[index]
        index += 1
        if try !Self.matches(row, item) { differences += 1 }
      }
    }
    #expect(index == items.count)
    #expect(differences == 0)
  }

  @Test func storesNothingWhenTheWriterThrowsAndTheSessionGoesOn() throws {
    #expect(throws: Stop()) {
      try connection.transaction { transaction in
        try transaction.copyIn("item", columns: "id") { rows in
          for id in 0..<100_000 {
            rows.beginRow()
            try rows.append(id)
          }
          throw Stop()
        }
      }
    }
    let count = try connection.transaction {
      try $0.query("select count(*) from item")[0].get(0, Int.self)
    }
    #expect(count == 0)
  }

  @Test func reportsTheServersReasonForARowItRefuses() throws {
    let error = #expect(throws: PostgresError.self) {
      try connection.transaction { transaction in
        try transaction.copyIn("item", columns: "id") { rows in
          for _ in 0..<2 {
            rows.beginRow()
            try rows.append(Int64(1))
          }
        }
      }
    }
    #expect(error?.sqlState == "23505")
    #expect(error?.statement?.contains("copy item") == true)
  }

  @Test func refusesValuesWithoutABinaryForm() throws {
    for value in ["a\0b"] {
      let error = #expect(throws: PostgresError.self) {
        try connection.transaction { transaction in
          try transaction.copyIn("item", columns: "id, name") { rows in
            rows.beginRow()
            try rows.append(Int64(1))
            try rows.append(value)
          }
        }
      }
      #expect(error?.kind == .encoding)
    }
    let error = #expect(throws: PostgresError.self) {
      try connection.transaction { transaction in
        try transaction.copyIn("item", columns: "id") { rows in
          rows.beginRow()
          try rows.append(UInt64.max)
        }
      }
    }
    #expect(error?.kind == .encoding)
  }

  @Test func anEmptyCopyIsNothing() throws {
    #expect(try copyIn([]) == 0)
  }
}
