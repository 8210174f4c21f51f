import Chain
import Ethereum
import Foundation
import HTTP
import Synchronization
import TestKit
import Testing

/// What becomes of a request when an endpoint fails; scripted, so that no test waits.
@Suite struct RetryTests {
  @Test func aPassingFailureIsTriedAgainAfterAWait() throws {
    let node = ToyNode()
    var failures: [Result<HTTPResponse, TransportError>] = [
      .failure(.timeout), .failure(.connection("reset")), .status(500), .status(502, "<html>"),
      .text(#"{"id":null,"error":{"code":-32603,"message":"internal error"}}"#),
    ]
    let scripted = try ScriptedChain { request, _ in
      failures.isEmpty ? .body(node.answer(request.body)) : failures.removeFirst()
    }
    #expect(try scripted.chain.head().number == 29)
    #expect(scripted.transport.requests.count == 5 + 2)
    #expect(scripted.clock.slept >= .milliseconds(100 * (1 + 2 + 4 + 8 + 16)))
    #expect(scripted.clock.slept <= .milliseconds(200 * (1 + 2 + 4 + 8 + 16) + 50))
  }

  @Test func aStormEndsAtTheLimitAndNamesTheCause() throws {
    var limits = ChainLimits()
    limits.maxAttempts = 4
    let scripted = try ScriptedChain(limits: limits) { _, _ in .status(503) }
    #expect(
      throws: ChainError.unavailable(
        endpoint: "node0", method: "eth_chainId", cause: .status(503), attempts: 4)
    ) { try scripted.chain.verifyIdentity() }
    #expect(scripted.transport.requests.count == 4)
  }

  @Test func theNextEndpointTakesOverWithoutAWaitAndProvesItself() throws {
    let node = ToyNode()
    let scripted = try ScriptedChain(endpoints: 2) { request, endpoint in
      endpoint == 0 ? .failure(.timeout) : .body(node.answer(request.body))
    }
    #expect(try scripted.chain.head().number == 29)
    #expect(scripted.chain.endpointName == "node1")
    #expect(scripted.clock.slept == .zero)
    // Each before its first use, and with the header.
    #expect(scripted.callCount("eth_chainId") == 2 + 1)
    #expect(scripted.transport.requests.count == 3)
    _ = try scripted.chain.head()
    #expect(scripted.transport.requests.count == 4)
  }

