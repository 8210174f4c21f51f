import Ethereum

/// Reading a range of blocks so that what comes back is proved to belong together.
extension Chain {
  /// The wanted logs of `from` and the blocks after it, with the headers that prove them.
  ///
  /// All answers are checked: every log's contract, event, block, order and block hash, the
  /// links between the headers, and the link to the block before. Answers that contradict each
  /// other are read again a few times, at another endpoint if there is one, since a node may be
  /// in the middle of a reorganisation.
  ///
  /// - Parameters:
  ///   - filter: which logs. Without addresses there are none, and only headers are read.
  ///   - from: the first block.
  ///   - through: the last wanted block; the window may end before it when the endpoint refuses
  ///     the size. It never ends before `from`.
  ///   - everyHeaderFrom: from this block on every header is returned and linked.
  ///   - parent: the stored block before the window. When the chain has another one now, the
  ///     error is `parentMismatch`, and the caller resolves the reorganisation.
  /// - Returns: the window, of at least one block.
  /// - Throws: `parentMismatch`, `inconsistent`, `refused`, `windowRefused`, `tooLarge`,
  ///   `unknownBlock` when the endpoint is behind, and the errors of every reading.
  public func window(
    _ filter: LogFilter, from: UInt64, through: UInt64, everyHeaderFrom: UInt64,
    parent: (number: UInt64, hash: Bytes32)?
  ) throws(ChainError) -> Window {
    precondition(from <= through, "a window has a first block and does not end before it")
    let reader = WindowReader(
      chain: self, filter: filter, from: from, through: through,
      everyHeaderFrom: everyHeaderFrom, parent: parent)
    return try rereading { () throws(ReadingFailure) in try reader.read() }
  }

  /// Runs a reading again when its answers contradicted each other, a bounded number of times.
  func rereading<Value>(
    _ read: () throws(ReadingFailure) -> Value
  ) throws(ChainError) -> Value {
    var rereads = 0
    while true {
      do throws(ReadingFailure) {
        return try read()
      } catch {
        switch error {
        case .chain(let error): throw error
        case .contradiction(let inconsistency):
          guard rereads < limits.maxRereads else { throw inconsistent(inconsistency) }
          failOver()
          try pause(backoff(round: rereads))
          rereads += 1
        }
      }
    }
  }

  /// The headers of those numbers, each checked to have its number.
  func fetchHeaders(_ numbers: [UInt64]) throws(ReadingFailure) -> [FetchedHeader] {
    let calls = numbers.map { RPCCall.header(number: $0, mustExist: true) }
    let answers = try asking { () throws(ChainError) in try self.exchange(calls) }
    var headers: [FetchedHeader] = []
    for (index, number) in numbers.enumerated() {
      headers.append(try header(answers[index], calls[index], number: number))
    }
    return headers
  }

  fileprivate func header(
    _ answer: RPCAnswer, _ call: RPCCall, number: UInt64
  ) throws(ReadingFailure) -> FetchedHeader {
    switch answer {
    case .header(let fetched?):
      guard fetched.header.number == number else {
        throw .contradiction(.headerNumber(expected: number, got: fetched.header.number))
      }
      return fetched
    case .failure(let error): throw .chain(refused(error, call))
    default: preconditionFailure("the answer to a header call that must exist is a header")
    }
  }

  func asking<Value>(
    _ body: () throws(ChainError) -> Value
  ) throws(ReadingFailure) -> Value {
    do throws(ChainError) { return try body() } catch { throw .chain(error) }
  }

  func checking(_ body: () throws(Inconsistency) -> Void) throws(ReadingFailure) {
    do throws(Inconsistency) { try body() } catch { throw .contradiction(error) }
  }
}

/// Why a reading gave nothing.
enum ReadingFailure: Error {
  /// Another reading would not help.
  case chain(ChainError)

  /// The answers contradict each other.
  case contradiction(Inconsistency)
}

/// One attempt at a window.
private struct WindowReader {
  let chain: Chain
  let filter: LogFilter
  let from: UInt64
  let through: UInt64
  let everyHeaderFrom: UInt64
  let parent: (number: UInt64, hash: Bytes32)?

