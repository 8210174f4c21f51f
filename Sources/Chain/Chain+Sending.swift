import Ethereum
import HTTP

/// Sending batches to one endpoint, reading what comes back, and learning from it.
extension Chain {
  /// The first calls, as many as fit into one batch of the endpoint's together with the question
  /// for its chain.
  func firstBatch(of calls: ArraySlice<RPCCall>, at index: Int) -> ArraySlice<RPCCall> {
    let room = room(at: index)
    let batch = calls.prefix(room)
    guard room > 1, batch.contains(where: \.showsChain) else { return batch }
    return calls.prefix(room - 1)
  }

  /// How many calls go into one batch of the endpoint's.
  func room(at index: Int) -> Int {
    Int(clamping: endpoints[index].batchSize.size(wanted: UInt64(max(1, limits.batchSize))))
  }

  /// Sends the batches to one endpoint at the same time, and tells what became of each.
  ///
  /// Batches that read logs or headers ask for the chain's number as well, in the same request: a
  /// node may be swapped for another behind the same URL.
  func deliver(
    _ batches: [[RPCCall]], to index: Int
  ) -> [Result<[RPCAnswer], Trouble>] {
    let parcels = batches.map { parcel($0, for: index) }
    let started = now()
    let results = transport.perform(parcels.map(\.request), deadline: deadline)
    if parcels.count == 1, parcels[0].calls.allSatisfy(\.isSmall) {
      measure(since: started, at: index)
    }
    let outcomes = zip(parcels, results).map { parcel, result in
      Result { () throws(Trouble) in try self.open(result, of: parcel) }
    }
    learn(from: outcomes, of: parcels, at: index)
    return outcomes
  }

  /// One request with what it asks for.
  struct Parcel {
    let index: Int
    let calls: [RPCCall]
    /// Whether the first call is the question for the chain, which nobody has asked for.
    let asksChain: Bool
    let firstID: UInt64
    let request: HTTPRequest
  }

  func parcel(
    _ calls: [RPCCall], for index: Int, timeout: Duration? = nil
  ) -> Parcel {
    let asksChain = calls.contains(where: \.showsChain) && room(at: index) > 1
    let calls = asksChain ? [.chainID] + calls : calls
    let firstID = nextID
    nextID += UInt64(calls.count)
    return Parcel(
      index: index, calls: calls, asksChain: asksChain, firstID: firstID,
      request: HTTPRequest(
        url: endpoints[index].endpoint.url, body: RPCCall.body(calls, firstID: firstID),
        timeout: timeout ?? limits.requestTimeout, maxResponseBytes: limits.maxResponseBytes))
  }

  /// Asks an endpoint which chain it serves, and how that began where it is known how it must.
  func verify(_ index: Int) throws(Trouble) {
    let questions: [RPCCall] = expectedGenesis == nil ? [.chainID] : [.chainID, .genesis]
    let batches = room(at: index) > 1 ? [questions] : questions.map { [$0] }
    for batch in batches {
      let answers = try deliver([batch], to: index)[0].get()
      for (call, answer) in zip(batch, answers) {
        if call == .chainID { try check(chain: answer, of: index) }
        if call == .genesis { try check(genesis: answer, of: index) }
      }
    }
    endpoints[index].isVerified = true
    endpoints[index].requestsSinceVerified = 0
  }

  // MARK: Reading

  /// The answers to what was asked for, without the one that tells the chain.
  func open(
    _ result: Result<HTTPResponse, TransportError>, of parcel: Parcel
  ) throws(Trouble) -> [RPCAnswer] {
    let response: HTTPResponse
    switch result {
    case .success(let answer): response = answer
    case .failure(.tooLarge): throw .answerTooLarge
    case .failure(.stopped): throw .final(.stopped)
    case .failure(.deadlineReached): throw .final(.deadlineReached)
    case .failure(let error): throw .passing(.transport(error))
    }
    var answers = try decode(response, parcel)
    if let error = Self.onlyError(in: answers) {
      // One error for all was meant for the call that asks for most.
      let call = parcel.calls.first { $0.expectation == .logs } ?? parcel.calls[0]
      try judge(.failure(error), call, response, of: parcel)
      return Array(answers.dropFirst(parcel.asksChain ? 1 : 0))
    }
    for (call, answer) in zip(parcel.calls, answers) {
      try judge(answer, call, response, of: parcel)
    }
    guard parcel.asksChain else { return answers }
    try check(chain: answers.removeFirst(), of: parcel.index)
    endpoints[parcel.index].isVerified = true
    endpoints[parcel.index].requestsSinceVerified = 0
    return answers
  }

