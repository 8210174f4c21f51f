import Postgres
import Quantities
import TestKit
import Testing

/// The binary form of `numeric`, against the server's own reading and writing of decimals.
@Suite struct NumericTests {
  let database: TemporaryDatabase
  let connection: Connection

  init() throws {
    database = try TemporaryDatabase(isEmpty: true)
    connection = try database.connection()
  }

  @Test func agreesWithTheServersDecimalsOnManyValues() throws {
    let seed = UInt64.random(in: .min ... .max)
    var generator = SplitMix(state: seed)
    var values = Self.edges
    while values.count < 60_000 { values.append(Self.value(from: &generator)) }
    for start in stride(from: 0, to: values.count, by: 10_000) {
      let part = Array(values[start..<min(start + 10_000, values.count)])
      try check(part, seed: seed)
    }
  }

  /// Sent in binary and read back as text; sent as text and read back in binary.
  private func check(_ values: [U256], seed: UInt64) throws {
    let texts = values.map(\.description)
    let rows = try connection.transaction {
      try $0.query(
        """
        select sent::text, typed::numeric
        from unnest(\(values), \(texts)) with ordinality as t(sent, typed, place) order by place
        """)
    }
    #expect(rows.count == values.count)
    for (row, value) in zip(rows, values) {
      let text = try row.get(0, String.self)
      let number = try row.get(1, U256.self)
      guard text == value.description, number == value else {
        Issue.record("seed \(seed): \(value) became \(text) and \(number)")
        return
      }
    }
  }

  /// Powers of two and ten and their neighbours, and runs of the base's own digits.
  private static var edges: [U256] {
    var values: [U256] = [.zero, .one, .max]
    var power = U256.one
    for _ in 0..<77 {
      values += [power, power.subtractingFlooredAtZero(.one)]
      if let next = try? power.adding(.one) { values.append(next) }
      guard let next = try? power.multiplied(by: 10) else { break }
      power = next
    }
    values.append(power)
    for bit in 0..<256 {
      let word = UInt64(1) << UInt64(bit % 64)
      let value = U256(
        w0: bit / 64 == 0 ? word : 0, w1: bit / 64 == 1 ? word : 0, w2: bit / 64 == 2 ? word : 0,
        w3: bit / 64 == 3 ? word : 0)
      values += [value, value.subtractingFlooredAtZero(.one)]
    }
    return values
  }

  /// Any length of up to 256 bits, often with zeros at the end of the decimal text.
  private static func value(from generator: inout SplitMix) -> U256 {
    let bits = Int.random(in: 0...256, using: &generator)
    var words = (0..<4).map { _ in UInt64.random(in: .min ... .max, using: &generator) }
    for index in 0..<4 {
      let kept = min(max(bits - index * 64, 0), 64)
      words[index] = kept == 0 ? 0 : words[index] >> UInt64(64 - kept)
    }
    var value = U256(w0: words[0], w1: words[1], w2: words[2], w3: words[3])
    for _ in 0..<Int.random(in: 0...20, using: &generator) where bits < 180 {
      guard let next = try? value.multiplied(by: 10) else { break }
      value = next
    }
    return value
  }

  @Test(arguments: [
    ("'NaN'", "is NaN"), ("'Infinity'", "is infinite"), ("'-Infinity'", "is infinite"),
    ("-1", "is negative"), ("0.5", "is fractional"),
    ("1.000000000000000000000001", "is fractional"),
    ("1e-20", "is fractional"), ("1e78", "is 2^256 or more"), ("1e1000", "is 2^256 or more"),
    (
      "115792089237316195423570985008687907853269984665640564039457584007913129639936",
      "is 2^256 or more"
    ),
  ])
  func aNumberThatIsNoUnsignedIntegerIsRefusedWithItsReason(
    text: String, reason: String
  ) throws {
    let bare = text.split(separator: "'").joined()
    let row = try connection.transaction { try $0.query("select \(bare)::numeric")[0] }
    let error = #expect(throws: PostgresError.self) { try row.get(0, U256.self) }
    #expect(error?.kind == .decoding)
    #expect(error?.message.contains(reason) == true)
  }

  @Test func decimalsThatAreZeroDoNotMakeANumberFractional() throws {
    let row = try connection.transaction {
      try $0.query("select 25.000::numeric, 0.00::numeric, 1e40::numeric(78,5)")[0]
    }
    #expect(try row.get(0, U256.self) == 25)
    #expect(try row.get(1, U256.self) == 0)
    #expect(try row.get(2, U256.self) == 10_000_000_000_000_000_000_000_000_000_000_000_000_000)
  }

  @Test func moreThan128BitsIsRefusedWhereOnly128AreAsked() throws {
    let row = try connection.transaction {
      try $0.query("select 340282366920938463463374607431768211456::numeric")[0]
    }
    #expect(throws: PostgresError.self) { try row.get(0, UInt128.self) }
    #expect(throws: PostgresError.self) { try row.get(0, UInt64.self) }
  }
}

/// A small seeded generator, so that a failure can be shown again.
struct SplitMix: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }
}
