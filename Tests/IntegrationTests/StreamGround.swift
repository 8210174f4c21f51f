import Chain
import Ethereum
import Foundation
import HTTP
import Moolah
import Postgres
import Store
import Systems
import TestKit
import Testing

@testable import Ingest

/// A recorded stream of Moolah's logs on a chain of its own, told by scripted endpoints that a test
/// can make withhold logs or stand on another fork, and a follower of it in this process.
///
/// Every second block is empty.
final class StreamGround {
  static let chainID: UInt64 = 56
  static let head: UInt64 = 400
  /// The last block that is read: no later one has logs.
  static let last: UInt64 = 300
  /// The rate model of every market of the stream.
  static let model = Address(
    word0: 0x1111_1111_1111_1111, word1: 0x1111_1111_1111_1111, word2: 0x1111_1111)

  let database: TemporaryDatabase
  let db: Connection
  let deployment: Deployment
  let logs: [Log]

  /// Which logs an endpoint keeps back.
  var withholds: (_ endpoint: Int, _ log: Log) -> Bool = { _, _ in false }
  /// The name of the fork that an endpoint is on.
  var branch: (_ endpoint: Int) -> String = { _ in "own" }
  /// Headers that were asked for by number.
  private(set) var headersAsked = 0

  private let endpoints: Int
  private let limits = IngestLimits(windowBlocks: 1_000, reorg: 10)

  init(endpoints: Int = 1) throws {
    self.endpoints = endpoints
    let recorded = try Fixture.json("Moolah/fixture_logs_11.json", as: Recording.self).logs
    logs = try Self.logs(recorded)
    let core = try #require(recorded.first { $0.address != Self.model.lowercaseHex }?.address)
    database = try TemporaryDatabase()
    db = try database.connection()
    let address = try #require(Address(core))
    let id = try db.transaction { tx in
      try Deployments.register(
        name: "stream", chainID: Self.chainID, system: "moolah", address: address, firstBlock: 1,
        in: tx)
    }
    deployment = Deployment(
      id: id, name: "stream", chainID: Self.chainID, address: address, firstBlock: 1)
  }

  func follower() throws -> Follower<Moolah> {
    guard case .mine(let writer) = try Writer.take(deployment.id, holder: "test", on: db) else {
      throw ProgramError(message: "nobody else is the writer")
    }
    return try Follower(
      Moolah(.moolah), of: deployment, limits: limits, chain: chain(), db: db, writer: writer)
  }

  /// Follows to the last block, as a run does.
  func follow(_ follower: inout Follower<Moolah>) throws {
    try follower.follow(through: Self.last, head: Self.head) { _ in true }
    try follower.listWatched()
  }

  /// Reads every open range again, as a run does at its end.
  func mend(_ follower: inout Follower<Moolah>) throws {
    for open in try follower.open() {
      _ = try follower.mend(open, head: Self.head)
      try follower.deriveShared(head: Self.head)
    }
  }

  /// The mirror, without the events, of which a test may have stored more.
  func mirror() throws -> Set<String> {
    Set(try TableDump(db).lines.filter { !$0.hasPrefix("event ") })
  }

  /// The mirror of a run that nothing disturbed.
  static func cleanMirror() throws -> Set<String> {
    let ground = try StreamGround()
    var follower = try ground.follower()
    try ground.follow(&follower)
    #expect(try follower.open().isEmpty)
    return try ground.mirror()
  }

  /// Stores events as another run of the chain would have stored them.
  func store(_ logs: [Log], branch: String = "own") throws {
    try db.transaction { tx in
      let headers = Set(logs.map(\.blockNumber)).sorted().map { Self.header($0, branch) }
      try Blocks.append(headers, chainID: Self.chainID, in: tx)
      _ = try EventStore.append(logs, chainID: Self.chainID, in: tx)
    }
  }

  func canonical(_ number: UInt64) throws -> Bytes32? {
    try db.transaction(.readOnly) { tx in
      try Blocks.canonical(number: number, chainID: Self.chainID, in: tx)
    }
  }

  static func header(_ number: UInt64, _ branch: String = "own") -> BlockHeader {
    func hash(_ number: UInt64) -> Bytes32 { keccak256(Array("\(branch) \(number)".utf8)) }
    return BlockHeader(
      number: number, hash: hash(number), parentHash: hash(number &- 1), timestamp: 1_000 + number)
  }

