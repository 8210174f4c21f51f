import Ethereum

/// Which fork the chain is on, where one endpoint's word is not enough.
extension Chain {
  /// What `conclude` makes of the headers of these blocks, when enough endpoints lead to the same.
  ///
  /// As many must as `agreeLogs` says, and at least two where two answer: whether blocks are taken
  /// back should not hang on one. Blocks that an endpoint does not have are left out of what it
  /// tells; `conclude` returns nil where that says nothing.
  ///
  /// Costs a request per hundred blocks at each of so many endpoints.
  ///
  /// - Parameters:
  ///   - numbers: ascending or descending, without gaps.
  ///   - conclude: is given the headers that one endpoint has, ascending.
  /// - Returns: nil if none of them tells anything of use.
  /// - Throws: `forked` when endpoints differ and too few agree, `tooFewWitnesses`, and the errors
  ///   of every reading.
  public func agreed<Conclusion: Equatable>(
    on numbers: [UInt64], _ conclude: ([BlockHeader]) -> Conclusion?
  ) throws(ChainError) -> Conclusion? {
    var votes: [(name: String, conclusion: Conclusion)] = []
    let needed = max(limits.agreeLogs, min(2, endpoints.count(where: \.isUsable)))
    var isAnswered = false
    for index in witnesses {
      let told = try testimony(index) { (alone) throws(ChainError) in
        try alone.existing(numbers)
      }
      isAnswered = isAnswered || told != nil
      guard let conclusion = told.flatMap(conclude) else { continue }
      votes.append((endpoints[index].endpoint.name, conclusion))
      if votes.count(where: { $0.conclusion == conclusion }) >= needed { return conclusion }
    }
    if votes.isEmpty, isAnswered { return nil }
    if votes.count == 1, limits.agreeLogs <= 1 { return votes[0].conclusion }
    guard votes.count >= max(1, limits.agreeLogs) else {
      throw .tooFewWitnesses(needed: max(1, limits.agreeLogs), answered: votes.count)
    }
    throw .forked(
      blocks: (numbers.min() ?? 0)...(numbers.max() ?? 0),
      statements: votes.map { "\"\($0.name)\" says \($0.conclusion)" })
  }

  /// The headers of those of the blocks that exist; those that follow each other are linked.
  private func existing(_ numbers: [UInt64]) throws(ChainError) -> [BlockHeader] {
    try rereading { () throws(ReadingFailure) in
      let calls = numbers.map { RPCCall.header(number: $0, mustExist: false) }
      let answers = try self.asking { () throws(ChainError) in try self.exchange(calls) }
      var headers: [BlockHeader] = []
      for (index, number) in numbers.enumerated() {
        if case .header(nil) = answers[index] { continue }
        headers.append(try self.header(answers[index], calls[index], number: number).header)
      }
      headers.sort { $0.number < $1.number }
      try self.checking { () throws(Inconsistency) in
        let check = WindowCheck(
          range: 0...0, filter: LogFilter(addresses: [], topics0: []), parent: nil)
        try check.verify([], against: headers)
      }
      return headers
    }
  }
}