  @Test func anEndpointOfAnotherChainIsRefusedBeforeItIsAsked() throws {
    var other = ToyNode()
    other.chainID = 1
    let scripted = try ScriptedChain(other)
    #expect(throws: ChainError.wrongChain(endpoint: "node0", expected: 56, got: 1)) {
      try scripted.chain.head()
    }
    #expect(scripted.transport.requests.count == 1)
  }

  @Test func anEndpointOfAnotherChainIsRefusedAlsoWhenItTakesOver() throws {
    var other = ToyNode()
    other.chainID = 1
    let node = ToyNode()
    var isFirstDown = false
    let scripted = try ScriptedChain(endpoints: 2) { [other] request, endpoint in
      if endpoint == 1 { return .body(other.answer(request.body)) }
      return isFirstDown ? .status(500) : .body(node.answer(request.body))
    }
    try scripted.chain.verifyIdentity()
    isFirstDown = true
    // It is used no more, and the other goes on being tried.
    #expect(
      throws: ChainError.unavailable(
        endpoint: "node0", method: "eth_getBlockByNumber", cause: .status(500), attempts: 6)
    ) { try scripted.chain.head() }
    #expect(
      scripted.chain.takeNotices().contains(
        Notice(
          .contradiction, endpoint: "node1", detail: "endpoint \"node1\" serves chain 1, not 56")))
    #expect(scripted.requestCount(of: 1) == 1)
  }

  @Test func whenEveryEndpointIsOfAnotherChainTheRunEnds() throws {
    var other = ToyNode()
    other.chainID = 1
    let scripted = try ScriptedChain(endpoints: 3) { [other] request, _ in
      .body(other.answer(request.body))
    }
    #expect(throws: ChainError.wrongChain(endpoint: "node2", expected: 56, got: 1)) {
      try scripted.chain.head()
    }
    #expect(scripted.transport.requests.count == 3)
  }

  @Test func retryAfterIsObeyed() throws {
    let node = ToyNode()
    var isFirst = true
    let scripted = try ScriptedChain { request, _ in
      defer { isFirst = false }
      return isFirst
        ? .status(429, retryAfter: .seconds(5)) : .body(node.answer(request.body))
    }
    _ = try scripted.chain.head()
    #expect(scripted.clock.slept >= .seconds(5))
    #expect(scripted.clock.slept < .seconds(6))
  }

  @Test func anEndpointThatAsksForTooLongAWaitIsNotUsedAgain() throws {
    let node = ToyNode()
    let scripted = try ScriptedChain(endpoints: 2) { request, endpoint in
      endpoint == 0
        ? .status(429, retryAfter: .seconds(3600)) : .body(node.answer(request.body))
    }
    _ = try scripted.chain.head()
    #expect(scripted.clock.slept == .zero)
    let alone = try ScriptedChain { _, _ in .status(429, retryAfter: .seconds(3600)) }
    #expect(
      throws: ChainError.unavailable(
        endpoint: "node0", method: "eth_chainId", cause: .rateLimited, attempts: 1)
    ) { try alone.chain.head() }
  }

  @Test(arguments: [301, 302, 400, 401, 403, 404])
  func aFinalStatusIsNotTriedAgain(_ status: Int) throws {
    let scripted = try ScriptedChain { _, _ in .status(status, "no") }
    #expect(
      throws: ChainError.unavailable(
        endpoint: "node0", method: "eth_chainId", cause: .status(status), attempts: 1)
    ) { try scripted.chain.head() }
    #expect(scripted.transport.requests.count == 1)
  }

  @Test func anErrorObjectCountsWhateverItsStatus() throws {
    let node = ToyNode()
    let scripted = try ScriptedChain { request, _ in
      let text = String(decoding: request.body, as: UTF8.self)
      guard text.contains("eth_getLogs") else { return .body(node.answer(request.body)) }
      return .status(400, #"{"id":null,"error":{"code":-32602,"message":"invalid params"}}"#)
    }
    let error = #expect(throws: ChainError.self) {
      try scripted.chain.window(
        ToyNode.filter, from: 4, through: 5, everyHeaderFrom: .max, parent: nil)
    }
    guard case .refused("node0", _, -32602, "invalid params") = error else {
      Issue.record("got \(String(describing: error))")
      return
    }
  }

  @Test func aBatchThatIsTooLargeIsHalved() throws {
    let node = ToyNode()
    let scripted = try ScriptedChain { request, _ in
      let calls = String(decoding: request.body, as: UTF8.self).ranges(of: "\"id\"").count
      guard calls > 3 else { return .body(node.answer(request.body)) }
      return .text(#"{"id":null,"error":{"code":-32600,"message":"batch too large"}}"#)
    }
    let numbers = Array<UInt64>(1...20)
    #expect(try scripted.chain.headers(numbers: numbers).map(\.number) == numbers)
    // Of 21, 10 and 5, the chain's number included, none goes through; then 2 at once and, as it
    // grows, 3.
    #expect(scripted.transport.requests.count < 1 + 3 + 20)
    let after = scripted.transport.requests.count
    _ = try scripted.chain.headers(numbers: [1, 2, 3, 4])
    #expect(scripted.transport.requests.count <= after + 4)
  }

  @Test func aBlockThatANodeDoesNotHaveYetIsAskedForAgain() throws {
    let ahead = ToyNode()
    let behind = ToyNode(blocks: 12)
    var logRequests = 0
    let scripted = try ScriptedChain { request, _ in
      if String(decoding: request.body, as: UTF8.self).contains("eth_getLogs") { logRequests += 1 }
      return .body((logRequests < 2 ? behind : ahead).answer(request.body))
    }
    let window = try scripted.chain.window(
      ToyNode.filter, from: 4, through: 13, everyHeaderFrom: .max, parent: nil)
    #expect(window.range == 4...13)
  }

  @Test func aBlockThatNoNodeHasIsUnknownAfterFewAttempts() throws {
    let scripted = try ScriptedChain(ToyNode())
    let error = #expect(throws: ChainError.self) {
      try scripted.chain.window(
        ToyNode.filter, from: 4, through: 500, everyHeaderFrom: .max, parent: nil)
    }
    #expect(error == .unknownBlock(endpoint: "node0", method: "eth_getBlockByNumber"))
    #expect(scripted.callCount("eth_getLogs") == ChainLimits().maxUnknownBlockAttempts)
    #expect(try scripted.chain.header(number: 500) == nil)
    #expect(try scripted.chain.header(hash: ToyNode.hash(500)) == nil)
  }

  @Test func noSecretIsInAnyError() throws {
    let answers: [Result<HTTPResponse, TransportError>] = [
      .failure(.connection("Couldn't connect to server")), .status(403), .text("<html>"),
      .text(#"{"id":1,"error":{"code":-31000,"message":"bad key secretkey for node0.invalid"}}"#),
      .text(#"{"id":1,"error":{"code":-32603,"message":"http://node0.invalid/secretkey down"}}"#),
    ]
    for answer in answers {
      let scripted = try ScriptedChain { _, _ in answer }
      let error = #expect(throws: ChainError.self) { try scripted.chain.head() }
      for text in [String(describing: error), String(reflecting: error)] {
        #expect(!text.contains("secretkey"))
        #expect(!text.contains(".invalid"))
      }
    }
  }

  @Test func controlCharactersInAnErrorAreMadeVisible() throws {
    let scripted = try ScriptedChain { _, _ in
      .text("{\"id\":1,\"error\":{\"code\":-31000,\"message\":\"a\\u001b[2Jb\\u202ec\"}}")
    }
    let error = #expect(throws: ChainError.self) { try scripted.chain.head() }
    #expect(String(describing: error).contains(#"a\u{1b}[2Jb\u{202e}c"#))
  }

  @Test func aWaitThatWouldReachTheDeadlineIsNotBegun() throws {
    let deadline = Deadline(MonotonicInstant(nanoseconds: 50_000_000))
    let scripted = try ScriptedChain(deadline: deadline) { _, _ in .status(500) }
    #expect(
      throws: ChainError.unavailable(
        endpoint: "node0", method: "eth_chainId", cause: .status(500), attempts: 1)
    ) { try scripted.chain.head() }
    #expect(scripted.clock.slept == .zero)
  }

  @Test func aDeadlineInThePastSendsNothing() throws {
    let scripted = try ScriptedChain(deadline: Deadline(MonotonicInstant(nanoseconds: 0))) { _, _ in
      .status(500)
    }
    #expect(throws: ChainError.deadlineReached) { try scripted.chain.head() }
    #expect(scripted.transport.requests.isEmpty)
  }
}

