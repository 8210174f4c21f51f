import Chain
import Ethereum
import Postgres
import Store
import Systems

/// Asking the contract, at the end of a run, whether the run has read the truth.
///
/// A feed of logs can withhold or change one that no header contradicts; the contract's own words
/// can not be made of fewer logs. One aggregate of calls at the cursor's block asks about what the
/// run has changed, and about a few rows that are drawn.
extension Follower {
  /// Blocks below the head whose state every node still has (Geth keeps that of 128).
  private static var depthMax: UInt64 { 64 }

  /// Holds what this run has changed, and what was found different before, against the contract.
  ///
  /// What differs is stored as an audit stores it, and in the same transaction the blocks of the
  /// run are opened in the ledger, where the next run reads them again. Blocks that this run has
  /// read again already and that did not help stay open, a bounded number of times.
  ///
  /// Asks nothing if nothing has changed and nothing is open, or if the cursor is far from the
  /// head. An answer that cannot be had is no error.
  public mutating func vouch(
    head: UInt64, multicall: Address, run: Int64, isStopping: () -> Bool
  ) throws -> Vouched {
    let open = try db.transaction(.readOnly) { tx in
      try Divergences.open(of: deployment, in: tx).filter { $0.subject.kind != .token }
    }
    var vouched = Vouched(openDivergences: open.count)
    guard changes.isAny || !open.isEmpty, let block = cursor.block, let hash = cursor.hash else {
      return vouched
    }
    guard block + Self.depthMax >= head, block <= head else {
      vouched.obstacle = "block \(block) is far from the head"
      return vouched
    }
    var scope = VouchScope(seed: hash)
    for one in open {
      if one.subject.kind == .position {
        scope.add(position: one.subject)
      } else if let market = one.subject.market {
        scope.add(market: market)
        scope.summed.insert(market)
      }
    }
    system.touch(changes.logs, of: deployment, into: &scope)
    guard let auditing = try auditing(scope, open) else {
      vouched.obstacle = "the mirror has moved"
      return vouched
    }
    do {
      let findings = try chain.sparingly {
        try auditing.ask(chain, multicall: multicall, isStopping: isStopping) { _ in }
      }
      vouched.findings = findings
      try settle(findings, auditing, known: open, multicall: multicall, run: run, in: &vouched)
    } catch let error as ChainError {
      // Another chain behind the endpoint is no want of an answer.
      if error.isOfAnotherChain { throw error }
      vouched.obstacle = "\(error)"
    }
    return vouched
  }

  /// The claims of the scope, in one snapshot; nil if the mirror is not where this follower is.
  private func auditing(
    _ scope: VouchScope, _ open: [Divergences.Open]
  ) throws -> Auditing<System>? {
    try db.transaction(.readOnly) { tx in
      guard let number = cursor.block, let hash = cursor.hash,
        try Cursor.read(Self.job, of: deployment.id, in: tx) == cursor,
        let header = try Blocks.header(
          number: number, hash: hash, chainID: deployment.chainID, in: tx)
      else { return nil }
      let block = BlockMark(header)
      let claims = try system.claims(of: deployment, at: block, toVouchFor: scope, in: tx)
      let asked = Set(
        claims.flatMap { claim in claim.fields.map { Asked(claim.subject, $0.name) } })
      return Auditing(
        deployment: deployment, block: block, claims: claims,
        // What only an audit asks is an audit's to resolve.
        open: open.filter { asked.contains(Asked($0.subject, $0.field)) })
    }
  }

  /// Stores what was found and opens what has to be read again.
  private mutating func settle(
    _ findings: AuditFindings, _ auditing: Auditing<System>, known: [Divergences.Open],
    multicall: Address, run: Int64, in vouched: inout Vouched
  ) throws {
    if findings.divergences.isEmpty, known.isEmpty { return }
    let parts = try doubtful(
      findings.divergences.filter { !$0.isSetAside }, known: known, multicall: multicall)
    _ = try write { tx in
      vouched.resolved = try auditing.store(findings, run: run, in: tx)
      for part in parts {
        try Ledger.note(
          LedgerRange(
            part.blocks, .suspect, reason: Vouched.reason, attempts: part.attempts),
          of: part.versions, deployment: deployment.id, in: tx)
      }
      vouched.openDivergences =
        try Divergences.open(of: deployment, in: tx).count { $0.subject.kind != .token }
      return cursor
    }
    vouched.opened = parts.map(\.blocks)
  }

