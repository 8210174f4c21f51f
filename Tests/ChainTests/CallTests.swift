import Chain
import Ethereum
import Foundation
import HTTP
import TestKit
import Testing

/// Asking contracts at a block.
@Suite struct CallTests {
  private let multicall = Multicall3.canonicalAddress

  @Test func noCallsAskNothing() throws {
    let scripted = try ScriptedChain(ToyNode())
    #expect(try scripted.chain.call([], at: ToyNode.hash(5), multicall: multicall).isEmpty)
    #expect(scripted.transport.requests.isEmpty)
  }

  @Test func eachCallHasItsResultAndAFailingOneHarmsNoOther() throws {
    let scripted = try ScriptedChain(Self.node())
    let results = try scripted.chain.call(
      Self.calls(5) + [Call(to: ToyNode.contract, data: [9, 9])], at: ToyNode.hash(5),
      multicall: multicall)
    #expect(results.dropLast() == Self.results(5)[...])
    #expect(results.last == CallResult(succeeded: false, data: [0xBA, 0xD0]))
    #expect(scripted.callCount("eth_call") == 1)
  }

  @Test func manyCallsGoInAggregatesOfTheLimits() throws {
    var limits = ChainLimits()
    limits.aggregateSize = 4
    let scripted = try ScriptedChain(Self.node(), limits: limits)
    let results = try scripted.chain.call(Self.calls(10), at: ToyNode.hash(5), multicall: multicall)
    #expect(results == Self.results(10))
    #expect(scripted.callCount("eth_call") == 3)

    limits.aggregateSize = 100
    limits.aggregateBytes = 5
    let small = try ScriptedChain(Self.node(), limits: limits)
    // Two bytes each, so two to an aggregate; a call of its own size goes alone.
    #expect(
      try small.chain.call(Self.calls(5), at: ToyNode.hash(5), multicall: multicall)
        == Self.results(5))
    #expect(small.callCount("eth_call") == 3)
  }

  @Test(arguments: ["out of gas", "execution reverted", "response too large"])
  func anAggregateThatFailsAsAWholeIsSplit(_ message: String) throws {
    var node = Self.node()
    node.lie = { method, response in
      guard method == "eth_call", let result = response["result"] as? String,
        result.utf8.count > 1000
      else { return }
      response["result"] = nil
      response["error"] = ["code": -32000, "message": message]
    }
    let scripted = try ScriptedChain(node)
    let results = try scripted.chain.call(Self.calls(20), at: ToyNode.hash(5), multicall: multicall)
    #expect(results == Self.results(20))
    let before = scripted.callCount("eth_call")
    // What was learnt is not asked again.
    _ = try scripted.chain.call(Self.calls(2), at: ToyNode.hash(5), multicall: multicall)
    #expect(scripted.callCount("eth_call") == before + 1)
  }

  @Test func aSingleCallThatFailsAsAWholeIsAFailedResult() throws {
    var node = Self.node()
    node.lie = { method, response in
      guard method == "eth_call" else { return }
      response["result"] = nil
      response["error"] = ["code": -32000, "message": "out of gas"]
    }
    let results = try ScriptedChain(node).chain.call(
      Self.calls(3), at: ToyNode.hash(5), multicall: multicall)
    #expect(results == Array(repeating: CallResult(succeeded: false, data: []), count: 3))
  }

  @Test func anAnswerOverTheCapIsSplit() throws {
    let node = Self.node()
    let scripted = try ScriptedChain { request, _ in
      let body = node.answer(request.body)
      return body.count > 1000 ? .failure(.tooLarge(limit: 1000)) : .body(body)
    }
    let results = try scripted.chain.call(Self.calls(20), at: ToyNode.hash(5), multicall: multicall)
    #expect(results == Self.results(20))
  }

  @Test func anAnswerOverTheCapToOneCallIsAFailedResult() throws {
    var node = Self.node()
    node.callAnswers[[1, 3]] = [UInt8](repeating: 7, count: 2000)
    let scripted = try ScriptedChain { [node] request, _ in
      let body = node.answer(request.body)
      return body.count > 3500 ? .failure(.tooLarge(limit: 3500)) : .body(body)
    }
    let results = try scripted.chain.call(Self.calls(8), at: ToyNode.hash(5), multicall: multicall)
    #expect(results == Self.results(8, failing: [3]))
  }

  @Test func aMissingMulticallIsNamed() throws {
    var node = Self.node()
    node.lie = { method, response in if method == "eth_call" { response["result"] = "0x" } }
    let scripted = try ScriptedChain(node)
    #expect(throws: ChainError.noMulticall(multicall)) {
      try scripted.chain.call(Self.calls(3), at: ToyNode.hash(5), multicall: multicall)
    }
  }

  @Test func fewerResultsThanCallsAreRefused() throws {
    var node = Self.node()
    node.lie = { method, response in
      guard method == "eth_call" else { return }
      let one = ABIValue.tuple([.bool(true), .bytes([1])])
      response["result"] = Hex.encode(ABI.encode([.array([one])]))
    }
    let scripted = try ScriptedChain(node)
    let error = #expect(throws: ChainError.self) {
      try scripted.chain.call(Self.calls(3), at: ToyNode.hash(5), multicall: multicall)
    }
    guard case .refused = error else {
      Issue.record("got \(String(describing: error))")
      return
    }
  }

  @Test func aBlockThatIsNotOnTheChainIsUnknown() throws {
    let scripted = try ScriptedChain(Self.node())
    #expect(throws: ChainError.unknownBlock(endpoint: "node0", method: "eth_call")) {
      try scripted.chain.call(Self.calls(3), at: ToyNode.hash(5, 1), multicall: multicall)
    }
  }

  @Test func anEndpointWithoutBlockHashesIsAskedByNumber() throws {
    var node = Self.node()
    node.knowsBlockHashes = false
    let scripted = try ScriptedChain(node)
    for _ in 0..<2 {
      #expect(
        try scripted.chain.call(Self.calls(3), at: ToyNode.hash(5), multicall: multicall)
          == Self.results(3))
    }
    // By hash once, never again; each call by number lies between two looks at the block.
    #expect(scripted.callCount("eth_call") == 3)
    #expect(scripted.callCount("eth_getBlockByNumber") == 4)
  }

  @Test func aCallByNumberIsNotBelievedWhenTheBlockHasChanged() throws {
    var before = Self.node()
    before.knowsBlockHashes = false
    var after = Self.node(salt: 1)
    after.knowsBlockHashes = false
    // A node may still know the old block by its hash.
    after.headers += before.headers
    var calls = 0
    let scripted = try ScriptedChain { [before, after] request, _ in
      if String(decoding: request.body, as: UTF8.self).contains("eth_call") { calls += 1 }
      return .body((calls < 2 ? before : after).answer(request.body))
    }
    #expect(throws: ChainError.self) {
      try scripted.chain.call(Self.calls(3), at: ToyNode.hash(5), multicall: multicall)
    }
  }

  @Test func aCallByNumberIsNotBelievedWhenAnotherEndpointVouchesForIt() throws {
    var honest = Self.node()
    honest.knowsBlockHashes = false
    var reorganised = honest
    reorganised.callAnswers = [:]
    var hasAnswered = false
    let scripted = try ScriptedChain(endpoints: 2) { [honest, reorganised] request, endpoint in
      guard endpoint == 0 else { return .body(honest.answer(request.body)) }
      if hasAnswered { return .status(500) }
      let body = String(decoding: request.body, as: UTF8.self)
      hasAnswered = body.contains("eth_call") && !body.contains("blockHash")
      return .body((hasAnswered ? reorganised : honest).answer(request.body))
    }
    #expect(
      try scripted.chain.call(Self.calls(3), at: ToyNode.hash(5), multicall: multicall)
        == Self.results(3))
    #expect(hasAnswered)
  }

  @Test func aCallByNumberIsNotBelievedWhenAnotherEndpointAnsweredPartOfIt() throws {
    var limits = ChainLimits()
    limits.aggregateSize = 2
    var honest = Self.node()
    honest.knowsBlockHashes = false
    var reorganised = honest
    reorganised.callAnswers = [:]
    // The first endpoint fails on the first aggregate by number, the second on the aggregate
    // after it, so that the first one is in use before and after.
    var callsByNumber = 0
    var servers: [Int] = []
    let scripted = try ScriptedChain(limits: limits, endpoints: 2) {
      [honest, reorganised] request, endpoint in
      let body = String(decoding: request.body, as: UTF8.self)
      if body.contains("eth_call"), !body.contains("blockHash") {
        callsByNumber += 1
        if callsByNumber == 1 || callsByNumber == 3 { return .status(500) }
        servers.append(endpoint)
      }
      return .body((endpoint == 0 ? honest : reorganised).answer(request.body))
    }
    #expect(
      try scripted.chain.call(Self.calls(4), at: ToyNode.hash(5), multicall: multicall)
        == Self.results(4))
    #expect(servers.prefix(2) == [1, 0])
  }

  private static func node(salt: UInt64 = 0) -> ToyNode {
    var node = ToyNode(salt: salt)
    for (call, result) in zip(calls(30), results(30)) { node.callAnswers[call.data] = result.data }
    return node
  }

  private static func calls(_ count: Int) -> [Call] {
    (0..<count).map { Call(to: ToyNode.contract, data: [1, UInt8($0)]) }
  }

  private static func results(_ count: Int, failing: Set<Int> = []) -> [CallResult] {
    (0..<count).map { number in
      failing.contains(number)
        ? CallResult(succeeded: false, data: [])
        : CallResult(succeeded: true, data: [UInt8(number), 7])
    }
  }
}
