import Chain
import Ethereum
import Foundation
import TestKit
import Testing

/// Logs decoded straight from text equal what Foundation's decoder makes of it.
@Suite struct LogAnswerTests {
  @Test func anAnswerWithoutLogsIsEmpty() throws {
    #expect(try decode(#"{"jsonrpc":"2.0","id":1,"result":[]}"#) == LogAnswer())
  }

  @Test func randomLogsEqualFoundationsReading() throws {
    var generator = SeededGenerator()
    for _ in 0..<200 {
      let logs = (0..<Int.random(in: 0..<12, using: &generator)).map { _ in
        RawLog.random(using: &generator)
      }
      let body = try JSONEncoder().encode(RawAnswer(jsonrpc: "2.0", id: 1, result: logs))
      let reread = try JSONDecoder().decode(RawAnswer.self, from: body)
      #expect(try LogAnswer.decode(body: Array(body)).logs == reread.result.map { try $0.log })
    }
  }

  @Test func orderSpaceEscapedKeysAndForeignKeysDoNotMatter() throws {
    let body = """
      {"result" : [ { "logIndex":"0x0a" , "removed":true, "extra":{"a":[1,2,{}]},
        "transactionInd\\u0065x":"0x2","data":"0x","topics":[], "blockTimestamp":"0x1",
        "blockHash":"\(ToyNode.hash(5))","blockNumber":"0x5","address":"\(ToyNode.contract)",
        "transactionHash":"\(ToyNode.hash(6))" } ] , "id": null }
      """
    let log = Log(
      address: ToyNode.contract, topics: [], data: [], blockNumber: 5,
      blockHash: ToyNode.hash(5), transactionHash: ToyNode.hash(6), transactionIndex: 2,
      logIndex: 10)
    var expected = LogAnswer()
    expected.logs = [log]
    expected.firstRemoved = 0
    #expect(try decode(body) == expected)
  }

  /// Keys that stand where they stood in the log before are not read again, so logs that differ in
  /// their keys must not rub off on one another.
  @Test func eachLogIsReadByItsOwnKeys() throws {
    var generator = SeededGenerator()
    for _ in 0..<300 {
      let logs = (0..<6).map { _ in RawLog.random(using: &generator) }
      let texts = try logs.map { try Self.shuffledText($0, using: &generator) }
      let body = "{\"result\":[" + texts.joined(separator: ",") + "]}"
      let reread = try JSONDecoder().decode(RawAnswer.Result.self, from: Data(body.utf8))
      #expect(try decode(body).logs == reread.result.map { try $0.log })
    }
  }

