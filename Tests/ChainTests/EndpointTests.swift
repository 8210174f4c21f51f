import Ethereum
import Foundation
import HTTP
import TestKit
import Testing

@testable import Chain

/// Which endpoint is asked, and what is held against one.
@Suite struct EndpointChoiceTests {
  @Test func theBestOfTheOthersTakesOverAndNotTheNext() throws {
    let node = ToyNode()
    var isDown = [false, true, false]
    let scripted = try ScriptedChain(endpoints: 3) { request, endpoint in
      isDown[endpoint] ? .failure(.timeout) : .body(node.answer(request.body))
    }
    // The greeting has found the second one dead.
    _ = try scripted.chain.greet()
    isDown[0] = true
    let before = scripted.requestCount(of: 1)
    _ = try scripted.chain.head()
    #expect(scripted.chain.endpointName == "node2")
    #expect(scripted.requestCount(of: 1) == before)
    #expect(
      scripted.chain.takeNotices() == [
        Notice(.switched, endpoint: "node2", detail: "instead of \"node0\"")
      ])
  }

  @Test func theOneInUseIsKeptUntilAnotherIsClearlyBetter() throws {
    let node = ToyNode()
    var isDown = true
    let scripted = try ScriptedChain(endpoints: 2) { request, endpoint in
      isDown && endpoint == 0 ? .failure(.timeout) : .body(node.answer(request.body))
    }
    _ = try scripted.chain.head()
    isDown = false
    for _ in 0..<300 { _ = try scripted.chain.head() }
    #expect(scripted.chain.endpointName == "node1")
    // Both have healed by now; a contradiction weighs more than the difference that is borne.
    #expect(scripted.chain.memory.map(\.score) == [0, 0])
    scripted.chain.note(.contradiction, "node1", "two blocks of one number")
    _ = try scripted.chain.head()
    #expect(scripted.chain.endpointName == "node0")
  }

  @Test func aScoreFallsWithFaultsAndHealsWithAnswers() {
    var score = EndpointScore()
    for _ in 0..<50 { score.lower(for: .contradiction) }
    #expect(score.value == -1000)
    var answers = 0
    while score.value < 0, answers < 1000 {
      score.answered()
      answers += 1
    }
    #expect((10...60).contains(answers))
    score.lower(for: .failure)
    for _ in 0..<100 { score.rested() }
    #expect(score.value == 0)
    score.measured(milliseconds: 400)
    #expect(score.value == -100)
    score.isBehind = true
    #expect(score.value == -1100)
    #expect(EndpointScore(remembered: -300).value == -150)
    #expect(EndpointScore(remembered: .min).value == -500)
    #expect(EndpointScore(remembered: 70).value == 0)
  }

  @Test func theSameAnswersGiveTheSameChoices() throws {
    func run(seed: UInt64) throws -> [String] {
      let node = ToyNode()
      var generator = SeededGenerator(seed: seed)
      let scripted = try ScriptedChain(endpoints: 3) { request, _ in
        switch UInt64.random(in: 0..<6, using: &generator) {
        case 0: .failure(.timeout)
        case 1: .status(429)
        case 2: .status(500)
        default: .body(node.answer(request.body))
        }
      }
      return (0..<60).map { _ in
        _ = try? scripted.chain.head()
        return scripted.chain.endpointName
      } + scripted.chain.memory.map { "\($0)" }
    }
    for seed: UInt64 in 1...5 { #expect(try run(seed: seed) == run(seed: seed), "seed \(seed)") }
  }

  @Test func anEndpointThatMayNotBeAskedIsLeftForAnother() throws {
    let node = ToyNode()
    let scripted = try ScriptedChain(endpoints: 2) { request, endpoint in
      let asks = String(decoding: request.body, as: UTF8.self).contains("eth_getLogs")
      guard endpoint == 0, asks else { return .body(node.answer(request.body)) }
      return .text(#"{"id":null,"error":{"code":-32005,"message":"limit exceeded"}}"#)
    }
    let window = try scripted.chain.window(
      ToyNode.filter, from: 4, through: 4, everyHeaderFrom: .max, parent: nil)
    #expect(window.range == 4...4)
    #expect(scripted.chain.endpointName == "node1")
  }
}

/// Nodes that change while a run goes on.
@Suite struct ChangingNodeTests {
  @Test func aNodeSwappedBehindItsURLIsNoticedWithItsFirstAnswer() throws {
    let node = ToyNode()
    var other = ToyNode(salt: 7)
    other.chainID = 1
    var isSwapped = false
    let scripted = try ScriptedChain { [other] request, _ in
      .body((isSwapped ? other : node).answer(request.body))
    }
    _ = try scripted.chain.greet()
    isSwapped = true
    let expected = ChainError.wrongChain(endpoint: "node0", expected: 56, got: 1)
    let before = scripted.transport.requests.count
    #expect(throws: expected) {
      try scripted.chain.window(
        ToyNode.filter, from: 4, through: 9, everyHeaderFrom: 4, parent: nil)
    }
    #expect(scripted.transport.requests.count == before + 1)
  }

  @Test(arguments: ["head", "header", "headers", "hash", "window"])
  func noAnswerOfAnotherChainIsBelieved(_ question: String) throws {
    // The same blocks, so that nothing but the chain's number tells them apart.
    let node = ToyNode()
    var other = ToyNode()
    other.chainID = 97
    var isSwapped = false
    let scripted = try ScriptedChain(endpoints: 2) { [other] request, endpoint in
      .body((isSwapped && endpoint == 0 ? other : node).answer(request.body))
    }
    let chain = scripted.chain
    try chain.verifyIdentity()
    isSwapped = true
    let before = scripted.requestCount(of: 0)
    switch question {
    case "head": _ = try chain.head()
    case "header": _ = try chain.header(number: 4)
    case "headers": _ = try chain.headers(numbers: [4, 5])
    case "hash": _ = try chain.header(hash: ToyNode.hash(4))
    default:
      _ = try chain.window(ToyNode.filter, from: 4, through: 9, everyHeaderFrom: 4, parent: nil)
    }
    #expect(chain.endpointName == "node1")
    #expect(scripted.requestCount(of: 0) == before + 1)
  }

  @Test func whereBatchesAreRefusedTheChainIsAskedForAgainAndAgain() throws {
    let node = ToyNode()
    var other = ToyNode()
    other.chainID = 1
    var isSwapped = false
    let scripted = try ScriptedChain { [other] request, _ in
      if request.body.first == UInt8(ascii: "[") {
        return .text(#"{"id":null,"error":{"code":-32600,"message":"no batches, please"}}"#)
      }
      return .body((isSwapped ? other : node).answer(request.body))
    }
    _ = try scripted.chain.head()
    isSwapped = true
    var calls = 0
    while (try? scripted.chain.head()) != nil, calls < 1000 { calls += 1 }
    #expect(calls <= ChainLimits().requestsPerVerification)
    #expect(throws: ChainError.wrongChain(endpoint: "node0", expected: 56, got: 1)) {
      try scripted.chain.head()
    }
  }

  @Test func afterABrokenConnectionTheNodeProvesItselfAgain() throws {
    let node = ToyNode()
    var isBroken = false
    let scripted = try ScriptedChain { request, _ in
      defer { isBroken = false }
      return isBroken ? .failure(.connection("reset")) : .body(node.answer(request.body))
    }
    _ = try scripted.chain.call(
      [Call(to: ToyNode.contract, data: [1])], at: ToyNode.hash(5), multicall: ToyNode.contract)
    #expect(scripted.callCount("eth_chainId") == 1)
    isBroken = true
    _ = try scripted.chain.call(
      [Call(to: ToyNode.contract, data: [1])], at: ToyNode.hash(5), multicall: ToyNode.contract)
    #expect(scripted.callCount("eth_chainId") == 2)
  }

  @Test func aHeadThatGoesBackIsNoticedAndAnotherEndpointAsked() throws {
    var blocks: [UInt64] = [30, 30]
    let scripted = try ScriptedChain(endpoints: 2) { request, endpoint in
      .body(ToyNode(blocks: blocks[endpoint]).answer(request.body))
    }
    #expect(try scripted.chain.head().number == 29)
    blocks = [25, 31]
    #expect(try scripted.chain.head().number == 30)
    #expect(scripted.chain.endpointName == "node1")
    #expect(
      scripted.chain.takeNotices() == [
        Notice(.behind, endpoint: "node0", detail: "its head went back from block 29 to 24"),
        Notice(.switched, endpoint: "node1", detail: "instead of \"node0\""),
      ])
  }

  @Test func whenNoEndpointKnowsBetterTheLowerHeadIsTheAnswer() throws {
    var blocks: [UInt64] = [30, 30]
    let scripted = try ScriptedChain(endpoints: 2) { request, endpoint in
      .body(ToyNode(blocks: blocks[endpoint]).answer(request.body))
    }
    _ = try scripted.chain.greet()
    blocks = [20, 18]
    #expect(try scripted.chain.head().number == 19)
    #expect(scripted.chain.endpointName == "node0")
    blocks = [1, 1]
    #expect(try scripted.chain.head().number == 0)
    let alone = try ScriptedChain { request, _ in
      .body(ToyNode(blocks: blocks[0]).answer(request.body))
    }
    blocks[0] = 30
    _ = try alone.chain.head()
    blocks[0] = 10
    #expect(try alone.chain.head().number == 9)
  }

  @Test func aBalancerOverTwoHeadsNeverGivesANegativeRange() throws {
    var count = 0
    let scripted = try ScriptedChain { request, _ in
      count += 1
      return .body(ToyNode(blocks: count % 2 == 0 ? 30 : 12).answer(request.body))
    }
    var next: UInt64 = 1
    for _ in 0..<40 where next < 30 {
      let head = try scripted.chain.head().number
      guard next <= head else { continue }
      let window = Result { () throws(ChainError) in
        try scripted.chain.window(
          ToyNode.filter, from: next, through: min(head, next + 4), everyHeaderFrom: 0,
          parent: (next - 1, ToyNode.hash(next - 1)))
      }
      if case .failure(.unknownBlock) = window { continue }
      let range = try window.get().range
      #expect(range.lowerBound == next)
      next = range.upperBound + 1
    }
    #expect(next == 30)
    #expect(scripted.chain.takeNotices().contains { $0.kind == .behind })
  }

  @Test func aBlockBelowTheHeadThatANodeDoesNotKnowMakesItBehind() throws {
    let ahead = ToyNode()
    let behind = ToyNode(blocks: 12)
    var hasFallen = false
    let scripted = try ScriptedChain(endpoints: 2) { request, endpoint in
      .body((hasFallen && endpoint == 0 ? behind : ahead).answer(request.body))
    }
    _ = try scripted.chain.head()
    hasFallen = true
    _ = try scripted.chain.window(
      ToyNode.filter, from: 4, through: 20, everyHeaderFrom: .max, parent: nil)
    #expect(scripted.chain.endpointName == "node1")
    let notice = scripted.chain.takeNotices().first
    #expect(
      notice
        == Notice(.behind, endpoint: "node0", detail: "does not know block 20; the head was 29"))
    // Above the head it is no fault.
    _ = try? scripted.chain.window(
      ToyNode.filter, from: 4, through: 500, everyHeaderFrom: .max, parent: nil)
    #expect(!scripted.chain.takeNotices().contains { $0.kind == .behind })
  }
}

