import Chain
import Ethereum
import Foundation
import HTTP
import Quantities
import TestKit

/// A node, in this process, of a chain that forks as a test says: each fork takes some of the
/// transactions of the blocks it replaces to other blocks.
final class ForkingNode {
  static let core = Address(word0: 0xC0, word1: 1, word2: 1)

  private struct Block {
    let header: BlockHeader
    let logs: [Log]
    let transactions: [ToyTransaction]
    /// The contract's state after it.
    let state: ToyMarkets
  }

  let chainID: UInt64
  /// The chain, from block 0.
  private var blocks: [Block]
  /// Chains that were left, which may come back.
  private var left: [[Block]] = []
  private var forks = 0
  private var generator: SeededGenerator
  /// Done at the n-th request from now on, once.
  private var interruption: (requests: Int, action: (ForkingNode) -> Void)?

  /// A chain of one empty block.
  init(chainID: UInt64, seed: UInt64) {
    self.chainID = chainID
    generator = SeededGenerator(seed: seed)
    blocks = [
      Block(
        header: BlockHeader(
          number: 0, hash: keccak256(Array("genesis \(seed)".utf8)), parentHash: .zero,
          timestamp: 1_700_000_000), logs: [], transactions: [], state: ToyMarkets())
    ]
  }

  /// The same chain under another number, as it is now.
  init(as other: ForkingNode, chainID: UInt64) {
    self.chainID = chainID
    (blocks, generator) = (other.blocks, other.generator)
  }

  var head: BlockHeader { blocks[blocks.count - 1].header }

  // MARK: Mining and forking

  /// Adds blocks with new transactions.
  func mine(_ count: Int) {
    for _ in 0..<count {
      let wanted = (0..<Int.random(in: 0...3, using: &generator)).map { _ in
        ToyTransaction.random(&generator)
      }
      append(wanted)
    }
  }

  /// Replaces the last `depth` blocks by as many and more. Their transactions come again, in their
  /// order: most of them, now and then a block earlier or later.
  func fork(depth: Int, more: Int) {
    let depth = min(depth, blocks.count - 1)
    left.append(blocks)
    forks += 1
    var waiting = blocks.suffix(depth).flatMap(\.transactions)
      .filter { _ in Int.random(in: 0..<8, using: &generator) > 0 }
    blocks.removeLast(depth)
    for _ in 0..<(depth + more) {
      let taken = min(waiting.count, Int.random(in: 0...3, using: &generator))
      var wanted = Array(waiting.prefix(taken))
      waiting.removeFirst(taken)
      if Int.random(in: 0..<4, using: &generator) == 0 {
        wanted.append(ToyTransaction.random(&generator))
      }
      append(wanted)
    }
  }

  /// Goes back to a chain that was left, if it has left this one at most `depth` blocks below the
  /// heads of both, and mines on top of it until it is no shorter.
  func goBack(depth: Int) {
    guard let index = left.indices.randomElement(using: &generator) else { return }
    let other = left[index]
    let common = zip(blocks, other).prefix { $0.header == $1.header }.count
    guard blocks.count - common <= depth, other.count - common <= depth else { return }
    left[index] = blocks
    let length = blocks.count
    blocks = other
    mine(max(0, length - other.count) + Int.random(in: 0...2, using: &generator))
  }

  /// Does something when so many requests more have come.
  func interrupt(after requests: Int, _ action: @escaping (ForkingNode) -> Void) {
    interruption = (requests, action)
  }

  private func append(_ wanted: [ToyTransaction]) {
    let parent = blocks[blocks.count - 1]
    let number = parent.header.number + 1
    let header = BlockHeader(
      number: number, hash: keccak256(Array("\(parent.header.hash) \(forks) \(number)".utf8)),
      parentHash: parent.header.hash, timestamp: parent.header.timestamp + 3)
    var state = parent.state
    var logs: [Log] = []
    var done: [ToyTransaction] = []
    for transaction in wanted {
      guard let words = state.run(transaction) else { continue }
      let hash = keccak256(Array("\(transaction)".utf8))
      for (topics, data) in words {
        logs.append(
          Log(
            address: Self.core, topics: topics, data: data, blockNumber: number,
            blockHash: header.hash, transactionHash: hash,
            transactionIndex: UInt32(done.count), logIndex: UInt32(logs.count)))
      }
      done.append(transaction)
    }
    blocks.append(Block(header: header, logs: logs, transactions: done, state: state))
  }