  @Test(arguments: RawLog.keys) func aKeyThatOnlyTheLogBeforeHasIsMissing(_ key: String) throws {
    let fields = try Self.fields()
    func text(_ fields: [(key: String, value: String)]) -> String {
      "{" + fields.map { "\"\($0.key)\":\($0.value)" }.joined(separator: ",") + "}"
    }
    let whole = fields.sorted { $0.key < $1.key }
    let lacking = whole.filter { $0.key != key }
    #expect(
      reason("{\"result\":[\(text(whole)),\(text(lacking))]}") == .missingKey(key))
    let renamed = whole.map {
      $0.key == key ? (key: "x" + $0.key.dropFirst(), value: $0.value) : $0
    }
    #expect(
      reason("{\"result\":[\(text(whole)),\(text(renamed))]}") == .missingKey(key))
    let other = key == "data" ? "blockHash" : "data"
    let doubled = whole.map { $0.key == key ? (key: other, value: fields[other] ?? "") : $0 }
    #expect(
      reason("{\"result\":[\(text(whole)),\(text(doubled))]}") == .duplicateKey(other))
  }

  @Test(arguments: RawLog.keys) func aMissingKeyIsNamed(_ key: String) throws {
    let text = try Self.text { $0[key] = nil }
    #expect(reason(text) == .missingKey(key))
  }

  @Test(arguments: RawLog.keys + ["removed"]) func aDoubledKeyIsNamed(_ key: String) throws {
    let fields = try Self.fields()
    let twice = "\"\(key)\":\(fields[key] ?? "false"),\"\(key)\":\(fields[key] ?? "false")"
    let others = fields.filter { $0.key != key }.map { "\"\($0)\":\($1)" }
    let text = "{\"result\":[{" + ([twice] + others).joined(separator: ",") + "}]}"
    #expect(reason(text) == .duplicateKey(key))
  }

  @Test(arguments: [
    ("address", "\"0x12\""), ("address", "\"0xzz03040506070809101112131415161718192021\""),
    ("address", "null"), ("address", "5"), ("topics", "null"), ("topics", "[\"0x12\"]"),
    ("topics", "{}"), ("data", "\"0x1\""), ("data", "\"12\""), ("data", "\"0xgg\""),
    ("data", "null"), ("data", "\"0x12"), ("blockNumber", "\"0x\""), ("blockNumber", "null"),
    ("blockNumber", "12"), ("blockNumber", "\"0x10000000000000000\""),
    ("logIndex", "\"0x100000000\""),
    ("logIndex", "\"-0x1\""), ("transactionIndex", "\"0x1 \""), ("blockHash", "\"0x\""),
    ("transactionHash", "\"\\u0030x\""), ("removed", "\"false\""), ("removed", "null"),
  ])
  func aBadValueIsRefused(_ key: String, _ value: String) throws {
    var fields = try Self.fields()
    fields[key] = value
    let text = fields.map { "\"\($0)\":\($1)" }.joined(separator: ",")
    #expect(reason("{\"result\":[{" + text + "}]}") != nil)
  }

  @Test(arguments: ["address", "blockHash", "transactionHash"])
  func aHashOrAddressEndsWithAQuote(_ key: String) throws {
    var fields = try Self.fields()
    let value = try #require(fields[key])
    fields[key] = value.dropLast() + "x"
    let text = fields.map { "\"\($0)\":\($1)" }.joined(separator: ",")
    #expect(reason("{\"result\":[{" + text + "}]}") == .badHex)
  }

  @Test func fiveTopicsAreTooMany() throws {
    let topics = Array(repeating: "\(ToyNode.topic)", count: 5)
    #expect(reason(try Self.text { $0["topics"] = topics }) == .expected("at most four topics"))
    let four = try Self.text { $0["topics"] = Array(topics.dropLast()) }
    #expect(try decode(four).logs[0].topics.count == 4)
  }

  @Test(arguments: [
    "", "{}", "[]", "<html>502</html>", #"{"result":null}"#, #"{"result":{}}"#,
    #"{"result":[]} x"#, #"{"result":[],"result":[]}"#, #"{"result":[1]}"#,
  ])
  func anAnswerOfAnotherShapeIsRefused(_ text: String) {
    #expect(reason(text) != nil)
  }

  /// Damaged answers end in logs or in an error, and in logs only when Foundation agrees.
  @Test func damagedAnswersNeverCrashAndNeverMeanSomethingElse() throws {
    var generator = SeededGenerator()
    let logs = (0..<3).map { _ in RawLog.random(using: &generator) }
    let body = Array(try JSONEncoder().encode(RawAnswer(jsonrpc: "2.0", id: 1, result: logs)))
    for _ in 0..<20_000 {
      var bytes = body
      for _ in 0..<Int.random(in: 1...4, using: &generator) {
        Mutation.apply(to: &bytes, using: &generator)
      }
      guard let ours = try? LogAnswer.decode(body: bytes) else { continue }
      let theirs = try? JSONDecoder().decode(RawAnswer.Result.self, from: Data(bytes))
      #expect(try ours.logs == theirs?.result.map { try $0.log })
    }
  }

  /// The keys in any order, with up to twelve foreign ones among them, and sometimes with space.
  private static func shuffledText(
    _ log: RawLog, using generator: inout SeededGenerator
  ) throws -> String {
    let data = try JSONEncoder().encode(log)
    let fields = try JSONSerialization.jsonObject(with: data) as? [String: Any] ?? [:]
    var members = try fields.map { key, value in
      let data = try JSONSerialization.data(withJSONObject: value, options: .fragmentsAllowed)
      return "\"\(key)\":\(String(decoding: data, as: UTF8.self))"
    }
    for number in 0..<Int.random(in: 0...12, using: &generator) {
      members.append("\"foreignKey\(number)\":[\(number),{\"data\":\"0x\"}]")
    }
    if Int.random(in: 0..<3, using: &generator) > 0 {
      members.sort()
    } else {
      members.shuffle(using: &generator)
    }
    let comma = Bool.random(using: &generator) ? "," : " , "
    return "{" + members.joined(separator: comma) + "}"
  }

  private static func fields() throws -> [String: String] {
    var generator = SeededGenerator(seed: 5)
    let data = try JSONEncoder().encode(RawLog.random(using: &generator))
    let fields = try JSONSerialization.jsonObject(with: data) as? [String: Any] ?? [:]
    return try fields.mapValues { value in
      let data = try JSONSerialization.data(withJSONObject: value, options: .fragmentsAllowed)
      return String(decoding: data, as: UTF8.self)
    }
  }

  private static func text(_ change: (inout [String: Any]) -> Void) throws -> String {
    var generator = SeededGenerator(seed: 5)
    let data = try JSONEncoder().encode(RawLog.random(using: &generator))
    var fields = try JSONSerialization.jsonObject(with: data) as? [String: Any] ?? [:]
    change(&fields)
    let changed = try JSONSerialization.data(withJSONObject: ["result": [fields]])
    return String(decoding: changed, as: UTF8.self)
  }
}

