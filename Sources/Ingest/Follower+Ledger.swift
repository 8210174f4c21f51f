import Chain
import Ethereum
import Postgres
import Store
import Systems

/// What was read, what is open, and reading it again.
extension Follower {
  /// Enters a window that goes on from the cursor.
  ///
  /// Contracts that it revealed are a new filter version, of which everything before the window is
  /// missing. Of contracts that a fetching run has revealed in the meantime, the window is.
  ///
  /// - Returns: every contract with its version.
  func note(_ read: ReadWindow, in tx: borrowing Transaction) throws -> [Address: Int32] {
    let range = read.window.range
    let known = try Ledger.filters(of: deployment.id, in: tx)
    let filters = try list(
      read.watched.subtracting(known.keys), among: known,
      missing: range.lowerBound > 0 ? range.lowerBound - 1 : nil, in: tx)
    let covered = versions(of: filters, coveredBy: read.watched)
    try Ledger.note(read.window, of: covered, deployment: deployment.id, in: tx)
    let missed = Set(filters.values).subtracting(covered)
    if !missed.isEmpty {
      try Ledger.note(
        LedgerRange(range, .missing, reason: "not watched then"), of: missed,
        deployment: deployment.id, in: tx)
    }
    return filters
  }

  /// Adds contracts as a filter version of which all blocks up to one are missing.
  ///
  /// - Returns: every contract with its version.
  func list(
    _ addresses: Set<Address>, among known: [Address: Int32], missing last: UInt64?,
    in tx: borrowing Transaction
  ) throws -> [Address: Int32] {
    if addresses.isEmpty { return known }
    let all = try Ledger.watch(addresses, of: deployment.id, in: tx)
    let new = Set(addresses.compactMap { all[$0] }).subtracting(known.values)
    if let last, last >= begin {
      try Ledger.note(
        LedgerRange(begin...last, .missing, reason: "not watched then"),
        of: new, deployment: deployment.id, in: tx)
    }
    return all
  }

  /// Enters that the blocks from `next` on could not be read.
  public mutating func noteFailure(_ reason: String, through last: UInt64) throws {
    let blocks = next...max(next, min(last, next + (limits.windowBlocks - 1)))
    let versions = Set(filters.values)
    if versions.isEmpty { return }
    _ = try write { tx in
      try Ledger.note(
        LedgerRange(blocks, .failed, reason: reason, attempts: 1), of: versions,
        deployment: deployment.id, in: tx)
      return cursor
    }
  }

  /// Enters that the first window of an open range could not be read.
  ///
  /// - Returns: the blocks of that window.
  public mutating func noteFailure(
    _ reason: String, of open: Ledger.OpenRange
  ) throws -> ClosedRange<UInt64> {
    let blocks = open.range.blocks
    let failed =
      blocks.lowerBound...min(blocks.upperBound, blocks.lowerBound + (limits.windowBlocks - 1))
    _ = try write { tx in
      try Ledger.note(
        LedgerRange(failed, .failed, reason: reason, attempts: open.range.attempts + 1),
        of: [open.filterVersion], deployment: deployment.id, in: tx)
      return cursor
    }
    return failed
  }

  // MARK: Open ranges

  /// What is not verified, up to the cursor.
  public func open() throws -> [Ledger.OpenRange] {
    guard let block = cursor.block else { return [] }
    return try db.transaction(.readOnly) { tx in
      try Ledger.open(of: deployment.id, from: begin, through: block, in: tx)
    }
  }

  /// Contracts that only the mirror knows of, from before the ledger or from a market that came
  /// through late, are listed, and with them what is missing of them.
  public mutating func listWatched() throws {
    guard !unlisted.isEmpty, let block = cursor.block else { return }
    let addresses = unlisted
    var all = filters
    _ = try write { tx in
      all = try list(addresses, among: filters, missing: block, in: tx)
      return cursor
    }
    filters = all
    unlisted = []
  }

  /// Reads the first window of an open range again; late events are added and derived.
  ///
  /// - Returns: what was read, less than the range if the window is smaller, and the markets of
  ///   logs that others may have stored: to be derived when the range is done.
  public mutating func mend(
    _ open: Ledger.OpenRange, head: UInt64
  ) throws -> (step: Step, shared: Set<Bytes32>) {
    let addresses = Set(filters.filter { $0.value == open.filterVersion }.keys)
    let isInDoubt = open.range.state == .suspect
    // Blocks of a whole run, of which nothing says that their own headers tell more.
    let isWide =
      [Vouched.reason, Vouched.creationMissing].contains(open.range.reason)
      && UInt64(open.range.blocks.count) > limits.windowBlocks
    return try readAgain(
      open.range.blocks, of: addresses, attempts: open.range.attempts, isInDoubt: isInDoubt,
      everyHeader: isInDoubt && !isWide, caught: open.range.caughtEndpoint, head: head)
  }

