import Ethereum

/// Asks many contracts in few requests, through Multicall3, at one block.
///
/// Contracts are not trusted: one may use up the gas or the room of all that stand beside it. An
/// aggregate that fails as a whole is halved until the guilty calls are alone, and a failure
/// that another call may have caused is not believed before the call was asked alone.
struct AggregateReader {
  let chain: Chain
  let multicall: Address
  let point: BlockPoint

  /// One result for each call, in their order; nil when the endpoint takes no block hashes.
  func results(of calls: [Call]) throws(ChainError) -> [CallResult]? {
    var answers: [Answer] = []
    while answers.count < calls.count {
      guard let some = try askNext(of: calls[answers.count...]) else { return nil }
      answers += some
    }
    let doubtful = answers.indices.filter { answers[$0].isDoubtful }
    guard let settled = try askAlone(doubtful.map { calls[$0] }) else { return nil }
    for (index, result) in zip(doubtful, settled) { answers[index].result = result }
    return answers.map(\.result)
  }

  /// What is known of one call.
  private struct Answer {
    var result: CallResult

    /// Whether it failed for no stated reason after other calls had used gas: 1/64 of the gas is
    /// all that a call which burns it leaves to the others (EIP-150).
    var isDoubtful = false
  }

  /// What is known of one aggregate.
  private enum Outcome {
    /// It ran, and so did its first call with nearly all of the gas.
    case ran([CallResult])

    /// It failed as a whole, with this data.
    case failed(data: [UInt8])

    var hasFailed: Bool {
      if case .failed = self { true } else { false }
    }
  }

  // MARK: Aggregates

  /// The answers to the first calls, as many as one aggregate takes.
  private func askNext(of calls: ArraySlice<Call>) throws(ChainError) -> [Answer]? {
    let calls = aggregate(of: calls)
    guard let outcome = try ask(calls) else { return nil }
    guard outcome.hasFailed, calls.count > 1 else {
      chain.current.aggregateSize.accepted(UInt64(calls.count))
      return try answers(from: outcome, to: calls)
    }
    guard let halves = try askHalves(of: calls) else { return nil }
    learn(from: halves, of: calls.count)
    return try answers(from: halves, to: calls)
  }

  /// The first calls, as many as one aggregate takes; at least one.
  private func aggregate(of calls: ArraySlice<Call>) -> ArraySlice<Call> {
    let limits = chain.limits
    let size = chain.current.aggregateSize.size(wanted: UInt64(max(1, limits.aggregateSize)))
    var bytes = 0
    let fitting = calls.prefix(Int(clamping: size)).prefix { call in
      bytes += call.data.count
      return bytes <= limits.aggregateBytes
    }
    return fitting.isEmpty ? calls.prefix(1) : fitting
  }

  /// Tells the size from the guilty call. One half alone that fails has a guilty call in it, and
  /// says nothing of the size; two that fail, or none, do.
  private func learn(from halves: (first: Outcome, second: Outcome), of count: Int) {
    let size = UInt64(count)
    switch (halves.first.hasFailed, halves.second.hasFailed) {
    case (true, true): chain.current.aggregateSize.refused((size + 1) / 2)
    case (false, false):
      // A smaller one, the last of its run, need not have failed for its size.
      let full = chain.current.aggregateSize.size(wanted: UInt64(chain.limits.aggregateSize))
      if size >= full { chain.current.aggregateSize.refused(size) }
    case (true, false), (false, true): break
    }
  }

  /// The answers of an aggregate, which is halved if it failed and has more than one call.
  private func answers(
    from outcome: Outcome, to calls: ArraySlice<Call>
  ) throws(ChainError) -> [Answer]? {
    switch outcome {
    case .ran(let results):
      return results.enumerated().map { index, result in
        Answer(
          result: result, isDoubtful: index > 0 && !result.succeeded && result.data.isEmpty)
      }
    case .failed(let data) where calls.count == 1:
      return [Answer(result: CallResult(succeeded: false, data: data))]
    case .failed:
      guard let halves = try askHalves(of: calls) else { return nil }
      return try answers(from: halves, to: calls)
    }
  }

