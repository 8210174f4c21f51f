import Ethereum
import Foundation
import HTTP
import TestKit
import Testing

@testable import Chain

/// Which head is believed when endpoints differ.
@Suite struct BeliefTests {
  @Test(
    arguments: [
      ([], 1, nil), ([7], 1, 7), ([7, 9], 1, 9), ([100, 116], 1, 116), ([100, 117], 1, 100),
      ([.max, 0], 1, 0), ([100, 10_000, 98], 1, 100), ([100], 2, nil), ([100, 117], 2, 100),
      ([.max, 100, 101], 2, 101), ([.max, .max, 100], 3, 100), ([5, 6, 7], 0, 7),
    ] as [([UInt64], Int, UInt64?)])
  func asManyEndpointsAsMustAgreeReachTheHead(
    _ heads: [UInt64], _ agree: Int, _ expected: UInt64?
  ) throws {
    let chain = try ScriptedChain(ToyNode(), limits: Self.limits(agree)).chain
    let headers = heads.map { Self.head($0, time: 1_700_000_000) }
    #expect(chain.believedHead(headers)?.number == expected)
    #expect(chain.believedHead(headers.reversed())?.number == expected)
  }

  /// The clock is at 1,700,000,040, and a block takes 450 ms.
  @Test(
    arguments: [
      // Two seconds apart: four blocks, or eight at twice the pace, besides the lag of 16.
      ([(100, 38), (124, 40)], 124), ([(100, 38), (125, 40)], 100),
      // One stands still for as long as the age allows.
      ([(100, 0), (188, 40)], 188), ([(100, 0), (10_100, 40)], 100),
      // Blocks of the future, and such as are older than the one below them.
      ([(100, 38), (150, 55)], 150), ([(100, 38), (150, 56)], 100), ([(100, 38), (117, 38)], 100),
      ([(100, 38), (117, 37)], 100),
      // The third is what the second is held against, when the first is a lie.
      ([(100, 0), (188, 40), (9_000, 40)], 188),
    ] as [([(UInt64, UInt64)], UInt64)])
  func anEndpointThatIsLateDoesNotHoldUpAFresherOne(
    _ heads: [(number: UInt64, time: UInt64)], _ expected: UInt64
  ) throws {
    var limits = ChainLimits()
    limits.blockTimeMilliseconds = 450
    let chain = try ScriptedChain(ToyNode(), limits: limits).chain
    let headers = heads.map { Self.head($0.number, time: 1_700_000_000 + $0.time) }
    #expect(chain.believedHead(headers)?.number == expected)
  }

  @Test func anEndpointThatStandsStillIsUsedLast() throws {
    var limits = ChainLimits()
    limits.blockTimeMilliseconds = 1_000
    let scripted = try GreetingTests.chain([ToyNode(), ToyNode(blocks: 50)], limits: limits)
    let greeting = try scripted.chain.greet(at: 29)
    #expect(greeting.head.number == 49 && greeting.endpoint == "node1")
    #expect(greeting.dispute == nil)
    #expect(scripted.chain.takeNotices().map(\.kind) == [.behind, .switched])
  }

