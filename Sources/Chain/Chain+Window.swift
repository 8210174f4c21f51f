import Ethereum

/// Reading a range of blocks so that what comes back is proved to belong together.
extension Chain {
  /// The wanted logs of `from` and the blocks after it, with the headers that prove them.
  ///
  /// All answers are checked: every log's contract, event, block, order and block hash, the
  /// links between the headers, and the link to the block before. Answers that contradict each
  /// other are read again a few times, at another endpoint if there is one, since a node may be
  /// in the middle of a reorganisation. What the blooms say against the logs is cleared up by
  /// receipts, or by other endpoints; what stays open is in the window's doubts. With
  /// `agreeLogs` so many endpoints must say the same.
  ///
  /// - Parameters:
  ///   - filter: which logs. Without addresses there are none, and only headers are read.
  ///   - from: the first block.
  ///   - through: the last wanted block; the window may end before it when the endpoint refuses
  ///     the size. It never ends before `from`.
  ///   - everyHeaderFrom: from this block on every header is returned and linked.
  ///   - also: blocks before that whose headers are returned as well.
  ///   - parent: the stored block before the window. When the chain has another one now, the
  ///     error is `parentMismatch`, and the caller resolves the reorganisation.
  /// - Returns: the window, of at least one block.
  /// - Throws: `parentMismatch`, `inconsistent`, `disagreement`, `tooFewWitnesses`, `refused`,
  ///   `windowRefused`, `tooLarge`, `unknownBlock` when the endpoint is
  ///   behind, and the errors of every reading.
  public func window(
    _ filter: LogFilter, from: UInt64, through: UInt64, everyHeaderFrom: UInt64,
    also: Set<UInt64> = [], parent: (number: UInt64, hash: Bytes32)?
  ) throws(ChainError) -> Window {
    precondition(from <= through, "a window has a first block and does not end before it")
    let request = WindowRequest(
      filter: filter, from: from, through: through, everyHeaderFrom: everyHeaderFrom,
      parent: parent, also: also)
    if limits.agreeLogs > 1 {
      return try settle(try agreedReading(request), of: request, isAgreed: true)
    }
    return try settle(try read(request), of: request, isAgreed: false)
  }

  /// The window as the current endpoint tells it, or another when that contradicts itself.
  func read(_ request: WindowRequest) throws(ChainError) -> WindowReading {
    let reader = WindowReader(chain: self, request: request)
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
          note(.contradiction, endpointName, "\(inconsistency)")
          guard rereads < limits.maxRereads else { throw inconsistent(inconsistency) }
          failOver()
          rereads += 1
          // At once elsewhere; when each has had its turn, after a while.
          let usable = max(1, endpoints.count(where: \.isUsable))
          if rereads % usable == 0 { try pause(backoff(round: rereads / usable - 1)) }
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

  func header(
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
