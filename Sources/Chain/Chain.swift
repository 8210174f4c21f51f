import Ethereum
import Glibc
import HTTP

/// One chain, read through the nodes that serve it.
///
/// Of the endpoints the first is used until it fails for a passing reason, or until another is
/// clearly better; then the best of the others. Each proves that it serves the right chain before
/// its first use, with every batch of logs or headers, and after each broken connection. Every
/// method blocks, obeys the deadline and the request to stop, and tries a bounded number of times.
/// Not for use from two threads at once.
public final class Chain {
  /// The chain's name in the configuration.
  public let name: String

  /// Its EIP-155 number.
  public let chainID: UInt64

  private(set) var limits: ChainLimits
  let transport: any Transport
  let deadline: Deadline

  var endpoints: [EndpointState]
  var currentIndex = 0

  /// How often another endpoint became the current one.
  var failovers = 0

  var nextID: UInt64 = 1

  /// The hash of block 0, as the caller or the greeting has it; nil while nobody knows.
  var expectedGenesis: Bytes32?

  /// What speaks for `expectedGenesis`.
  var genesisEvidence = GenesisEvidence.stated

  /// The highest head in this run that was believed.
  var highestHead: UInt64 = 0

  /// Not yet told; bounded, since an endpoint may misbehave at every request.
  private var notices: [Notice] = []

  /// What blooms say of addresses and topics that were met before.
  var bloomBits: BloomBits

  let isStopping: () -> Bool
  let now: () -> MonotonicInstant
  let time: () -> UInt64
  let sleep: (Duration) -> Void
  var generator: any RandomNumberGenerator

  /// A chain; nothing is asked yet.
  ///
  /// - Parameters:
  ///   - name: the chain's name in the configuration.
  ///   - chainID: what `eth_chainId` must answer.
  ///   - endpoints: at least one, the preferred first.
  ///   - transport: carries the requests.
  ///   - limits: how much and how often.
  ///   - deadline: the end of the run.
  ///   - memory: what earlier runs have learnt of the endpoints, by their names.
  ///   - generator: spreads the waits, so that many runs do not come back at once.
  ///   - isStopping: polled in waits and between requests.
  ///   - now: the monotonic clock.
  ///   - time: the wall clock in seconds since 1970, for the age of the newest block.
  ///   - sleep: waits; given at most 50 ms at a time.
  public init(
    name: String, chainID: UInt64, endpoints: [Endpoint], transport: any Transport,
    limits: ChainLimits = ChainLimits(), deadline: Deadline = .never,
    memory: [EndpointMemory] = [],
    generator: any RandomNumberGenerator = SystemRandomNumberGenerator(),
    isStopping: @escaping () -> Bool = { false },
    now: @escaping () -> MonotonicInstant = MonotonicInstant.now,
    time: @escaping () -> UInt64 = { UInt64(clamping: Glibc.time(nil)) },
    sleep: @escaping (Duration) -> Void = { usleep(UInt32(clamping: $0.wholeNanoseconds / 1000)) }
  ) {
    precondition(!endpoints.isEmpty, "a chain needs an endpoint")
    self.name = name
    self.chainID = chainID
    self.endpoints = endpoints.map { endpoint in
      EndpointState(
        endpoint, limits: limits, memory: memory.first { $0.name == endpoint.name })
    }
    self.transport = transport
    self.limits = limits
    self.deadline = deadline
    bloomBits = BloomBits()
    self.generator = generator
    self.isStopping = isStopping
    self.now = now
    self.time = time
    self.sleep = sleep
    // One that did badly in earlier runs is not where this one starts.
    if let best = bestEndpoint(),
      self.endpoints[best].score.value - current.score.value >= EndpointScore.clearlyBetter
    {
      currentIndex = best
    }
  }

  /// The name of the endpoint in use.
  public var endpointName: String { current.endpoint.name }

  /// What happened to endpoints since this was asked before; at most 100, the first ones.
  public func takeNotices() -> [Notice] {
    defer { notices = [] }
    return notices
  }

  /// What has been learnt of the endpoints, for the next run; in their order.
  public var memory: [EndpointMemory] { endpoints.map(\.memory) }

  /// Runs `body` with each endpoint tried about once: for what a run can do without, and should
  /// not wait for.
  public func sparingly<Value>(_ body: () throws -> Value) rethrows -> Value {
    let patient = limits
    limits.maxAttempts = endpoints.count
    limits.maxUnknownBlockAttempts = endpoints.count
    defer { limits = patient }
    return try body()
  }

  /// Tells the operator. A contradiction and withheld logs lower the endpoint's score as well.
  func note(_ kind: Notice.Kind, _ endpoint: String, _ detail: String) {
    if kind == .contradiction || kind == .withheld {
      for index in endpoints.indices where endpoints[index].endpoint.name == endpoint {
        endpoints[index].score.lower(for: .contradiction)
      }
    }
    if notices.count < 100 { notices.append(Notice(kind, endpoint: endpoint, detail: detail)) }
  }

  /// Asks the endpoint in use which chain it serves, unless it has said so already.
  ///
  /// Every other method does this first; a run calls it, or ``greet(at:)``, to fail early.
  public func verifyIdentity() throws(ChainError) {
    _ = try exchangeBatch([])
  }

