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
      (-32602, "query exceeds max block range 100000", nil, 100_000),
      (
        -32600,
        "Under the Free tier plan, you can make eth_getLogs requests with up to a 10 block range. "
          + "Based on your parameters, this block range should work: [0x123c9b2, 0x123c9bb]. "
          + "Upgrade to PAYG for expanded block range.", 10, nil
      ),
      (-32000, "maximum [from, to] blocks distance: 2000", nil, 2000),
      (
        -32000,
        "block range is larger than max block range, block range = 5120, max block range = 5000",
        nil, 5000
      ),
      (-32000, "block range too large (2000), maximum allowed is 1000 blocks", nil, 1000),
      (-32600, "Maximum allowed number of requested blocks is 3500", nil, 3500),
      (-32000, "please limit the query to at most 1,000 blocks", nil, 1000),
      (-32600, "block range is too wide (maximum 1024)", nil, 1024),
      (-32000, "eth_getLogs range is too large, max is 10k blocks", nil, 10_000),
      (-32602, "eth_getLogs and eth_newFilter are limited to a 10,000 blocks range", nil, 10_000),
      (-32000, "block range greater than 10000 max", nil, 10_000),
      (-32000, "query must be smaller than size 1024", nil, nil),
      (-32000, "query returns too many logs, narrow your filter: 20000", nil, nil),
      (-32000, "Requested range exceeds maximum RPC range limit", nil, nil),
      (-32603, "eth_getLogs request was canceled due to enabled timeout.", nil, nil),
      (-32012, "Range too large", nil, nil),
      (-32020, "backend response too large", nil, nil),
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
    (-32029, "quota reached"), (-32029, "please come back later"),
    (-32016, "over rate limit"), (-32012, "credits limited to 6000/sec"),
    (-32007, "15/second request limit reached - reduce calls per second or upgrade your account"),
    (-32005, "exceeded project rate limit"), (-32005, "project ID request rate exceeded"),
    (-32005, "You've exceeded the RPS limit available on the current plan."),
    (429, "Monthly capacity limit exceeded."),
    (30, "Request timeout on the free tier, please upgrade your tier to the paid one"),
    (-32005, "Unable to rent an instance of IEthRpcModule. Too many concurrent requests."),
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
    (4444, "pruned history unavailable"), (-32602, "Archive requests require a personal token"),
    (-32001, "Receipt not available for 'From' block '1273020'."),
    (-32000, "World state unavailable"),
    (-32000, "old data not available due to pruning"),
    (-32000, "seek with txNum=1962853355 but data before txNum=2662500000 is not available"),
    (-32000, "One of the blocks specified in filter cannot be found."),
    (-32000, "No state available for block 0x12"), (-32014, "Missing data"),
  ])
  func anUnknownBlockIsToldApart(_ code: Int, _ message: String) {
    #expect(kind(code, message, "eth_getLogs") == .unknownBlock)
    #expect(kind(code, message, "eth_call") == .unknownBlock)
  }

  /// Of what was asked for and what is allowed, only the second is the limit, though it stands in
  /// the data.
  @Test func theAllowedLengthOfARangeIsFoundInTheData() {
    let error = RemoteError(
      code: -32602, message: "Invalid params",
      detail: #"{"range":"the range 55074203 - 55124202 exceeds the range allowed for your plan "#
        + #"(49999 > 2000)."}"#, data: nil)
    #expect(
      error.kind(of: "eth_getLogs") == .rangeRefused(RangeHint(maximumBlocks: 2000)))
  }

  @Test(
    arguments: [
      (
        "batch limit 100 exceeded (can increase by --rpc.batch.limit). Requested batch of size: "
          + "401", 100
      ),
      ("batch limit 100 exceeded: 142 requests given", 100),
      ("Batch of more than 3 requests are not allowed on free tier", 3),
      ("The batch request was too large: Exceeded max limit of 50", 50),
      ("Number of requests in batch exceeds --rpc-max-batch-size.", nil),
      ("batched requests are not supported by this server", nil),
    ] as [(String, UInt64?)])
  func aRefusedBatchIsToldApart(_ message: String, _ maximum: UInt64?) {
    for method in ["eth_getLogs", "eth_call", "eth_getBlockByNumber"] {
      #expect(kind(-32000, message, method) == .batchRefused(maximum: maximum))
    }
  }

  @Test(arguments: [
    (-32000, "Unauthorized"), (-32600, "App is inactive"), (-32000, "invalid project id"),
    (-32000, "API key disabled"), (-32602, "Request blocked"),
  ])
  func aRefusedPersonIsToldApart(_ code: Int, _ message: String) {
    #expect(kind(code, message, "eth_getLogs") == .denied)
    #expect(kind(code, message, "eth_chainId") == .denied)
  }

  @Test(arguments: [
    (-32601, "rpc method is not whitelisted"), (-32000, "method is not available on freetier"),
    (-32000, "the method eth_getLogs does not exist/is not available"),
  ])
  func aMissingMethodIsToldApart(_ code: Int, _ message: String) {
    #expect(kind(code, message, "eth_getLogs") == .unknownMethod)
  }

  @Test(
    arguments: [
      (#"{"rate":{"allowed_rps":5,"backoff_seconds":30,"current_rps":5.2}}"#, .seconds(30)),
      (#"{"try_again_in":"1.5s"}"#, .seconds(2)),
      (#"{"try_again_in":"250ms"}"#, .milliseconds(250)),
      (#"{"try_again_in":"soon"}"#, nil), ("", nil),
      (#"{"backoff_seconds":99999999999999999999}"#, nil),
    ] as [(String, Duration?)])
  func theWaitOfARateLimitIsRead(_ detail: String, _ wait: Duration?) {
    let error = RemoteError(code: -32005, message: "rate limited", detail: detail, data: nil)
    #expect(error.kind(of: "eth_getLogs") == .rateLimited)
    #expect(error.suggestedWait == wait)
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

  @Test func eachTimeItHasGrownTooFarItWaitsTwiceAsLong() {
    var size = AcceptedSize()
    size.refused(2000)
    var accepted = 0
    for expected in [4, 8, 16, 32, 64, 128, 256, 256] {
      accepted = 0
      while size.size(wanted: 9999) == 1000 {
        size.accepted(1000)
        accepted += 1
      }
      #expect(accepted == expected)
      // Back to what was good, and no further.
      size.refused(size.size(wanted: 9999))
    }
    #expect(size.size(wanted: 9999) == 1000)
  }

  @Test func aSizeThatWasGoodAndIsRefusedLaterIsHalved() {
    var size = AcceptedSize()
    size.accepted(1000)
    size.refused(1000)
    #expect(size.size(wanted: 9999) == 500)
    size.accepted(500)
    size.refused(500)
    #expect(size.size(wanted: 9999) == 250)
  }

  @Test func proposalsThatShrinkByOneEndAllTheSame() {
    var size = AcceptedSize()
    var asked: UInt64 = 1 << 40
    for _ in 0..<80 where asked > 1 {
      size.refused(asked, hint: RangeHint(suggestedBlocks: asked - 1))
      asked = size.size(wanted: .max)
    }
    #expect(asked == 1)
  }

  @Test func aStatedMaximumThatHasHeldForLongIsPutToTheTest() {
    var size = AcceptedSize()
    size.refused(5000, hint: RangeHint(maximumBlocks: 1000))
    var accepted = 0
    while size.size(wanted: 9999) == 1000, accepted < 10_000 {
      size.accepted(1000)
      accepted += 1
    }
    #expect((500...1000).contains(accepted))
    #expect(size.size(wanted: 9999) == 1250)
  }

  @Test func aRememberedLimitHeals() {
    var size = AcceptedSize(limit: 1000, statedMaximum: nil)
    #expect(size.size(wanted: 9999) == 1000)
    size.accepted(1000)
    #expect(size.size(wanted: 9999) == 1250)
    let unlimited = AcceptedSize(limit: nil, statedMaximum: nil)
    #expect(unlimited.size(wanted: 9999) == 9999)
  }

  @Test func smallWindowsTeachNothing() {
    var size = AcceptedSize()
    size.refused(2000)
    for _ in 0..<20 { size.accepted(10) }
    #expect(size.size(wanted: 9999) == 1000)
  }
}
