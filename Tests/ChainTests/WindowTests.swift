import Chain
import Ethereum
import Foundation
import HTTP
import TestKit
import Testing

/// What a window brings when the node is honest.
@Suite struct WindowTests {
  @Test func aWindowBringsItsLogsAndTheHeadersThatProveThem() throws {
    let node = ToyNode()
    let window = try window(node, 4...13, everyHeaderFrom: 12, parent: (3, ToyNode.hash(3)))
    #expect(window.range == 4...13)
    #expect(window.logs == node.logs.filter { (4...13).contains($0.blockNumber) })
    #expect(window.headers == [6, 9, 12, 13].map { node.headers[$0] })
    #expect(window.doubts.isEmpty)
  }

  @Test func anEmptyWindowStillBringsItsLastHeader() throws {
    let node = ToyNode()
    let window = try window(node, 4...5)
    #expect(window.logs.isEmpty)
    #expect(window.headers == [node.headers[5]])
  }

  @Test func aWindowOfOneBlockWorks() throws {
    let window = try window(ToyNode(), 6...6, everyHeaderFrom: 0, parent: (5, ToyNode.hash(5)))
    #expect(window.logs.count == 2)
    #expect(window.headers.map(\.number) == [6])
  }

  @Test func aFilterWithoutAddressesBringsHeadersOnly() throws {
    let scripted = try ScriptedChain(ToyNode())
    let window = try scripted.chain.window(
      LogFilter(addresses: [], topics0: []), from: 1, through: 4, everyHeaderFrom: 3, parent: nil)
    #expect(window.logs.isEmpty)
    #expect(window.headers.map(\.number) == [3, 4])
    #expect(scripted.callCount("eth_getLogs") == 0)
  }

  @Test func aFilterWithoutTopicsBringsEveryEventOfItsContracts() throws {
    var node = ToyNode()
    node.logs[0].topics = [ToyNode.hash(1234)]
    let filter = LogFilter(addresses: [ToyNode.contract], topics0: [])
    let window = try ScriptedChain(node).chain.window(
      filter, from: 0, through: 0, everyHeaderFrom: .max, parent: nil)
    #expect(window.logs.count == 2)
  }

  @Test func theWholeExchangeTakesThreeRequests() throws {
    let scripted = try ScriptedChain(ToyNode())
    _ = try scripted.chain.window(
      ToyNode.filter, from: 4, through: 13, everyHeaderFrom: 12, parent: (3, ToyNode.hash(3)))
    // The chain id; logs with the last and the parent header; the other headers.
    #expect(scripted.transport.requests.count == 3)
  }

  @Test func headersAreReadInBatchesOfTheLimit() throws {
    var limits = ChainLimits()
    limits.batchSize = 4
    let scripted = try ScriptedChain(ToyNode(), limits: limits)
    let headers = try scripted.chain.headers(numbers: [7, 3, 4, 5, 6, 20, 21, 22, 9])
    #expect(headers.map(\.number) == [7, 3, 4, 5, 6, 20, 21, 22, 9])
    #expect(scripted.transport.requests.count == 1 + 3)
  }

  @Test func blocksWhoseBloomPromisesALogThatDidNotComeAreReported() throws {
    var node = ToyNode()
    node.blooms = [
      4: Self.bloom(ToyNode.contract, ToyNode.topic),
      5: Self.bloom(ToyNode.contract, nil),
      7: Self.bloom(nil, ToyNode.topic),
    ]
    // Blocks 5 and 7 lack one half of what a log would set.
    let window = try window(node, 3...8, everyHeaderFrom: 0)
    #expect(window.doubts.map(\.blocks) == [4...4])
  }

