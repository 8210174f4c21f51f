import Chain
import Ethereum
import Postgres
import Store
import Systems

/// Following events that another indexer writes (`docs/foreign-event-store.md`). A node is asked
/// for headers, never for logs.
extension Follower {
  /// Declarations whose last blocks are compared with a node's at once.
  static var comparedMax: Int { 1_000 }

  // MARK: Reorganisations

  /// Takes back blocks that the indexer says are no longer on the chain.
  ///
  /// - Throws: `IngestError.reorgTooDeep` if no block within the limit is.
  public mutating func reconcileStored(commit: Bool = true) throws -> Reconciliation {
    guard let block = cursor.block else { return .unchanged }
    let own = try ancestry(of: cursor)
    let newest = try db.transaction(.readOnly) { tx in
      try Blocks.newestCanonical(among: own, chainID: deployment.chainID, in: tx)
    }
    if newest?.number == block { return .unchanged }
    return try takeBack(own, to: newest, commit: commit)
  }

  // MARK: Declarations

  /// Takes note of declarations that are believed by now. What they say of blocks that were applied
  /// before is new, so the markets that have events there are derived again.
  ///
  /// - Returns: ranges that were declared late, and those of them that a node contradicts.
  public mutating func takeDeclarations(head: UInt64) throws -> DeclaredLate {
    var late = DeclaredLate()
    let (now, noted, new) = try db.transaction(.readOnly) { tx in
      let now = try Declarations.horizon(in: tx)
      let noted = try Declarations.noted(of: deployment.id, in: tx)
      let isAnyNew = try Declarations.isAnyNew(
        from: noted, to: now, chainID: deployment.chainID, in: tx)
      return (now, noted, isAnyNew ? try declarations(from: noted, to: now, in: tx) : nil)
    }
    horizon = noted
    guard let new else { return late }
    let told = try headers(at: new, head: head)
    cursor = try write(.repeatableRead) { tx in
      try Declarations.note(now, of: deployment.id, in: tx)
      guard let block = cursor.block, block >= begin else { return cursor }
      // Read again: the chain may have been reorganised since.
      let valid = try declarations(from: noted, to: now, in: tx)
      late.contradicted = try suspect(valid, against: told, in: begin...block, in: tx)
      try openUntold(valid, told, in: begin...block, in: tx)
      if valid.count >= Declarations.readMax {
        try openRest(from: noted, to: now, in: begin...block, in: tx)
      }
      let believed = valid.filter { told[$0.blocks.upperBound] == $0.end }
      late.ranges = believed.count
      return try read(believed, in: begin...block, of: watched, head: head, in: tx)
    }
    horizon = now
    return late
  }

  /// Believes what can be believed by now, and takes no note of it.
  mutating func lookAtDeclarations() throws {
    horizon = try db.transaction(.readOnly) { tx in try Declarations.horizon(in: tx) }
  }

  /// Declarations that reach into blocks that were applied.
  private func declarations(
    from old: Int64, to new: Int64, in tx: borrowing Transaction
  ) throws -> [Declaration] {
    guard let block = cursor.block, block >= begin else { return [] }
    return try Declarations.reaching(
      into: begin...block, from: old, to: new, chainID: deployment.chainID, in: tx)
  }

  /// Opens what the node contradicts.
  ///
  /// - Returns: how many declarations that are.
  private func suspect(
    _ declarations: [Declaration], against told: [UInt64: Bytes32], in blocks: ClosedRange<UInt64>,
    in tx: borrowing Transaction
  ) throws -> Int {
    let contradicted = declarations.filter { declaration in
      told[declaration.blocks.upperBound].map { $0 != declaration.end } ?? false
    }
    for declaration in contradicted where declaration.blocks.overlaps(blocks) {
      try Ledger.note(
        LedgerRange(
          declaration.blocks.clamped(to: blocks), .suspect,
          reason: "the node has another block \(declaration.blocks.upperBound) than declared"),
        of: Set(filters.values), deployment: deployment.id, in: tx)
    }
    return contradicted.count
  }

