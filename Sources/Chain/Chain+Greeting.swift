import Ethereum
import HTTP

/// What a chain says when a run begins.
public struct Greeting: Equatable, Sendable {
  /// The newest block of the endpoint in use, or the newest that is believed if that is older.
  public var head: BlockHeader

  /// The hash of block 0; nil when the node has no block 0, or would not say.
  public var genesis: Bytes32?

  /// The block that was asked for; nil when the node has none of that number, and when none was
  /// asked for.
  public var stored: BlockHeader?

  /// The endpoint in use.
  public var endpoint: String

  /// Whether the newest block of every endpoint is older than the limits allow.
  public var isStale: Bool

  /// What the endpoints do not agree on; nil when nothing is in dispute.
  public var dispute: Dispute?

  /// A greeting.
  public init(
    head: BlockHeader, genesis: Bytes32?, stored: BlockHeader?, endpoint: String,
    isStale: Bool = false, dispute: Dispute? = nil
  ) {
    self.head = head
    self.genesis = genesis
    self.stored = stored
    self.endpoint = endpoint
    self.isStale = isStale
    self.dispute = dispute
  }
}

/// What endpoints say differently when a run begins, so that nobody can tell who is right.
public enum Dispute: Equatable, Sendable, CustomStringConvertible {
  /// An endpoint's head is not believed: no harm as long as the believed one grows.
  case head(endpoint: String, number: UInt64, believed: UInt64)

  /// No more endpoints have the block that is gone on from than have another of its number.
  case fork(block: UInt64)

  /// One clause for a person.
  public var description: String {
    switch self {
    case .head(let endpoint, let number, let believed):
      "endpoint \"\(endpoint)\" tells of block \(number), and no other beyond \(believed)"
    case .fork(let block): "the endpoints have different blocks \(block), and none has a majority"
    }
  }
}

/// Beginning a run.
extension Chain {
  /// Asks every endpoint at once, in one batch each, for its chain, its block 0, its newest block
  /// and one block more, and goes on with the best of them.
  ///
  /// An endpoint of another chain, or with another block 0 than the expected one or, where none is
  /// expected, than most others, is not used in this run; one whose head is far behind is used
  /// last. Those that are much slower than the first are not waited for, unless fewer than
  /// `agreeLogs` have answered. A greeting counts as proof of the chain.
  ///
  /// The newest block that `agreeLogs` endpoints reach is believed. Where one is enough, it is
  /// still not believed if its head is more than `maxHeadLag` above those of all others that
  /// answered, and further than the chain can have come since; an endpoint whose head is not
  /// believed is used last.
  ///
  /// Where endpoints have different blocks of that number, one is used that has what most have, or
  /// of equally many what the caller has: one endpoint alone does not move it.
  ///
  /// - Parameters:
  ///   - number: the block to ask for besides, such as the one a run goes on from.
  ///   - hash: the block of that number that the caller has.
  /// - Returns: what the endpoint that is now in use has said.
  /// - Throws: `wrongChain` and `wrongGenesis` when no endpoint of the right chain is left,
  ///   `tooFewWitnesses`, and the errors of every reading.
  public func greet(
    at number: UInt64? = nil, hash: Bytes32? = nil
  ) throws(ChainError) -> Greeting {
    try checkpoint()
    var answered = try greetings(of: endpoints.indices.filter { endpoints[$0].isUsable }, number)
    if answered.isEmpty {
      // This waits, goes elsewhere, or says why not.
      _ = try exchangeBatch([])
      answered = try greetings(of: [currentIndex], number)
    }
    answered = try withoutForeigners(try enough(answered, number))
    if answered.isEmpty { answered = try withoutForeigners([try plainAnswer(number)]) }
    let belief = try belief(in: answered)
    let isStale = noteHeads(of: belief.answers)
    let (sharing, fork) = sharing(belief.answers, own: hash)
    guard let chosen = choose(among: sharing) else { throw unknownBlock(.head) }
    return Greeting(
      head: chosen.head.number > belief.head.number ? belief.head : chosen.head,
      genesis: chosen.genesis, stored: chosen.stored, endpoint: endpointName, isStale: isStale,
      dispute: fork ?? belief.dispute)
  }