  @Test func aBloomThatMatchesByChanceIsNoSuspicion() throws {
    var node = ToyNode()
    let promise = Self.bloom(ToyNode.contract, ToyNode.topic)
    // With one address and one topic, 647 of 2048 bits match by chance in 1 of 1,006 blocks,
    // 648 in 1 of 997; an address alone in 1 of 1,027 blocks at 203 bits, 1 of 997 at 205.
    node.blooms = [
      4: Self.filled(promise, to: 647), 5: Self.filled(promise, to: 648),
      7: Self.filled(promise, to: 2048),
    ]
    #expect(try window(node, 4...8, everyHeaderFrom: 0).doubts.map(\.blocks) == [4...4])
    node.blooms = [4: Self.filled(promise, to: 203), 5: Self.filled(promise, to: 205)]
    let anyEvent = LogFilter(addresses: [ToyNode.contract], topics0: [])
    let window = try ScriptedChain(node).chain.window(
      anyEvent, from: 4, through: 8, everyHeaderFrom: 0, parent: nil)
    #expect(window.doubts.map(\.blocks) == [4...4])
  }

  @Test func aBloomThatCannotBeReadIsMalformed() throws {
    var node = ToyNode()
    node.blooms = [5: [1, 2, 3]]
    let expected = #expect(throws: ChainError.self) { try window(node, 4...5) }
    guard case .unavailable(_, _, .malformed, _) = expected else {
      Issue.record("got \(String(describing: expected))")
      return
    }
  }

  /// The bloom with more bits, so that so many are set.
  private static func filled(_ bloom: [UInt8], to count: Int) -> [UInt8] {
    var bloom = bloom
    var missing = count - bloom.reduce(0) { $0 + $1.nonzeroBitCount }
    for bit in 0..<2048 where missing > 0 && bloom[bit / 8] & (1 << UInt8(bit % 8)) == 0 {
      bloom[bit / 8] |= 1 << UInt8(bit % 8)
      missing -= 1
    }
    return bloom
  }

  /// A bloom made from the definition, bit by bit.
  private static func bloom(_ address: Address?, _ topic: Bytes32?) -> [UInt8] {
    var bits = [Bool](repeating: false, count: 2048)
    for item in [address?.bytes, topic?.bytes].compactMap(\.self) {
      let hash = keccak256(item).bytes
      for pair in 0..<3 {
        bits[(Int(hash[2 * pair]) << 8 | Int(hash[2 * pair + 1])) & 2047] = true
      }
    }
    return (0..<256).map { byte in
      (0..<8).reduce(0) { $0 | (bits[(255 - byte) * 8 + $1] ? 1 << UInt8($1) : 0) }
    }
  }
}

/// Each lie is caught by its own check.
@Suite struct WindowCheckTests {
  @Test func aLogOutsideTheRangeIsCaught() {
    expect(.logOutsideRange(block: 15)) { $0["blockNumber"] = "0xf" }
  }

  @Test func aLogOfAnotherContractIsCaught() {
    expect(.foreignLog(block: 6, logIndex: 3)) {
      $0["address"] = "0x" + String(repeating: "9", count: 40)
    }
  }

  @Test func aLogOfAnotherEventIsCaught() {
    expect(.foreignLog(block: 6, logIndex: 3)) { $0["topics"] = ["\(ToyNode.hash(1))"] }
  }

  @Test func aLogWithoutTopicsIsCaught() {
    expect(.foreignLog(block: 6, logIndex: 3)) { $0["topics"] = [String]() }
  }

  @Test func aRemovedLogIsCaught() {
    expect(.removedLog(block: 6, logIndex: 3)) { $0["removed"] = true }
  }

  @Test func aLogWithAForeignBlockHashIsCaught() {
    expect(.logHash(block: 6, logIndex: 3)) { $0["blockHash"] = "\(ToyNode.hash(6, 77))" }
  }

  @Test func aLogIndexThatDoesNotRiseIsCaught() {
    expect(.logOrder(block: 6, logIndex: 5)) { $0["logIndex"] = "0x5" }
    expect(.logOrder(block: 6, logIndex: 5)) { $0["logIndex"] = "0x6" }
  }

  @Test func aDoubledLogIsCaught() {
    expectFromLogs(.logOrder(block: 6, logIndex: 3)) { $0.insert($0[0], at: 0) }
  }

  @Test func logsOfBlocksInTheWrongOrderAreCaught() {
    expectFromLogs(.logOrder(block: 6, logIndex: 3)) { $0 = Array($0[2...] + $0[..<2]) }
  }

