import Ethereum
import Postgres
import Quantities
import TestKit
import Testing

@Suite struct ValueTests {
  let database: TemporaryDatabase
  let connection: Connection

  init() throws {
    database = try TemporaryDatabase(isEmpty: true)
    connection = try database.connection()
  }

  private func echo<Value: Bindable & Readable>(_ value: Value) throws -> Value {
    try connection.transaction { try $0.query("select \(value)")[0].get(0) }
  }

  @Test(arguments: [true, false])
  func truthValuesComeBack(value: Bool) throws {
    #expect(try echo(value) == value)
  }

  @Test(arguments: [Int64.min, -1, 0, 1, 255, 256, .max])
  func integersOfEveryWidthComeBack(value: Int64) throws {
    #expect(try echo(value) == value)
    #expect(try echo(Int(value)) == Int(value))
    #expect(try echo(Int32(truncatingIfNeeded: value)) == Int32(truncatingIfNeeded: value))
    #expect(try echo(Int16(truncatingIfNeeded: value)) == Int16(truncatingIfNeeded: value))
  }

  @Test func unsignedIntegersComeBackAndEndWhereInt8Ends() throws {
    #expect(try echo(UInt64(Int64.max)) == UInt64(Int64.max))
    #expect(try echo(UInt32.max) == UInt32.max)
    let error = #expect(throws: PostgresError.self) { try echo(UInt64(Int64.max) + 1) }
    #expect(error?.kind == .encoding)
    #expect(error?.statement == "select $1")
  }

  @Test func wideIntegersComeBack() throws {
    for value in [U256.zero, .one, .max, U256(UInt64.max), U256(UInt128.max)] {
      #expect(try echo(value) == value)
    }
    #expect(try echo(UInt128.max) == UInt128.max)
    #expect(try echo(UInt128(0)) == 0)
  }

  @Test func addressesAndWordsComeBackAsTheirBytes() throws {
    let address = try #require(Address("0x8F73b65B4caAf64FBA2aF91cC5D4a2A1318E5D8C"))
    let word = keccak256(Array("word".utf8))
    #expect(try echo(address) == address)
    #expect(try echo(word) == word)
    let hex = try connection.transaction {
      try $0.query("select encode(\(address), 'hex'), encode(\(word), 'hex')")
    }
    #expect(try "0x" + hex[0].get(0, String.self) == address.lowercaseHex)
    #expect(try "0x" + hex[0].get(1, String.self) == word.description)
  }

