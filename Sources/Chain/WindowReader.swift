import Ethereum

/// What one window is asked for.
struct WindowRequest {
  var filter: LogFilter
  var from: UInt64
  var through: UInt64
  var everyHeaderFrom: UInt64
  var parent: (number: UInt64, hash: Bytes32)?

  /// Blocks below whose headers are wanted as well.
  var also: Set<UInt64> = []
}

/// What one endpoint says of a window, with nothing in it that contradicts itself.
struct WindowReading {
  var range: ClosedRange<UInt64>
  var logs: [Log]
  var headers: [FetchedHeader]
  var suspicions: [Suspicion]

  /// The endpoint's name.
  var endpoint: String
}

/// One attempt at a window, at whichever endpoint is the current one.
struct WindowReader {
  /// An answer with a multiple of so many logs may have been cut off: providers' caps are round.
  static let roundCount = 1000

  let chain: Chain
  let request: WindowRequest

  private var filter: LogFilter { request.filter }

  func read() throws(ReadingFailure) -> WindowReading {
    let first = try readLogs()
    let check = WindowCheck(range: first.range, filter: filter, parent: request.parent)
    try chain.checking { () throws(Inconsistency) in try check.verify(first.answer) }
    let headers = try readHeaders(first)
    try chain.checking { () throws(Inconsistency) in
      try check.verify(first.answer.logs, against: headers.map(\.header))
    }
    var suspicions = check.suspicions(first.answer.logs, headers, chain.bloomBits)
    if first.isCutOff { suspicions.append(Suspicion(block: request.from, kind: .cutOff)) }
    return WindowReading(
      range: first.range, logs: first.answer.logs, headers: headers, suspicions: suspicions,
      endpoint: chain.endpointName)
  }

  /// What the first batch brings.
  private struct LogReading {
    let range: ClosedRange<UInt64>
    let answer: LogAnswer
    let last: FetchedHeader
    var isCutOff = false
  }

  /// Asks for the logs of as many blocks as the endpoint gives at once.
  private func readLogs() throws(ReadingFailure) -> LogReading {
    let from = request.from
    // through - from + 1 would overflow for the whole range of numbers.
    let wanted = (request.through - from).addingReportingOverflow(1)
    for _ in 0..<chain.limits.maxWindowRefusals {
      let size = chain.current.windowSize.size(wanted: wanted.overflow ? .max : wanted.partialValue)
      if var reading = try readLogs(in: from...(from + (size - 1))) {
        if mayBeCutOff(reading.answer) {
          if size == 1 {
            reading.isCutOff = true
          } else if try !halvesAgree(with: reading) {
            chain.current.windowSize.refused(size)
            continue
          }
        }
        chain.current.windowSize.accepted(size)
        return reading
      }
    }
    throw .chain(.windowRefused(endpoint: chain.endpointName, block: from))
  }

  /// One batch: the logs, the header of the last block, and the headers of the parent and of the
  /// child, so that they come from one node at about one moment. Nil when the size was refused.
  private func readLogs(in range: ClosedRange<UInt64>) throws(ReadingFailure) -> LogReading? {
    let lastCall = RPCCall.header(number: range.upperBound, mustExist: true)
    let parentCall = request.parent.map { RPCCall.header(number: $0.number, mustExist: true) }
    let childCall =
      range.upperBound == .max
      ? nil : RPCCall.header(number: range.upperBound + 1, mustExist: false)
    let logsCall = filter.addresses.isEmpty ? nil : RPCCall.logs(filter, in: range)
    let answers: [RPCAnswer]
    do throws(ChainError) {
      answers = try chain.exchange(
        [lastCall, parentCall, childCall, logsCall].compactMap(\.self))
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
    if childCall != nil { try checkChild(answers[parentCall == nil ? 1 : 2], of: last.header) }
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
    guard let parent = request.parent else { return }
    let found = try chain.header(answer, call, number: parent.number).header
    guard found.hash == parent.hash else {
      throw .chain(
        .parentMismatch(number: parent.number, expected: parent.hash, got: found.hash))
    }
  }

  /// A window's last block is what the next one is read on top of, and in the middle of a history
  /// no other header vouches for its hash. Only the head has no child: an endpoint that has told of
  /// a newer one must have it.
  private func checkChild(
    _ answer: RPCAnswer, of last: BlockHeader
  ) throws(ReadingFailure) {
    let number = last.number + 1
    guard case .header(let child?) = answer else {
      guard let head = chain.current.head, head >= number else { return }
      throw .contradiction(.missing(block: number, head: head))
    }
    guard child.header.number == number else {
      throw .contradiction(.headerNumber(expected: number, got: child.header.number))
    }
    guard child.header.parentHash == last.hash else {
      throw .contradiction(.unlinked(block: child.header.number))
    }
  }

  /// The headers of the window, by ascending number.
  private func readHeaders(_ reading: LogReading) throws(ReadingFailure) -> [FetchedHeader] {
    let range = reading.range
    var numbers = Set(reading.answer.logs.map(\.blockNumber))
    if request.everyHeaderFrom <= range.upperBound {
      numbers.formUnion(max(request.everyHeaderFrom, range.lowerBound)...range.upperBound)
    }
    numbers.formUnion(request.also.filter(range.contains))
    numbers.remove(range.upperBound)
    return try chain.fetchHeaders(numbers.sorted()) + [reading.last]
  }

  // MARK: Silent caps

  private func mayBeCutOff(_ answer: LogAnswer) -> Bool {
    guard !answer.logs.isEmpty else { return false }
    return answer.logs.count % Self.roundCount == 0
      || UInt64(answer.logs.count) == chain.current.logsPerAnswerMax
  }

  /// Reads the range again in two halves. When they have more logs, the endpoint cuts its answers
  /// off, and that is remembered.
  private func halvesAgree(with reading: LogReading) throws(ReadingFailure) -> Bool {
    let range = reading.range
    let middle = range.lowerBound + (range.upperBound - range.lowerBound) / 2
    let calls = [range.lowerBound...middle, (middle + 1)...range.upperBound].map {
      RPCCall.logs(filter, in: $0)
    }
    let before = chain.failovers
    var logs: [Log] = []
    for call in calls {
      let answer = try chain.asking { () throws(ChainError) in try chain.exchange([call])[0] }
      switch answer {
      case .logs(let half): logs += half.logs
      case .failure(let error): throw .chain(chain.refused(error, call))
      default: preconditionFailure("the answer to a log call is logs")
      }
    }
    // Another endpoint's halves tell nothing of this one's cap.
    guard chain.failovers == before, logs.count > reading.answer.logs.count else {
      guard logs == reading.answer.logs else {
        throw .contradiction(.logCount(block: range.lowerBound))
      }
      return true
    }
    chain.current.logsPerAnswerMax = UInt64(reading.answer.logs.count)
    chain.note(
      .withheld, chain.endpointName,
      "gives at most \(reading.answer.logs.count) logs, without saying so")
    return false
  }
}
