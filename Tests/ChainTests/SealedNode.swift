import Chain
import Ethereum
import Foundation
import HTTP
import TestKit

/// A node of a small chain whose headers, blooms, receipts and roots are all true, and which a
/// test can make lie.
///
/// Two contracts write four kinds of events; some blocks have no logs, some only unwanted ones.
struct SealedNode {
  /// A block with everything that its hash is made of.
  struct Block {
    var header: BlockHeader
    var fields: HeaderFields
    var receipts: [Receipt]
    var transactions: [Bytes32]
    var logs: [Log] { receipts.flatMap(\.logs) }
  }

  var blocks: [Block] = []

  /// Changes the logs of an answer to `eth_getLogs`.
  var tamper: (_ logs: inout [[String: Any]]) -> Void = { _ in }

  /// Changes any answer before it goes out.
  var lie: (_ method: String, _ response: inout [String: Any]) -> Void = { _, _ in }

  /// The methods it does not have.
  var missing: Set<String> = []

  /// Logs that it gives at most, without saying so.
  var cap = Int.max

  static let core = address(1)
  static let irm = address(2)
  static let events = (1...4).map { word(UInt64($0), salt: 0xE7) }
  static let filter = LogFilter(addresses: [core, irm], topics0: events)
  static let stranger = address(9)

  /// `count` blocks made by a seed; one fifth of them have no transactions.
  init(blocks count: UInt64, seed: UInt64, logsPerBlock: ClosedRange<Int> = 0...4) {
    var generator = SeededGenerator(seed: seed)
    var parent = Bytes32.zero
    for number in 0..<count {
      let block = Self.block(number, parent, logsPerBlock, &generator)
      parent = block.header.hash
      blocks.append(block)
    }
  }

  /// All wanted logs of a range, as they truly are.
  func truth(_ range: ClosedRange<UInt64>) -> [Log] {
    blocks[Int(range.lowerBound)...min(Int(range.upperBound), blocks.count - 1)].flatMap(\.logs)
      .filter {
        Self.filter.addresses.contains($0.address)
          && $0.topics.first.map(Self.events.contains) == true
      }
  }

  // MARK: Making blocks

  static func address(_ number: UInt64) -> Address {
    Address(word0: 0xADD0, word1: number, word2: UInt32(number))
  }

  static func word(_ number: UInt64, salt: UInt64) -> Bytes32 {
    Bytes32(word0: salt, word1: number &* 7919, word2: ~number, word3: number)
  }

  private static func block(
    _ number: UInt64, _ parent: Bytes32, _ logsPerBlock: ClosedRange<Int>,
    _ generator: inout SeededGenerator
  ) -> Block {
    let isEmpty = number % 5 == 4
    let logCount = isEmpty ? 0 : Int.random(in: logsPerBlock, using: &generator)
    var logs: [Log] = []
    for index in 0..<logCount {
      logs.append(log(number, UInt32(index), &generator))
    }
    // A stranger's event, which nobody asks for.
    if !isEmpty, number % 3 == 1 {
      var foreign = log(number, UInt32(logs.count), &generator)
      foreign.address = stranger
      foreign.topics[0] = word(77, salt: 0xF0)
      logs.append(foreign)
    }
    let count = isEmpty ? 0 : max(1, (logs.count + 1) / 2)
    let transactions = (0..<count).map { word(number * 100 + UInt64($0), salt: 0x7A) }
    return seal(number, parent, logs, transactions)
  }

  private static func log(
    _ number: UInt64, _ index: UInt32, _ generator: inout SeededGenerator
  ) -> Log {
    var topics = [events[Int.random(in: 0..<4, using: &generator)]]
    for _ in 0..<Int.random(in: 0...2, using: &generator) {
      topics.append(word(UInt64.random(in: 0..<12, using: &generator), salt: 0x70))
    }
    return Log(
      address: Bool.random(using: &generator) ? core : irm, topics: topics,
      data: (0..<32).map { _ in UInt8.random(in: 0...255, using: &generator) },
      blockNumber: number, blockHash: .zero, transactionHash: .zero, transactionIndex: 0,
      logIndex: index)
  }