/// Being asked for less.
@Suite struct RateLimitTests {
  @Test func aRateLimitIsNoFailure() throws {
    let node = ToyNode()
    var limits = ChainLimits()
    limits.maxAttempts = 2
    var answers = [429, 500, 200]
    let scripted = try ScriptedChain(limits: limits) { request, _ in
      let status = answers.isEmpty ? 200 : answers.removeFirst()
      return status == 200 ? .body(node.answer(request.body)) : .status(status)
    }
    // One of each kind: neither alone has reached its limit of two.
    #expect(try scripted.chain.head().number == 29)
    let notices = scripted.chain.takeNotices()
    #expect(notices.map(\.kind) == [.rateLimited])
    #expect(notices[0].detail.hasPrefix("asks for fewer requests; none for "))
  }

  @Test func anEndpointThatWantsAPauseIsNotAskedWhileAnotherIsFree() throws {
    let node = ToyNode()
    var limited = 0
    let scripted = try ScriptedChain(endpoints: 2) { request, endpoint in
      guard endpoint == 0, limited < 1 else { return .body(node.answer(request.body)) }
      limited += 1
      return .status(429, retryAfter: .seconds(6))
    }
    _ = try scripted.chain.head()
    #expect(scripted.clock.slept == .zero)
    #expect(scripted.chain.endpointName == "node1")
    #expect(scripted.requestCount(of: 0) == 1)
  }