  @Test func momentsComeBackAndMeanWhatTheServerMeans() throws {
    let moment = Timestamp(microsecondsSince1970: 1_692_316_800_123_456)
    #expect(try echo(moment) == moment)
    let text = try connection.transaction {
      try $0.query("select \(moment)::text")[0].get(0, String.self)
    }
    #expect(text == "2023-08-18 00:00:00.123456+00")
    #expect(throws: PostgresError.self) {
      try connection.transaction {
        try $0.query("select 'infinity'::timestamptz")[0].get(0, Timestamp.self)
      }
    }
  }

  @Test func absentValuesAreNull() throws {
    #expect(try echo(Int64?.none) == nil)
    #expect(try echo(U256?.none) == nil)
    #expect(try echo(String?.none) == nil)
    #expect(try echo([UInt8]?.none) == nil)
    #expect(try echo(Address?.none) == nil)
    #expect(try echo(Int64?.some(5)) == 5)
    let isNull = try connection.transaction {
      try $0.query("select \(Bytes32?.none) is null")[0].get(0, Bool.self)
    }
    #expect(isNull)
  }

  @Test func arraysOfEveryKindComeBack() throws {
    #expect(try echo([Int64.min, 0, .max]) == [.min, 0, .max])
    #expect(try echo([Int32]()) == [])
    #expect(
      try echo(["", "a", "\u{1F600}", "{\"quoted\",NULL}"]) == [
        "", "a", "\u{1F600}", "{\"quoted\",NULL}",
      ])
    #expect(try echo([U256.zero, .max]) == [.zero, .max])
    #expect(try echo([UInt128.max]) == [.max])
    #expect(try echo([Bytes32.zero, Bytes32(U256.max)]) == [.zero, Bytes32(U256.max)])
    #expect(try echo([Address.zero]) == [.zero])
    #expect(try echo([[UInt8](), [0, 255]]) == [[], [0, 255]])
    #expect(try echo([true, false]) == [true, false])
    #expect(try echo([Int64?.none, 7]) == [nil, 7])
    #expect(try echo([U256?.some(.max), nil]) == [.max, nil])
  }

  @Test func arraysBecomeRowsOfUnnest() throws {
    let ids: [Int64] = Array(0..<1000)
    let shares = ids.map { U256(UInt64($0)) }
    let rows = try connection.transaction {
      try $0.query(
        "select id, share from unnest(\(ids), \(shares)) as t(id, share) where id % 100 = \(7)")
    }
    #expect(rows.count == 10)
    for row in rows { #expect(try U256(UInt64(row.get(0, Int64.self))) == row.get(1)) }
  }

  @Test func smallIntegersReadAsWiderOnesAndNotTheOtherWayRound() throws {
    let row = try connection.transaction {
      try $0.query("select 7::int2, 8::int4, 9::int8, -1::int8, 70000::int4, sum(1::int8)")[0]
    }
    #expect(try row.get(0, Int64.self) == 7)
    #expect(try row.get(1, UInt64.self) == 8)
    #expect(try row.get(2, Int16.self) == 9)
    #expect(try row.get(2, U256.self) == 9)
    #expect(try row.get(5, UInt64.self) == 1)
    #expect(throws: PostgresError.self) { try row.get(3, UInt64.self) }
    #expect(throws: PostgresError.self) { try row.get(3, U256.self) }
    #expect(throws: PostgresError.self) { try row.get(4, Int16.self) }
  }

  @Test func aValueOfAnotherTypeIsAnErrorThatNamesTheColumn() throws {
    let row = try connection.transaction {
      try $0.query("select 'x'::text as symbol, null::int8 as supply")[0]
    }
    let wrongType = #expect(throws: PostgresError.self) { try row.get(0, Int64.self) }
    #expect(wrongType?.kind == .decoding)
    #expect(wrongType?.message.contains("symbol") == true)
    let missing = #expect(throws: PostgresError.self) { try row.get(1, Int64.self) }
    #expect(missing?.message.contains("supply: the value is NULL") == true)
  }

  @Test func bytesOfAnotherLengthAreNoAddressAndNoWord() throws {
    let row = try connection.transaction { try $0.query("select '\\x00'::bytea")[0] }
    #expect(throws: PostgresError.self) { try row.get(0, Address.self) }
    #expect(throws: PostgresError.self) { try row.get(0, Bytes32.self) }
    #expect(try row.get(0, [UInt8].self) == [0])
  }

  @Test func jsonReadsAsItsText() throws {
    let row = try connection.transaction {
      try $0.query("select '{\"a\": 1}'::jsonb, '[1]'::json")[0]
    }
    #expect(try row.get(0, String.self) == "{\"a\": 1}")
    #expect(try row.get(1, String.self) == "[1]")
  }

  @Test func nestedArraysAreRefusedAndSoAreArraysWithNullsWhereNoneMayBe() throws {
    let row = try connection.transaction {
      try $0.query("select array[[1,2],[3,4]]::int8[], array[1,null]::int8[]")[0]
    }
    #expect(throws: PostgresError.self) { try row.get(0, [Int64].self) }
    #expect(throws: PostgresError.self) { try row.get(1, [Int64].self) }
    #expect(try row.get(1, [Int64?].self) == [1, nil])
  }
}

/// Text that tries to be something else.
@Suite struct HostileTextTests {
  let database: TemporaryDatabase
  let connection: Connection

  init() throws {
    database = try TemporaryDatabase(isEmpty: true)
    connection = try database.connection()
  }

  @Test(arguments: [
    "'; drop table t; --", "$1", "\\'; select 1", "\"", "\u{202E}gnp.exe", "\u{200B}\u{FEFF}",
    "\u{1F469}\u{200D}\u{1F467}", "e\u{301}", "\u{7}\u{1B}[31m", "\r\n\t", "",
  ])
  func comesBackByteForByte(text: String) throws {
    let (echo, length) = try connection.transaction {
      let row = try $0.query("select \(text), octet_length(\(text))")[0]
      return (try row.get(0, String.self), try row.get(1, Int.self))
    }
    #expect(Array(echo.utf8) == Array(text.utf8))
    #expect(length == text.utf8.count)
  }

  @Test func ofAMegabyteComesBack() throws {
    let text = String(repeating: "\u{1F480}'\\", count: 175_000)
    let echo = try connection.transaction { try $0.query("select \(text)")[0].get(0, String.self) }
    #expect(echo == text)
  }

  @Test func withANulIsRefusedBeforeItIsSent() throws {
    let error = #expect(throws: PostgresError.self) {
      try connection.transaction { try $0.query("select \("a\0b")") }
    }
    #expect(error?.kind == .encoding)
    #expect(error?.message.contains("a") == true)
    #expect(try connection.transaction { try $0.query("select 1")[0].get(0, Int.self) } == 1)
  }
}
