import Chain
import Ethereum
import Foundation
import HTTP
import TestKit
import Testing

/// What several endpoints must say alike.
@Suite struct AgreementTests {
  private let honest = SealedNode(blocks: 24, seed: 5)

  @Test func aWindowThatEnoughEndpointsTellAlikeIsBelieved() throws {
    let scripted = try ScriptedChain([honest, honest, honest], limits: Self.limits(logs: 2))
    let window = try scripted.window(2...21, parent: (1, honest.blocks[1].header.hash))
    #expect(window.logs == honest.truth(2...21))
    #expect(window.headers == honest.blocks[2...21].map(\.header))
    #expect(scripted.callCount("eth_getLogs") == 2)
    #expect(scripted.chain.takeNotices().isEmpty)
  }

  @Test(arguments: [3, 4, 5])
  func fewerLiarsThanMustAgreeAreOutvotedWhateverTheirPlaces(_ count: Int) throws {
    let needed = (count + 1) / 2
    for liars in 0..<(1 << count) where liars.nonzeroBitCount < needed {
      // The liars say the same.
      let nodes = (0..<count).map { liars & (1 << $0) != 0 ? Self.liar(honest) : honest }
      let scripted = try ScriptedChain(nodes, limits: Self.limits(logs: needed))
      let window = try scripted.window(2...21, everyHeaderFrom: .max)
      #expect(window.logs == honest.truth(2...21), "liars \(liars)")
      let named = Set(scripted.chain.takeNotices().map(\.endpoint))
      #expect(
        named.isSubset(of: Set((0..<count).filter { liars & (1 << $0) != 0 }.map { "node\($0)" })))
    }
  }

  @Test func endpointsThatDoNotAgreeAreAnErrorThatNamesThem() throws {
    var other = Self.liar(honest)
    other.tamper = { $0.removeLast(2) }
    let scripted = try ScriptedChain(
      [honest, Self.liar(honest), other], limits: Self.limits(logs: 2))
    let error = #expect(throws: ChainError.self) {
      try scripted.window(2...21, everyHeaderFrom: .max)
    }
    guard case .disagreement(2...21, 2, let statements) = error else {
      Issue.record("got \(String(describing: error))")
      return
    }
    #expect(statements.count == 3)
    for name in ["node0", "node1", "node2"] {
      #expect(statements.contains { $0.hasPrefix("\"\(name)\" says") })
    }
    #expect(error?.isTransient == false)
    #expect(error?.description.contains("secretkey") == false)
  }

  @Test func fewerEndpointsThanMustAgreeIsAnError() throws {
    let alone = try ScriptedChain([honest], limits: Self.limits(logs: 2))
    #expect(throws: ChainError.tooFewWitnesses(needed: 2, answered: 1)) {
      try alone.window(2...21)
    }
    let one = try ScriptedChain(limits: Self.limits(logs: 2), endpoints: 2) {
      [honest] request, endpoint in
      endpoint == 1 ? .failure(.connection("refused")) : .body(honest.answer(request.body))
    }
    let error = #expect(throws: ChainError.tooFewWitnesses(needed: 2, answered: 1)) {
      try one.window(2...21)
    }
    #expect(error?.isTransient == true)
  }

  @Test func anotherTimestampIsADisagreement() throws {
    // Times decide about interest, and no log tells them.
    var liar = honest
    liar.lie = { _, response in
      guard var header = response["result"] as? [String: Any], header["number"] as? String == "0x15"
      else { return }
      header["timestamp"] = "0x1"
      response["result"] = header
    }
    let scripted = try ScriptedChain([liar, honest], limits: Self.limits(logs: 2))
    #expect(throws: ChainError.self) { try scripted.window(2...21) }
    let three = try ScriptedChain([liar, honest, honest], limits: Self.limits(logs: 2))
    #expect(try three.window(2...21).headers.last == honest.blocks[21].header)
  }

  @Test func anotherParentMustBeAgreedOnAsWell() throws {
    let stored = honest.blocks[1].header.hash
    let moved = SealedNode(blocks: 24, seed: 50)
    let one = try ScriptedChain([moved, honest, honest], limits: Self.limits(logs: 2))
    #expect(try one.window(2...21, parent: (1, stored)).logs == honest.truth(2...21))
    let two = try ScriptedChain([moved, honest, moved], limits: Self.limits(logs: 2))
    #expect(
      throws: ChainError.parentMismatch(
        number: 1, expected: stored, got: moved.blocks[1].header.hash)
    ) { try two.window(2...21, parent: (1, stored)) }
  }

  @Test func whatTookTheParentsPlaceMustBeAgreedOn() throws {
    let nodes = [SealedNode(blocks: 24, seed: 50), SealedNode(blocks: 24, seed: 51)]
    let scripted = try ScriptedChain(nodes, limits: Self.limits(logs: 2))
    let error = #expect(throws: ChainError.self) {
      try scripted.window(2...21, parent: (1, honest.blocks[1].header.hash))
    }
    guard case .disagreement = error else {
      Issue.record("got \(String(describing: error))")
      return
    }
  }

  @Test func aLogWithOtherDataIsADisagreement() throws {
    var liar = honest
    liar.tamper = { $0[0]["data"] = "0x" }
    let scripted = try ScriptedChain([honest, liar], limits: Self.limits(logs: 2))
    let error = #expect(throws: ChainError.self) { try scripted.window(2...21) }
    guard case .disagreement = error else {
      Issue.record("got \(String(describing: error))")
      return
    }
  }

  @Test func endpointsWithOtherWindowSizesCanAgree() throws {
    var narrow = honest
    narrow.lie = { method, response in
      guard method == "eth_getLogs", let logs = response["result"] as? [Any], logs.count > 9 else {
        return
      }
      response["result"] = nil
      response["error"] = ["code": -32005, "message": "query returned more than 9 results"]
    }
    let wideFirst = try ScriptedChain([honest, narrow], limits: Self.limits(logs: 2))
    let window = try wideFirst.window(2...21, everyHeaderFrom: 15)
    #expect(window.range == 2...21)
    #expect(window.logs == honest.truth(2...21))
    let narrowFirst = try ScriptedChain([narrow, honest], limits: Self.limits(logs: 2))
    let short = try narrowFirst.window(2...21, everyHeaderFrom: 15)
    #expect(short.range.upperBound < 21)
    #expect(short.logs == honest.truth(short.range))
  }

  @Test func endpointsThatWithholdAlikeAreCaughtByReceipts() throws {
    let liar = Self.liar(honest)
    let scripted = try ScriptedChain([liar, liar], limits: Self.limits(logs: 2))
    let window = try scripted.window(2...21)
    #expect(window.logs == honest.truth(2...21))
    #expect(scripted.chain.takeNotices().contains { $0.kind == .withheld })
  }

  @Test func aContradictionIsReadElsewhereWithoutAWait() throws {
    var liar = honest
    liar.tamper = { $0[0]["blockHash"] = "\(SealedNode.word(1, salt: 2))" }
    let scripted = try ScriptedChain([liar, honest])
    #expect(try scripted.window(2...21).logs == honest.truth(2...21))
    #expect(scripted.clock.slept == .zero)
    let notices = scripted.chain.takeNotices()
    #expect(notices.contains { $0.kind == .contradiction && $0.endpoint == "node0" })
    #expect(scripted.chain.endpointName == "node1")
  }

  // MARK: Calls

  @Test(arguments: [[7, 7, 1], [1, 7, 7], [7, 1, 7]] as [[UInt8]])
  func aResultThatEnoughEndpointsGiveIsBelieved(_ answers: [UInt8]) throws {
    let scripted = try Self.callChain(answers, needed: 2)
    let results = try Self.ask(scripted)
    #expect(results == [CallResult(succeeded: true, data: [7]), Self.same])
  }

  @Test func aResultWithoutAgreementIsAFailedOneAndHarmsNoOther() throws {
    let scripted = try Self.callChain([1, 2, 3], needed: 2)
    #expect(try Self.ask(scripted) == [CallResult(succeeded: false, data: []), Self.same])
    let notices = scripted.chain.takeNotices()
    #expect(Set(notices.map(\.endpoint)) == ["node0", "node1", "node2"])
    #expect(notices.allSatisfy { $0.kind == .contradiction })
  }

  @Test func aResultOfOneEndpointIsNoAgreement() throws {
    let scripted = try Self.callChain([7, nil], needed: 2)
    #expect(throws: ChainError.tooFewWitnesses(needed: 2, answered: 1)) { try Self.ask(scripted) }
  }

  @Test func noMoreEndpointsAreAskedThanNeeded() throws {
    let scripted = try Self.callChain([7, 7, 7], needed: 2)
    _ = try Self.ask(scripted)
    #expect(scripted.callCount("eth_call") == 2)
  }

  private static let same = CallResult(succeeded: true, data: [5])

  private static func callChain(_ answers: [UInt8?], needed: Int) throws -> ScriptedChain {
    var limits = ChainLimits()
    limits.agreePrices = needed
    let nodes = answers.map { answer in
      var node = ToyNode()
      node.callAnswers = [[1]: [answer ?? 0], [2]: [5]]
      return node
    }
    return try ScriptedChain(limits: limits, endpoints: answers.count) { request, endpoint in
      answers[endpoint] == nil ? .status(500) : .body(nodes[endpoint].answer(request.body))
    }
  }

  private static func ask(_ scripted: ScriptedChain) throws -> [CallResult] {
    try scripted.chain.call(
      [Call(to: ToyNode.contract, data: [1]), Call(to: ToyNode.contract, data: [2])],
      at: ToyNode.hash(5), multicall: Multicall3.canonicalAddress)
  }

  // MARK: Nodes

  private static func limits(logs: Int) -> ChainLimits {
    var limits = ChainLimits()
    limits.agreeLogs = logs
    return limits
  }

  /// Withholds all logs of the first block that has any.
  private static func liar(_ honest: SealedNode) -> SealedNode {
    var node = honest
    let block = honest.truth(2...21).first?.blockNumber ?? 0
    node.tamper = { $0.removeAll { $0["blockNumber"] as? String == Hex.quantity(block) } }
    return node
  }
}
