import Ethereum

/// Which head is believed. What is final follows from it, so one endpoint must not be able to push
/// it up.
extension Chain {
  /// The newest block that `agree` of the heads reach; nil when there are fewer.
  ///
  /// Of several heads the highest is believed alone if it is at most `maxLag` above the second.
  static func believedHead(
    _ heads: some Sequence<UInt64>, agree: Int, maxLag: UInt64
  ) -> UInt64? {
    let heads = heads.sorted(by: >)
    let agree = max(1, agree)
    guard heads.count >= agree else { return nil }
    guard agree == 1, heads.count > 1 else { return heads[agree - 1] }
    return heads[0] - heads[1] <= maxLag ? heads[0] : heads[1]
  }

  /// Takes note of the heads, and returns what is believed of them.
  ///
  /// Heads that are too old by the wall clock speak against no other, where there are enough that
  /// are not: an endpoint that stands still would hold up all.
  ///
  /// - Throws: `tooFewWitnesses` when fewer endpoints than must agree have answered.
  func belief(in answers: [Answer]) throws(ChainError) -> HeadBelief {
    let fresh = answers.filter { !isOld($0.head) }
    let witnesses = fresh.count >= max(1, limits.agreeLogs) ? fresh : answers
    guard
      let number = Self.believedHead(
        witnesses.map(\.head.number), agree: limits.agreeLogs, maxLag: limits.maxHeadLag),
      let head = witnesses.first(where: { $0.head.number == number })?.head
    else { throw .tooFewWitnesses(needed: limits.agreeLogs, answered: answers.count) }
    let limit = number.addingReportingOverflow(limits.maxHeadLag)
    var believed: [Answer] = []
    for answer in answers {
      if limit.overflow || answer.head.number <= limit.partialValue {
        endpoints[answer.index].score.isAhead = false
        believed.append(answer)
      } else {
        disbelieve(answer, above: number)
      }
    }
    return HeadBelief(head: head, answers: believed)
  }

  private func disbelieve(_ answer: Answer, above believed: UInt64) {
    endpoints[answer.index].score.isAhead = true
    endpoints[answer.index].head = nil
    endpoints[answer.index].score.lower(for: .lag)
    let number = answer.head.number
    note(
      .ahead, endpoints[answer.index].endpoint.name,
      "its head is block \(number), \(number - believed) blocks above what others confirm; "
        + "not believed")
  }

  /// Whether the head of the endpoint in use is one that others should confirm.
  func needsConfirmation(_ head: BlockHeader) -> Bool {
    guard highestHead > 0, head.number > highestHead, endpoints.count(where: \.isUsable) > 1
    else { return false }
    return head.number - highestHead > limits.maxHeadLag
  }
}

/// What is believed of the heads that several endpoints tell.
struct HeadBelief {
  /// The newest block that is believed.
  let head: BlockHeader

  /// What the endpoints have said whose heads are not too far above it.
  let answers: [Chain.Answer]
}