  @Test func aHeaderOfAnotherNumberIsCaught() {
    expectFromHeader(.headerNumber(expected: 13, got: 12), at: 13) { $0["number"] = "0xc" }
    expectFromHeader(.headerNumber(expected: 6, got: 7), at: 6) { $0["number"] = "0x7" }
    expectFromHeader(.headerNumber(expected: 3, got: 4), at: 3) { $0["number"] = "0x4" }
  }

  @Test(arguments: ["null", "another number"])
  func aChildThatIsMissingBelowTheHeadIsCaught(_ fault: String) throws {
    var node = ToyNode()
    var isAsked = false
    node.lie = { _, response in
      guard var header = response["result"] as? [String: Any], header["number"] as? String == "0xe"
      else { return }
      isAsked = true
      header["number"] = "0xf"
      response["result"] = fault == "another number" ? header : NSNull()
    }
    let scripted = try ScriptedChain(node)
    let read = { () throws(ChainError) in
      try scripted.chain.window(
        ToyNode.filter, from: 4, through: 13, everyHeaderFrom: .max, parent: nil)
    }
    let expected =
      fault == "another number"
      ? Inconsistency.headerNumber(expected: 14, got: 15) : .missing(block: 14, head: 29)
    _ = try scripted.chain.head()
    #expect(throws: ChainError.inconsistent(endpoint: "node0", expected)) { try read() }
    #expect(isAsked)
  }

  @Test func theHeadNeedsNoChild() throws {
    let scripted = try ScriptedChain(ToyNode())
    let head = try scripted.chain.head().number
    let window = try scripted.chain.window(
      ToyNode.filter, from: 20, through: head, everyHeaderFrom: .max, parent: nil)
    #expect(window.headers.last?.number == head)
  }

  @Test func aHeaderThatIsNotTheParentsChildIsCaught() {
    expectFromHeader(.unlinked(block: 4), at: 4) { $0["parentHash"] = "\(ToyNode.hash(3, 9))" }
  }

  @Test func headersThatFollowEachOtherWithoutALinkAreCaught() {
    expectFromHeader(.unlinked(block: 11), at: 11) { $0["parentHash"] = "\(ToyNode.hash(10, 9))" }
    expectFromHeader(.unlinked(block: 13), at: 13) { $0["parentHash"] = "\(ToyNode.hash(12, 9))" }
  }

  @Test func headersAskedForByThemselvesAreLinkedAsWell() throws {
    var node = ToyNode()
    node.headers[8].parentHash = ToyNode.hash(7, 9)
    let scripted = try ScriptedChain(node)
    #expect(throws: ChainError.inconsistent(endpoint: "node0", .unlinked(block: 8))) {
      try scripted.chain.headers(numbers: [9, 8, 7])
    }
  }

  @Test func aHeaderOfAnotherHashIsCaught() throws {
    var node = ToyNode()
    node.lie = { method, response in
      guard method == "eth_getBlockByHash" else { return }
      var header = response["result"] as? [String: Any] ?? [:]
      header["hash"] = "\(ToyNode.hash(1))"
      response["result"] = header
    }
    let scripted = try ScriptedChain(node)
    #expect(
      throws: ChainError.inconsistent(
        endpoint: "node0", .headerHash(expected: ToyNode.hash(4), got: ToyNode.hash(1)))
    ) { try scripted.chain.header(hash: ToyNode.hash(4)) }
  }

  @Test func aParentThatIsNoLongerThereIsAMismatchAndNotReadAgain() throws {
    let scripted = try ScriptedChain(ToyNode())
    let stored = ToyNode.hash(3, 42)
    #expect(
      throws: ChainError.parentMismatch(number: 3, expected: stored, got: ToyNode.hash(3))
    ) {
      try scripted.chain.window(
        ToyNode.filter, from: 4, through: 13, everyHeaderFrom: .max, parent: (3, stored))
    }
    #expect(scripted.callCount("eth_getLogs") == 1)
  }

  @Test func aContradictionIsReadAgainABoundedNumberOfTimes() throws {
    var node = ToyNode()
    node.logs[4].blockHash = ToyNode.hash(6, 77)
    var limits = ChainLimits()
    limits.maxRereads = 2
    let scripted = try ScriptedChain(node, limits: limits)
    #expect(
      throws: ChainError.inconsistent(endpoint: "node0", .logHash(block: 6, logIndex: 3))
    ) {
      try scripted.chain.window(
        ToyNode.filter, from: 4, through: 13, everyHeaderFrom: .max, parent: nil)
    }
    #expect(scripted.callCount("eth_getLogs") == 3)
    #expect(scripted.clock.slept > .milliseconds(100))
  }

  @Test func aContradictionThatPassesIsNotSeen() throws {
    let honest = ToyNode()
    var reorganising = honest
    reorganising.logs[4].blockHash = ToyNode.hash(6, 77)
    var logRequests = 0
    let scripted = try ScriptedChain { [reorganising] request, _ in
      if String(decoding: request.body, as: UTF8.self).contains("eth_getLogs") { logRequests += 1 }
      return .body((logRequests <= 1 ? reorganising : honest).answer(request.body))
    }
    let window = try scripted.chain.window(
      ToyNode.filter, from: 4, through: 13, everyHeaderFrom: .max, parent: nil)
    #expect(window.logs == honest.logs.filter { (4...13).contains($0.blockNumber) })
  }

  @Test func aContradictingEndpointIsReplacedByTheNext() throws {
    let honest = ToyNode()
    var liar = honest
    liar.logs[4].blockHash = ToyNode.hash(6, 77)
    let scripted = try ScriptedChain(endpoints: 2) { [liar] request, endpoint in
      .body((endpoint == 0 ? liar : honest).answer(request.body))
    }
    let window = try scripted.chain.window(
      ToyNode.filter, from: 4, through: 13, everyHeaderFrom: .max, parent: nil)
    #expect(window.logs.count == 6)
    #expect(scripted.chain.endpointName == "node1")
  }
}