  func read() throws(ReadingFailure) -> Window {
    let first = try readLogs()
    let check = WindowCheck(range: first.range, filter: filter, parent: parent)
    try chain.checking { () throws(Inconsistency) in try check.verify(first.answer) }
    let headers = try readHeaders(first)
    try chain.checking { () throws(Inconsistency) in
      try check.verify(first.answer.logs, against: headers.map(\.header))
    }
    return Window(
      range: first.range, logs: first.answer.logs, headers: headers.map(\.header),
      doubts: check.suspiciousBlocks(first.answer.logs, headers).map {
        Doubt(blocks: $0...$0, reason: .bloom, endpoint: chain.endpointName)
      })
  }

  /// What the first batch brings.
  private struct LogReading {
    let range: ClosedRange<UInt64>
    let answer: LogAnswer
    let last: FetchedHeader
  }

  /// Asks for the logs of as many blocks as the endpoint gives at once.
  private func readLogs() throws(ReadingFailure) -> LogReading {
    // through - from + 1 would overflow for the whole range of numbers.
    let wanted = (through - from).addingReportingOverflow(1)
    for _ in 0..<chain.limits.maxWindowRefusals {
      let size = chain.current.windowSize.size(wanted: wanted.overflow ? .max : wanted.partialValue)
      if let reading = try readLogs(in: from...(from + (size - 1))) {
        chain.current.windowSize.accepted(size)
        return reading
      }
    }
    throw .chain(.windowRefused(endpoint: chain.endpointName, block: from))
  }

  /// One batch: the logs, the header of the last block, and the header of the parent, so that
  /// they come from one node at about one moment. Nil when the size was refused.
  private func readLogs(in range: ClosedRange<UInt64>) throws(ReadingFailure) -> LogReading? {
    let lastCall = RPCCall.header(number: range.upperBound, mustExist: true)
    let parentCall = parent.map { RPCCall.header(number: $0.number, mustExist: true) }
    let logsCall = filter.addresses.isEmpty ? nil : RPCCall.logs(filter, in: range)
    let answers: [RPCAnswer]
    do throws(ChainError) {
      answers = try chain.exchange([lastCall, parentCall, logsCall].compactMap(\.self))
    } catch {
      let size = range.upperBound - range.lowerBound + 1
      guard case .tooLarge = error, logsCall != nil, size > 1 else {
        throw .chain(error)
      }
      chain.current.windowSize.refused(size)
      return nil
    }
    let last = try chain.header(answers[0], lastCall, number: range.upperBound)
    if let parentCall { try checkParent(answers[1], parentCall) }
    guard let logsCall else { return LogReading(range: range, answer: LogAnswer(), last: last) }
    guard let answer = try logs(answers[answers.count - 1], logsCall, in: range) else { return nil }
    return LogReading(range: range, answer: answer, last: last)
  }

  /// The logs, or nil when the endpoint refused so wide a range.
  private func logs(
    _ answer: RPCAnswer, _ call: RPCCall, in range: ClosedRange<UInt64>
  ) throws(ReadingFailure) -> LogAnswer? {
    switch answer {
    case .logs(let logs):
      return logs
    case .failure(let error):
      guard case .rangeRefused(let hint) = error.kind(of: call.method) else {
        throw .chain(chain.refused(error, call))
      }
      let size = range.upperBound - range.lowerBound + 1
      guard size > 1 else { throw .chain(chain.refused(error, call)) }
      chain.current.windowSize.refused(size, hint: hint)
      return nil
    default:
      preconditionFailure("the answer to a log call is logs")
    }
  }

  private func checkParent(_ answer: RPCAnswer, _ call: RPCCall) throws(ReadingFailure) {
    guard let parent else { return }
    let found = try chain.header(answer, call, number: parent.number).header
    guard found.hash == parent.hash else {
      throw .chain(
        .parentMismatch(number: parent.number, expected: parent.hash, got: found.hash))
    }
  }

  /// The headers of the window, by ascending number.
  private func readHeaders(_ reading: LogReading) throws(ReadingFailure) -> [FetchedHeader] {
    let range = reading.range
    var numbers = Set(reading.answer.logs.map(\.blockNumber))
    if everyHeaderFrom <= range.upperBound {
      numbers.formUnion(max(everyHeaderFrom, range.lowerBound)...range.upperBound)
    }
    numbers.remove(range.upperBound)
    return try chain.fetchHeaders(numbers.sorted()) + [reading.last]
  }
}