  // MARK: The stream

  private struct Recording: Decodable {
    struct RecordedLog: Decodable {
      let ts: UInt64
      let address: String
      let topics: [String]
      let data: String
    }
    let logs: [RecordedLog]
  }

  private static func logs(_ recorded: [Recording.RecordedLog]) throws -> [Log] {
    var logs: [Log] = []
    var (block, index, time) = (UInt64(0), UInt32(0), UInt64(0))
    for log in recorded {
      if log.ts != time { (block, index, time) = (block + 2, 0, log.ts) }
      logs.append(
        Log(
          address: try #require(Address(log.address)),
          topics: try log.topics.map { try #require(Bytes32($0)) },
          data: try #require(Hex.decode(log.data)), blockNumber: block,
          blockHash: header(block).hash, transactionHash: keccak256(Array("\(block)".utf8)),
          transactionIndex: 0, logIndex: index))
      index += 1
    }
    return logs
  }

  // MARK: The node

  private func chain() throws -> Chain {
    let urls = try (0..<endpoints).map { try EndpointURL("http://127.0.0.1:\($0 + 1)") }
    let transport = ScriptedTransport { [unowned self] request, _ in
      let endpoint = urls.firstIndex(of: request.url) ?? 0
      return .success(HTTPResponse(status: 200, body: answer(request.body, endpoint)))
    }
    return Chain(
      name: "stream", chainID: Self.chainID,
      endpoints: urls.enumerated().map { Endpoint(name: "node\($0)", url: $1) },
      transport: transport, sleep: { _ in })
  }

  private func answer(_ body: [UInt8], _ endpoint: Int) -> [UInt8] {
    let object = try? JSONSerialization.jsonObject(with: Data(body))
    guard let batch = object as? [[String: Any]] else {
      return Array(one(object as? [String: Any] ?? [:], endpoint).utf8)
    }
    return Array("[\(batch.map { one($0, endpoint) }.joined(separator: ","))]".utf8)
  }

  private func one(_ call: [String: Any], _ endpoint: Int) -> String {
    let parameters = call["params"] as? [Any] ?? []
    let result: String
    switch call["method"] as? String {
    case "eth_chainId": result = #""\#(Hex.quantity(Self.chainID))""#
    case "eth_getBlockByNumber":
      headersAsked += 1
      let number = Hex.parseQuantity(parameters.first as? String ?? "") ?? Self.head
      result = number > Self.head ? "null" : json(Self.header(number, branch(endpoint)))
    case "eth_getLogs": result = logs(parameters.first as? [String: Any] ?? [:], endpoint)
    default: result = "null"
    }
    return #"{"jsonrpc":"2.0","id":\#(call["id"] ?? 0),"result":\#(result)}"#
  }

  private func logs(_ filter: [String: Any], _ endpoint: Int) -> String {
    let blocks = ["fromBlock", "toBlock"].map {
      Hex.parseQuantity(filter[$0] as? String ?? "") ?? 0
    }
    let addresses = filter["address"] as? [String] ?? []
    let given = logs.filter { log in
      (blocks[0]...blocks[1]).contains(log.blockNumber)
        && addresses.contains(log.address.lowercaseHex) && !withholds(endpoint, log)
    }
    return "[\(given.map(json).joined(separator: ","))]"
  }

  private func json(_ header: BlockHeader) -> String {
    """
    {"number":"\(Hex.quantity(header.number))","hash":"\(header.hash)",\
    "parentHash":"\(header.parentHash)","timestamp":"\(Hex.quantity(header.timestamp))"}
    """
  }

  private func json(_ log: Log) -> String {
    """
    {"address":"\(log.address.lowercaseHex)",\
    "topics":[\(log.topics.map { "\"\($0)\"" }.joined(separator: ","))],\
    "data":"\(Hex.encode(log.data))","blockNumber":"\(Hex.quantity(log.blockNumber))",\
    "blockHash":"\(log.blockHash)","transactionHash":"\(log.transactionHash)",\
    "transactionIndex":"\(Hex.quantity(UInt64(log.transactionIndex)))",\
    "logIndex":"\(Hex.quantity(UInt64(log.logIndex)))","removed":false}
    """
  }
}
