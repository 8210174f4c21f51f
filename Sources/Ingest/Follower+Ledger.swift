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
  /// Has to be followed by `deriveShared` when the range is done.
  ///
  /// - Returns: what was read, less than the range if the window is smaller.
  public mutating func mend(_ open: Ledger.OpenRange, head: UInt64) throws -> Step {
    let addresses = Set(filters.filter { $0.value == open.filterVersion }.keys)
    let isInDoubt = open.range.state == .suspect
    // Blocks of a whole run or history, of which nothing says that their own headers tell more.
    let isWide = UInt64(open.range.blocks.count) > limits.windowBlocks
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
}