  /// The answers, with those of all other endpoints where fewer have answered than must agree.
  private func enough(_ answers: [Answer], _ number: UInt64?) throws(ChainError) -> [Answer] {
    guard limits.agreeLogs > 1, answers.count < limits.agreeLogs else { return answers }
    var answers = answers
    for index in witnesses where !answers.contains(where: { $0.index == index }) {
      let said = try testimony(index) { (alone) throws(ChainError) in
        try alone.plainAnswer(number)
      }
      if let said { answers.append(said.of(index)) }
    }
    return answers
  }

  /// What one endpoint has said.
  struct Answer {
    let index: Int
    let head: BlockHeader
    let genesis: Bytes32?
    let stored: BlockHeader?

    /// The same, said by the endpoint of another place.
    func of(_ index: Int) -> Answer {
      Answer(index: index, head: head, genesis: genesis, stored: stored)
    }
  }

  /// The greetings of those endpoints that gave one, and an error when none can be used any more.
  private func greetings(
    of indices: [Int], _ number: UInt64?
  ) throws(ChainError) -> [Answer] {
    let stored = number.map { RPCCall.header(number: $0, mustExist: false) }
    let calls = [.genesis, .head, stored].compactMap(\.self)
    let isAlone = indices.count == 1
    let timeout = isAlone ? nil : min(limits.greetingTimeout, limits.requestTimeout)
    // One that takes no batch of this size is asked in the usual way, if it is needed.
    let parcels = indices.filter {
      room(at: $0) > calls.count && !endpoints[$0].isPaused(at: now())
    }
    .map { parcel(calls, for: $0, timeout: timeout) }
    let started = now()
    let results = transport.perform(
      parcels.map(\.request), deadline: deadline, grace: limits.greetingGrace)
    var answers: [Answer] = []
    for (parcel, result) in zip(parcels, results) {
      if isAlone {
        endpoints[parcel.index].score.measured(
          milliseconds: now().duration(since: started).wholeMilliseconds)
      }
      do throws(Trouble) {
        answers.append(try answer(open(result, of: parcel), of: parcel.index, number))
        endpoints[parcel.index].score.answered()
      } catch {
        try hold(error, against: parcel, isAlone: isAlone)
      }
    }
    return answers
  }

  private func answer(
    _ answers: [RPCAnswer], of index: Int, _ number: UInt64?
  ) throws(Trouble) -> Answer {
    guard case .header(let head?) = answers[1] else { throw .unknownBlock(.head) }
    var genesis: Bytes32?
    if case .header(let first?) = answers[0] {
      try check(number: first.header, is: 0, of: index)
      genesis = first.header.hash
    }
    var stored: BlockHeader?
    if let number, case .header(let found?) = answers[2] {
      try check(number: found.header, is: number, of: index)
      stored = found.header
    }
    return Answer(index: index, head: head.header, genesis: genesis, stored: stored)
  }

  private func check(
    number header: BlockHeader, is number: UInt64, of index: Int
  ) throws(Trouble) {
    guard header.number != number else { return }
    let name = endpoints[index].endpoint.name
    let inconsistency = Inconsistency.headerNumber(expected: number, got: header.number)
    note(.contradiction, name, "\(inconsistency)")
    throw .passing(.contradiction(inconsistency))
  }

  /// A greeting that did not come lowers the score and no more, unless the endpoint cannot be used.
  private func hold(
    _ trouble: Trouble, against parcel: Parcel, isAlone: Bool
  ) throws(ChainError) {
    if !isAlone, case .passing(.transport(.timeout), _) = trouble {
      endpoints[parcel.index].score.lower(for: .late)
    } else {
      learn(from: trouble, of: parcel)
    }
    try endOrGiveUp(trouble, of: parcel.calls, at: parcel.index)
  }