  /// The answers in a response. A status other than 2xx counts only when no JSON-RPC answer
  /// came with it, except 429, which says all there is to say.
  private func decode(
    _ response: HTTPResponse, _ parcel: Parcel
  ) throws(Trouble) -> [RPCAnswer] {
    if response.status == 429 { throw .rateLimited(wait: response.retryAfter) }
    do throws(JSONError) {
      return try RPCAnswer.decode(
        body: response.body, to: parcel.calls, firstID: parcel.firstID)
    } catch {
      switch response.status {
      case 200..<300: throw .passing(.malformed(error))
      case 413: throw .answerTooLarge
      case 408, 425, 500...: throw .passing(.status(response.status), wait: response.retryAfter)
      default: throw .useless(.status(response.status))
      }
    }
  }

  /// The error that is the answer to everything; nil when there are others, or good ones.
  private static func onlyError(in answers: [RPCAnswer]) -> RemoteError? {
    guard case .failure(let error)? = answers.first,
      answers.allSatisfy({ $0 == .failure(error) })
    else { return nil }
    return error
  }

  /// Throws when the answer says something about the request as a whole, and not only about
  /// its own call.
  private func judge(
    _ answer: RPCAnswer, _ call: RPCCall, _ response: HTTPResponse, of parcel: Parcel
  ) throws(Trouble) {
    let index = parcel.index
    if answer == .header(nil), call.expectation == .header(mustExist: true) {
      throw .unknownBlock(call)
    }
    guard case .failure(let error) = answer else { return }
    switch error.kind(of: call.method) {
    case .rateLimited: throw .rateLimited(wait: response.retryAfter ?? error.suggestedWait)
    case .batchRefused(let maximum):
      throw .batchRefused(
        cause(error, of: index), sent: parcel.calls.count, maximum: maximum)
    // Not every node has the first block.
    case _ where call == .genesis: return
    case .transient: throw .passing(cause(error, of: index))
    case _ where call.isOptional: return
    case .unknownMethod, .denied: throw .useless(cause(error, of: index))
    case .unknownBlock: throw .unknownBlock(call)
    case .rangeRefused:
      // Nothing is smaller than one block. Another endpoint may give it, if there is another.
      guard call.blocks?.count == 1, endpoints.count(where: \.isUsable) > 1 else { return }
      throw .useless(cause(error, of: index))
    case .reverted, .callTooLarge, .invalidParameters, .refused: return
    }
  }

  private func cause(_ error: RemoteError, of index: Int) -> ChainError.Cause {
    .remote(
      code: error.code,
      message: endpoints[index].endpoint.url.redacting(error.message).visible)
  }

  func check(chain answer: RPCAnswer, of index: Int) throws(Trouble) {
    switch answer {
    case .quantity(chainID): return
    case .quantity(let other):
      throw .foreign(
        .wrongChain(endpoint: endpoints[index].endpoint.name, expected: chainID, got: other))
    case .failure(let error): throw .useless(cause(error, of: index))
    default: preconditionFailure("the answer to a quantity call is a quantity")
    }
  }

  /// A node without block 0 is believed, since its number is right.
  func check(genesis answer: RPCAnswer, of index: Int) throws(Trouble) {
    guard let expectedGenesis, case .header(let fetched?) = answer, fetched.header.number == 0,
      fetched.header.hash != expectedGenesis
    else { return }
    throw .foreign(
      .wrongGenesis(
        endpoint: endpoints[index].endpoint.name, chainID: chainID, expected: expectedGenesis,
        got: fetched.header.hash))
  }