  private func answers(
    from halves: (first: Outcome, second: Outcome), to calls: ArraySlice<Call>
  ) throws(ChainError) -> [Answer]? {
    let half = firstHalf(of: calls.count)
    guard let first = try answers(from: halves.first, to: calls.prefix(half)),
      let second = try answers(from: halves.second, to: calls.dropFirst(half))
    else { return nil }
    return first + second
  }

  private func askHalves(
    of calls: ArraySlice<Call>
  ) throws(ChainError) -> (first: Outcome, second: Outcome)? {
    let half = firstHalf(of: calls.count)
    guard let first = try ask(calls.prefix(half)), let second = try ask(calls.dropFirst(half))
    else { return nil }
    return (first, second)
  }

  private func firstHalf(of count: Int) -> Int { (count + 1) / 2 }

  // MARK: Single calls

  /// The result of each call, each in an aggregate of its own; many go into one request.
  private func askAlone(_ calls: [Call]) throws(ChainError) -> [CallResult]? {
    let requests = calls.map { request([$0]) }
    let answers: [RPCAnswer]
    do throws(ChainError) {
      answers = try chain.exchange(requests)
    } catch {
      guard case .tooLarge(_, "eth_call", _) = error else { throw error }
      return try askOneByOne(calls)
    }
    var results: [CallResult] = []
    for (answer, request) in zip(answers, requests) {
      guard let outcome = try outcome(answer, of: request, count: 1) else { return nil }
      results.append(onlyResult(of: outcome))
    }
    return results
  }

  /// For when the answer to one of the calls is too large even alone.
  private func askOneByOne(_ calls: [Call]) throws(ChainError) -> [CallResult]? {
    var results: [CallResult] = []
    for call in calls {
      guard let outcome = try ask([call]) else { return nil }
      results.append(onlyResult(of: outcome))
    }
    return results
  }

  private func onlyResult(of outcome: Outcome) -> CallResult {
    switch outcome {
    case .ran(let results): results[0]
    case .failed(let data): CallResult(succeeded: false, data: data)
    }
  }

  // MARK: Requests

  private func request(_ calls: ArraySlice<Call>) -> RPCCall {
    let data = Multicall3.aggregate3(Array(calls), allowFailure: true)
    return RPCCall.call(to: multicall, data: data, at: point)
  }

  /// Runs one aggregate; nil when the endpoint takes no block hashes.
  private func ask(_ calls: ArraySlice<Call>) throws(ChainError) -> Outcome? {
    let request = request(calls)
    let answer: RPCAnswer
    do throws(ChainError) {
      answer = try chain.exchange([request])[0]
    } catch {
      guard case .tooLarge(_, "eth_call", _) = error else { throw error }
      return .failed(data: [])
    }
    return try outcome(answer, of: request, count: calls.count)
  }

  private func outcome(
    _ answer: RPCAnswer, of request: RPCCall, count: Int
  ) throws(ChainError) -> Outcome? {
    switch answer {
    case .bytes(let bytes):
      return .ran(try results(bytes, count: count))
    case .failure(let error):
      if chain.refusesBlockHash(error, request, point) { return nil }
      switch error.kind(of: request.method) {
      case .reverted(let data): return .failed(data: data)
      case .callTooLarge: return .failed(data: [])
      default: throw chain.refused(error, request)
      }
    default: preconditionFailure("the answer to a call is bytes")
    }
  }

  private func results(_ bytes: [UInt8], count: Int) throws(ChainError) -> [CallResult] {
    guard !bytes.isEmpty else { throw .noMulticall(multicall) }
    do {
      return try Multicall3.decodeAggregate3(bytes, count: count)
    } catch {
      throw .refused(
        endpoint: chain.endpointName, method: "eth_call", code: 0,
        message: "answer of Multicall3 cannot be decoded: \(error)")
    }
  }
}