  // MARK: Choosing

  /// The answers of the endpoints that began with the right block; the others are used no more.
  private func withoutForeigners(_ answers: [Answer]) throws(ChainError) -> [Answer] {
    learnGenesis(from: answers.compactMap(\.genesis))
    var own: [Answer] = []
    for answer in answers {
      guard let expectedGenesis, let genesis = answer.genesis, genesis != expectedGenesis else {
        own.append(answer)
        continue
      }
      let name = endpoints[answer.index].endpoint.name
      let error = ChainError.wrongGenesis(
        endpoint: name, chainID: chainID, expected: expectedGenesis, got: genesis)
      try banish(answer.index, after: error)
    }
    return own
  }

  /// Takes note of the heads, and returns whether even the newest of them is too old.
  private func noteHeads(of answers: [Answer]) -> Bool {
    // The best first, so that each is compared with the best.
    for answer in answers.sorted(by: { $0.head.number > $1.head.number }) {
      noteHead(answer.head.number, of: answer.index)
    }
    let old = answers.filter { isOld($0.head) }
    for answer in old {
      endpoints[answer.index].score.isBehind = true
      note(
        .behind, endpoints[answer.index].endpoint.name,
        "its newest block is \(time() - answer.head.timestamp) seconds old")
    }
    return old.count == answers.count
  }

  func isOld(_ head: BlockHeader) -> Bool {
    guard let oldest = limits.maxHeadAgeSeconds, head.timestamp < time() else { return false }
    return time() - head.timestamp > oldest
  }

  /// The answers of those that have the block of the number asked for that most have, of equally
  /// many the caller's own. Endpoints that stand still count only where all do.
  private func sharing(
    _ answers: [Answer], own: Bytes32?
  ) -> (answers: [Answer], fork: Dispute?) {
    let fresh = answers.filter { !isOld($0.head) }
    let voices = (fresh.isEmpty ? answers : fresh).compactMap(\.stored)
    var shared: (header: BlockHeader, count: Int)?
    for header in voices {
      let count = voices.count { $0.hash == header.hash }
      if let shared,
        (shared.count, shared.header.hash == own ? 1 : 0)
          >= (count, header.hash == own ? 1 : 0)
      {
        continue
      }
      shared = (header, count)
    }
    guard let shared, shared.count < voices.count else { return (answers, nil) }
    for answer in answers {
      guard let other = answer.stored, other.hash != shared.header.hash else { continue }
      note(
        .forked, endpoints[answer.index].endpoint.name,
        "its block \(other.number) is \(other.hash); \(shared.count) of \(voices.count) have "
          + "\(shared.header.hash)")
    }
    return (
      answers.filter { $0.stored?.hash == shared.header.hash },
      shared.count * 2 > voices.count ? nil : .fork(block: shared.header.number)
    )
  }

  /// The answer of the endpoint to go on with: the current one unless another is clearly better.
  private func choose(among answers: [Answer]) -> Answer? {
    let isGreeted = { (index: Int) in answers.contains { $0.index == index } }
    if let best = bestEndpoint(where: isGreeted) {
      let lead = endpoints[best].score.value - current.score.value
      let isKept = isGreeted(currentIndex) && current.isUsable
      if !isKept || lead >= EndpointScore.clearlyBetter { use(best) }
    }
    return answers.first { $0.index == currentIndex }
  }

  /// The greeting of a node that takes no batches, or fails more than once: call by call.
  private func plainAnswer(_ number: UInt64?) throws(ChainError) -> Answer {
    guard case .header(let head?) = try exchange([.head])[0] else { throw unknownBlock(.head) }
    var genesis: Bytes32?
    if case .header(let first?) = try exchange([.genesis])[0], first.header.number == 0 {
      genesis = first.header.hash
    }
    var stored: BlockHeader?
    if let number { stored = try header(number: number) }
    return Answer(index: currentIndex, head: head.header, genesis: genesis, stored: stored)
  }
}
