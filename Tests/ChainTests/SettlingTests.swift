import Chain
import Ethereum
import Foundation
import HTTP
import TestKit
import Testing

/// Blooms that speak against the logs, and what clears that up.
@Suite struct SettlingTests {
  private let honest = SealedNode(blocks: 24, seed: 5)

  @Test func anHonestNodeLeavesNoDoubtsAndNoNotices() throws {
    for seed in UInt64(1)...20 {
      let node = SealedNode(blocks: 24, seed: seed)
      let scripted = try ScriptedChain([node])
      let window = try scripted.window(2...21, parent: (1, node.blocks[1].header.hash))
      #expect(window.logs == node.truth(2...21), "seed \(seed)")
      #expect(window.doubts.isEmpty && scripted.chain.takeNotices().isEmpty, "seed \(seed)")
    }
  }

  @Test func withheldLogsAreTakenFromTheReceipts() throws {
    for missing in [[], ["eth_getBlockReceipts"]] as [Set<String>] {
      var node = silent(about: blockWithLogs)
      node.missing = missing
      let scripted = try ScriptedChain([node])
      let window = try scripted.window(2...21)
      #expect(window.logs == honest.truth(2...21))
      #expect(window.headers == honest.blocks[2...21].map(\.header))
      #expect(window.doubts.isEmpty)
      #expect(scripted.chain.takeNotices().map(\.kind).contains(.withheld))
      #expect((scripted.callCount("eth_getTransactionReceipt") > 0) == !missing.isEmpty)
    }
  }

  @Test func oneLogWithheldFromABlockIsTakenFromTheReceipts() throws {
    let scripted = try ScriptedChain([node(without: [try onlyOfItsEvent])])
    let window = try scripted.window(2...21)
    #expect(window.logs == honest.truth(2...21))
    #expect(window.doubts.isEmpty)
  }

  @Test func oneLogWithheldFromABlockIsDoubtedWithoutReceipts() throws {
    let log = try onlyOfItsEvent
    let block = log.blockNumber
    let node = withoutReceipts(node(without: [log]))
    let window = try ScriptedChain([node]).window(2...21)
    #expect(window.logs == honest.truth(2...21).filter { $0 != log })
    #expect(window.doubts == [Doubt(blocks: block...block, reason: .bloom, endpoint: "node0")])

    let helped = try ScriptedChain([node, withoutReceipts(honest)]).window(2...21)
    #expect(helped.logs == honest.truth(2...21))
    #expect(helped.doubts.isEmpty)
  }

  /// Another contract's event of the same kind, as two endpoints say.
  @Test func twoEndpointsThatAgreeClearAHint() throws {
    let node = withoutReceipts(node(without: [try onlyOfItsEvent]))
    #expect(try ScriptedChain([node, node]).window(2...21).doubts.isEmpty)
  }

  @Test func anEndpointCaughtInASmallWindowHasEveryBlockProved() throws {
    let other = try #require(honest.truth((blockWithLogs + 1)...21).first)
    var node = silent(about: blockWithLogs)
    // The second lie leaves no trace in the blooms that are read.
    let tamper = node.tamper
    node.tamper = { logs in
      tamper(&logs)
      logs.removeAll { $0["blockNumber"] as? String == Hex.quantity(other.blockNumber) }
    }
    let scripted = try ScriptedChain([node])
    let window = try scripted.window(2...21, everyHeaderFrom: 0)
    #expect(window.logs == honest.truth(2...21))
    #expect(window.doubts.isEmpty)
  }