  /// Spreads the logs over the transactions and computes everything that binds them.
  private static func seal(
    _ number: UInt64, _ parent: Bytes32, _ logs: [Log], _ transactions: [Bytes32]
  ) -> Block {
    var receipts: [Receipt] = []
    for index in transactions.indices {
      let own = logs.filter { Int($0.logIndex) / 2 == index }.map { log in
        var log = log
        log.transactionIndex = UInt32(index)
        log.transactionHash = transactions[index]
        return log
      }
      receipts.append(
        Receipt(
          type: UInt8(index % 5), outcome: .succeeded,
          cumulativeGasUsed: 21_000 * UInt64(index + 1), bloom: bloom(own), logs: own))
    }
    var fields = HeaderFields()
    for field in HeaderFields.Field.allCases { fields[field] = word(number, salt: 0xFF).bytes }
    fields[.parentHash] = parent.bytes
    fields[.beneficiary] = address(3).bytes
    fields[.receiptsRoot] = receiptsRoot(receipts)?.bytes
    fields[.bloom] = bloom(logs)
    fields[.difficulty] = []
    fields[.number] = minimal(number)
    fields[.gasLimit] = minimal(30_000_000)
    fields[.gasUsed] = minimal(21_000 * UInt64(transactions.count))
    fields[.timestamp] = minimal(1_700_000_000 + number)
    fields[.nonce] = [UInt8](repeating: 0, count: 8)
    fields[.baseFee] = minimal(7)
    fields[.blobGasUsed] = []
    fields[.excessBlobGas] = minimal(131_072)
    let hash = fields.hash ?? .zero
    let header = BlockHeader(
      number: number, hash: hash, parentHash: parent, timestamp: 1_700_000_000 + number)
    for place in receipts.indices {
      for log in receipts[place].logs.indices { receipts[place].logs[log].blockHash = hash }
    }
    return Block(header: header, fields: fields, receipts: receipts, transactions: transactions)
  }

  private static func minimal(_ number: UInt64) -> [UInt8] {
    Array(number.bigEndianBytes.drop { $0 == 0 })
  }

  /// A bloom made from the definition.
  static func bloom(_ logs: [Log]) -> [UInt8] {
    var bloom = [UInt8](repeating: 0, count: 256)
    for item in logs.flatMap({ [$0.address.bytes] + $0.topics.map(\.bytes) }) {
      let hash = keccak256(item).bytes
      for pair in 0..<3 {
        let bit = (Int(hash[2 * pair]) << 8 | Int(hash[2 * pair + 1])) & 2047
        bloom[255 - bit / 8] |= 1 << UInt8(bit % 8)
      }
    }
    return bloom
  }

