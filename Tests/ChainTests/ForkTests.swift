import Chain
import Ethereum
import HTTP
import TestKit
import Testing

/// Endpoints on different forks.
@Suite struct ForkTests {
  @Test(arguments: [0, 1, 2])
  func aRunBeginsWithTheBlockThatMostHave(_ minority: Int) throws {
    var nodes = [ToyNode(), ToyNode(), ToyNode()]
    nodes[minority] = Self.fork()
    let scripted = try GreetingTests.chain(nodes)
    // The caller itself stands on the minority's block.
    let greeting = try scripted.chain.greet(at: 20, hash: Self.fork().headers[20].hash)
    #expect(greeting.stored == ToyNode().headers[20])
    #expect(greeting.endpoint != "node\(minority)")
    #expect(greeting.dispute == nil)
    let forked = scripted.chain.takeNotices().filter { $0.kind == .forked }
    #expect(forked.map(\.endpoint) == ["node\(minority)"])
  }

  @Test(arguments: [0, 1])
  func oneEndpointAloneDoesNotMoveTheCaller(_ other: Int) throws {
    var nodes = [ToyNode(), ToyNode()]
    nodes[other] = Self.fork()
    let scripted = try GreetingTests.chain(nodes)
    let own = ToyNode().headers[20]
    let greeting = try scripted.chain.greet(at: 20, hash: own.hash)
    #expect(greeting.stored == own && greeting.endpoint == "node\(1 - other)")
    #expect(greeting.dispute == .fork(block: 20))
  }

  @Test func oneThatStandsStillHasNoVote() throws {
    var limits = ChainLimits()
    limits.maxHeadAgeSeconds = 10
    let nodes = [Self.fork(), ToyNode(blocks: 100)]
    let scripted = try ScriptedChain(limits: limits, endpoints: 2, time: { 1_700_000_100 }) {
      request, endpoint in .body(nodes[endpoint].answer(request.body))
    }
    let greeting = try scripted.chain.greet(at: 20, hash: nodes[0].headers[20].hash)
    #expect(greeting.stored == nodes[1].headers[20] && greeting.dispute == nil)
  }

  // MARK: Conclusions

  @Test(arguments: [1, 2])
  func whatTwoEndpointsSayAlikeCounts(_ agree: Int) throws {
    let scripted = try Self.chain([Self.fork(), ToyNode(), ToyNode()], agree: agree)
    #expect(try Self.hash(in: scripted) == ToyNode.hash(20))
    #expect(scripted.requestCount(of: 0) > 0)
  }

  @Test func twoThatSayDifferentThingsAreForked() throws {
    let scripted = try Self.chain([Self.fork(), ToyNode()])
    let error = #expect(throws: ChainError.self) { try Self.hash(in: scripted) }
    guard case .forked(let blocks, let statements) = error else {
      Issue.record("got \(String(describing: error))")
      return
    }
    #expect(blocks == 10...20 && statements.count == 2)
    #expect(error?.isTransient == true && error?.description.contains("secretkey") == false)
  }

  @Test func whereOneAnswersItsWordCounts() throws {
    let node = ToyNode()
    let scripted = try ScriptedChain(endpoints: 2) { request, endpoint in
      endpoint == 0 ? .failure(.connection("refused")) : .body(node.answer(request.body))
    }
    #expect(try Self.hash(in: scripted) == ToyNode.hash(20))
    #expect(try Self.hash(in: Self.chain([ToyNode()])) == ToyNode.hash(20))
  }

  @Test func oneThatIsBehindHasNothingToSay() throws {
    let scripted = try Self.chain([ToyNode(blocks: 15), ToyNode()])
    #expect(try Self.hash(in: scripted) == ToyNode.hash(20))
    #expect(try Self.hash(in: Self.chain([ToyNode(blocks: 15)])) == nil)
  }

  @Test func fewerThanMustAgreeAreNotEnough() throws {
    let scripted = try Self.chain([ToyNode(blocks: 15), ToyNode()], agree: 2)
    #expect(throws: ChainError.tooFewWitnesses(needed: 2, answered: 1)) {
      try Self.hash(in: scripted)
    }
  }

  /// An endpoint that is asked alone has to begin with the right block as well.
  @Test func aWitnessOfAnotherBeginningIsNone() throws {
    var isSwapped = false
    var limits = ChainLimits()
    limits.requestsPerVerification = 1
    let scripted = try ScriptedChain(limits: limits, endpoints: 2) { request, endpoint in
      .body((endpoint == 1 && isSwapped ? ToyNode(salt: 5) : ToyNode()).answer(request.body))
    }
    scripted.chain.expect(genesis: ToyNode.hash(0))
    #expect(try Self.hash(in: scripted) == ToyNode.hash(20))
    isSwapped = true
    #expect(try Self.hash(in: scripted) == ToyNode.hash(20))
    #expect(
      scripted.chain.takeNotices().contains { $0.kind == .contradiction && $0.endpoint == "node1" })
  }

  private static func hash(in scripted: ScriptedChain) throws -> Bytes32? {
    try scripted.chain.agreed(on: Array(10...20)) { headers in
      headers.first { $0.number == 20 }?.hash
    }
  }

  private static func chain(_ nodes: [ToyNode], agree: Int = 1) throws -> ScriptedChain {
    var limits = ChainLimits()
    limits.agreeLogs = agree
    return try GreetingTests.chain(nodes, limits: limits)
  }

  /// Another chain from block 15 on.
  private static func fork() -> ToyNode {
    var node = ToyNode()
    let other = ToyNode(salt: 9)
    node.headers[15...] = other.headers[15...]
    node.headers[15] = BlockHeader(
      number: 15, hash: other.headers[15].hash, parentHash: node.headers[14].hash,
      timestamp: other.headers[15].timestamp)
    node.logs = []
    return node
  }
}