/// How windows adapt to what the endpoint gives.
@Suite struct WindowRefusalTests {
  @Test func aRefusedRangeIsHalvedUntilItIsAccepted() throws {
    let scripted = try ScriptedChain(Self.node(maxBlocks: 5, says: "block range is too wide"))
    let window = try scripted.chain.window(
      ToyNode.filter, from: 0, through: 29, everyHeaderFrom: .max, parent: nil)
    #expect(window.range == 0...2)  // of 30, 15, 7, 3
    #expect(scripted.callCount("eth_getLogs") == 4)
  }

  @Test func aStatedMaximumIsTakenAtOnceAndRemembered() throws {
    let scripted = try ScriptedChain(
      Self.node(maxBlocks: 6, says: "eth_getLogs is limited to a 6 range"))
    var from: UInt64 = 0
    var ranges: [ClosedRange<UInt64>] = []
    while from < 30 {
      let window = try scripted.chain.window(
        ToyNode.filter, from: from, through: 29, everyHeaderFrom: .max, parent: nil)
      ranges.append(window.range)
      from = window.range.upperBound + 1
    }
    #expect(ranges == [0...5, 6...11, 12...17, 18...23, 24...29])
    #expect(scripted.callCount("eth_getLogs") == 6)
  }

  @Test func aSuggestionOfTheSameRangeDoesNotLoop() throws {
    let scripted = try ScriptedChain(
      Self.node(maxBlocks: 1, says: "query returned more than 1 results, try range [0x0, 0x1d]"))
    let window = try scripted.chain.window(
      ToyNode.filter, from: 0, through: 29, everyHeaderFrom: .max, parent: nil)
    #expect(window.range == 0...0)
    #expect(scripted.callCount("eth_getLogs") == 5)  // of 30, 15, 7, 3, 1
  }