  // MARK: Answering

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
    var response: [String: Any] = ["jsonrpc": "2.0", "id": request["id"] ?? NSNull()]
    if missing.contains(method) {
      response["error"] = ["code": -32601, "message": "the method \(method) does not exist"]
      return response
    }
    response["result"] = result(method, request["params"] as? [Any] ?? [])
    lie(method, &response)
    return response
  }

  private func result(_ method: String, _ parameters: [Any]) -> Any {
    let text = parameters.first as? String ?? ""
    let byNumber = Hex.parseQuantity(text).flatMap { number in
      number < UInt64(blocks.count) ? blocks[Int(number)] : nil
    }
    switch method {
    case "eth_chainId": return "0x38"
    case "eth_getBlockByNumber":
      return (text == "latest" ? blocks.last : byNumber).map(json) ?? NSNull()
    case "eth_getBlockByHash":
      return blocks.first { "\($0.header.hash)" == text }.map(json) ?? NSNull()
    case "eth_getBlockReceipts":
      return byNumber.map { block in
        block.receipts.indices.map { json(block, receipt: $0) }
      } ?? NSNull()
    case "eth_getTransactionReceipt":
      for block in blocks {
        if let place = block.transactions.firstIndex(where: { "\($0)" == text }) {
          return json(block, receipt: place)
        }
      }
      return NSNull()
    case "eth_getLogs": return logs(parameters.first as? [String: Any] ?? [:])
    default: return NSNull()
    }
  }

  private func logs(_ filter: [String: Any]) -> Any {
    let numbers = ["fromBlock", "toBlock"].compactMap {
      (filter[$0] as? String).flatMap { Hex.parseQuantity($0) }
    }
    guard numbers.count == 2, numbers[0] <= numbers[1] else { return NSNull() }
    var found = truth(numbers[0]...numbers[1]).map(json)
    if found.count > cap { found.removeLast(found.count - cap) }
    tamper(&found)
    return found
  }

  private func json(_ block: Block) -> Any {
    let header = block.header
    var json: [String: Any] = [
      "hash": "\(header.hash)", "transactions": block.transactions.map(\.description),
    ]
    for (name, field) in Self.dataFields { json[name] = Hex.encode(block.fields[field] ?? []) }
    for (name, field) in Self.numberFields {
      let digits = Hex.encode(block.fields[field] ?? []).dropFirst(2).drop { $0 == "0" }
      json[name] = "0x" + (digits.isEmpty ? "0" : digits)
    }
    return json
  }

  private static let dataFields: [(String, HeaderFields.Field)] = [
    ("parentHash", .parentHash), ("sha3Uncles", .uncles), ("miner", .beneficiary),
    ("stateRoot", .stateRoot), ("transactionsRoot", .transactionsRoot),
    ("receiptsRoot", .receiptsRoot), ("logsBloom", .bloom), ("extraData", .extraData),
    ("mixHash", .mixHash), ("nonce", .nonce), ("withdrawalsRoot", .withdrawalsRoot),
    ("parentBeaconBlockRoot", .beaconRoot), ("requestsHash", .requestsHash),
  ]

  private static let numberFields: [(String, HeaderFields.Field)] = [
    ("difficulty", .difficulty), ("number", .number), ("gasLimit", .gasLimit),
    ("gasUsed", .gasUsed), ("timestamp", .timestamp), ("baseFeePerGas", .baseFee),
    ("blobGasUsed", .blobGasUsed), ("excessBlobGas", .excessBlobGas),
  ]

  private func json(_ block: Block, receipt place: Int) -> Any {
    let receipt = block.receipts[place]
    return [
      "type": Hex.quantity(UInt64(receipt.type)), "status": "0x1",
      "cumulativeGasUsed": Hex.quantity(receipt.cumulativeGasUsed),
      "logsBloom": Hex.encode(receipt.bloom), "logs": receipt.logs.map(json),
      "blockHash": "\(block.header.hash)", "transactionHash": "\(block.transactions[place])",
    ]
  }

  func json(_ log: Log) -> [String: Any] {
    [
      "address": log.address.lowercaseHex, "topics": log.topics.map(\.description),
      "data": Hex.encode(log.data), "blockNumber": Hex.quantity(log.blockNumber),
      "blockHash": "\(log.blockHash)", "transactionHash": "\(log.transactionHash)",
      "transactionIndex": Hex.quantity(UInt64(log.transactionIndex)),
      "logIndex": Hex.quantity(UInt64(log.logIndex)), "removed": false,
    ]
  }
}

extension UInt64 {
  fileprivate var bigEndianBytes: [UInt8] { withUnsafeBytes(of: bigEndian, Array.init) }
}

extension ScriptedChain {
  /// One endpoint for each node.
  init(_ nodes: [SealedNode], limits: ChainLimits = ChainLimits()) throws {
    try self.init(limits: limits, endpoints: nodes.count) { request, endpoint in
      .body(nodes[endpoint].answer(request.body))
    }
  }

  /// The window of a range, with the headers from `everyHeaderFrom` on.
  func window(
    _ range: ClosedRange<UInt64>, everyHeaderFrom: UInt64 = 0,
    parent: (number: UInt64, hash: Bytes32)? = nil
  ) throws -> Window {
    try chain.window(
      SealedNode.filter, from: range.lowerBound, through: range.upperBound,
      everyHeaderFrom: everyHeaderFrom, parent: parent)
  }
}