  /// Says that a range is complete although nothing proves it.
  ///
  /// Only up to the cursor: what lies above it was not applied.
  public mutating func accept(_ blocks: ClosedRange<UInt64>, reason: String) throws {
    guard let block = cursor.block, block >= blocks.lowerBound else { return }
    let blocks = blocks.lowerBound...min(block, blocks.upperBound)
    _ = try write { tx in
      for open in try Ledger.open(of: deployment.id, through: blocks.upperBound, in: tx)
      where open.range.blocks.overlaps(blocks) {
        try Ledger.note(
          LedgerRange(open.range.blocks.clamped(to: blocks), .verified, reason: reason),
          of: [open.filterVersion], deployment: deployment.id, in: tx)
      }
      return cursor
    }
  }

  /// Reads blocks below the cursor again and adds what was missed.
  ///
  /// A log of a contract that other deployments watch as well may be stored and yet be missing
  /// here, so the markets of such logs are returned, to be derived when the range is done.
  public mutating func fillIn(
    from first: UInt64, through last: UInt64, head: UInt64, commit: Bool = true
  ) throws -> (step: Step, shared: Set<Bytes32>) {
    try readAgain(first...last, of: watched, attempts: 0, head: head, commit: commit)
  }

  /// Markets with late events are derived again, in the same transaction: a late event is late only
  /// once.
  private mutating func readAgain(
    _ blocks: ClosedRange<UInt64>, of addresses: Set<Address>, attempts: Int,
    isInDoubt: Bool = false, everyHeader: Bool = false, caught: String? = nil, head: UInt64,
    commit: Bool = true
  ) throws -> (step: Step, shared: Set<Bytes32>) {
    // Every header where blocks are in doubt or few, or where they may still be taken back.
    let isShort = everyHeader || blocks.upperBound - blocks.lowerBound < limits.reorg
    var walk = WindowWalk(
      system: system, deployment: deployment, limits: limits, chain: chain,
      everyHeaderFrom: isShort ? blocks.lowerBound : limits.finality(of: head),
      watched: addresses, parent: nil)
    let isOneOfMany = caught.map(chain.leave) ?? false
    let read = try walk.read(from: blocks.lowerBound, through: blocks.upperBound)
    var window = read.window
    if let caught, isOneOfMany, chain.endpointName == caught {
      // The others would not answer, and whoever was caught cannot clear itself.
      window.doubts.append(Doubt(blocks: window.range, reason: .withheld, endpoint: caught))
    }
    var late: [Log] = []
    var all = filters
    var covered: Set<Int32> = []
    cursor = try write(commit: commit) { tx in
      if let block = try Blocks.contradicted(
        by: window.headers, chainID: deployment.chainID, in: tx)
      {
        throw IngestError.contradiction(block: block)
      }
      try Blocks.append(window.headers, chainID: deployment.chainID, in: tx)
      let replaced = try EventStore.takeChanged(
        by: window.logs, chainID: deployment.chainID, in: tx)
      if !replaced.isEmpty {
        // One of the two answers is a lie, and nothing here says which: until it is told twice.
        window.doubts.append(
          Doubt(blocks: window.range, reason: .changed, endpoint: chain.endpointName))
      }
      late = try EventStore.appendNew(window.logs, chainID: deployment.chainID, in: tx)
      let revealed = read.watched.subtracting(watched)
      if !revealed.isEmpty, let block = cursor.block {
        all = try list(revealed, among: filters, missing: block, in: tx)
      }
      covered = versions(of: all, coveredBy: read.watched)
      try Ledger.note(
        window, of: covered, attempts: attempts, deployment: deployment.id, in: tx)
      if late.isEmpty { return cursor }
      try system.note(late: late, of: deployment, in: tx)
      // With the logs of contracts that the late events have revealed.
      var listed = self
      listed.filters = all
      return try listed.derive(
        system.markets(concernedBy: late + replaced), head: head, in: tx)
    }
    if commit {
      filters = all
      changes.noteReadAgain(
        RunChanges.LedgerPart(
          blocks: window.range, versions: covered, attempts: attempts + 1, isInDoubt: isInDoubt),
        late: late)
    }
    var applied = ApplyReport()
    applied.applied = late.count
    let shared = window.logs.filter { $0.address != deployment.address }
    return (Step(window, applied: applied), system.markets(concernedBy: shared) ?? [])
  }
}