private func decode(_ text: String) throws -> LogAnswer {
  try LogAnswer.decode(body: Array(text.utf8))
}

private func reason(_ text: String) -> JSONError.Reason? {
  do throws(JSONError) {
    _ = try LogAnswer.decode(body: Array(text.utf8))
    return nil
  } catch {
    return error.reason
  }
}

/// The answer as Foundation reads it.
struct RawAnswer: Codable {
  var jsonrpc: String
  var id: Int
  var result: [RawLog]

  struct Result: Codable { var result: [RawLog] }
}

/// A log as Foundation reads it.
struct RawLog: Codable {
  var address: String
  var topics: [String]
  var data: String
  var blockNumber: String
  var blockHash: String
  var transactionHash: String
  var transactionIndex: String
  var logIndex: String
  var removed: Bool?

  static let keys = [
    "address", "topics", "data", "blockNumber", "blockHash", "transactionHash",
    "transactionIndex", "logIndex",
  ]

  static func random(using generator: inout SeededGenerator) -> RawLog {
    func hex(_ count: Int) -> String {
      Hex.encode((0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) })
    }
    func quantity(_ bits: Int) -> String {
      Hex.quantity(
        UInt64.random(
          in: 0...(1 << UInt64(Int.random(in: 0...bits, using: &generator))) - 1, using: &generator)
      )
    }
    return RawLog(
      address: hex(20), topics: (0..<Int.random(in: 0...4, using: &generator)).map { _ in hex(32) },
      data: hex(Int.random(in: 0...100, using: &generator)), blockNumber: quantity(63),
      blockHash: hex(32), transactionHash: hex(32), transactionIndex: quantity(32),
      logIndex: quantity(32), removed: Bool.random(using: &generator) ? false : nil)
  }

  /// By way of text, without the scanner.
  var log: Log {
    get throws {
      guard let address = Address(address), let data = Hex.decode(data),
        let blockHash = Bytes32(blockHash), let transactionHash = Bytes32(transactionHash),
        let transactionIndex = UInt32(exactly: try Self.quantity(transactionIndex)),
        let logIndex = UInt32(exactly: try Self.quantity(logIndex))
      else { throw Unreadable() }
      return Log(
        address: address, topics: try topics.map(Self.topic), data: data,
        blockNumber: try Self.quantity(blockNumber), blockHash: blockHash,
        transactionHash: transactionHash, transactionIndex: transactionIndex,
        logIndex: logIndex)
    }
  }

  private static func topic(_ text: String) throws -> Bytes32 {
    guard let topic = Bytes32(text) else { throw Unreadable() }
    return topic
  }

  private static func quantity(_ text: String) throws -> UInt64 {
    guard text.hasPrefix("0x"), text.dropFirst(2).allSatisfy(\.isHexDigit),
      let value = UInt64(text.dropFirst(2), radix: 16)
    else { throw Unreadable() }
    return value
  }

  private struct Unreadable: Error {}
}