/// The same over real connections to a server that misbehaves.
@Suite struct NetworkFaultTests {
  @Test(arguments: [
    "silence", "reset", "half", "drip", "html", "truncated", "deep", "empty", "wrong id",
    "partial batch", "429", "500", "null", "double ids", "double result", "extra member",
    "one of all",
    "too long", "not HTTP", "429 until a date", "503 with a wait", "408", "rate limit in a 200",
    "no chain id",
  ])
  func afterAFaultTheWindowIsTheHonestNodes(_ fault: String) throws {
    let served = Served(ToyNode(blocks: 30))
    let faults = Mutex(0)
    let server = try LocalHTTPServer { request in
      let isLogs = String(decoding: request.body, as: UTF8.self).contains("eth_getLogs")
      let isFirst =
        isLogs
        && faults.withLock {
          $0 += 1; return $0 <= 2
        }
      let answer = served.answer(request.body)
      return isFirst ? Self.reply(fault, answer) : .answer(answer)
    }
    defer { server.stop() }
    let chain = try Self.chain(["a": server])
    let window = try chain.window(
      ToyNode.filter, from: 4, through: 13, everyHeaderFrom: 12, parent: (3, ToyNode.hash(3)))
    #expect(window.logs == ToyNode().logs.filter { (4...13).contains($0.blockNumber) })
    #expect(window.headers.map(\.number) == [6, 9, 12, 13])
    #expect(faults.withLock { $0 } >= 3)
  }