  /// Opens the applied parts of declarations that the node can neither confirm nor contradict yet:
  /// they are noted now, and nobody would look at them again.
  private func openUntold(
    _ declarations: [Declaration], _ told: [UInt64: Bytes32], in blocks: ClosedRange<UInt64>,
    in tx: borrowing Transaction
  ) throws {
    for declaration in declarations where declaration.blocks.overlaps(blocks) {
      guard told[declaration.blocks.upperBound] == nil else { continue }
      try Ledger.note(
        LedgerRange(
          declaration.blocks.clamped(to: blocks), .missing,
          reason: "declared again; the node does not have block \(declaration.blocks.upperBound) "
            + "yet"),
        of: versions(of: filters, coveredBy: watched.filter { declaration.covers([$0]) }),
        deployment: deployment.id, in: tx)
    }
  }

  /// Opens what was declared besides the declarations that are looked at together.
  private func openRest(
    from old: Int64, to new: Int64, in blocks: ClosedRange<UInt64>, in tx: borrowing Transaction
  ) throws {
    let rest = try Declarations.rest(
      into: blocks, from: old, to: new, chainID: deployment.chainID, in: tx)
    for part in rest {
      try Ledger.note(
        LedgerRange(part, .missing, reason: "declared again, and not read yet"),
        of: Set(filters.values), deployment: deployment.id, in: tx)
    }
  }

  /// Derives the markets that have events of these contracts in declared parts of some blocks,
  /// which then are verified.
  private func read(
    _ declarations: [Declaration], in blocks: ClosedRange<UInt64>, of contracts: Set<Address>,
    head: UInt64, in tx: borrowing Transaction
  ) throws -> Cursor {
    var markets: Set<Bytes32>? = []
    for declaration in declarations where declaration.blocks.overlaps(blocks) {
      let part = declaration.blocks.clamped(to: blocks)
      let covered = contracts.filter { declaration.covers([$0]) }
      if covered.isEmpty { continue }
      try EventStore.forEachLog(
        of: covered, chainID: deployment.chainID, from: part.lowerBound,
        through: part.upperBound, in: tx
      ) { log, _ in
        guard let concerned = system.markets(concernedBy: [log]) else { return markets = nil }
        markets?.formUnion(concerned)
      }
      try noteLate(part, of: covered, in: tx)
      try Ledger.note(
        LedgerRange(part, .verified), of: versions(of: filters, coveredBy: covered),
        deployment: deployment.id, in: tx)
    }
    return markets == [] ? cursor : try derive(markets, head: head, in: tx)
  }

  /// Hands late events to the system, a bounded number at a time.
  private func noteLate(
    _ blocks: ClosedRange<UInt64>, of addresses: Set<Address>, in tx: borrowing Transaction
  ) throws {
    var next = blocks.lowerBound
    while next <= blocks.upperBound {
      let end = try EventStore.pieceEnd(
        from: next, through: blocks.upperBound, logsMax: limits.logsMax,
        chainID: deployment.chainID, in: tx)
      let (logs, _) = try EventStore.logs(
        of: addresses, in: next...end, chainID: deployment.chainID, tx: tx)
      try system.note(late: logs, of: deployment, in: tx)
      next = end + 1
    }
  }

  /// Reads open ranges again as far as they are declared.
  public mutating func mendDeclared(head: UInt64) throws {
    let open = Dictionary(grouping: try open(), by: \.range.blocks)
    for blocks in open.keys.sorted(by: { $0.lowerBound < $1.lowerBound }) {
      let versions = Set((open[blocks] ?? []).map(\.filterVersion))
      var next = blocks.lowerBound
      while next <= blocks.upperBound {
        guard
          let last = try mendDeclared(next...blocks.upperBound, of: versions, head: head)
        else { break }
        next = last + 1
      }
    }
  }