  @Test func aNodeThatRefusesOneBlockIsAnError() throws {
    let scripted = try ScriptedChain(Self.node(maxBlocks: 0, says: "block range is too wide"))
    let error = #expect(throws: ChainError.self) {
      try scripted.chain.window(
        ToyNode.filter, from: 0, through: 29, everyHeaderFrom: .max, parent: nil)
    }
    guard case .refused("node0", "eth_getLogs", -32005, "block range is too wide") = error else {
      Issue.record("got \(String(describing: error))")
      return
    }
  }

  @Test func suggestionsThatShrinkByOneEndAtTheLimit() throws {
    var limits = ChainLimits()
    limits.maxWindowRefusals = 5
    var node = ToyNode(blocks: 1000)
    node.refusal = { range in
      "too many, try the range [0x0, \(Hex.quantity(range.upperBound - 1))]"
    }
    let scripted = try ScriptedChain(node, limits: limits)
    #expect(throws: ChainError.windowRefused(endpoint: "node0", block: 0)) {
      try scripted.chain.window(
        ToyNode.filter, from: 0, through: 999, everyHeaderFrom: .max, parent: nil)
    }
    #expect(scripted.callCount("eth_getLogs") == 5)
  }

  @Test func anAnswerOverTheSizeCapHalvesTheWindow() throws {
    let node = ToyNode()
    let scripted = try ScriptedChain { request, _ in
      let body = node.answer(request.body)
      return body.count > 6000 ? .failure(.tooLarge(limit: 6000)) : .body(body)
    }
    let window = try scripted.chain.window(
      ToyNode.filter, from: 0, through: 29, everyHeaderFrom: .max, parent: nil)
    #expect((1..<29).contains(window.range.upperBound))
  }

  @Test func anAnswerForOneBlockOverTheSizeCapIsAnError() throws {
    let node = ToyNode()
    let scripted = try ScriptedChain { request, _ in
      let isLogs = String(decoding: request.body, as: UTF8.self).contains("eth_getLogs")
      return isLogs ? .failure(.tooLarge(limit: 6000)) : .body(node.answer(request.body))
    }
    let error = #expect(throws: ChainError.self) {
      try scripted.chain.window(
        ToyNode.filter, from: 0, through: 29, everyHeaderFrom: .max, parent: nil)
    }
    guard case .tooLarge("node0", _, _) = error else {
      Issue.record("got \(String(describing: error))")
      return
    }
  }

  private static func node(maxBlocks: UInt64, says message: String) -> ToyNode {
    var node = ToyNode()
    node.refusal = { UInt64($0.count) > maxBlocks ? message : nil }
    return node
  }
}

private func window(
  _ node: ToyNode, _ range: ClosedRange<UInt64>, everyHeaderFrom: UInt64 = .max,
  parent: (number: UInt64, hash: Bytes32)? = nil
) throws -> Window {
  try ScriptedChain(node).chain.window(
    ToyNode.filter, from: range.lowerBound, through: range.upperBound,
    everyHeaderFrom: everyHeaderFrom, parent: parent)
}

/// Expects the window 4…13 to be refused when its first log is changed so.
private func expect(
  _ inconsistency: Inconsistency, sourceLocation: SourceLocation = #_sourceLocation,
  _ change: @escaping (inout [String: Any]) -> Void
) {
  expectFromLogs(inconsistency, sourceLocation: sourceLocation) { logs in change(&logs[0]) }
}

private func expectFromLogs(
  _ inconsistency: Inconsistency, sourceLocation: SourceLocation = #_sourceLocation,
  _ change: @escaping (inout [[String: Any]]) -> Void
) {
  var node = ToyNode()
  node.lie = { method, response in
    guard method == "eth_getLogs" else { return }
    var logs = response["result"] as? [[String: Any]] ?? []
    change(&logs)
    response["result"] = logs
  }
  expect(inconsistency, from: node, sourceLocation)
}

private func expectFromHeader(
  _ inconsistency: Inconsistency, at number: UInt64,
  sourceLocation: SourceLocation = #_sourceLocation,
  _ change: @escaping (inout [String: Any]) -> Void
) {
  var node = ToyNode()
  node.lie = { method, response in
    guard var header = response["result"] as? [String: Any],
      header["number"] as? String == Hex.quantity(number)
    else { return }
    change(&header)
    response["result"] = header
  }
  expect(inconsistency, from: node, sourceLocation)
}

private func expect(
  _ inconsistency: Inconsistency, from node: ToyNode, _ sourceLocation: SourceLocation
) {
  #expect(
    throws: ChainError.inconsistent(endpoint: "node0", inconsistency),
    sourceLocation: sourceLocation
  ) {
    try window(node, 4...13, everyHeaderFrom: 0, parent: (3, ToyNode.hash(3)))
  }
}
