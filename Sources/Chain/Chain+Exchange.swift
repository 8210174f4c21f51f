import HTTP

/// Sending calls, and what to do when no useful answer comes: try again, elsewhere, later or
/// less at once.
extension Chain {
  /// The answers to the calls, in their order, in as many batches as the endpoint needs.
  ///
  /// An answer can still be a failure of its own call: a revert, a refusal of the range or of
  /// the parameters. Everything else has been dealt with.
  func exchange(_ calls: [RPCCall]) throws(ChainError) -> [RPCAnswer] {
    var answers: [RPCAnswer] = []
    while answers.count < calls.count {
      answers += try exchangeBatch(calls[answers.count...])
    }
    return answers
  }

  /// The answers to as many of the calls as fit into one batch; the endpoint is verified first.
  func exchangeBatch(_ calls: ArraySlice<RPCCall>) throws(ChainError) -> [RPCAnswer] {
    var retry = Retry()
    while true {
      try checkpoint()
      let batch = Array(calls.prefix(current.batchSize))
      do throws(Trouble) {
        if !current.isVerified { try verify() }
        return batch.isEmpty ? [] : try send(batch)
      } catch {
        let failed = current.isVerified ? batch : [.chainID]
        try recover(from: error, of: failed, &retry)
      }
    }
  }

  /// Asks the current endpoint which chain it serves.
  private func verify() throws(Trouble) {
    switch try send([.chainID])[0] {
    case .quantity(chainID):
      current.isVerified = true
    case .quantity(let other):
      throw .final(
        .wrongChain(endpoint: current.endpoint.name, expected: chainID, got: other))
    case .failure(let error):
      throw .useless(cause(error))
    default:
      preconditionFailure("the answer to a quantity call is a quantity")
    }
  }

  /// One request to the current endpoint.
  private func send(_ calls: [RPCCall]) throws(Trouble) -> [RPCAnswer] {
    let firstID = nextID
    nextID += UInt64(calls.count)
    let request = HTTPRequest(
      url: current.endpoint.url, body: RPCCall.body(calls, firstID: firstID),
      timeout: limits.requestTimeout, maxResponseBytes: limits.maxResponseBytes)
    let response: HTTPResponse
    switch transport.perform([request], deadline: deadline)[0] {
    case .success(let answer): response = answer
    case .failure(.tooLarge): throw .answerTooLarge
    case .failure(.stopped): throw .final(.stopped)
    case .failure(.deadlineReached): throw .final(.deadlineReached)
    case .failure(let error): throw .passing(.transport(error))
    }
    let answers = try decode(response, calls, firstID)
    for (call, answer) in zip(calls, answers) { try judge(answer, call, response) }
    return answers
  }

  /// The answers in a response. A status other than 2xx counts only when no JSON-RPC answer
  /// came with it, except 429, which says all there is to say.
  private func decode(
    _ response: HTTPResponse, _ calls: [RPCCall], _ firstID: UInt64
  ) throws(Trouble) -> [RPCAnswer] {
    if response.status == 429 { throw .passing(.rateLimited, wait: response.retryAfter) }
    do throws(JSONError) {
      return try RPCAnswer.decode(body: response.body, to: calls, firstID: firstID)
    } catch {
      switch response.status {
      case 200..<300: throw .passing(.malformed(error))
      case 413: throw .answerTooLarge
      case 408, 425, 500...: throw .passing(.status(response.status), wait: response.retryAfter)
      default: throw .useless(.status(response.status))
      }
    }
  }

  /// Throws when the answer says something about the request as a whole, and not only about
  /// its own call.
  private func judge(
    _ answer: RPCAnswer, _ call: RPCCall, _ response: HTTPResponse
  ) throws(Trouble) {
    if answer == .header(nil), call.expectation == .header(mustExist: true) {
      throw .unknownBlock(call)
    }
    guard case .failure(let error) = answer else { return }
    switch error.kind(of: call.method) {
    case .rateLimited: throw .passing(.rateLimited, wait: response.retryAfter)
    case .batchRefused: throw .batchRefused(cause(error))
    case .transient: throw .passing(cause(error))
    case .unknownMethod: throw .useless(cause(error))
    case .unknownBlock: throw .unknownBlock(call)
    case .rangeRefused, .reverted, .callTooLarge, .invalidParameters, .refused: return
    }
  }

