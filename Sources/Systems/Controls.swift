import Ethereum
import Quantities

/// Turns every candidate of a judgement into exactly one outcome.
///
/// A candidate comes with what the contracts say of it (`open`, or why not); the controls hold back
/// what is open, in the order of `Outcome`: no plan, too small, protected, delayed, named recently.
/// Pure: what earlier scans found is an argument.
public struct Controls: Sendable {
  public let settings: ControlSettings

  public init(_ settings: ControlSettings) {
    self.settings = settings
  }

  /// Decides on every candidate, and notes in `memory` what this scan has found.
  ///
  /// `markets` are those that were judged, with or without candidates; `block` is the judged one.
  /// Deciding twice on the same block gives the same outcomes and the same memory. Without a memory
  /// there are no controls over time, as for a block of the past.
  public func decide(
    _ judgement: inout Judgement, of markets: Set<Bytes32>, at block: BlockMark,
    memory: inout CandidateMemory?
  ) {
    memory?.note(judgement, of: markets, at: block)
    if let memory { settleGuards(of: &judgement.candidates, memory, at: block) }
    for index in judgement.candidates.indices {
      var candidate = judgement.candidates[index]
      let episode = candidate.memoryKey.flatMap { memory?.episodes[$0] }
      candidate.firstSeen = episode?.firstSeen.timestamp
      candidate.zone = zone(of: candidate, episode, memory?.flagged ?? [], at: block)
      candidate.outcome = outcome(
        of: candidate, episode, hasMemory: memory != nil, at: block)
      if candidate.outcome == .open, let key = candidate.memoryKey {
        memory?.episodes[key]?.opened = block
      }
      judgement.candidates[index] = candidate
    }
  }

  // MARK: - One candidate

  private func outcome(
    of candidate: Candidate, _ episode: CandidateMemory.Episode?, hasMemory: Bool,
    at block: BlockMark
  ) -> Outcome {
    guard candidate.outcome == .open else { return candidate.outcome }
    if candidate.plan == nil { return .planUnknown }
    if let debt = candidate.debtUSD, debt < settings.minimumUSD { return .belowMinimum }
    guard hasMemory else { return .open }
    if candidate.guardState == .protected { return .protected }
    if isDelayed(candidate, episode, at: block) { return .delayed }
    if let opened = episode?.opened, isRecent(opened, at: block) { return .recentlyProcessed }
    return .open
  }

  private func isDelayed(
    _ candidate: Candidate, _ episode: CandidateMemory.Episode?, at block: BlockMark
  ) -> Bool {
    let delay = settings.delay
    if !delay.markets.isEmpty, !delay.markets.contains(candidate.market) { return false }
    // What is over its line only from the next block on has not waited at all.
    let since = episode?.steadySince ?? block.timestamp
    let waited = block.timestamp > since ? block.timestamp - since : 0
    return waited < delay.seconds || (episode?.confirmations ?? 1) < delay.confirmations
  }

  private func isRecent(_ opened: BlockMark, at block: BlockMark) -> Bool {
    // The same block judged again says the same again.
    if opened.hash == block.hash { return false }
    let age = block.timestamp > opened.timestamp ? block.timestamp - opened.timestamp : 0
    return age < settings.dedupSeconds
  }

  // MARK: - Liquidation Zone

  private func zone(
    of candidate: Candidate, _ episode: CandidateMemory.Episode?,
    _ flagged: Set<CandidateMemory.Key>,
    at block: BlockMark
  ) -> ZoneReasons {
    guard let key = candidate.memoryKey, key.kind == .liquidation else { return [] }
    var reasons: ZoneReasons = []
    if let debt = candidate.debtUSD {
      if debt > settings.zone.valueUSD { reasons.insert(.value) }
    } else {
      reasons.insert(.valueUnknown)
    }
    if let episode {
      if block.timestamp > episode.firstSeen.timestamp,
        block.timestamp - episode.firstSeen.timestamp > settings.zone.ageSeconds
      {
        reasons.insert(.age)
      }
      if episode.failedAttempts >= settings.zone.failedAttempts { reasons.insert(.failedAttempts) }
    }
    if flagged.contains(key) { reasons.insert(.manual) }
    return reasons
  }

  // MARK: - Delayed liquidation

  /// Where each candidate of an eligible borrower stands. A borrower's capacity goes to what
  /// crossed its line first.
  private func settleGuards(
    of candidates: inout [Candidate], _ memory: CandidateMemory, at block: BlockMark
  ) {
    var left = memory.guards.capacities
    for index in eligible(candidates, memory) {
      let candidate = candidates[index]
      let episode = candidate.memoryKey.flatMap { memory.episodes[$0] }
      let state = guardState(
        of: candidate, since: episode?.firstSeen.timestamp ?? block.timestamp,
        line: memory.guards.raisedLines[candidate.market] ?? .zero,
        capacity: left[candidate.user] ?? .zero, at: block)
      candidates[index].guardState = state
      if state == .protected, let debt = candidate.debtUSD {
        left[candidate.user] = (left[candidate.user] ?? .zero).subtractingFlooredAtZero(debt)
      }
    }
  }

  private func eligible(_ candidates: [Candidate], _ memory: CandidateMemory) -> [Int] {
    let indices = candidates.indices.filter { index in
      let candidate = candidates[index]
      return candidate.certainty != .preLiquidatable
        && memory.guards.raisedLines[candidate.market] != nil
        && memory.guards.capacities[candidate.user] != nil
    }
    func place(_ index: Int) -> (UInt64, Bytes32) {
      let candidate = candidates[index]
      let episode = candidate.memoryKey.flatMap { memory.episodes[$0] }
      return (episode?.firstSeen.timestamp ?? .max, candidate.market)
    }
    return indices.sorted { place($0) < place($1) }
  }

  private func guardState(
    of candidate: Candidate, since: UInt64, line: U256, capacity: U256, at block: BlockMark
  ) -> GuardState {
    guard let loanToValue = candidate.loanToValue, loanToValue < line else {
      return .raisedLineReached
    }
    let waited = block.timestamp > since ? block.timestamp - since : 0
    if waited >= settings.graceSeconds { return .graceOver }
    guard let debt = candidate.debtUSD, debt <= capacity else { return .capacityExceeded }
    return .protected
  }
}
