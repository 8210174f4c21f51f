import Ethereum

/// Believing only what several endpoints say alike: right as long as fewer than that lie.
extension Chain {
  // MARK: Windows

  /// The window as `agreeLogs` endpoints tell it, to the last log and header.
  ///
  /// They are asked one after the other until enough agree. That the parent is another block is
  /// something to agree on as well.
  func agreedReading(_ request: WindowRequest) throws(ChainError) -> WindowReading {
    let needed = limits.agreeLogs
    var votes: [WindowVote] = []
    var range: ClosedRange<UInt64>?
    for index in witnesses {
      let name = endpoints[index].endpoint.name
      guard let said = try statement(of: index, on: request, range) else { continue }
      if case .window(let reading) = said { range = reading.range }
      if let place = votes.firstIndex(where: { $0.statement.agrees(with: said) }) {
        votes[place].names.append(name)
        guard votes[place].names.count >= needed else { continue }
        tell(against: votes[place], votes)
        switch votes[place].statement {
        case .window(let reading): return reading
        case .otherParent(let error): throw error
        }
      }
      votes.append(WindowVote(statement: said, names: [name]))
    }
    throw disagreement(votes, on: range ?? request.from...request.through)
  }

  /// What one endpoint says; nil when it says nothing of use. The first to tell of a window says
  /// how far it goes.
  private func statement(
    of index: Int, on request: WindowRequest, _ range: ClosedRange<UInt64>?
  ) throws(ChainError) -> WindowStatement? {
    do throws(ChainError) {
      return .window(
        try witness(index) { (alone) throws(ChainError) in
          if let range { try alone.readWhole(request, range) } else { try alone.read(request) }
        })
    } catch {
      if error.endsTheRun { throw error }
      if case .parentMismatch = error { return .otherParent(error) }
      return nil
    }
  }

  /// Names those who said something else than what was agreed on.
  private func tell(against agreed: WindowVote, _ votes: [WindowVote]) {
    for vote in votes where !vote.statement.agrees(with: agreed.statement) {
      for name in vote.names {
        note(
          vote.statement.withholds(from: agreed.statement) ? .withheld : .contradiction, name,
          "says \(vote.statement); \(agreed.names.count) others say \(agreed.statement)")
      }
    }
  }

  private func disagreement(_ votes: [WindowVote], on range: ClosedRange<UInt64>) -> ChainError {
    let answered = votes.reduce(0) { $0 + $1.names.count }
    guard answered >= limits.agreeLogs else {
      return .tooFewWitnesses(needed: limits.agreeLogs, answered: answered)
    }
    return .disagreement(
      blocks: range, needed: limits.agreeLogs,
      statements: votes.flatMap { vote in vote.names.map { "\"\($0)\" says \(vote.statement)" } })
  }

  // MARK: Calls

  /// The results that `agreePrices` endpoints give alike; a call without so many is a failed result
  /// without data, and so unknown.
  ///
  /// `ask` asks one endpoint for all results.
  func agreedResults(
    _ count: Int, _ ask: (Chain) throws(ChainError) -> [CallResult]
  ) throws(ChainError) -> [CallResult] {
    let needed = limits.agreePrices
    var answers: [(name: String, results: [CallResult])] = []
    var errors: [ChainError] = []
    var agreed = [CallResult?](repeating: nil, count: count)
    for index in witnesses where agreed.contains(nil) {
      do throws(ChainError) {
        let results = try witness(index, ask)
        answers.append((endpoints[index].endpoint.name, results))
      } catch {
        if error.endsTheRun { throw error }
        errors.append(error)
        continue
      }
      for place in agreed.indices where agreed[place] == nil {
        agreed[place] = Self.majority(answers.map { $0.results[place] }, needed)
      }
    }
    guard answers.count >= needed else {
      // What enough endpoints say alike is an answer, also when it is an error.
      if let error = errors.first(where: { error in
        errors.count(where: { $0.saysTheSame(as: error) }) >= needed
      }) {
        throw error
      }
      throw .tooFewWitnesses(needed: needed, answered: answers.count)
    }
    tell(answers, agreed)
    return agreed.map { $0 ?? CallResult(succeeded: false, data: []) }
  }

  private static func majority(_ results: [CallResult], _ needed: Int) -> CallResult? {
    results.first { result in results.count(where: { $0 == result }) >= needed }
  }

  /// Names those who gave another result than what was agreed on, or all when nothing was.
  private func tell(
    _ answers: [(name: String, results: [CallResult])], _ agreed: [CallResult?]
  ) {
    for (name, results) in answers {
      let other = zip(results, agreed).count { $0 != $1 }
      if other > 0 {
        note(
          .contradiction, name, "\(other) of \(agreed.count) calls have no such result elsewhere")
      }
    }
  }
}

/// What endpoints said alike of a window.
private struct WindowVote {
  let statement: WindowStatement
  var names: [String]
}

/// What one endpoint says of a window.
private enum WindowStatement: CustomStringConvertible {
  case window(WindowReading)
  case otherParent(ChainError)

  /// Whether both say the same. Blooms do not count: they are not part of what is believed.
  func agrees(with other: WindowStatement) -> Bool {
    switch (self, other) {
    case (.window(let one), .window(let other)):
      one.range == other.range && one.logs == other.logs
        && one.headers.map(\.header) == other.headers.map(\.header)
    case (.otherParent(let one), .otherParent(let other)): one == other
    default: false
    }
  }

  /// Whether all it says is in what the other says, which says more.
  func withholds(from other: WindowStatement) -> Bool {
    guard case .window(let one) = self, case .window(let other) = other else { return false }
    return one.logs.count < other.logs.count && Set(one.logs).isSubset(of: other.logs)
  }

  var description: String {
    switch self {
    case .window(let reading):
      "\(reading.logs.count) logs up to \(reading.headers.last?.header.hash ?? .zero)"
    case .otherParent(let error): "\(error)"
    }
  }
}

extension ChainError {
  /// Whether both are the same statement about the chain, by whichever endpoint.
  fileprivate func saysTheSame(as other: ChainError) -> Bool {
    switch (self, other) {
    case (.noMulticall(let one), .noMulticall(let other)): one == other
    case (.unknownBlock, .unknownBlock): true
    default: false
    }
  }
}