  // MARK: Answering

  /// A chain that asks this node, and waits for nothing.
  func chain() throws -> Chain {
    let transport = ScriptedTransport { [self] request, _ in
      interruptIfDue()
      return .success(HTTPResponse(status: 200, body: answer(request.body)))
    }
    var instant = MonotonicInstant(nanoseconds: 0)
    return Chain(
      name: "toy", chainID: chainID,
      endpoints: [Endpoint(name: "node", url: try EndpointURL("http://node.invalid"))],
      transport: transport, generator: SeededGenerator(seed: 1), now: { instant },
      sleep: { instant = instant.advanced(by: $0) })
  }

  private func interruptIfDue() {
    guard let (requests, action) = interruption else { return }
    interruption = requests > 0 ? (requests - 1, action) : nil
    if requests == 0 { action(self) }
  }

  private func answer(_ body: [UInt8]) -> [UInt8] {
    let object = try? JSONSerialization.jsonObject(with: Data(body))
    guard let batch = object as? [[String: Any]] else {
      return Array(one(object as? [String: Any] ?? [:]).utf8)
    }
    return Array("[\(batch.map(one).joined(separator: ","))]".utf8)
  }

  private func one(_ call: [String: Any]) -> String {
    let parameters = call["params"] as? [Any] ?? []
    let result: String
    switch call["method"] as? String {
    case "eth_chainId": result = "\"\(Hex.quantity(chainID))\""
    case "eth_getBlockByNumber":
      let tag = parameters.first as? String ?? "latest"
      result = header(Hex.parseQuantity(tag) ?? head.number)
    case "eth_getLogs": result = logs(parameters.first as? [String: Any] ?? [:])
    default: result = "null"
    }
    return #"{"jsonrpc":"2.0","id":\#(call["id"] ?? 0),"result":\#(result)}"#
  }

  private func header(_ number: UInt64) -> String {
    guard number < UInt64(blocks.count) else { return "null" }
    let header = blocks[Int(number)].header
    return """
      {"number":"\(Hex.quantity(number))","hash":"\(header.hash)",\
      "parentHash":"\(header.parentHash)","timestamp":"\(Hex.quantity(header.timestamp))"}
      """
  }

  private func logs(_ filter: [String: Any]) -> String {
    func bound(_ name: String) -> UInt64? {
      (filter[name] as? String).flatMap { Hex.parseQuantity($0) }
    }
    guard let from = bound("fromBlock"), let to = bound("toBlock"), from <= to else { return "[]" }
    let range = Int(from)..<max(Int(from), min(Int(to) + 1, blocks.count))
    guard range.upperBound <= blocks.count else { return "[]" }
    return "[\(blocks[range].flatMap(\.logs).map(text).joined(separator: ","))]"
  }

  private func text(_ log: Log) -> String {
    let topics = log.topics.map { "\"\($0)\"" }.joined(separator: ",")
    return """
      {"address":"\(log.address.lowercaseHex)","topics":[\(topics)],\
      "data":"\(Hex.encode(log.data))",\
      "blockNumber":"\(Hex.quantity(log.blockNumber))","blockHash":"\(log.blockHash)",\
      "transactionHash":"\(log.transactionHash)",\
      "transactionIndex":"\(Hex.quantity(UInt64(log.transactionIndex)))",\
      "logIndex":"\(Hex.quantity(UInt64(log.logIndex)))","removed":false}
      """
  }
}

// MARK: - A contract in small

/// What somebody wants; whether it can be done, the state of its fork decides.
enum ToyTransaction {
  case create(market: Int)
  case supply(market: Int, user: Int, amount: UInt64)
  case withdraw(market: Int, user: Int, amount: UInt64)
  case collateral(market: Int, user: Int, amount: UInt64)
  case borrow(market: Int, user: Int, amount: UInt64)
  case repay(market: Int, user: Int, amount: UInt64)
  case accrue(market: Int, amount: UInt64)
  case setFee(market: Int, amount: UInt64)