  private static func reply(_ fault: String, _ answer: [UInt8]) -> LocalHTTPServer.Reply {
    switch fault {
    case "silence": .silence
    case "reset": .reset
    case "half": .half(answer)
    case "drip": .drip(answer, every: .milliseconds(50))
    case "html": .answer(Array("<html><body>Bad Gateway</body></html>".utf8))
    case "truncated": .answer(Array(answer.dropLast(20)))
    case "deep": .answer(Array(String(repeating: "[", count: 100_000).utf8))
    case "empty": .answer([])
    case "wrong id":
      .answer(changed(answer, "\"id\":", "\"id\":9"))
    case "partial batch": .answer(Array("[]".utf8))
    case "429": .answer([], status: 429, headers: ["Retry-After: 0"])
    case "500": .answer([], status: 500)
    case "408": .answer([], status: 408)
    case "double ids": .answer(Array("[".utf8) + answer.dropFirst().dropLast() + answer.dropFirst())
    case "double result": .answer(changed(answer, "\"result\":", "\"result\":null,\"result\":"))
    case "extra member":
      .answer(Array(#"[{"id":99999,"result":"0x38"},"#.utf8) + answer.dropFirst())
    case "one of all": .answer(Array(#"{"jsonrpc":"2.0","id":1,"result":"0x38"}"#.utf8))
    case "too long": .answer(answer + Array("]".utf8))
    case "not HTTP": .raw(Array("SSH-2.0-OpenSSH_9.2\r\n".utf8))
    case "429 until a date":
      .answer(
        [], status: 429,
        headers: [
          "Date: Fri, 31 Dec 1999 23:59:59 GMT", "Retry-After: Sat, 01 Jan 2000 00:00:00 GMT",
        ])
    case "503 with a wait": .answer([], status: 503, headers: ["Retry-After: 1"])
    case "rate limit in a 200":
      .answer(Array(#"{"id":null,"error":{"code":-32005,"message":"rate limit exceeded"}}"#.utf8))
    case "no chain id": .answer(changed(answer, "\"result\":\"0x38\"", "\"result\":null"))
    default: .answer(Array("null".utf8))
    }
  }

  private static func changed(_ body: [UInt8], _ old: String, _ new: String) -> [UInt8] {
    Array(String(decoding: body, as: UTF8.self).replacing(old, with: new).utf8)
  }

  @Test(arguments: [
    "silence", "reset", "half", "drip", "html", "truncated", "deep", "empty", "wrong id",
    "partial batch", "429", "500", "null", "double ids", "extra member", "not HTTP", "flood",
    "another chain", "another beginning",
  ])
  func aGreetingGoesOnWithTheEndpointThatIsWell(_ fault: String) throws {
    let served = Served(ToyNode(blocks: 40))
    var strange = ToyNode(blocks: 40)
    switch fault {
    case "another chain": strange.chainID = 1
    case "another beginning": strange = ToyNode(blocks: 40, salt: 9)
    default: break
    }
    let unwell = Served(strange)
    let faulty = try LocalHTTPServer { request in
      switch fault {
      case "flood": .flood(200 << 20, declaresLength: false)
      case "another chain", "another beginning":
        .answer(unwell.answer(request.body))
      default: Self.reply(fault, served.answer(request.body))
      }
    }
    let healthy = try LocalHTTPServer { .answer(served.answer($0.body)) }
    defer {
      faulty.stop()
      healthy.stop()
    }
    let chain = try Self.chain(["a": faulty, "b": healthy], requestTimeout: .seconds(20))
    chain.expect(genesis: ToyNode.hash(0))
    let started = MonotonicInstant.now()
    let greeting = try chain.greet(at: 7)
    #expect(greeting.head.number == 39)
    #expect(greeting.genesis == ToyNode.hash(0))
    #expect(greeting.stored?.hash == ToyNode.hash(7))
    #expect(greeting.endpoint == "b")
    #expect(MonotonicInstant.now().duration(since: started) < .seconds(5))
    #expect(try chain.head().number == 39)
    #expect(chain.endpointName == "b")
    // A greeting proves the chain.
    #expect(healthy.requestCount == 2)
  }

  @Test func theSecondEndpointTakesOverFromADeadOne() throws {
    let served = Served(ToyNode())
    let dead = try LocalHTTPServer { _ in .reset }
    let alive = try LocalHTTPServer { .answer(served.answer($0.body)) }
    defer {
      dead.stop()
      alive.stop()
    }
    let chain = try Self.chain(["a": dead, "b": alive])
    #expect(try chain.head().number == 29)
    #expect(chain.endpointName == "b")
  }

  @Test func theSecondEndpointOfAnotherChainIsRefused() throws {
    var other = ToyNode()
    other.chainID = 1
    let served = Served(other)
    let dead = try LocalHTTPServer { _ in .answer([], status: 500) }
    let alive = try LocalHTTPServer { .answer(served.answer($0.body)) }
    defer {
      dead.stop()
      alive.stop()
    }
    let chain = try Self.chain(["a": dead, "b": alive])
    #expect(
      throws: ChainError.unavailable(
        endpoint: "a", method: "eth_chainId", cause: .status(500), attempts: 6)
    ) { try chain.head() }
    #expect(alive.requestCount == 1)
  }

  @Test func aRedirectIsRefusedInWords() throws {
    let server = try LocalHTTPServer { _ in
      .answer([], status: 302, headers: ["Location: http://127.0.0.1:1/"])
    }
    defer { server.stop() }
    let chain = try Self.chain(["a": server])
    let error = #expect(throws: ChainError.self) { try chain.head() }
    #expect(
      error.map(String.init(describing:))
        == "endpoint \"a\": eth_chainId: HTTP status 302: redirects are not followed (attempts: 1)")
  }

  @Test func twoHundredMegabytesEndInATypedError() throws {
    let server = try LocalHTTPServer { _ in .flood(200 << 20, declaresLength: false) }
    defer { server.stop() }
    let chain = try Self.chain(["a": server])
    #expect(
      throws: ChainError.tooLarge(endpoint: "a", method: "eth_chainId", limit: 1 << 20)
    ) { try chain.head() }
  }

  @Test func theDeadlineOfTheRunHoldsWhateverHappens() throws {
    let server = try LocalHTTPServer { _ in .silence }
    defer { server.stop() }
    let chain = try Self.chain(
      ["a": server], requestTimeout: .seconds(30), deadline: .after(.milliseconds(700)))
    let started = MonotonicInstant.now()
    #expect(throws: ChainError.deadlineReached) { try chain.head() }
    #expect(MonotonicInstant.now().duration(since: started) < .seconds(5))
  }

  @Test func aStopEndsAWaitForARetry() throws {
    let server = try LocalHTTPServer { _ in .answer([], status: 500) }
    defer { server.stop() }
    var limits = ChainLimits()
    limits.firstBackoff = .seconds(60)
    limits.maxBackoff = .seconds(60)
    let started = MonotonicInstant.now()
    let isStopping = {
      MonotonicInstant.now().duration(since: started) > .milliseconds(300)
    }
    let chain = Chain(
      name: "toy", chainID: 56,
      endpoints: [Endpoint(name: "a", url: try EndpointURL(server.url))],
      transport: CurlTransport(isStopping: isStopping), limits: limits, isStopping: isStopping)
    #expect(throws: ChainError.stopped) { try chain.head() }
    #expect(MonotonicInstant.now().duration(since: started) < .seconds(5))
  }

  /// A chain with short limits over real connections.
  private static func chain(
    _ servers: KeyValuePairs<String, LocalHTTPServer>,
    requestTimeout: Duration = .milliseconds(800), deadline: Deadline = .never
  ) throws -> Chain {
    var limits = ChainLimits()
    limits.requestTimeout = requestTimeout
    limits.maxResponseBytes = 1 << 20
    limits.firstBackoff = .milliseconds(20)
    return Chain(
      name: "toy", chainID: 56,
      endpoints: try servers.map { Endpoint(name: $0, url: try EndpointURL($1.url + "/key")) },
      transport: CurlTransport(), limits: limits, deadline: deadline)
  }
}

/// A toy node that several threads may ask.
private final class Served: @unchecked Sendable {
  private let node: ToyNode
  private let lock = NSLock()

  init(_ node: ToyNode) {
    self.node = node
  }

  func answer(_ body: [UInt8]) -> [UInt8] {
    lock.withLock { node.answer(body) }
  }
}
