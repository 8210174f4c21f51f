import Chain
import Ethereum
import Foundation
import HTTP
import TestKit

/// A node of a small invented chain, which a test can make lie.
///
/// Answers bodies; what carries them, a script or a real server, is the test's choice.
struct ToyNode {
  var chainID: UInt64 = 56

  /// The blocks from number 0.
  var headers: [BlockHeader]

  /// All logs of the chain, in order.
  var logs: [Log]

  /// Blooms by block number; blocks without one have an empty bloom.
  var blooms: [UInt64: [UInt8]] = [:]

  /// Answers to calls inside aggregates, by call data; others revert.
  var callAnswers: [[UInt8]: [UInt8]] = [:]

  /// Calls inside aggregates, by call data, that use up the gas: they fail, and so does each one
  /// after them, without a reason.
  var gasBurners: Set<[UInt8]> = []

  /// Whether `eth_call` takes a block's hash.
  var knowsBlockHashes = true

  /// What is said instead of the logs of a range, if anything.
  var refusal: (_ range: ClosedRange<UInt64>) -> String? = { _ in nil }

  /// Changes an answer before it goes out.
  var lie: (_ method: String, _ response: inout [String: Any]) -> Void = { _, _ in }

  static let contract = Address(word0: 1, word1: 2, word2: 3)
  static let topic = Bytes32(word0: 7, word1: 7, word2: 7, word3: 7)
  static let filter = LogFilter(addresses: [contract], topics0: [topic])

  /// `count` blocks; every third has two logs with indexes 3 and 5.
  init(blocks count: UInt64 = 30, salt: UInt64 = 0) {
    headers = (0..<count).map { number in
      BlockHeader(
        number: number, hash: Self.hash(number, salt), parentHash: Self.hash(number &- 1, salt),
        timestamp: 1_700_000_000 + number)
    }
    logs = headers.filter { $0.number % 3 == 0 }.flatMap { header in
      [3, 5].map { Self.log(in: header, index: $0) }
    }
  }

  static func hash(_ number: UInt64, _ salt: UInt64 = 0) -> Bytes32 {
    Bytes32(word0: 0xB10C, word1: salt, word2: number, word3: number &* 31)
  }

  static func log(in header: BlockHeader, index: UInt32) -> Log {
    Log(
      address: contract, topics: [topic, hash(UInt64(index))], data: [1, 2, 3],
      blockNumber: header.number, blockHash: header.hash, transactionHash: hash(99),
      transactionIndex: index / 2, logIndex: index)
  }

  /// The body that answers a request's body.
  func answer(_ body: [UInt8]) -> [UInt8] {
    let request = (try? JSONSerialization.jsonObject(with: Data(body))) ?? [:]
    let answer: Any =
      if let batch = request as? [[String: Any]] {
        batch.map(respond)
      } else {
        respond(to: request as? [String: Any] ?? [:])
      }
    return Array((try? JSONSerialization.data(withJSONObject: answer)) ?? Data())
  }

  private func respond(to request: [String: Any]) -> [String: Any] {
    let method = request["method"] as? String ?? ""
    let parameters = request["params"] as? [Any] ?? []
    var response: [String: Any] = ["jsonrpc": "2.0", "id": request["id"] ?? NSNull()]
    do {
      response["result"] = try result(method, parameters)
    } catch let error as Refusal {
      response["error"] = ["code": error.code, "message": error.message]
    } catch {
      response["error"] = ["code": -32603, "message": "\(error)"]
    }
    lie(method, &response)
    return response
  }

  /// An error object.
  struct Refusal: Error {
    var code: Int
    var message: String
  }

  private func result(_ method: String, _ parameters: [Any]) throws -> Any {
    switch method {
    case "eth_chainId":
      return Hex.quantity(chainID)
    case "eth_getBlockByNumber":
      guard let tag = parameters.first as? String else { throw Self.badParameters }
      let header = tag == "latest" ? headers.last : Hex.parseQuantity(tag).flatMap(self.header)
      return header.map(json) ?? NSNull()
    case "eth_getBlockByHash":
      let hash = (parameters.first as? String).flatMap { Bytes32($0) }
      return headers.first { $0.hash == hash }.map(json) ?? NSNull()
    case "eth_getLogs":
      guard let filter = parameters.first as? [String: Any],
        let from = (filter["fromBlock"] as? String).flatMap({ Hex.parseQuantity($0) }),
        let to = (filter["toBlock"] as? String).flatMap({ Hex.parseQuantity($0) }),
        let addresses = filter["address"] as? [String], let topics = filter["topics"] as? [[String]]
      else { throw Self.badParameters }
      if let message = refusal(from...to) { throw Refusal(code: -32005, message: message) }
      return logs.filter { log in
        (from...to).contains(log.blockNumber) && addresses.contains(log.address.lowercaseHex)
          && (topics.isEmpty || topics[0].contains("\(log.topics[0])"))
      }.map(json)
    case "eth_call":
      return try call(parameters)
    default:
      throw Refusal(code: -32601, message: "the method \(method) does not exist")
    }
  }

  private static let badParameters = Refusal(code: -32602, message: "invalid params")

