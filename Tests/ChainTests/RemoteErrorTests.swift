import Testing

@testable import Chain

/// What the words of many providers mean.
@Suite struct RemoteErrorTests {
  /// Refusals of a range as providers word them, and how many blocks they would give.
  @Test(
    arguments: [
      (-32005, "query returned more than 10000 results", nil, nil),
      (
        -32005, "Query returned more than 10000 results. Try with this block range [0x10, 0x1F].",
        16, nil
      ),
      (-32602, "query exceeds max results 20000, retry with the range 24383075-24383096", 22, nil),
      (-32602, "range 1000000 exceeds limit of 10000", nil, 10_000),
      (-32614, "eth_getLogs is limited to a 10,000 range", nil, 10_000),
      (-32600, "block range is too wide", nil, nil),
      (-32005, "exceed maximum block range: 50000", nil, 50_000),
      (-32000, "requested too many blocks from 5 to 100000, maximum is set to 2048", nil, 2048),
      (-32602, "eth_getLogs is limited to 0 - 10000 blocks range", nil, 10_000),
      (35, "ranges over 10000 blocks are not supported on freetier", nil, 10_000),
      (
        -32602,
        "Log response size exceeded: up to a 2K block range, or any range with at most 10K logs. "
          + "This block range should work: [0x1, 0x7d0]",
        2000, nil
      ),
      (-32000, "query timeout exceeded", nil, nil),
      (-32008, "Response is too big", nil, nil),
      (-32005, "limit exceeded", nil, nil),
      (-32000, "logs matched by query exceeds limit of 10000", nil, nil),
    ] as [(Int, String, UInt64?, UInt64?)])
  func aRefusedRangeIsToldApart(
    _ code: Int, _ message: String, _ suggested: UInt64?, _ maximum: UInt64?
  ) {
    let hint = RangeHint(suggestedBlocks: suggested, maximumBlocks: maximum)
    #expect(kind(code, message, "eth_getLogs") == .rangeRefused(hint))
  }

  @Test(arguments: [
    (429, "anything"), (-32005, "rate limit exceeded"), (-32000, "Too Many Requests"),
    (-32005, "daily request count exceeded, request rate limited"),
    (-32000, "Your app has exceeded its compute units per second capacity"),
    (-32029, "quota reached"),
  ])
  func aRateLimitIsToldApart(_ code: Int, _ message: String) {
    #expect(kind(code, message, "eth_getLogs") == .rateLimited)
    #expect(kind(code, message, "eth_call") == .rateLimited)
  }

  @Test(arguments: [
    (-32000, "header not found"), (-32000, "missing trie node 12ab (path )"),
    (-32000, "hash 0x12 is not currently canonical"), (-32001, "resource not found"),
    (-32602, "block range extends beyond current head block"),
    (-32000, "required historical state unavailable (reexec=128)"),
    (-32000, "cannot query unfinalized data: requested block is after last accepted block"),
  ])
  func anUnknownBlockIsToldApart(_ code: Int, _ message: String) {
    #expect(kind(code, message, "eth_getLogs") == .unknownBlock)
    #expect(kind(code, message, "eth_call") == .unknownBlock)
  }

  @Test func theRestGoesByMethodAndCode() {
    #expect(kind(-32005, "limit", "eth_getBlockByNumber") == .rateLimited)
    #expect(kind(-32600, "batch too large", "eth_call") == .batchRefused(maximum: nil))
    #expect(kind(-32000, "execution reverted", "eth_call") == .reverted([]))
    #expect(kind(-32000, "out of gas", "eth_call") == .callTooLarge)
    #expect(kind(-32000, "execution aborted (timeout = 5s)", "eth_call") == .callTooLarge)
    #expect(kind(-32601, "no such method", "eth_call") == .unknownMethod)
    #expect(kind(-32602, "invalid argument 1", "eth_call") == .invalidParameters)
    #expect(kind(-32603, "internal error", "eth_call") == .transient)
    #expect(kind(-32000, "something went wrong", "eth_chainId") == .transient)
    #expect(kind(-31000, "go away", "eth_chainId") == .refused)
  }

  @Test func numbersThatAreTooLongAreNoHint() {
    let text = "block range limited to 99999999999999999999999999 blocks"
    #expect(RangeHint(text: text) == RangeHint())
    #expect(RangeHint(text: "try the range [0x1, 0xffffffffffffffffffff]") == RangeHint())
    #expect(RangeHint(text: "range limited to 0 blocks") == RangeHint())
  }

  private func kind(_ code: Int, _ message: String, _ method: String) -> RemoteError.Kind {
    RemoteError(code: code, message: message, detail: "", data: nil).kind(of: method)
  }
}

/// How the size of windows is learnt.
@Suite struct AcceptedSizeTests {
  @Test func untilARefusalEverythingWantedIsAskedFor() {
    var size = AcceptedSize()
    size.accepted(5000)
    #expect(size.size(wanted: 5000) == 5000)
    #expect(size.size(wanted: .max) == .max)
  }

  @Test func aRefusalHalvesAndNeverReachesZero() {
    var size = AcceptedSize()
    var asked = UInt64.max
    for _ in 0..<64 {
      size.refused(asked)
      #expect(size.size(wanted: .max) < asked || asked == 1)
      asked = size.size(wanted: .max)
    }
    #expect(asked == 1)
    size.refused(1)
    #expect(size.size(wanted: 10) == 1)
  }

  @Test(arguments: [0, 100, 101, UInt64.max])
  func aProposalThatIsNotSmallerIsIgnored(_ blocks: UInt64) {
    var size = AcceptedSize()
    size.refused(100, hint: RangeHint(suggestedBlocks: blocks))
    #expect(size.size(wanted: 1000) == 50)
  }

  @Test func itGrowsSlowlyAndUpToTheStatedMaximum() {
    var size = AcceptedSize()
    size.refused(2000)
    for _ in 0..<3 { size.accepted(1000) }
    #expect(size.size(wanted: 9999) == 1000)
    size.accepted(1000)
    #expect(size.size(wanted: 9999) == 1250)
    size.refused(1250, hint: RangeHint(maximumBlocks: 1024))
    for _ in 0..<20 { size.accepted(size.size(wanted: 9999)) }
    #expect(size.size(wanted: 9999) == 1024)
  }

  @Test func smallWindowsTeachNothing() {
    var size = AcceptedSize()
    size.refused(2000)
    for _ in 0..<20 { size.accepted(10) }
    #expect(size.size(wanted: 9999) == 1000)
  }
}
