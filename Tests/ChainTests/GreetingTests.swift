import Chain
import Ethereum
import Foundation
import HTTP
import TestKit
import Testing

/// How a run begins.
@Suite struct GreetingTests {
  @Test func oneEndpointIsGreetedInOneRequest() throws {
    let scripted = try ScriptedChain(ToyNode())
    let greeting = try scripted.chain.greet(at: 12)
    let node = ToyNode()
    #expect(
      greeting
        == Greeting(
          head: node.headers[29], genesis: ToyNode.hash(0), stored: node.headers[12],
          endpoint: "node0"))
    #expect(scripted.transport.requests.count == 1)
    try scripted.chain.verifyIdentity()
    #expect(scripted.transport.requests.count == 1)
    #expect(scripted.chain.takeNotices().isEmpty)
  }

  @Test func aBlockAboveTheHeadIsNoneAndNoError() throws {
    let greeting = try ScriptedChain(ToyNode()).chain.greet(at: 500)
    #expect(greeting.stored == nil)
    #expect(greeting.head.number == 29)
    #expect(try ScriptedChain(ToyNode()).chain.greet().stored == nil)
  }

  @Test func anotherChainIsAnErrorAtOnce() throws {
    var other = ToyNode()
    other.chainID = 1
    let scripted = try ScriptedChain(other)
    #expect(throws: ChainError.wrongChain(endpoint: "node0", expected: 56, got: 1)) {
      try scripted.chain.greet(at: 3)
    }
    #expect(scripted.transport.requests.count == 1)
  }

  @Test func anotherBeginningIsAnErrorWhereOneIsExpected() throws {
    let scripted = try ScriptedChain(ToyNode(salt: 5))
    scripted.chain.expect(genesis: ToyNode.hash(0))
    let error = ChainError.wrongGenesis(
      endpoint: "node0", chainID: 56, expected: ToyNode.hash(0), got: ToyNode.hash(0, 5))
    #expect(error.description.hasSuffix("delete from chain where chain_id = 56"))
    #expect(throws: error) { try scripted.chain.greet(at: 3) }
    #expect(!error.isTransient)
    // Without a greeting the first use finds out.
    let ungreeted = try ScriptedChain(ToyNode(salt: 5))
    ungreeted.chain.expect(genesis: ToyNode.hash(0))
    #expect(throws: error) { try ungreeted.chain.head() }
  }

  @Test func anExpectationThatComesLateHoldsAsWell() throws {
    let scripted = try ScriptedChain(ToyNode(salt: 5))
    _ = try scripted.chain.head()
    scripted.chain.expect(genesis: nil)
    _ = try scripted.chain.head()
    scripted.chain.expect(genesis: ToyNode.hash(0))
    #expect(throws: ChainError.self) { try scripted.chain.head() }
  }

  @Test func aNodeWithoutTheFirstBlockIsBelievedByItsNumber() throws {
    for text in ["null", "pruned"] {
      var node = ToyNode()
      node.headers.removeFirst()
      node.lie = { method, response in
        guard text == "pruned", method == "eth_getBlockByNumber", response["result"] is NSNull
        else { return }
        response["result"] = nil
        response["error"] = ["code": 4444, "message": "pruned history unavailable"]
      }
      let scripted = try ScriptedChain(node)
      scripted.chain.expect(genesis: ToyNode.hash(0))
      let greeting = try scripted.chain.greet(at: 3)
      #expect(greeting.genesis == nil)
      #expect(greeting.stored?.number == 3)
    }
  }

  @Test func theBeginningOfMostEndpointsCountsWhereNoneIsExpected() throws {
    let scripted = try Self.chain([ToyNode(salt: 5), ToyNode(), ToyNode()])
    #expect(try scripted.chain.greet().genesis == ToyNode.hash(0))
    #expect(scripted.chain.endpointName == "node1")
    let notices = scripted.chain.takeNotices().filter { $0.kind == .contradiction }
    #expect(notices.map(\.endpoint) == ["node0"])
    let before = scripted.requestCount(of: 0)
    for _ in 0..<5 { _ = try scripted.chain.head() }
    #expect(scripted.requestCount(of: 0) == before)
  }

  @Test func anEndpointFarBehindIsUsedLast() throws {
    let scripted = try Self.chain([30, 100, 100].map { ToyNode(blocks: $0) })
    #expect(try scripted.chain.greet(at: 3).head.number == 99)
    #expect(scripted.chain.endpointName == "node1")
    #expect(
      scripted.chain.takeNotices().filter { $0.kind == .behind } == [
        Notice(
          .behind, endpoint: "node0", detail: "its head is block 29, 70 blocks behind the best")
      ])
  }

  @Test func anEndpointALittleBehindIsUsedAsBefore() throws {
    let scripted = try Self.chain([ToyNode(blocks: 84), ToyNode(blocks: 100)])
    #expect(try scripted.chain.greet().head.number == 83)
    #expect(scripted.chain.takeNotices().isEmpty)
    var limits = ChainLimits()
    limits.maxHeadLag = 15
    let strict = try Self.chain([84, 100, 100].map { ToyNode(blocks: $0) }, limits: limits)
    #expect(try strict.chain.greet().head.number == 99)
  }

  @Test func aDeadEndpointCostsAScoreAndNoWait() throws {
    let node = ToyNode()
    let scripted = try ScriptedChain(endpoints: 2) { request, endpoint in
      endpoint == 0 ? .failure(.connection("refused")) : .body(node.answer(request.body))
    }
    #expect(try scripted.chain.greet().endpoint == "node1")
    #expect(scripted.clock.slept == .zero)
    #expect(scripted.transport.requests.count == 2)
    #expect(scripted.chain.memory.map(\.score) == [-100, 0])
  }

  @Test func aGreetingThatFailsOnceIsRepeated() throws {
    let node = ToyNode()
    var failures = 2
    let scripted = try ScriptedChain { request, _ in
      failures -= 1
      return failures >= 0 ? .failure(.timeout) : .body(node.answer(request.body))
    }
    #expect(try scripted.chain.greet(at: 3).stored?.number == 3)
    #expect(scripted.clock.slept > .zero)
  }

  @Test func aStormEndsTheGreetingAtTheLimit() throws {
    let scripted = try ScriptedChain(endpoints: 2) { _, _ in .status(503) }
    #expect(throws: ChainError.self) { try scripted.chain.greet() }
    #expect(scripted.transport.requests.count == 2 + ChainLimits().maxAttempts)
  }

  @Test func aNodeThatTakesNoBatchesIsGreetedCallByCall() throws {
    let node = ToyNode()
    let scripted = try ScriptedChain { request, _ in
      if request.body.first != UInt8(ascii: "[") { return .body(node.answer(request.body)) }
      return .text(#"{"id":null,"error":{"code":-32600,"message":"batches are not supported"}}"#)
    }
    let greeting = try scripted.chain.greet(at: 4)
    #expect(greeting.genesis == ToyNode.hash(0))
    #expect(greeting.stored?.number == 4)
    #expect(greeting.head.number == 29)
    #expect(scripted.transport.requests.count < 12)
  }

  @Test func aNodeThatAnswersForAnotherBlockIsNotBelieved() throws {
    var liar = ToyNode()
    liar.lie = { method, response in
      guard method == "eth_getBlockByNumber", var header = response["result"] as? [String: Any],
        header["number"] as? String == "0x4"
      else { return }
      header["number"] = "0x5"
      response["result"] = header
    }
    let scripted = try Self.chain([liar, ToyNode()])
    #expect(try scripted.chain.greet(at: 4).endpoint == "node1")
    #expect(
      scripted.chain.takeNotices().contains { $0.kind == .contradiction && $0.endpoint == "node0" })
  }

  @Test func anOldHeadIsStaleByTheWallClock() throws {
    var limits = ChainLimits()
    limits.maxHeadAgeSeconds = 60
    func greet(age: UInt64, _ blocks: [UInt64]) throws -> (Greeting, [Notice]) {
      let nodes = blocks.map { ToyNode(blocks: $0) }
      let scripted = try ScriptedChain(
        limits: limits, endpoints: nodes.count, time: { 1_700_000_029 + age }
      ) { request, endpoint in .body(nodes[endpoint].answer(request.body)) }
      return (try scripted.chain.greet(), scripted.chain.takeNotices())
    }
    let (fresh, quiet) = try greet(age: 60, [30])
    #expect(!fresh.isStale && quiet.isEmpty)
    let (old, notices) = try greet(age: 61, [30])
    #expect(old.isStale)
    #expect(
      notices == [Notice(.behind, endpoint: "node0", detail: "its newest block is 61 seconds old")])
    // Two blocks ahead, and so two seconds younger: that one is used.
    let (younger, _) = try greet(age: 62, [30, 32])
    #expect(!younger.isStale && younger.endpoint == "node1")
    // A clock that is behind the chain's makes nothing old.
    #expect(
      try !ScriptedChain(limits: limits, time: { 5 }) { request, _ in
        .body(ToyNode().answer(request.body))
      }.chain.greet().isStale)
  }

  /// One endpoint for each node.
  static func chain(_ nodes: [ToyNode], limits: ChainLimits = ChainLimits()) throws -> ScriptedChain
  {
    try ScriptedChain(limits: limits, endpoints: nodes.count) { request, endpoint in
      .body(nodes[endpoint].answer(request.body))
    }
  }
}