  static func random(_ generator: inout SeededGenerator) -> ToyTransaction {
    let market = Int.random(in: 0..<2, using: &generator)
    let user = Int.random(in: 1...4, using: &generator)
    let amount = UInt64.random(in: 1...1_000, using: &generator)
    switch Int.random(in: 0..<12, using: &generator) {
    case 0, 1: return .create(market: market)
    case 2, 3, 4: return .supply(market: market, user: user, amount: amount)
    case 5: return .withdraw(market: market, user: user, amount: amount)
    case 6, 7: return .collateral(market: market, user: user, amount: amount)
    case 8, 9: return .borrow(market: market, user: user, amount: amount / 4 + 1)
    case 10: return .repay(market: market, user: user, amount: amount)
    default:
      return Bool.random(using: &generator)
        ? .accrue(market: market, amount: amount) : .setFee(market: market, amount: amount)
    }
  }
}

/// Markets whose shares are a thousandth of what the contract would give: only sums matter here.
struct ToyMarkets {
  private struct Market {
    var supplied: UInt64 = 0
    var borrowed: UInt64 = 0
    var supplyShares: [Int: UInt64] = [:]
    var borrowShares: [Int: UInt64] = [:]
  }

  typealias Words = [(topics: [Bytes32], data: [UInt8])]

  private var markets: [Int: Market] = [:]

  /// The logs of a transaction; nil if it cannot be done.
  mutating func run(_ transaction: ToyTransaction) -> Words? {
    switch transaction {
    case .create(let id):
      guard markets[id] == nil else { return nil }
      markets[id] = Market()
      return [
        Self.log(
          "CreateMarket(bytes32,(address,address,address,address,uint256))", id,
          [], Self.parameters(of: id))
      ]
    case .supply(let id, let user, let amount):
      guard markets[id] != nil else { return nil }
      markets[id]?.supplied += amount
      markets[id]?.supplyShares[user, default: 0] += amount
      return [
        Self.log(
          "Supply(bytes32,address,address,uint256,uint256)", id, [user, user],
          Self.words(amount, amount))
      ]
    case .withdraw(let id, let user, let amount):
      guard let market = markets[id], market.supplyShares[user, default: 0] >= amount,
        market.supplied - market.borrowed >= amount
      else { return nil }
      markets[id]?.supplied -= amount
      markets[id]?.supplyShares[user, default: 0] -= amount
      return [
        Self.log(
          "Withdraw(bytes32,address,address,address,uint256,uint256)", id, [user, user],
          Self.words(UInt64(user), amount, amount))
      ]
    case .collateral(let id, let user, let amount):
      guard markets[id] != nil else { return nil }
      return [
        Self.log(
          "SupplyCollateral(bytes32,address,address,uint256)", id, [user, user],
          Self.words(amount))
      ]
    case .borrow(let id, let user, let amount):
      guard let market = markets[id], market.supplied - market.borrowed >= amount else {
        return nil
      }
      markets[id]?.borrowed += amount
      markets[id]?.borrowShares[user, default: 0] += amount
      return [
        Self.log(
          "Borrow(bytes32,address,address,address,uint256,uint256)", id, [user, user],
          Self.words(UInt64(user), amount, amount))
      ]
    case .repay(let id, let user, let amount):
      guard let owed = markets[id]?.borrowShares[user], owed > 0 else { return nil }
      let paid = min(owed, amount)
      markets[id]?.borrowed -= paid
      markets[id]?.borrowShares[user] = owed - paid
      return [
        Self.log(
          "Repay(bytes32,address,address,uint256,uint256)", id, [user, user],
          Self.words(paid, paid))
      ]
    case .accrue(let id, let amount):
      guard markets[id] != nil else { return nil }
      markets[id]?.supplied += amount
      markets[id]?.borrowed += amount
      return [
        Self.log(
          "AccrueInterest(bytes32,uint256,uint256,uint256)", id, [], Self.words(1, amount, 0))
      ]
    case .setFee(let id, let amount):
      guard markets[id] != nil else { return nil }
      return [Self.log("SetFee(bytes32,uint256)", id, [], Self.words(amount))]
    }
  }

  private static func log(
    _ event: String, _ market: Int, _ users: [Int], _ data: [UInt8]
  ) -> (topics: [Bytes32], data: [UInt8]) {
    let id = keccak256(parameters(of: market))
    return ([ABI.topic(event), id] + users.map { Bytes32(U256(UInt64($0))) }, data)
  }

  private static func words(_ numbers: UInt64...) -> [UInt8] {
    numbers.flatMap { U256($0).bigEndianBytes }
  }

  /// Loan token, collateral token, oracle, no rate model, and 0.8.
  private static func parameters(of market: Int) -> [UInt8] {
    words(UInt64(market) + 100, 200, 300, 0, 800_000_000_000_000_000)
  }
}