  @Test func aHeadThatIsNotBelievedIsADispute() throws {
    let scripted = try GreetingTests.chain([Self.liar(), ToyNode()])
    #expect(
      try scripted.chain.greet().dispute == .head(endpoint: "node0", number: 10_029, believed: 29))
  }

  @Test(arguments: [1, 2], [0, 1])
  func anEndpointAloneFarAboveTheOtherIsNotBelieved(_ agree: Int, _ liar: Int) throws {
    var nodes = [ToyNode(), ToyNode()]
    nodes[liar] = Self.liar()
    let scripted = try GreetingTests.chain(nodes, limits: Self.limits(agree))
    let greeting = try scripted.chain.greet(at: 3)
    #expect(greeting.head == ToyNode().headers[29])
    #expect(greeting.endpoint == "node\(1 - liar)")
    let notices = scripted.chain.takeNotices().filter { $0.kind != .switched }
    #expect(
      notices == [
        Notice(
          .ahead, endpoint: "node\(liar)",
          detail: "its head is block 10029, 10000 blocks above what others confirm; not believed")
      ])
    #expect(scripted.chain.memory[liar].score < scripted.chain.memory[1 - liar].score)
    #expect(scripted.chain.highestHead == 29)
  }

  @Test func aHeadThatIsNotBelievedMakesNobodyBehind() throws {
    let scripted = try GreetingTests.chain([Self.liar(), ToyNode(), ToyNode(blocks: 28)])
    _ = try scripted.chain.greet()
    #expect(!scripted.chain.takeNotices().contains { $0.kind == .behind })
    #expect(scripted.chain.endpoints.map(\.score.isBehind) == [false, false, false])
  }

  @Test func theHeadThatEnoughEndpointsReachIsOneOfTheirs() throws {
    let nodes = [30, 28, 25].map { ToyNode(blocks: $0) }
    let scripted = try GreetingTests.chain(nodes, limits: Self.limits(2))
    let greeting = try scripted.chain.greet()
    #expect(greeting.head == nodes[1].headers[27])
    #expect(greeting.endpoint == "node0")
  }

  @Test func fewerGreetingsThanMustAgreeAreAnError() throws {
    let alone = try GreetingTests.chain([ToyNode()], limits: Self.limits(2))
    #expect(throws: ChainError.tooFewWitnesses(needed: 2, answered: 1)) { try alone.chain.greet() }
    #expect(throws: ChainError.tooFewWitnesses(needed: 2, answered: 1)) { try alone.chain.head() }
  }

  @Test func endpointsThatTakeNoBatchesAreWitnessesAsWell() throws {
    let nodes = [Self.liar(), ToyNode(), ToyNode()]
    let scripted = try ScriptedChain(limits: Self.limits(2), endpoints: 3) { request, endpoint in
      if endpoint == 0 || request.body.first != UInt8(ascii: "[") {
        return .body(nodes[endpoint].answer(request.body))
      }
      return .text(#"{"id":null,"error":{"code":-32600,"message":"batches are not supported"}}"#)
    }
    #expect(try scripted.chain.greet(at: 4).head.number == 29)
    #expect(scripted.chain.endpointName != "node0")
  }

  @Test(arguments: [1, 2])
  func aHeadThatLeapsInTheMiddleOfARunIsNotBelieved(_ agree: Int) throws {
    var isLying = false
    let scripted = try ScriptedChain(limits: Self.limits(agree), endpoints: 2) {
      request, endpoint in
      .body((isLying && endpoint == 0 ? Self.liar() : ToyNode()).answer(request.body))
    }
    #expect(try scripted.chain.greet().endpoint == "node0")
    isLying = true
    #expect(try scripted.chain.head().number == 29)
    #expect(scripted.chain.endpointName == "node1")
    #expect(scripted.chain.takeNotices().contains { $0.kind == .ahead && $0.endpoint == "node0" })
  }

  @Test func aHeadThatAllHaveReachedMeanwhileIsBelieved() throws {
    var blocks: UInt64 = 30
    let scripted = try ScriptedChain(endpoints: 2) { request, _ in
      .body(ToyNode(blocks: blocks).answer(request.body))
    }
    _ = try scripted.chain.greet()
    blocks = 100
    #expect(try scripted.chain.head().number == 99)
    #expect(scripted.chain.takeNotices().isEmpty)
  }

  @Test func aHeadThatIsTooOldHoldsNobodyUp() throws {
    var limits = ChainLimits()
    limits.maxHeadAgeSeconds = 10
    let nodes = [ToyNode(), ToyNode(blocks: 100)]
    let scripted = try ScriptedChain(limits: limits, endpoints: 2, time: { 1_700_000_100 }) {
      request, endpoint in .body(nodes[endpoint].answer(request.body))
    }
    let greeting = try scripted.chain.greet()
    #expect(greeting.head.number == 99 && !greeting.isStale)
  }

  // MARK: Block 0

  @Test func oneAnswerAboutTheBeginningIsAskedForAgain() throws {
    let scripted = try ScriptedChain(ToyNode())
    _ = try scripted.chain.greet()
    #expect(try scripted.chain.confirmedGenesis() == ToyNode.hash(0))
    let count = scripted.transport.requests.count
    #expect(count == 2)
    #expect(try scripted.chain.confirmedGenesis() == ToyNode.hash(0))
    #expect(scripted.transport.requests.count == count)
  }

  @Test func aBeginningThatIsToldOnceIsNotConfirmed() throws {
    var isLying = true
    let scripted = try ScriptedChain { request, _ in
      .body(ToyNode(salt: isLying ? 5 : 0).answer(request.body))
    }
    #expect(try scripted.chain.greet().genesis == ToyNode.hash(0, 5))
    isLying = false
    #expect(try scripted.chain.confirmedGenesis() == nil)
    #expect(try scripted.chain.confirmedGenesis() == nil)
    #expect(scripted.chain.takeNotices().map(\.kind) == [.contradiction])
  }

  @Test func twoEndpointsWithTwoBeginningsConfirmNone() throws {
    let scripted = try GreetingTests.chain([ToyNode(salt: 5), ToyNode()])
    _ = try scripted.chain.greet()
    #expect(try scripted.chain.confirmedGenesis() == nil)
  }

  @Test func mostEndpointsConfirmTheBeginningWithoutARequest() throws {
    let scripted = try GreetingTests.chain([ToyNode(salt: 5), ToyNode(), ToyNode()])
    _ = try scripted.chain.greet()
    #expect(try scripted.chain.confirmedGenesis() == ToyNode.hash(0))
    #expect(scripted.transport.requests.count == 3)
  }

  private static func head(_ number: UInt64, time: UInt64) -> BlockHeader {
    BlockHeader(
      number: number, hash: ToyNode.hash(number), parentHash: ToyNode.hash(number &- 1),
      timestamp: time)
  }

  private static func limits(_ agree: Int) -> ChainLimits {
    var limits = ChainLimits()
    limits.agreeLogs = agree
    return limits
  }

  /// Says that its newest block is 10,000 further on.
  private static func liar() -> ToyNode {
    var node = ToyNode()
    node.lie = { _, response in
      guard var header = response["result"] as? [String: Any], header["number"] as? String == "0x1d"
      else { return }
      header["number"] = Hex.quantity(UInt64(10_029))
      response["result"] = header
    }
    return node
  }
}