  /// Reads the first part of an open range again, as far as its declarations are looked at
  /// together.
  ///
  /// A filter version is only closed by a declaration of all its contracts. One that says nothing
  /// of it would make every run derive the same markets for nothing.
  ///
  /// - Returns: the last block that was looked at; nil if that is none.
  private mutating func mendDeclared(
    _ blocks: ClosedRange<UInt64>, of versions: Set<Int32>, head: UInt64
  ) throws -> UInt64? {
    let found = try db.transaction(.readOnly) { tx in
      try Declarations.reaching(
        into: blocks, to: horizon, chainID: deployment.chainID, in: tx)
    }
    guard let part = Self.part(of: blocks, completeIn: found) else { return nil }
    let contracts = Dictionary(grouping: filters.filter { versions.contains($0.value) }.keys) {
      filters[$0]
    }.values.map { Set($0) }
    let about = found.filter { declaration in
      declaration.blocks.overlaps(part)
        && contracts.contains { $0.contains { declaration.covers([$0]) } }
    }
    let closed = contracts.filter { version in about.contains { $0.covers(version) } }
    if closed.isEmpty { return part.upperBound }
    let told = try headers(at: about, head: head)
    // One that the node contradicts, or cannot confirm, keeps the blocks open.
    guard about.allSatisfy({ told[$0.blocks.upperBound] == $0.end }) else {
      return part.upperBound
    }
    cursor = try write(.repeatableRead) { tx in
      try read(
        about.filter { declaration in closed.contains { declaration.covers($0) } }, in: part,
        of: closed.reduce(into: []) { $0.formUnion($1) }, head: head, in: tx)
    }
    return part.upperBound
  }

  /// The first blocks of a range of which these are all declarations; nil if there is no such
  /// block.
  private static func part(
    of blocks: ClosedRange<UInt64>, completeIn found: [Declaration]
  ) -> ClosedRange<UInt64>? {
    guard found.count >= Declarations.readMax, let last = found.last else { return blocks }
    // More may begin where the last one does.
    guard last.blocks.lowerBound > blocks.lowerBound else { return nil }
    return blocks.lowerBound...min(blocks.upperBound, last.blocks.lowerBound - 1)
  }

  /// What the node has at the ends of declarations, as far as its head.
  private func headers(
    at declarations: [Declaration], head: UInt64
  ) throws -> [UInt64: Bytes32] {
    let numbers = Set(declarations.map(\.blocks.upperBound)).filter { $0 <= head }.sorted()
    var told: [UInt64: Bytes32] = [:]
    for start in stride(from: 0, to: numbers.count, by: Self.comparedMax) {
      let some = Array(numbers[start..<min(start + Self.comparedMax, numbers.count)])
      for header in try chain.headers(numbers: some) { told[header.number] = header.hash }
    }
    return told
  }

  // MARK: Going on

  /// Applies declared events from `next` on, in one transaction of a bounded number of logs.
  public mutating func applyDeclared(
    through last: UInt64, head: UInt64, commit: Bool = true
  ) throws -> DeclaredStep {
    guard next <= last else { return .waiting }
    let declared = try db.transaction(.readOnly) { tx in try reach(through: last, in: tx) }
    let told = try headers(at: declared.declarations, head: head)
    if let first = declared.declarations.first, let hash = told[first.blocks.upperBound],
      hash != first.end
    {
      let blocks = max(next, first.blocks.lowerBound)...first.blocks.upperBound
      _ = try write(commit: commit) { tx in
        _ = try suspect([first], against: told, in: blocks, in: tx)
        return cursor
      }
      return .contradicted(blocks)
    }
    var step: Step?
    var filters = filters
    cursor = try write(.repeatableRead, commit: commit) { tx in
      guard let piece = try piece(through: last, told: told, in: tx) else { return cursor }
      let applied = try apply(piece, head: head, in: tx)
      (filters, step) = (applied.filters, applied.step)
      return try cursor.move(
        Self.job, of: deployment.id, to: piece.end.number, hash: piece.end.hash, in: tx)
    }
    if commit {
      self.filters = filters
      unlisted.subtract(filters.keys)
    }
    return step.map(DeclaredStep.applied) ?? .waiting
  }

  /// Declarations that follow each other from `next` on, and the contracts that all of them cover.
  private func reach(
    through last: UInt64, told: [UInt64: Bytes32]? = nil, in tx: borrowing Transaction
  ) throws -> Reach {
    var reach = Reach(next: next)
    let declared = try Declarations.reaching(
      into: next...last, to: horizon, chainID: deployment.chainID, in: tx)
    for declaration in declared where declaration.covers([deployment.address]) {
      if let told, told[declaration.blocks.upperBound] != declaration.end { break }
      guard reach.take(declaration) else { break }
      if reach.declarations.count == Self.comparedMax { break }
    }
    return reach
  }