  @Test func whenAllWantAPauseTheShortestIsWaitedFor() throws {
    let node = ToyNode()
    var asked = [0, 0]
    let scripted = try ScriptedChain(endpoints: 2) { request, endpoint in
      asked[endpoint] += 1
      return asked[endpoint] > 1
        ? .body(node.answer(request.body))
        : .status(429, retryAfter: .seconds(endpoint == 0 ? 7 : 2))
    }
    _ = try scripted.chain.head()
    #expect(scripted.chain.endpointName == "node1")
    #expect((.seconds(2)..<(.seconds(3))).contains(scripted.clock.slept))
  }

  @Test func aRateLimitWithoutEndEndsAtTheLimit() throws {
    let scripted = try ScriptedChain(endpoints: 2) { _, _ in .status(429) }
    let error = #expect(throws: ChainError.self) { try scripted.chain.head() }
    guard case .unavailable(_, "eth_chainId", .rateLimited, 6) = error else {
      Issue.record("got \(String(describing: error))")
      return
    }
    #expect(scripted.transport.requests.count == 6)
  }

  @Test func aPauseBeyondTheDeadlineIsNotBegun() throws {
    let deadline = Deadline(MonotonicInstant(nanoseconds: 1_000_000_000))
    let scripted = try ScriptedChain(deadline: deadline) { _, _ in
      .status(429, retryAfter: .seconds(5))
    }
    #expect(
      throws: ChainError.unavailable(
        endpoint: "node0", method: "eth_chainId", cause: .rateLimited, attempts: 1)
    ) { try scripted.chain.head() }
    #expect(scripted.clock.slept == .zero)
  }

  @Test func theWaitInAnErrorsDataIsObeyed() throws {
    let node = ToyNode()
    var isFirst = true
    let scripted = try ScriptedChain { request, _ in
      defer { isFirst = false }
      guard isFirst else { return .body(node.answer(request.body)) }
      return .text(
        #"{"id":1,"error":{"code":-32005,"message":"exceeded project rate limit","#
          + #""data":{"rate":{"backoff_seconds":3}}}}"#)
    }
    _ = try scripted.chain.head()
    #expect((.seconds(3)..<(.seconds(4))).contains(scripted.clock.slept))
  }

  @Test func itAsksForLessAtOnceAndRecovers() throws {
    let node = ToyNode(blocks: 400)
    var budget = 3
    let scripted = try ScriptedChain { request, _ in
      let calls = String(decoding: request.body, as: UTF8.self).ranges(of: "\"id\"").count
      if calls > 30, budget > 0 {
        budget -= 1
        return .status(429)
      }
      return .body(node.answer(request.body))
    }
    let numbers = Array<UInt64>(1...399)
    #expect(try scripted.chain.headers(numbers: numbers).map(\.number) == numbers)
    let limit = try #require(scripted.chain.memory[0].batchLimit)
    #expect(limit < 100)
    for _ in 0..<20 { _ = try scripted.chain.headers(numbers: numbers) }
    #expect(try #require(scripted.chain.memory[0].batchLimit) > limit)
  }
}

