import Chain
import Ethereum
import HTTP
import Quantities
import TestKit
import Testing

/// Asking contracts of which some use up the gas of the others.
@Suite struct GasTests {
  @Test(arguments: [0, 777, 1999])
  func oneGuiltyCallIsFoundByHalvingAndTheOthersGoInFullAggregates(_ guilty: Int) throws {
    let scripted = try Self.chain(failingWith: [guilty])
    let results = try Self.ask(2000, scripted)
    #expect(results == Self.results(2000, failing: [guilty]))
    // Ten aggregates of 200, and two requests for each of the at most eight halvings.
    #expect(scripted.callCount("eth_call") <= 10 + 2 * 8)
  }

  @Test func severalGuiltyCallsMakeTheAggregatesSmallerForAWhileOnly() throws {
    let guilty: Set = [10, 150]
    let scripted = try Self.chain(failingWith: guilty)
    #expect(try Self.ask(2000, scripted) == Self.results(2000, failing: guilty))
    let first = scripted.callCount("eth_call")
    #expect(first <= 10 + 2 * 2 * 8 + 30)
    // None of these is guilty, and after them full aggregates are asked for again.
    _ = try Self.ask(6000, scripted, from: 10_000)
    let second = scripted.callCount("eth_call")
    _ = try Self.ask(2000, scripted, from: 10_000)
    #expect(scripted.callCount("eth_call") == second + 10)
  }

  @Test(arguments: [[3], [0, 3], [3, 9], [3, 4, 19]])
  func callsThatWereLeftWithoutGasAreAskedAgain(_ burners: [Int]) throws {
    var node = Self.node(answering: 20)
    node.gasBurners = Set(burners.map { Self.call($0).data })
    let scripted = try ScriptedChain(node)
    #expect(
      try Self.ask(20, scripted) == Self.results(20, failing: Set(burners)))
    // The chain id, the aggregate, and one batch with each doubtful call alone.
    #expect(scripted.transport.requests.count == 3)
  }

  @Test func aCallThatHadAllTheGasIsNotAskedAgain() throws {
    var node = Self.node(answering: 3)
    node.gasBurners = [Self.call(0).data]
    let scripted = try ScriptedChain(node)
    #expect(try Self.ask(1, scripted) == Self.results(1, failing: [0]))
    #expect(scripted.callCount("eth_call") == 1)
  }

  @Test func aDoubtfulCallWhoseOwnAnswerIsOverTheCapHarmsNoOther() throws {
    var node = Self.node(answering: 6)
    node.gasBurners = [Self.call(1).data]
    node.callAnswers[Self.call(4).data] = [UInt8](repeating: 7, count: 2000)
    let scripted = try ScriptedChain { [node] request, _ in
      let body = node.answer(request.body)
      return body.count > 3500 ? .failure(.tooLarge(limit: 3500)) : .body(body)
    }
    #expect(try Self.ask(6, scripted) == Self.results(6, failing: [1, 4]))
  }

  /// A node that refuses each aggregate with one of the calls, for want of gas.
  private static func chain(failingWith guilty: Set<Int>) throws -> ScriptedChain {
    let node = Self.node(answering: 2000)
    let marks = guilty.map { Hex.encode(Self.call($0).data).dropFirst(2) }
    return try ScriptedChain { request, _ in
      let body = String(decoding: request.body, as: UTF8.self)
      guard body.contains("eth_call"), marks.contains(where: { body.contains($0) }) else {
        return .body(node.answer(request.body))
      }
      let id = body.split(separator: "\"id\":")[1].prefix { $0.isNumber }
      return .text(
        #"{"jsonrpc":"2.0","id":\#(id),"error":{"code":-32000,"message":"out of gas"}}"#)
    }
  }

  private static func ask(
    _ count: Int, _ scripted: ScriptedChain, from first: Int = 0
  ) throws -> [CallResult] {
    try scripted.chain.call(
      (first..<(first + count)).map(Self.call), at: ToyNode.hash(5),
      multicall: Multicall3.canonicalAddress)
  }

  private static func node(answering count: Int) -> ToyNode {
    var node = ToyNode()
    for (number, result) in results(count).enumerated() {
      node.callAnswers[call(number).data] = result.data
    }
    return node
  }

  /// The data is long enough to be found in a request's text.
  private static func call(_ number: Int) -> Call {
    Call(to: ToyNode.contract, data: U256(0xABCD_EF00_0000 + UInt64(number)).bigEndianBytes)
  }

  private static func results(_ count: Int, failing: Set<Int> = []) -> [CallResult] {
    (0..<count).map { number in
      failing.contains(number)
        ? CallResult(succeeded: false, data: [])
        : CallResult(succeeded: true, data: [UInt8(number % 256), 7])
    }
  }
}