  /// The newest block.
  ///
  /// An endpoint whose head is behind others, or behind what it was, is noticed, and the others
  /// are asked as well, each once; the highest answer counts. It can be lower than one before:
  /// after a reorganisation, or when no other endpoint knows better. With `agreeLogs`, and when it
  /// has grown by more than `maxHeadLag`, what is believed is found as by ``greet(at:)``.
  public func head() throws(ChainError) -> BlockHeader {
    if limits.agreeLogs > 1 { return try greet().head }
    reconsider()
    guard var (newest, isBehind) = try nextHead() else { return try greet().head }
    for _ in 1..<max(1, endpoints.count) where isBehind {
      let before = currentIndex
      failOver()
      if currentIndex == before { break }
      let other: BlockHeader
      guard let next = try nextHead() else { return try greet().head }
      (other, isBehind) = next
      if other.number >= newest.number { newest = other } else { use(before) }
    }
    return newest
  }

  /// The newest block of whichever endpoint answers, and whether that is behind; nil when it is one
  /// that other endpoints should confirm.
  private func nextHead() throws(ChainError) -> (BlockHeader, isBehind: Bool)? {
    guard let head = try headerOrNil(.head) else { throw unknownBlock(.head) }
    if needsConfirmation(head) { return nil }
    return (head, noteHead(head.number, of: currentIndex))
  }

  /// The block of that number, or nil when the node has none (yet).
  public func header(number: UInt64) throws(ChainError) -> BlockHeader? {
    let header = try headerOrNil(.header(number: number, mustExist: false))
    if let header, header.number != number {
      throw inconsistent(.headerNumber(expected: number, got: header.number))
    }
    return header
  }

  /// The block of that hash, or nil when the node does not know it.
  ///
  /// A node may know blocks that are no longer on the chain.
  public func header(hash: Bytes32) throws(ChainError) -> BlockHeader? {
    let header = try headerOrNil(.header(hash: hash, mustExist: false))
    if let header, header.hash != hash {
      throw inconsistent(.headerHash(expected: hash, got: header.hash))
    }
    return header
  }

  /// The blocks of those numbers, in the order given. Blocks that follow each other are linked.
  ///
  /// Throws `unknownBlock` when one does not exist, and `inconsistent` when the links stay
  /// broken after several readings.
  public func headers(numbers: [UInt64]) throws(ChainError) -> [BlockHeader] {
    try rereading { () throws(ReadingFailure) in
      let fetched = try self.fetchHeaders(numbers)
      let byNumber = fetched.map(\.header).sorted { $0.number < $1.number }
      try self.checking { () throws(Inconsistency) in
        let check = WindowCheck(
          range: 0...0, filter: LogFilter(addresses: [], topics0: []), parent: nil)
        try check.verify([], against: byNumber)
      }
      return fetched.map(\.header)
    }
  }

  private func headerOrNil(_ call: RPCCall) throws(ChainError) -> BlockHeader? {
    let answers = try exchange([call])
    switch answers[0] {
    case .header(let fetched): return fetched?.header
    case .failure(let error): throw refused(error, call)
    default: preconditionFailure("the answer to a header call is a header")
    }
  }
}

extension Chain {
  /// Throws when the run must end.
  func checkpoint() throws(ChainError) {
    if isStopping() { throw .stopped }
    if deadline.isReached(at: now()) { throw .deadlineReached }
  }

  /// The time left until the deadline.
  var remainingTime: Duration { deadline.remaining(at: now()) }

  /// Waits, in slices, and throws when the run must end meanwhile.
  func pause(_ duration: Duration) throws(ChainError) {
    let end = now().advanced(by: duration)
    try checkpoint()
    while now() < end {
      sleep(min(.milliseconds(50), end.duration(since: now())))
      try checkpoint()
    }
  }

  /// The wait of round `round`, from 0: doubling, bounded, and between half and all of it.
  func backoff(round: Int) -> Duration {
    var longest = limits.firstBackoff
    for _ in 0..<round where longest < limits.maxBackoff { longest *= 2 }
    let nanoseconds = min(longest, limits.maxBackoff).wholeNanoseconds
    let half = nanoseconds / 2
    return .nanoseconds(Int64(clamping: half + UInt64.random(in: 0...half, using: &generator)))
  }

  func refused(_ error: RemoteError, _ call: RPCCall) -> ChainError {
    .refused(
      endpoint: current.endpoint.name, method: call.method, code: error.code,
      message: current.endpoint.url.redacting(error.message).visible)
  }

  func inconsistent(_ inconsistency: Inconsistency) -> ChainError {
    .inconsistent(endpoint: current.endpoint.name, inconsistency)
  }

  func unknownBlock(_ call: RPCCall) -> ChainError {
    .unknownBlock(endpoint: current.endpoint.name, method: call.method)
  }
}

extension String {
  /// At most 300 characters, with control and formatting characters shown as `\u{…}`.
  var visible: String {
    var result = ""
    for scalar in unicodeScalars.prefix(300) {
      switch scalar.properties.generalCategory {
      case .control, .format, .lineSeparator, .paragraphSeparator, .privateUse, .unassigned:
        result += "\\u{\(String(scalar.value, radix: 16))}"
      default:
        result.unicodeScalars.append(scalar)
      }
    }
    return result
  }
}