/// Several batches at once.
@Suite struct WaveTests {
  @Test func aLongReadingGoesOutInWavesThatGrow() throws {
    let node = ToyNode(blocks: 2000)
    let waves = WaveTransport { request in .body(node.answer(request.body)) }
    var limits = ChainLimits()
    limits.batchSize = 11
    let chain = try Self.chain(waves, limits: limits)
    let numbers = Array<UInt64>(1...1500)
    #expect(try chain.headers(numbers: numbers).map(\.number) == numbers)
    // The chain's number, a batch of 10 headers, then 4 waves of 2 batches, 4 of 3, 4 of 4 …
    #expect(waves.sizes.prefix(11) == [1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4])
    #expect(waves.sizes.max() == 8)
    #expect(waves.sizes.reduce(0, +) == 151)
    #expect(chain.memory[0].concurrency == 8)
  }

  @Test func aBatchThatFailsInAWaveIsRepeatedAlone() throws {
    let node = ToyNode(blocks: 200)
    var failures: [Int: Result<HTTPResponse, TransportError>] = [
      2: .failure(.timeout), 5: .status(500), 9: .text("<html>"), 12: .status(429),
    ]
    var number = 0
    let waves = WaveTransport { request in
      defer { number += 1 }
      return failures.removeValue(forKey: number) ?? .body(node.answer(request.body))
    }
    var limits = ChainLimits()
    limits.batchSize = 6
    let chain = try Self.chain(waves, limits: limits)
    let numbers = Array<UInt64>(1...199)
    #expect(try chain.headers(numbers: numbers).map(\.number) == numbers)
    #expect(failures.isEmpty)
  }