  private func cause(_ error: RemoteError) -> ChainError.Cause {
    .remote(
      code: error.code, message: current.endpoint.url.redacting(error.message).visible)
  }

  // MARK: Recovery

  /// Prepares the next attempt, or throws when there must be none.
  private func recover(
    from trouble: Trouble, of calls: [RPCCall], _ retry: inout Retry
  ) throws(ChainError) {
    switch trouble {
    case .final(let error):
      throw error
    case .answerTooLarge:
      // A window is made smaller by whoever asked for it.
      guard calls.count > 1, !calls.contains(where: { $0.expectation == .logs }) else {
        throw .tooLarge(
          endpoint: current.endpoint.name, method: Self.methods(of: calls),
          limit: limits.maxResponseBytes)
      }
      current.batchSize = calls.count / 2
    case .batchRefused where calls.count > 1:
      current.batchSize = calls.count / 2
    case .batchRefused(let cause), .passing(let cause, nil):
      try moveOn(after: unavailable(cause, calls, &retry), limits.maxAttempts, retry, wait: .zero)
    case .passing(let cause, let wait?) where wait <= limits.maxBackoff:
      try moveOn(after: unavailable(cause, calls, &retry), limits.maxAttempts, retry, wait: wait)
    case .passing(let cause, _), .useless(let cause):
      try setAside(after: unavailable(cause, calls, &retry))
    case .unknownBlock(let call):
      retry.failures += 1
      try moveOn(
        after: unknownBlock(call), limits.maxUnknownBlockAttempts, retry, wait: .zero)
    }
  }

  /// Goes to the next endpoint; when each has had its turn, waits first.
  private func moveOn(
    after error: ChainError, _ maxAttempts: Int, _ retry: Retry, wait: Duration
  ) throws(ChainError) {
    guard retry.failures < maxAttempts else { throw error }
    let usable = max(1, endpoints.count(where: \.isUsable))
    failOver()
    guard retry.failures % usable == 0 else { return }
    let pause = max(wait, backoff(round: retry.failures / usable - 1))
    // No use in waiting for the deadline: what went wrong says more than that it was reached.
    guard pause < remainingTime else { throw error }
    try self.pause(pause)
  }

  /// Uses the current endpoint no more in this run.
  private func setAside(after error: ChainError) throws(ChainError) {
    current.isUsable = false
    guard endpoints.contains(where: \.isUsable) else { throw error }
    failOver()
  }

  /// Makes the next usable endpoint the current one, if there is another.
  func failOver() {
    let order = (1...endpoints.count).map { (currentIndex + $0) % endpoints.count }
    guard let next = order.first(where: { endpoints[$0].isUsable }), next != currentIndex else {
      return
    }
    currentIndex = next
    failovers += 1
  }

  /// What was asked for, each method once: nobody knows which part of a batch was at fault.
  private static func methods(of calls: [RPCCall]) -> String {
    var names: [String] = []
    for call in calls where !names.contains(call.method) { names.append(call.method) }
    return names.joined(separator: ", ")
  }

  private func unavailable(
    _ cause: ChainError.Cause, _ calls: [RPCCall], _ retry: inout Retry
  ) -> ChainError {
    retry.failures += 1
    return .unavailable(
      endpoint: current.endpoint.name, method: Self.methods(of: calls), cause: cause,
      attempts: retry.failures)
  }
}

/// How often one batch has failed so far.
private struct Retry {
  var failures = 0
}

/// Why a batch has no answers, by what is to be done.
private enum Trouble: Error {
  /// Nothing can be done.
  case final(ChainError)

  /// It will pass: try elsewhere or later, not before `wait`.
  case passing(ChainError.Cause, wait: Duration? = nil)

  /// This endpoint cannot help at all.
  case useless(ChainError.Cause)

  /// The endpoint does not know the block; another may, or soon will.
  case unknownBlock(RPCCall)

  /// The endpoint wants fewer calls in a batch.
  case batchRefused(ChainError.Cause)

  /// The answer is larger than the limit.
  case answerTooLarge
}
