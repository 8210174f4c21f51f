import Chain
import Ethereum
import Postgres
import Store
import Systems

/// Bringing rows that an audit found wrong back to what the stored events make of them.
extension Follower {
  /// Derives markets (nil: all) whose rows are wrong from their stored events, with those that have
  /// lost their row, and forgets what their rate models and tokens were asked.
  ///
  /// What was forgotten is derived or asked anew, so that dying in between loses nothing.
  ///
  /// - Returns: the markets that were derived.
  public mutating func repair(_ markets: Set<Bytes32>?, head: UInt64) throws -> Set<Bytes32>? {
    let derived = try db.transaction { tx in
      try writer.check(in: tx)
      let lost = try system.lostMarkets(of: deployment, in: tx)
      let derived = markets.map { $0.union(lost) }
      try system.forgetFacts(of: derived, of: deployment, in: tx)
      return derived
    }
    try derive(derived, head: head)
    return derived
  }

  /// Says that logs are missing somewhere in these blocks: they are open in the ledger until they
  /// have been read again.
  public mutating func suspect(_ blocks: ClosedRange<UInt64>, reason: String) throws {
    let versions = Set(filters.values)
    _ = try write { tx in
      try Ledger.note(
        LedgerRange(blocks, .suspect, reason: reason), of: versions, deployment: deployment.id,
        in: tx)
      return cursor
    }
  }

  // MARK: Narrowing

  /// Differences that are followed through the events before all blocks are in doubt.
  private static var triesMax: Int { 4 }
  /// Blocks at which a field is remembered; of more, every other one is forgotten.
  private static var statesMax: Int { 20_000 }

  /// The blocks in which an event is missing that would make these fields of one market right.
  ///
  /// Follows a field through the stored events once, and asks the contract what it was at some
  /// twenty blocks between: what was right at one block is wrong at another. Without the state of
  /// old blocks the node answers less, and the range stays wider. Of a field that no row of the
  /// mirror keeps, as of the sums, nothing can be told.
  ///
  /// Follows from the state that the deployment began with, if it began in mid-chain: before it
  /// nothing is missing, whatever differs.
  ///
  /// - Returns: nil if the market stands still at an event before which all was right, or nothing
  ///   has been read yet: then nothing is missing.
  public func blocksMissing(
    for divergences: [Divergence], multicall: Address
  ) throws -> ClosedRange<UInt64>? {
    guard let last = cursor.block, last >= begin else { return nil }
    for divergence in divergences.prefix(Self.triesMax) {
      let states = try states(of: divergence, through: last)
      if states.isEmpty { continue }
      let found = try narrowed(states, multicall: multicall)
      if divergence.isSetAside, found.wrong == states.count { return nil }
      let first = found.right < 0 ? begin : states[found.right].block + 1
      let end = found.wrong < states.count ? states[found.wrong].block : last
      return min(first, end)...end
    }
    return begin...last
  }

  /// The last state that is right and the first that is wrong, as far as the node can tell: the
  /// contract is right before the first state, and wrong at the mirror's block.
  private func narrowed(
    _ states: [FieldState], multicall: Address
  ) throws -> (right: Int, wrong: Int) {
    try Self.lastRightAndFirstWrong(of: states.count) { index in
      try isRight(states[index], multicall: multicall)
    }
  }

  /// Of so many states, the last that is known to be right and the first that is known to be wrong;
  /// -1 and the count where none is. Of what nobody can tell any more the newer half is looked at:
  /// nodes forget old states first.
  static func lastRightAndFirstWrong(
    of count: Int, _ isRight: (Int) throws -> Bool?
  ) rethrows -> (right: Int, wrong: Int) {
    var (lowest, right, wrong) = (-1, -1, count)
    while wrong - lowest > 1 {
      let middle = lowest + (wrong - lowest) / 2
      switch try isRight(middle) {
      case true?: (lowest, right) = (middle, middle)
      case false?: wrong = middle
      case nil: lowest = middle
      }
    }
    return (right, wrong)
  }

  /// What the stored events make of the field, after each block with an event of its market.
  private func states(of divergence: Divergence, through last: UInt64) throws -> [FieldState] {
    var states: [FieldState] = []
    try db.transaction(.readOnly) { tx in
      var mirror = try system.baseMirror(
        following: divergence.markets, keepsHistory: false, of: deployment, in: tx)
      // Other deployments may have stored events from before the state that this one began with.
      try EventStore.forEachLog(
        of: watched, on: ancestry(of: cursor, in: tx), chainID: deployment.chainID,
        from: bootstrapBlock.map { $0 + 1 } ?? 0, through: last, in: tx
      ) { log, timestamp in
        let report = try system.apply(
          [log], of: deployment, times: [log.blockNumber: timestamp], finality: .max, to: &mirror)
        guard report.applied > 0,
          let claim = system.claim(of: divergence, in: mirror, of: deployment)
        else { return }
        // The state after a block's last event counts.
        if states.last?.block == log.blockNumber { states.removeLast() }
        states.append(FieldState(block: log.blockNumber, hash: log.blockHash, claim: claim))
        if states.count > Self.statesMax {
          states = states.indices.filter { $0 % 2 == 0 }.map { states[$0] }
        }
      }
    }
    return states
  }

  /// Nil if nobody can tell any more.
  private func isRight(_ state: FieldState, multicall: Address) throws -> Bool? {
    do {
      let answer = try chain.call([state.claim.call], at: state.hash, multicall: multicall)
      guard case .compared(let found) = state.claim.held(against: answer[0], otherwise: nil)
      else { return nil }
      return found.isEmpty
    } catch ChainError.unknownBlock {
      return nil
    } catch ChainError.noMulticall {
      return nil
    }
  }
}

/// What a field was after a block.
private struct FieldState {
  let block: UInt64
  let hash: Bytes32
  let claim: Claim
}