  @Test func aTimeoutOrARateLimitHalvesTheWidthOnce() throws {
    let node = ToyNode(blocks: 200)
    for fault: Result<HTTPResponse, TransportError> in [.failure(.timeout), .status(429)] {
      var isFaulty = false
      let waves = WaveTransport { request in
        let count = String(decoding: request.body, as: UTF8.self).ranges(of: "\"id\"").count
        return isFaulty && count > 1 ? fault : .body(node.answer(request.body))
      }
      var limits = ChainLimits()
      limits.batchSize = 6
      limits.maxAttempts = 1
      let chain = try Self.chain(
        waves, limits: limits, memory: [EndpointMemory(name: "a", concurrency: 8)])
      try chain.verifyIdentity()
      isFaulty = true
      _ = try chain.wave((0..<8).map { [RPCCall.header(number: $0, mustExist: true)] })
      #expect(chain.memory[0].concurrency == 4)
      #expect(chain.memory[0].score < 0 && chain.memory[0].score >= -100)
    }
  }

  @Test func aWaveTellsWhatCameAndRecoversNothing() throws {
    let node = ToyNode()
    let waves = WaveTransport { request in
      String(decoding: request.body, as: UTF8.self).contains("\"0x5\"")
        ? .failure(.timeout) : .body(node.answer(request.body))
    }
    let chain = try Self.chain(waves, memory: [EndpointMemory(name: "a", concurrency: 4)])
    let batches = (4...8).map { [RPCCall.header(number: $0, mustExist: true)] }
    let answers = try chain.wave(batches)
    // The second failed, and the fifth is more than the endpoint takes.
    #expect(answers.map { $0 == nil } == [false, true, false, false, true])
    #expect(waves.sizes == [1, 4])
    guard case .header(let fetched?)? = answers[3]?.first else {
      Issue.record("no header")
      return
    }
    #expect(fetched.header.number == 7)
  }

  @Test func aBatchOverTheSizeOfTheEndpointIsNotSentInAWave() throws {
    let node = ToyNode()
    let waves = WaveTransport { .body(node.answer($0.body)) }
    let chain = try Self.chain(waves, memory: [EndpointMemory(name: "a", batchLimit: 3)])
    let long = (0..<3).map { RPCCall.header(number: $0, mustExist: true) }
    let answers = try chain.wave([long, Array(long.prefix(2))])
    #expect(answers.map { $0?.count } == [nil, 2])
  }

  @Test func aWaveOfAnotherChainIsNothing() throws {
    let node = ToyNode()
    var other = ToyNode()
    other.chainID = 1
    let waves = WaveTransport { [other] in
      .body(($0.url.redacting("http://a.invalid") == "***" ? other : node).answer($0.body))
    }
    let chain = try Self.chain(waves, names: ["a", "b"])
    let batch = [[RPCCall.head]]
    #expect(try chain.wave(batch, at: 0) == [nil])
    #expect(try chain.wave(batch, at: 0) == [nil])
    #expect(try chain.wave(batch, at: 1)[0]?.count == 1)
    #expect(waves.sizes.count == 1 + 2)
    let alone = try Self.chain(WaveTransport { [other] in .body(other.answer($0.body)) })
    #expect(throws: ChainError.wrongChain(endpoint: "a", expected: 56, got: 1)) {
      try alone.wave(batch)
    }
  }

  @Test func aStopEndsAWave() throws {
    let waves = WaveTransport { _ in .failure(.stopped) }
    let chain = try Self.chain(waves)
    #expect(throws: ChainError.stopped) { try chain.wave([[.head]]) }
  }

  static func chain(
    _ transport: WaveTransport, limits: ChainLimits = ChainLimits(), names: [String] = ["a"],
    memory: [EndpointMemory] = []
  ) throws -> Chain {
    let clock = SleepClock()
    return Chain(
      name: "toy", chainID: 56,
      endpoints: try names.map {
        Endpoint(name: $0, url: try EndpointURL("http://\($0).invalid"))
      }, transport: transport, limits: limits, memory: memory,
      generator: SeededGenerator(seed: 1), now: { clock.instant }, sleep: clock.sleep)
  }
}