  // MARK: What to read again

  /// Opens the blocks of this run if events came of a market whose creation did not: it was
  /// withheld.
  mutating func doubtIfCreationIsMissing() throws {
    guard changes.lacksCreation, let read = changes.read, let block = cursor.block,
      read.lowerBound <= block
    else { return }
    try suspect(read.lowerBound...min(block, read.upperBound), reason: Vouched.creationMissing)
  }

  /// Markets whose differences are followed through their events.
  private static var marketsNarrowedMax: Int { 4 }

  /// The parts of the ledger that these differences cast doubt on: what this run has read, if they
  /// are new, and what it has read again without making them right.
  private func doubtful(
    _ found: [Divergence], known: [Divergences.Open], multicall: Address
  ) throws -> [RunChanges.LedgerPart] {
    if found.isEmpty { return [] }
    var parts = changes.readAgain.filter {
      $0.isInDoubt || UInt64($0.blocks.count) <= limits.windowBlocks
    }
    let markets = Set(known.map(\.subject.market))
    let new = found.filter { !markets.contains($0.subject.market) }
    if !new.isEmpty, let read = changes.read, let block = cursor.block, read.lowerBound <= block {
      let blocks = try narrowed(read.lowerBound...min(block, read.upperBound), by: new, multicall)
      parts.append(
        RunChanges.LedgerPart(blocks: blocks, versions: Set(filters.values), attempts: 0))
    }
    return parts
  }

  /// The part of many blocks in which an event is missing, as far as the node can tell.
  private func narrowed(
    _ blocks: ClosedRange<UInt64>, by found: [Divergence], _ multicall: Address
  ) throws -> ClosedRange<UInt64> {
    if UInt64(blocks.count) <= limits.windowBlocks { return blocks }
    let ofMarkets = Dictionary(grouping: found, by: \.subject.market)
    guard ofMarkets.count <= Self.marketsNarrowedMax else { return blocks }
    var hull: ClosedRange<UInt64>?
    for divergences in ofMarkets.values {
      guard let part = try missing(for: divergences, multicall), part.overlaps(blocks) else {
        return blocks
      }
      let some = part.clamped(to: blocks)
      let old = hull ?? some
      hull = min(old.lowerBound, some.lowerBound)...max(old.upperBound, some.upperBound)
    }
    return hull ?? blocks
  }

  private func missing(
    for divergences: [Divergence], _ multicall: Address
  ) throws -> ClosedRange<UInt64>? {
    do {
      return try blocksMissing(for: divergences, multicall: multicall)
    } catch is ChainError {
      return nil
    }
  }
}

/// A field that the contract can be asked for.
private struct Asked: Hashable {
  let subject: AuditSubject
  let field: String

  init(_ subject: AuditSubject, _ field: String) {
    self.subject = subject
    self.field = field
  }
}

/// What the contract has said of what a run has changed.
public struct Vouched: Sendable {
  /// Why blocks are in doubt that the contract's own words contradict.
  static let reason = "the contract tells otherwise"
  /// Why blocks are in doubt of which a market's creation is missing.
  static let creationMissing = "events of a market came, and not its creation"

  /// Nil: it was not asked.
  public internal(set) var findings: AuditFindings?
  /// Why it was not asked, or has not answered, although there was something to ask.
  public internal(set) var obstacle: String?
  /// Blocks that are open in the ledger for it.
  public internal(set) var opened: [ClosedRange<UInt64>] = []
  /// Differences found before that are none any more.
  public internal(set) var resolved = 0
  /// Differences that are open now, but for those of tokens.
  public internal(set) var openDivergences: Int
}
