import HTTP

/// Asking, and what to do when no useful answer comes: try again, elsewhere, later or less at
/// once.
extension Chain {
  /// The answers to the calls, in their order, in as many batches as the endpoint needs, several
  /// of them at once.
  ///
  /// An answer can still be a failure of its own call: a revert, a refusal of the range or of
  /// the parameters. Everything else has been dealt with.
  func exchange(_ calls: [RPCCall]) throws(ChainError) -> [RPCAnswer] {
    var answers: [RPCAnswer] = []
    while answers.count < calls.count {
      let rest = calls[answers.count...]
      let isMore = current.isVerified && firstBatch(of: rest, at: currentIndex).count < rest.count
      answers += isMore ? try exchangeWave(rest) : try exchangeBatch(rest)
    }
    return answers
  }

  /// One concurrent round on one endpoint, without any recovery: the answers to each batch, or
  /// nil where there was any trouble.
  ///
  /// The endpoint is the current one unless another is named. Nothing is asked of one that cannot
  /// be used or does not want to be asked now, and batches over its width or its batch size are
  /// not sent: they are nil as well. What is learnt of the endpoint counts.
  func wave(
    _ batches: [[RPCCall]], at index: Int? = nil
  ) throws(ChainError) -> [[RPCAnswer]?] {
    let index = index ?? currentIndex
    let nothing = [[RPCAnswer]?](repeating: nil, count: batches.count)
    try checkpoint()
    guard endpoints[index].isUsable, !endpoints[index].isPaused(at: now()) else { return nothing }
    do throws(Trouble) {
      if !endpoints[index].isVerified { try verify(index) }
    } catch {
      try endOrGiveUp(error, of: [.chainID], at: index)
      return nothing
    }
    let sent = batches.indices.prefix(endpoints[index].width.value)
      .filter { firstBatch(of: batches[$0][...], at: index).count == batches[$0].count }
    var answers = nothing
    for (number, outcome) in zip(sent, deliver(sent.map { batches[$0] }, to: index)) {
      switch outcome {
      case .success(let some): answers[number] = some
      case .failure(let trouble): try endOrGiveUp(trouble, of: batches[number], at: index)
      }
    }
    return answers
  }

  /// The answers to the first calls, as many as the endpoint takes in several batches at once. A
  /// batch that fails is repeated alone.
  private func exchangeWave(_ calls: ArraySlice<RPCCall>) throws(ChainError) -> [RPCAnswer] {
    try checkpoint()
    try awaitTurn(after: nil)
    guard current.isVerified else { return try exchangeBatch(calls) }
    let index = currentIndex
    var batches: [[RPCCall]] = []
    var rest = calls
    while batches.count < current.width.value, !rest.isEmpty {
      let batch = firstBatch(of: rest, at: index)
      batches.append(Array(batch))
      rest = rest.dropFirst(batch.count)
    }
    let outcomes = deliver(batches, to: index)
    if outcomes.allSatisfy(\.hasFailedForNow) { failOver() }
    var answers: [RPCAnswer] = []
    for (batch, outcome) in zip(batches, outcomes) {
      switch outcome {
      case .success(let some): answers += some
      case .failure(let trouble):
        try endOrGiveUp(trouble, of: batch, at: index)
        answers += try exchangeAlone(batch)
      }
    }
    return answers
  }

  /// The answers to the calls of one batch, which may have become too large by now.
  private func exchangeAlone(_ calls: [RPCCall]) throws(ChainError) -> [RPCAnswer] {
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
      try awaitTurn(after: retry.error)
      var batch: [RPCCall] = [.chainID]
      do throws(Trouble) {
        if !current.isVerified { try verify(currentIndex) }
        batch = Array(firstBatch(of: calls, at: currentIndex))
        return batch.isEmpty ? [] : try deliver([batch], to: currentIndex)[0].get()
      } catch {
        try recover(from: error, of: batch, &retry)
      }
    }
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
      guard calls.count > 1, !calls.contains(where: { $0.expectation == .logs }) else {
        throw .tooLarge(
          endpoint: endpointName, method: Self.methods(of: calls), limit: limits.maxResponseBytes)
      }
    case .batchRefused(let cause, let sent, _):
      // Each refusal makes the batch smaller, until it is a single call.
      guard sent == 1 else { return }
      try moveOn(after: unavailable(cause, calls, &retry), limits.maxAttempts, retry, wait: .zero)
    case .rateLimited(let wait):
      try slowDown(after: unavailable(.rateLimited, calls, retry.rateLimits), wait: wait, &retry)
    case .passing(let cause, let wait) where (wait ?? .zero) <= limits.maxBackoff:
      try moveOn(
        after: unavailable(cause, calls, &retry), limits.maxAttempts, retry, wait: wait ?? .zero)
    case .passing(let cause, _), .useless(let cause):
      try setAside(currentIndex, after: unavailable(cause, calls, &retry))
    case .foreign(let error):
      try banish(currentIndex, after: error)
    case .unknownBlock(let call):
      retry.failures += 1
      try moveOn(
        after: unknownBlock(call), limits.maxUnknownBlockAttempts, retry, wait: .zero)
    }
  }

  /// For trouble that is not recovered from here: throws what ends the run, and no longer uses an
  /// endpoint that cannot help.
  func endOrGiveUp(
    _ trouble: Trouble, of calls: [RPCCall], at index: Int
  ) throws(ChainError) {
    switch trouble {
    case .final(let error): throw error
    case .foreign(let error): try banish(index, after: error)
    case .useless(let cause):
      let error = ChainError.unavailable(
        endpoint: endpoints[index].endpoint.name, method: Self.methods(of: calls),
        cause: cause, attempts: 1)
      try setAside(index, after: error)
    case .passing, .rateLimited, .unknownBlock, .batchRefused, .answerTooLarge: return
    }
  }

  /// Goes to the best other endpoint; when each has had its turn, waits first.
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

  /// A rate limit is no failure. The endpoint has its pause already, and the next turn is another's
  /// or comes after it; one that wants too long a pause has none any more in this run.
  private func slowDown(
    after error: ChainError, wait: Duration?, _ retry: inout Retry
  ) throws(ChainError) {
    retry.rateLimits += 1
    retry.error = error
    guard (wait ?? .zero) <= limits.maxBackoff else {
      return try setAside(currentIndex, after: error)
    }
    guard retry.rateLimits < limits.maxAttempts else { throw error }
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
    let error = unavailable(cause, calls, retry.failures)
    retry.failures += 1
    retry.error = error
    return error
  }

  private func unavailable(
    _ cause: ChainError.Cause, _ calls: [RPCCall], _ before: Int
  ) -> ChainError {
    .unavailable(
      endpoint: endpointName, method: Self.methods(of: calls), cause: cause, attempts: before + 1)
  }
}

/// How often one batch has failed so far.
private struct Retry {
  var failures = 0
  var rateLimits = 0

  /// The last thing that went wrong.
  var error: ChainError?
}

extension Result<[RPCAnswer], Trouble> {
  /// Whether there is no answer, for a reason that will pass.
  fileprivate var hasFailedForNow: Bool {
    if case .failure(.passing) = self { true } else { false }
  }
}