/// A transport that remembers how many requests were sent at once.
final class WaveTransport: Transport {
  private(set) var sizes: [Int] = []
  private let answer: (HTTPRequest) -> Result<HTTPResponse, TransportError>

  init(_ answer: @escaping (HTTPRequest) -> Result<HTTPResponse, TransportError>) {
    self.answer = answer
  }

  func perform(
    _ requests: [HTTPRequest], deadline: Deadline
  ) -> [Result<HTTPResponse, TransportError>] {
    sizes.append(requests.count)
    return requests.map(answer)
  }
}

/// What one run leaves to the next.
@Suite struct EndpointMemoryTests {
  @Test func whatIsLearntIsRememberedAndGivesTheNextRunItsSizes() throws {
    var node = ToyNode(blocks: 400)
    node.refusal = { $0.count > 50 ? "eth_getLogs is limited to a 50 range" : nil }
    node.knowsBlockHashes = false
    func run(_ memory: [EndpointMemory]) throws -> (ScriptedChain, ClosedRange<UInt64>) {
      let scripted = try ScriptedChain(memory: memory) { [node] request, _ in
        let calls = String(decoding: request.body, as: UTF8.self).ranges(of: "\"id\"").count
        guard calls > 20 else { return .body(node.answer(request.body)) }
        return .text(#"{"id":null,"error":{"code":-32000,"message":"batch limit 20 exceeded"}}"#)
      }
      let window = try scripted.chain.window(
        ToyNode.filter, from: 4, through: 390, everyHeaderFrom: 4, parent: nil)
      _ = try scripted.chain.call(
        [Call(to: ToyNode.contract, data: [1])], at: ToyNode.hash(5), multicall: ToyNode.contract)
      return (scripted, window.range)
    }
    let (first, _) = try run([])
    let memory = first.chain.memory
    #expect(memory.count == 1)
    #expect(memory[0].windowLimit == 50)
    #expect(memory[0].windowMaximum == 50)
    #expect(memory[0].batchLimit == 20)
    #expect(memory[0].batchMaximum == 20)
    #expect(!memory[0].knowsBlockHashes)
    let (second, range) = try run(memory)
    #expect(range == 4...53)
    #expect(second.callCount("eth_getLogs") == 1)
    #expect(second.callCount("eth_call") == 1)
    #expect(second.transport.requests.count < first.transport.requests.count)
  }

  @Test func aRunBeginsWithTheEndpointThatDidWellBefore() throws {
    let node = ToyNode()
    let memory = [
      EndpointMemory(name: "node0", score: -800), EndpointMemory(name: "stranger", score: -1),
    ]
    let scripted = try ScriptedChain(endpoints: 2, memory: memory) { request, _ in
      .body(node.answer(request.body))
    }
    #expect(scripted.chain.endpointName == "node1")
    #expect(scripted.chain.memory.map(\.name) == ["node0", "node1"])
    // Half of it is forgotten each time, and what is clearly better gets smaller.
    #expect(scripted.chain.memory[0].score == -400)
    let later = try ScriptedChain(
      endpoints: 2, memory: [EndpointMemory(name: "node0", score: -390)]
    ) { request, _ in .body(node.answer(request.body)) }
    #expect(later.chain.endpointName == "node0")
  }

  @Test func aMemoryOfNonsenseDoesNoHarm() throws {
    let memory = EndpointMemory(
      name: "node0", windowLimit: 0, windowMaximum: 0, aggregateLimit: 0, batchLimit: 0,
      batchMaximum: .max, logsPerAnswerMax: 0, concurrency: -5, knowsBlockHashes: false,
      score: .max)
    let node = ToyNode()
    let scripted = try ScriptedChain(memory: [memory]) { request, _ in
      .body(node.answer(request.body))
    }
    let window = try scripted.chain.window(
      ToyNode.filter, from: 4, through: 9, everyHeaderFrom: 4, parent: (3, ToyNode.hash(3)))
    #expect(window.range == 4...4)
    #expect(scripted.chain.memory[0].concurrency == 1)
  }
}