  /// The headers that logs are proved against are those of the reading's own chain.
  @Test func anotherForksBlocksProveNothing() throws {
    let fork = SealedNode(blocks: 24, seed: 99)
    let last = try #require((10...21).last { honest.truth($0...$0).count > 1 })
    let scripted = try ScriptedChain([silent(about: last), fork])
    let window = try scripted.window(2...last, everyHeaderFrom: .max)
    #expect(window.logs == honest.truth(2...last))
    #expect(window.doubts.isEmpty)

    // Between the blocks that were read stands one of the fork, with receipts of its own.
    let place = try #require(
      (3..<last - 1).first { honest.truth($0...$0).count > 0 && fork.truth($0...$0).count > 0 })
    var liar = honest
    liar.blocks[Int(place)] = fork.blocks[Int(place)]
    liar.tamper = { logs in
      logs.removeAll {
        [Hex.quantity(place), Hex.quantity(last)].contains($0["blockNumber"] as? String)
      }
    }
    let alone = try ScriptedChain([liar])
    #expect(throws: ChainError.inconsistent(endpoint: "node0", .unlinked(block: place))) {
      try alone.window(2...last, everyHeaderFrom: .max)
    }
  }

  @Test func anEndpointCaughtInALargeWindowIsDoubtedAsAWhole() throws {
    let large = SealedNode(blocks: 120, seed: 6)
    var node = large
    let log = try #require(large.truth(60...100).first)
    node.tamper = { $0.removeAll { $0["blockNumber"] as? String == Hex.quantity(log.blockNumber) } }
    let window = try ScriptedChain([node]).window(2...110)
    #expect(window.logs == large.truth(2...110))
    #expect(window.doubts == [Doubt(blocks: 2...110, reason: .withheld, endpoint: "node0")])
  }

  @Test func anEndpointCaughtIsComparedWithAnotherAndLeft() throws {
    let large = SealedNode(blocks: 120, seed: 6)
    var node = large
    let log = try #require(large.truth(60...100).first)
    node.tamper = { $0.removeAll { $0["blockNumber"] as? String == Hex.quantity(log.blockNumber) } }
    let scripted = try ScriptedChain([node, large])
    let window = try scripted.window(2...110)
    #expect(window.logs == large.truth(2...110))
    #expect(window.doubts.isEmpty)
    #expect(scripted.chain.endpointName == "node1")
  }

  @Test func withoutReceiptsWithheldLogsComeFromAnotherEndpoint() throws {
    let scripted = try ScriptedChain([
      withoutReceipts(silent(about: blockWithLogs)), withoutReceipts(honest),
    ])
    let window = try scripted.window(2...21)
    #expect(window.logs == honest.truth(2...21))
    #expect(window.doubts.isEmpty)
    #expect(
      scripted.chain.takeNotices().contains { $0.kind == .withheld && $0.endpoint == "node0" })
    #expect(scripted.chain.endpointName == "node1")
  }

  @Test func anotherEndpointsInventionsAreNotBelieved() throws {
    // Receipts are nowhere, and the second endpoint has a log that the block's bloom excludes.
    var inventor = withoutReceipts(honest)
    let block = blockWithLogs
    let header = honest.blocks[Int(block)].header
    inventor.tamper = { logs in
      guard var log = logs.first(where: { $0["blockNumber"] as? String == Hex.quantity(block) })
      else { return }
      log["topics"] = ["\(SealedNode.events[0])", "\(SealedNode.word(123, salt: 4))"]
      log["logIndex"] = "0x30"
      let place = logs.lastIndex { $0["blockHash"] as? String == "\(header.hash)" }
      logs.insert(log, at: (place ?? 0) + 1)
    }
    let window = try ScriptedChain([withoutReceipts(silent(about: block)), inventor]).window(2...21)
    #expect(!window.logs.contains { $0.logIndex == 0x30 })
    #expect(!window.doubts.isEmpty)
  }

  @Test func withoutReceiptsAndOthersThereIsADoubt() throws {
    let block = blockWithLogs
    let window = try ScriptedChain([withoutReceipts(silent(about: block))]).window(2...21)
    #expect(window.logs == honest.truth(2...21).filter { $0.blockNumber != block })
    #expect(window.doubts == [Doubt(blocks: block...block, reason: .bloom, endpoint: "node0")])
  }

  @Test func twoEndpointsThatAgreeOnNoneClearABloomThatLies() throws {
    var node = withoutReceipts(honest)
    let full = Hex.encode(SealedNode.bloom([Self.anyLog]))
    let block = blockWithoutLogs
    node.lie = { method, response in
      guard var header = response["result"] as? [String: Any],
        header["number"] as? String == Hex.quantity(block)
      else { return }
      header["logsBloom"] = full
      response["result"] = header
    }
    #expect(try ScriptedChain([node]).window(2...21).doubts.count == 1)
    #expect(try ScriptedChain([node, node]).window(2...21).doubts.isEmpty)
  }

  @Test func aBloomThatLiesOfABlockWithoutTransactionsIsNoSuspicion() throws {
    var node = withoutReceipts(honest)
    let full = Hex.encode(SealedNode.bloom([Self.anyLog]))
    node.lie = { method, response in
      guard var header = response["result"] as? [String: Any],
        (header["transactions"] as? [String])?.isEmpty == true
      else { return }
      header["logsBloom"] = full
      response["result"] = header
    }
    let scripted = try ScriptedChain([node])
    let window = try scripted.window(2...21)
    #expect(window.logs == honest.truth(2...21))
    #expect(window.doubts.isEmpty)
    #expect(scripted.callCount("eth_getBlockReceipts") == 0)
  }

  @Test func aBloomThatReceiptsContradictCatchesNobody() throws {
    var node = honest
    let full = Hex.encode(SealedNode.bloom([Self.anyLog]))
    let block = blockWithoutLogs
    node.lie = { method, response in
      guard var header = response["result"] as? [String: Any],
        header["number"] as? String == Hex.quantity(block)
      else { return }
      header["logsBloom"] = full
      response["result"] = header
    }
    let scripted = try ScriptedChain([node])
    let window = try scripted.window(2...21)
    #expect(window.logs == honest.truth(2...21))
    #expect(window.doubts.isEmpty)
    #expect(scripted.callCount("eth_getBlockReceipts") == 1)
    #expect(scripted.chain.takeNotices().isEmpty)
  }

  @Test func anEndpointOnAnotherForkClearsNothing() throws {
    // Both say that there are no logs, but not of the same blocks.
    var silent = withoutReceipts(honest)
    silent.tamper = { $0 = [] }
    var other = withoutReceipts(SealedNode(blocks: 24, seed: 6))
    other.tamper = { $0 = [] }
    #expect(try ScriptedChain([silent, silent]).window(2...21).doubts.isEmpty)
    #expect(try !ScriptedChain([silent, other]).window(2...21).doubts.isEmpty)
  }

  @Test func aLogOutsideItsBloomIsNotTakenFromOneEndpoint() throws {
    let forger = withoutReceipts(forging())
    let block = blockWithLogs
    #expect(
      throws: ChainError.inconsistent(endpoint: "node0", .logOutsideBloom(block: block))
    ) { try ScriptedChain([forger]).window(2...21) }
    let scripted = try ScriptedChain([forger, withoutReceipts(honest)])
    #expect(try scripted.window(2...21).logs == honest.truth(2...21))
    #expect(scripted.chain.takeNotices().contains { $0.endpoint == "node0" })
    // With receipts the true log takes its place.
    #expect(try ScriptedChain([forging()]).window(2...21).logs == honest.truth(2...21))
  }

  @Test func aChainWithoutBloomsIsReadAllTheSame() throws {
    var node = withoutReceipts(honest)
    node.lie = { method, response in
      guard var header = response["result"] as? [String: Any], header["logsBloom"] != nil else {
        return
      }
      header["logsBloom"] = Hex.encode([UInt8](repeating: 0, count: 256))
      response["result"] = header
    }
    let window = try ScriptedChain([node]).window(2...21)
    #expect(window.logs == honest.truth(2...21))
    #expect(window.doubts.isEmpty)
  }

  @Test func atMostSixtyFourBlocksOfAWindowAreProved() throws {
    var node = SealedNode(blocks: 300, seed: 7, logsPerBlock: 1...2)
    node.tamper = { $0 = [] }
    let scripted = try ScriptedChain([node])
    let window = try scripted.window(0...299)
    #expect(scripted.callCount("eth_getBlockReceipts") == 64)
    #expect(window.doubts == [Doubt(blocks: 0...299, reason: .withheld, endpoint: "node0")])
  }

  // MARK: Receipts

  @Test func aBlocksReceiptsProveItsLogs() throws {
    let scripted = try ScriptedChain([honest])
    for block in honest.blocks {
      let proved = try #require(try scripted.chain.provedLogs(of: block.header))
      #expect(proved.logs == block.logs)
      #expect(!proved.isRootOnly)
    }
  }

  @Test func receiptsOfAnotherRootProveNothing() throws {
    var node = honest
    node.lie = { method, response in
      guard method == "eth_getBlockReceipts", var receipts = response["result"] as? [[String: Any]],
        !receipts.isEmpty
      else { return }
      receipts[0]["logs"] = [[String: Any]]()
      response["result"] = receipts
    }
    let scripted = try ScriptedChain([node])
    #expect(try scripted.chain.provedLogs(of: honest.blocks[Int(blockWithLogs)].header) == nil)
    #expect(scripted.chain.takeNotices().map(\.kind) == [.contradiction])
  }

  @Test func aRootThatTheHashDoesNotBindProvesNothingOnAChainThatBindsIt() throws {
    // The liar gives receipts without logs and the root that fits them.
    var node = honest
    let empty = Receipt(
      type: 0, outcome: .succeeded, cumulativeGasUsed: 1,
      bloom: [UInt8](repeating: 0, count: 256), logs: [])
    let root = try #require(receiptsRoot([empty]))
    let block = honest.blocks[Int(blockWithLogs)]
    node.lie = { method, response in
      if var header = response["result"] as? [String: Any],
        header["hash"] as? String == "\(block.header.hash)"
      {
        header["receiptsRoot"] = "\(root)"
        response["result"] = header
      }
      if method == "eth_getBlockReceipts", var receipts = response["result"] as? [[String: Any]],
        receipts.first?["blockHash"] as? String == "\(block.header.hash)"
      {
        receipts = [receipts[0]]
        receipts[0]["logs"] = [[String: Any]]()
        receipts[0]["cumulativeGasUsed"] = "0x1"
        receipts[0]["logsBloom"] = Hex.encode(empty.bloom)
        receipts[0]["type"] = "0x0"
        response["result"] = receipts
      }
    }
    let scripted = try ScriptedChain([node])
    // As long as no header has had its hash, nothing is known of how this chain hashes.
    #expect(try scripted.chain.provedLogs(of: block.header)?.isRootOnly == true)
    _ = try scripted.chain.provedLogs(of: honest.blocks[0].header)
    #expect(try scripted.chain.provedLogs(of: block.header) == nil)
  }

  @Test func theProofOfAnotherBlockProvesNothing() throws {
    let block = honest.blocks[Int(blockWithLogs)].header
    let other = try #require(honest.blocks.first { $0.header != block && $0.logs.count > 1 }).header
    let header = try Self.result(of: honest, "eth_getBlockByHash", "\(other.hash)")
    let receipts = try Self.result(
      of: honest, "eth_getBlockReceipts", Hex.quantity(other.number))
    var node = honest
    node.lie = { method, response in
      if method == "eth_getBlockByHash" { response["result"] = header }
      if method == "eth_getBlockReceipts" { response["result"] = receipts }
    }
    #expect(try ScriptedChain([node]).chain.provedLogs(of: block) == nil)
  }

  @Test func aReceiptOfAnotherBlockProvesNothing() throws {
    let block = honest.blocks[Int(blockWithLogs)].header
    var node = honest
    node.missing = ["eth_getBlockReceipts"]
    #expect(try ScriptedChain([node]).chain.provedLogs(of: block) != nil)
    node.lie = { method, response in
      guard var receipt = response["result"] as? [String: Any],
        method == "eth_getTransactionReceipt"
      else { return }
      receipt["blockHash"] = "\(block.parentHash)"
      response["result"] = receipt
    }
    #expect(try ScriptedChain([node]).chain.provedLogs(of: block) == nil)
  }

  @Test func receiptsOneByOneAreAskedOfSoManyTransactionsAtMost() throws {
    let block = honest.blocks[Int(blockWithLogs)].header
    var node = honest
    node.missing = ["eth_getBlockReceipts"]
    node.lie = { method, response in
      guard var header = response["result"] as? [String: Any], method == "eth_getBlockByHash"
      else { return }
      header["transactions"] = (UInt64(0)...2000).map {
        "\(SealedNode.word($0, salt: 5))"
      }
      response["result"] = header
    }
    let scripted = try ScriptedChain([node])
    #expect(try scripted.chain.provedLogs(of: block) == nil)
    #expect(scripted.callCount("eth_getTransactionReceipt") == 0)
  }

  @Test func anEndpointWithoutReceiptsIsAskedForThemOnce() throws {
    let scripted = try ScriptedChain([withoutReceipts(silent(about: blockWithLogs))])
    for _ in 0..<3 { _ = try scripted.window(2...21) }
    #expect(scripted.callCount("eth_getBlockReceipts") == 1)
    #expect(scripted.callCount("eth_getLogs") == 3)
    #expect(scripted.chain.endpointName == "node0")
  }

  // MARK: Caps

  @Test func aSilentCapIsFoundByHalvesAndRemembered() throws {
    var node = SealedNode(blocks: 200, seed: 9, logsPerBlock: 15...25)
    node.cap = 1000
    let scripted = try ScriptedChain([node])
    var logs: [Log] = []
    var from: UInt64 = 0
    while from < 200 {
      let window = try scripted.window(from...199, everyHeaderFrom: .max)
      #expect(window.doubts.isEmpty)
      logs += window.logs
      from = window.range.upperBound + 1
    }
    #expect(logs == node.truth(0...199))
    #expect(logs.count > 2000)
    let told = scripted.chain.takeNotices().filter { $0.kind == .withheld }
    #expect(told.allSatisfy { $0.detail.contains("1000") } && !told.isEmpty)
    #expect(scripted.callCount("eth_getLogs") < 30)
  }

  @Test func aRoundNumberOfLogsIsBelievedWhenTheHalvesHaveThemAll() throws {
    let node = SealedNode(blocks: 70, seed: 3, logsPerBlock: 20...20)
    let end = try #require((UInt64(0)..<70).first { node.truth(0...$0).count == 1000 })
    let scripted = try ScriptedChain([node])
    let window = try scripted.window(0...end, everyHeaderFrom: .max)
    #expect(window.range == 0...end)
    #expect(window.logs.count == 1000)
    #expect(scripted.callCount("eth_getLogs") == 3)
    #expect(scripted.chain.takeNotices().isEmpty)
  }

  @Test func halvesWithOtherLogsThanTheWholeAreAContradiction() throws {
    var node = SealedNode(blocks: 70, seed: 3, logsPerBlock: 20...20)
    let end = try #require((UInt64(0)..<70).first { node.truth(0...$0).count == 1000 })
    node.tamper = { logs in
      if logs.count == 1000 { logs[7]["data"] = "0x" }
    }
    #expect(
      throws: ChainError.inconsistent(endpoint: "node0", .logCount(block: 0))
    ) { try ScriptedChain([node]).window(0...end, everyHeaderFrom: .max) }
  }

  @Test func aBlockCutOffAtTheCapIsProvedOrDoubted() throws {
    var node = SealedNode(blocks: 4, seed: 2, logsPerBlock: 1500...1500)
    node.cap = 1000
    let scripted = try ScriptedChain([node])
    let window = try scripted.window(1...1, everyHeaderFrom: .max)
    #expect(window.logs == node.truth(1...1))
    #expect(window.logs.count == 1500)
    let doubted = try ScriptedChain([withoutReceipts(node)]).window(1...1, everyHeaderFrom: .max)
    #expect(doubted.logs.count == 1000)
    #expect(doubted.doubts == [Doubt(blocks: 1...1, reason: .cutOff, endpoint: "node0")])
  }

  // MARK: Nodes

  private static let anyLog = Log(
    address: SealedNode.core, topics: [SealedNode.events[0]], data: [], blockNumber: 0,
    blockHash: .zero, transactionHash: .zero, transactionIndex: 0, logIndex: 0)

  /// A log that is not alone in its block, and the only one of its event there: the bloom tells of
  /// the event.
  private var onlyOfItsEvent: Log {
    get throws {
      try #require(
        honest.truth(2...21).first { log in
          let own = honest.truth(log.blockNumber...log.blockNumber)
          return own.count > 1 && own.filter { $0.topics[0] == log.topics[0] } == [log]
        })
    }
  }

  /// A block with at least two wanted logs.
  private var blockWithLogs: UInt64 {
    (2...21).first { honest.truth($0...$0).count > 1 } ?? 0
  }

  /// A block with transactions and without wanted logs.
  private var blockWithoutLogs: UInt64 {
    (2...21).first {
      honest.truth($0...$0).isEmpty && !honest.blocks[Int($0)].transactions.isEmpty
    } ?? 0
  }

  /// What a node answers.
  private static func result(
    of node: SealedNode, _ method: String, _ parameter: String
  ) throws -> Any? {
    let body = #"{"id":1,"method":"\#(method)","params":["\#(parameter)",false]}"#
    let answer = try JSONSerialization.jsonObject(with: Data(node.answer(Array(body.utf8))))
    return (answer as? [String: Any])?["result"]
  }

  private func silent(about block: UInt64) -> SealedNode {
    node(without: honest.truth(block...block))
  }

  private func node(without logs: [Log]) -> SealedNode {
    var node = honest
    let places = Set(logs.map { "\(Hex.quantity($0.blockNumber))/\($0.logIndex)" })
    node.tamper = { told in
      told.removeAll { log in
        let index = (log["logIndex"] as? String).flatMap { Hex.parseQuantity($0) } ?? 0
        return places.contains("\(log["blockNumber"] as? String ?? "")/\(index)")
      }
    }
    return node
  }

  /// A node that changes one topic of one log.
  private func forging() -> SealedNode {
    var node = honest
    let block = blockWithLogs
    node.tamper = { logs in
      guard
        let place = logs.firstIndex(where: { $0["blockNumber"] as? String == Hex.quantity(block) })
      else { return }
      logs[place]["topics"] = ["\(SealedNode.events[0])", "\(SealedNode.word(123, salt: 4))"]
    }
    return node
  }

  private func withoutReceipts(_ node: SealedNode) -> SealedNode {
    var node = node
    node.missing = ["eth_getBlockReceipts", "eth_getTransactionReceipt"]
    return node
  }
}