  // MARK: Learning

  /// Learns from what became of batches that were sent at the same time. Of several faults one
  /// counts, a rate limit before all others.
  private func learn(
    from outcomes: [Result<[RPCAnswer], Trouble>], of parcels: [Parcel], at index: Int
  ) {
    endpoints[index].requestsSinceVerified += parcels.count
    if endpoints[index].requestsSinceVerified >= limits.requestsPerVerification {
      endpoints[index].isVerified = false
    }
    var first: (trouble: Trouble, parcel: Parcel)?
    for (outcome, parcel) in zip(outcomes, parcels) {
      switch outcome {
      case .success: learnFromSuccess(of: parcel)
      case .failure(.rateLimited(let wait)):
        first = (.rateLimited(wait: wait), parcel)
      case .failure(let trouble):
        if first == nil { first = (trouble, parcel) }
      }
    }
    if let first { return learn(from: first.trouble, of: first.parcel) }
    if parcels.count > 1 { endpoints[index].width.succeeded(parcels.count) }
  }

  private func learnFromSuccess(of parcel: Parcel) {
    for other in endpoints.indices where other != parcel.index {
      endpoints[other].score.rested()
    }
    endpoints[parcel.index].score.answered()
    endpoints[parcel.index].rateLimits = 0
    endpoints[parcel.index].batchSize.accepted(UInt64(parcel.calls.count))
  }

  func learn(from trouble: Trouble, of parcel: Parcel) {
    let index = parcel.index
    let count = UInt64(parcel.calls.count)
    switch trouble {
    case .passing(let cause, _):
      endpoints[index].score.lower(for: .failure)
      guard case .transport(let error) = cause else { return }
      // Whoever answers on the next connection may be another.
      endpoints[index].isVerified = false
      if error == .timeout { endpoints[index].width.halve() }
    case .rateLimited(let wait): slowDown(index, wait: wait, batch: count)
    case .batchRefused(_, _, let maximum):
      endpoints[index].batchSize.refused(count, hint: RangeHint(maximumBlocks: maximum))
    case .answerTooLarge:
      // A window is made smaller by whoever asked for it.
      guard !parcel.calls.contains(where: { $0.expectation == .logs }) else { return }
      endpoints[index].batchSize.refused(count)
    case .unknownBlock(let call): noteUnknown(call, at: index)
    case .final, .useless, .foreign: return
    }
  }

  /// Asks the endpoint for less from now on: fewer batches at once, then smaller ones, and none
  /// for a while.
  private func slowDown(_ index: Int, wait: Duration?, batch: UInt64) {
    endpoints[index].score.lower(for: .rateLimit)
    if endpoints[index].width.value > 1 {
      endpoints[index].width.halve()
    } else if batch > 1 {
      endpoints[index].batchSize.refused(batch)
    }
    let pause = max(wait ?? .zero, backoff(round: endpoints[index].rateLimits))
    endpoints[index].rateLimits += 1
    endpoints[index].pausedUntil = now().advanced(by: pause)
    note(
      .rateLimited, endpoints[index].endpoint.name,
      "asks for fewer requests; none for \(pause.wholeMilliseconds) ms")
  }

  private func measure(since start: MonotonicInstant, at index: Int) {
    endpoints[index].score.measured(
      milliseconds: now().duration(since: start).wholeMilliseconds)
  }
}

extension RPCCall {
  /// The first block.
  static let genesis = RPCCall.header(number: 0, mustExist: false)

  /// Whether its answer is believed to be of the right chain.
  var showsChain: Bool {
    switch expectation {
    case .logs, .header, .sealedHeader, .receipts, .receipt: true
    case .quantity, .bytes: false
    }
  }

  /// Whether its answer costs a node about the same at every time.
  var isSmall: Bool {
    switch expectation {
    case .quantity, .header, .sealedHeader: true
    case .logs, .bytes, .receipts, .receipt: false
    }
  }
}