  /// The next events to apply, all seen in one snapshot.
  private func piece(
    through last: UInt64, told: [UInt64: Bytes32], in tx: borrowing Transaction
  ) throws -> DeclaredPiece? {
    let reach = try reach(through: last, told: told, in: tx)
    guard reach.next > next else { return nil }
    var limit = min(last, reach.next - 1)
    if let unsettled = try Declarations.firstUnsettled(
      in: next...limit, chainID: deployment.chainID, in: tx)
    {
      guard unsettled > next else { return nil }
      limit = unsettled - 1
    }
    limit = try EventStore.pieceEnd(
      from: next, through: limit, logsMax: limits.logsMax, chainID: deployment.chainID, in: tx)
    guard let end = try Blocks.last(in: next...limit, chainID: deployment.chainID, in: tx)
    else { return nil }
    return DeclaredPiece(blocks: next...end.number, end: end, reach: reach)
  }

  private func apply(
    _ piece: DeclaredPiece, head: UInt64, in tx: borrowing Transaction
  ) throws -> (filters: [Address: Int32], step: Step) {
    var read = watched.filter { piece.reach.covers($0) }
    var (logs, times): ([Log], BlockTimes) = ([], [:])
    var revealed: Set<Address> = []
    for _ in 0..<limits.revelationsMax {
      (logs, times) = try EventStore.logs(
        of: read, in: piece.blocks, chainID: deployment.chainID, tx: tx)
      revealed = system.addresses(revealedBy: logs, of: deployment)
      let more = revealed.filter { piece.reach.covers($0) }.subtracting(read)
      if more.isEmpty { break }
      read.formUnion(more)
    }
    var mirror = try system.mirror(touchedBy: logs, of: deployment, in: tx)
    let finality = limits.finality(of: max(head, piece.end.number))
    let applied = try system.apply(
      logs, of: deployment, times: times, finality: finality, to: &mirror)
    try checkBeginning(applied, in: tx)
    try system.store(mirror, of: deployment, in: tx)
    if !logs.isEmpty { try tell(of: piece.blocks, head: head, in: tx) }
    try system.prune(finality: finality, of: deployment, in: tx)
    let window = Window(range: piece.blocks, logs: logs, headers: [piece.end])
    let filters = try note(
      ReadWindow(window: window, headersBefore: [], watched: read, everyHeaderFrom: .max), in: tx)
    // Contracts that nobody has declared anything of yet.
    let listed = try list(
      revealed.subtracting(filters.keys), among: filters, missing: piece.end.number, in: tx)
    return (listed, Step(window, applied: applied))
  }
}

/// What became of an attempt to apply declared events.
public enum DeclaredStep: Sendable {
  case applied(Step)
  /// Nothing is declared of the next block, or it is not believed yet, or the node does not have
  /// it.
  case waiting
  /// The node has another block at the declared end.
  case contradicted(ClosedRange<UInt64>)
}

/// What was declared of blocks that were applied before.
public struct DeclaredLate: Sendable {
  public var ranges = 0
  /// Declarations whose last block is another one at the node.
  public var contradicted = 0
}

/// Declarations that follow each other.
private struct Reach {
  /// The first block that is not declared.
  var next: UInt64
  var declarations: [Declaration] = []

  /// False if it leaves a gap.
  mutating func take(_ declaration: Declaration) -> Bool {
    guard declaration.blocks.lowerBound <= next else { return false }
    guard declaration.blocks.upperBound >= next else { return true }
    declarations.append(declaration)
    next = declaration.blocks.upperBound + 1
    return true
  }

  func covers(_ contract: Address) -> Bool {
    declarations.allSatisfy { $0.covers([contract]) }
  }
}

private struct DeclaredPiece {
  let blocks: ClosedRange<UInt64>
  let end: BlockHeader
  let reach: Reach
}