  private func call(_ parameters: [Any]) throws -> String {
    guard let call = parameters.first as? [String: String], parameters.count == 2,
      let data = call["data"].flatMap({ Hex.decode($0) })
    else { throw Self.badParameters }
    if let point = parameters[1] as? [String: Any] {
      guard knowsBlockHashes else {
        throw Refusal(code: -32602, message: "invalid argument 1: hex string without 0x prefix")
      }
      guard point["requireCanonical"] as? Bool == true,
        let hash = (point["blockHash"] as? String).flatMap({ Bytes32($0) })
      else { throw Self.badParameters }
      guard headers.contains(where: { $0.hash == hash }) else {
        throw Refusal(code: -32000, message: "header not found")
      }
    } else if let number = (parameters[1] as? String).flatMap({ Hex.parseQuantity($0) }) {
      guard header(number) != nil else {
        throw Refusal(code: -32000, message: "header not found")
      }
    }
    return Hex.encode(try aggregate(data))
  }

  /// `aggregate3` over `callAnswers`.
  private func aggregate(_ data: [UInt8]) throws -> [UInt8] {
    let type = ABIType.array(.tuple([.address, .bool, .bytes]))
    guard case .array(let calls)? = try ABI.decode([type], Array(data.dropFirst(4))).first else {
      throw Self.badParameters
    }
    var hasGas = true
    let results: [ABIValue] = calls.map { call in
      guard case .tuple(let fields) = call, case .bytes(let data) = fields[2] else {
        return .tuple([.bool(false), .bytes([0xBA, 0xD0])])
      }
      if gasBurners.contains(data) { hasGas = false }
      guard hasGas else { return .tuple([.bool(false), .bytes([])]) }
      guard let answer = callAnswers[data] else {
        return .tuple([.bool(false), .bytes([0xBA, 0xD0])])
      }
      return .tuple([.bool(true), .bytes(answer)])
    }
    return ABI.encode([.array(results)])
  }

  private func header(_ number: UInt64) -> BlockHeader? {
    headers.first { $0.number == number }
  }

  private func json(_ header: BlockHeader) -> Any {
    [
      "number": Hex.quantity(header.number), "hash": "\(header.hash)",
      "parentHash": "\(header.parentHash)", "timestamp": Hex.quantity(header.timestamp),
      "logsBloom": Hex.encode(blooms[header.number] ?? [UInt8](repeating: 0, count: 256)),
      "transactions": ["\(Self.hash(1))", "\(Self.hash(2))"],
    ]
  }

  private func json(_ log: Log) -> Any {
    [
      "address": log.address.lowercaseHex, "topics": log.topics.map(\.description),
      "data": Hex.encode(log.data), "blockNumber": Hex.quantity(log.blockNumber),
      "blockHash": "\(log.blockHash)", "transactionHash": "\(log.transactionHash)",
      "transactionIndex": Hex.quantity(UInt64(log.transactionIndex)),
      "logIndex": Hex.quantity(UInt64(log.logIndex)), "removed": false,
    ]
  }
}

/// Time that passes only when somebody sleeps.
final class SleepClock {
  private(set) var instant = MonotonicInstant(nanoseconds: 0)

  /// Passes the time at once.
  func sleep(_ duration: Duration) {
    instant = instant.advanced(by: duration)
  }

  /// How long was slept so far.
  var slept: Duration { instant.duration(since: MonotonicInstant(nanoseconds: 0)) }
}

/// A chain over scripted endpoints, with its transport and its clock.
struct ScriptedChain {
  let chain: Chain
  let transport: ScriptedTransport
  let clock: SleepClock

  /// Endpoints `node0`, `node1`, … that answer requests with `answer`.
  init(
    limits: ChainLimits = ChainLimits(), endpoints count: Int = 1, deadline: Deadline = .never,
    memory: [EndpointMemory] = [], time: @escaping () -> UInt64 = { 1_700_000_040 },
    _ answer:
      @escaping (_ request: HTTPRequest, _ endpoint: Int) -> Result<
        HTTPResponse, TransportError
      >
  ) throws {
    let urls = try (0..<count).map { try EndpointURL("http://node\($0).invalid/secretkey") }
    let clock = SleepClock()
    self.clock = clock
    transport = ScriptedTransport { request, _ in
      answer(request, urls.firstIndex(of: request.url) ?? 0)
    }
    chain = Chain(
      name: "toy", chainID: 56,
      endpoints: urls.enumerated().map { Endpoint(name: "node\($0)", url: $1) },
      transport: transport, limits: limits, deadline: deadline, memory: memory,
      generator: SeededGenerator(seed: 1), now: { clock.instant }, time: time, sleep: clock.sleep)
  }

  /// One endpoint: a toy node.
  init(_ node: ToyNode, limits: ChainLimits = ChainLimits()) throws {
    try self.init(limits: limits) { request, _ in .body(node.answer(request.body)) }
  }

  /// How many requests were sent to an endpoint.
  func requestCount(of endpoint: Int) -> Int {
    let url = try? EndpointURL("http://node\(endpoint).invalid/secretkey")
    return transport.requests.count { $0.url == url }
  }

  /// How many calls of a method have been sent.
  func callCount(_ method: String) -> Int {
    transport.requests.reduce(0) { count, request in
      count + String(decoding: request.body, as: UTF8.self).ranges(of: "\"\(method)\"").count
    }
  }
}

extension Result<HTTPResponse, TransportError> {
  /// A good answer with a body.
  static func body(_ body: [UInt8]) -> Self {
    .success(HTTPResponse(status: 200, body: body))
  }

  /// A good answer with a text.
  static func text(_ text: String) -> Self {
    .body(Array(text.utf8))
  }

  /// An answer with another status.
  static func status(_ status: Int, _ text: String = "", retryAfter: Duration? = nil) -> Self {
    .success(HTTPResponse(status: status, retryAfter: retryAfter, body: Array(text.utf8)))
  }
}
