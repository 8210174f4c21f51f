import Ethereum

/// Which head is believed. What is final follows from it, so one endpoint must not be able to push
/// it up.
extension Chain {
  /// How far in the future a block may be, in seconds, for clocks differ.
  static var clockSkew: UInt64 { 15 }

  /// How many times as fast as configured a chain may have been between two heads.
  static var paceTolerance: UInt64 { 2 }

  /// The newest block that `agreeLogs` of the heads reach; nil when there are fewer.
  ///
  /// Where one is enough, the highest of several is believed alone if it is at most `maxHeadLag`
  /// above the second, or as many blocks more as the chain can have made between the two: then the
  /// second is late, or stands still. A block of the future has not been made.
  func believedHead(_ heads: [BlockHeader]) -> BlockHeader? {
    let heads = heads.sorted { ($0.number, $0.timestamp) > ($1.number, $1.timestamp) }
    let agree = max(1, limits.agreeLogs)
    guard heads.count >= agree else { return nil }
    guard agree == 1, heads.count > 1 else { return heads[agree - 1] }
    return isPlausible(heads[0], above: heads[1]) ? heads[0] : heads[1]
  }

  private func isPlausible(_ head: BlockHeader, above other: BlockHeader) -> Bool {
    let blocks = head.number - other.number
    if blocks <= limits.maxHeadLag { return true }
    let (latest, isEndless) = time().addingReportingOverflow(Self.clockSkew)
    guard head.timestamp > other.timestamp, isEndless || head.timestamp <= latest else {
      return false
    }
    let (time, overflow) = (head.timestamp - other.timestamp)
      .multipliedReportingOverflow(by: 1_000 * Self.paceTolerance)
    guard !overflow else { return false }
    return blocks - limits.maxHeadLag <= time / max(1, limits.blockTimeMilliseconds)
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
    guard let head = believedHead(witnesses.map(\.head)) else {
      throw .tooFewWitnesses(needed: limits.agreeLogs, answered: answers.count)
    }
    let number = head.number
    let limit = number.addingReportingOverflow(limits.maxHeadLag)
    var believed: [Answer] = []
    var dispute: Dispute?
    for answer in answers {
      if limit.overflow || answer.head.number <= limit.partialValue {
        endpoints[answer.index].score.isAhead = false
        believed.append(answer)
      } else {
        disbelieve(answer, above: number)
        dispute = .head(
          endpoint: endpoints[answer.index].endpoint.name, number: answer.head.number,
          believed: number)
      }
    }
    return HeadBelief(head: head, answers: believed, dispute: dispute)
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

  /// A head that is not believed, if there is one.
  let dispute: Dispute?
}
