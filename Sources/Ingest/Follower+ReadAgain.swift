import Chain
import Ethereum
import Postgres
import Store
import Systems

/// Reading blocks below the cursor again, and deriving what that changes.
extension Follower {
  /// Reads blocks below the cursor again and adds what was missed.
  ///
  /// Has to be followed by `deriveShared` when the range is done.
  public mutating func fillIn(
    from first: UInt64, through last: UInt64, head: UInt64, commit: Bool = true
  ) throws -> Step {
    try readAgain(first...last, of: watched, attempts: 0, head: head, commit: commit)
  }

  /// Derives the markets of logs that others have stored, in all windows that were read again since
  /// this was last called; only then are those windows as good as what was read of them.
  ///
  /// Until then they are missing in the ledger, so that dying in between loses nothing.
  public mutating func deriveShared(head: UInt64) throws {
    if underived.windows.isEmpty { return }
    let underived = underived
    cursor = try write { tx in
      for window in underived.windows {
        try Ledger.note(
          window.read, of: window.versions, attempts: window.attempts,
          deployment: deployment.id, in: tx)
      }
      return try derive(underived.markets, head: head, in: tx)
    }
    self.underived = Underived()
    changes.noteOthers()
  }

  /// Markets with late events are derived again, in the same transaction: a late event is late only
  /// once. So are those of stored events that the answer lacks: whoever withholds them is not
  /// believed to have given the rest.
  ///
  /// A log of a contract that other deployments watch as well may be stored and yet be in no
  /// mirror. What such logs concern is left to `deriveShared`, since it costs the same for many
  /// windows as for one.
  mutating func readAgain(
    _ blocks: ClosedRange<UInt64>, of addresses: Set<Address>, attempts: Int,
    isInDoubt: Bool = false, everyHeader: Bool = false, caught: String? = nil, head: UInt64,
    commit: Bool = true
  ) throws -> Step {
    // Every header where blocks are in doubt or few, or where they may still be taken back.
    let isShort = everyHeader || blocks.upperBound - blocks.lowerBound < limits.reorg
    var walk = WindowWalk(
      system: system, deployment: deployment, limits: limits, chain: chain,
      everyHeaderFrom: isShort ? blocks.lowerBound : limits.finality(of: head),
      watched: addresses, parent: nil)
    let isOneOfMany = caught.map(chain.leave) ?? false
    var read = try withHeadersOfStored(
      walk.read(from: blocks.lowerBound, through: blocks.upperBound))
    // The others would not answer, and whoever was caught cannot clear itself.
    if isOneOfMany, read.window.endpoint == caught { read.doubtAsWithheld() }
    let left = try leftBehind(read.window.headers, head: head)
    var late: [Log] = []
    var all = filters
    var covered: Set<Int32> = []
    var shared: [Log] = []
    cursor = try write(commit: commit) { tx in
      let phantoms = try orphan(left, in: tx)
      try checkAndStore(read.window.headers, in: tx)
      let replaced = try EventStore.takeChanged(
        by: read.window.logs, chainID: deployment.chainID, in: tx)
      if !replaced.isEmpty {
        // One of the two answers is a lie, and nothing here says which: until it is told twice.
        read.window.doubts.append(
          Doubt(blocks: read.window.range, reason: .changed, endpoint: read.window.endpoint))
      }
      let lacking = try stored(lackedBy: read, in: tx).logs
      if !lacking.isEmpty { read.doubtAsWithheld() }
      late = try EventStore.appendNew(read.window.logs, chainID: deployment.chainID, in: tx)
      let revealed = system.addresses(revealedBy: lacking, of: deployment).union(read.watched)
        .subtracting(watched)
      if !revealed.isEmpty, let block = cursor.block {
        all = try list(revealed, among: filters, missing: block, in: tx)
      }
      covered = versions(of: all, coveredBy: read.watched)
      shared = Set(read.window.logs.filter { $0.address != deployment.address })
        .subtracting(late).sorted { $0.blockNumber < $1.blockNumber }
      try note(read.window, isDerived: shared.isEmpty, of: covered, attempts: attempts, in: tx)
      try system.note(late: late + lacking + shared, of: deployment, in: tx)
      let concerned = late + replaced + lacking + phantoms
      if concerned.isEmpty { return cursor }
      // With the logs of contracts that the late events have revealed.
      var listed = self
      listed.filters = all
      return try listed.derive(system.markets(concernedBy: concerned), head: head, in: tx)
    }
    if commit {
      filters = all
      if !shared.isEmpty {
        underived.add(
          .init(read: read.window, versions: covered, attempts: attempts),
          system.markets(concernedBy: shared))
      }
      changes.noteReadAgain(
        RunChanges.LedgerPart(
          blocks: read.window.range, versions: covered, attempts: attempts + 1,
          isInDoubt: isInDoubt),
        late: late)
    }
    var applied = ApplyReport()
    applied.applied = late.count
    return Step(read.window, applied: applied)
  }

  private func note(
    _ window: Window, isDerived: Bool, of versions: Set<Int32>, attempts: Int,
    in tx: borrowing Transaction
  ) throws {
    if isDerived {
      return try Ledger.note(
        window, of: versions, attempts: attempts, deployment: deployment.id, in: tx)
    }
    try Ledger.note(
      LedgerRange(window.range, .missing, reason: "to be derived", attempts: attempts),
      of: versions, deployment: deployment.id, in: tx)
  }

  // MARK: Headers

  private func checkAndStore(_ headers: [BlockHeader], in tx: borrowing Transaction) throws {
    if let block = try Blocks.contradicted(by: headers, chainID: deployment.chainID, in: tx) {
      throw IngestError.contradiction(block: block)
    }
    try Blocks.append(headers, chainID: deployment.chainID, in: tx)
  }

  /// The window with the headers of those blocks of which events are stored that it lacks: whether
  /// they are on the chain is not the store's to say.
  private func withHeadersOfStored(_ read: ReadWindow) throws -> ReadWindow {
    let known = Set(read.window.headers.map(\.number))
    let lacking = try db.transaction(.readOnly) { tx in try stored(lackedBy: read, in: tx).logs }
    let numbers = Set(lacking.map(\.blockNumber)).subtracting(known).sorted()
    if numbers.isEmpty { return read }
    var read = read
    read.window.headers = (read.window.headers + (try chain.headers(numbers: numbers)))
      .sorted { $0.number < $1.number }
    return read
  }

  /// Stored blocks that these headers contradict and that the chain is proved to have left.
  private func leftBehind(
    _ headers: [BlockHeader], head: UInt64
  ) throws -> [(number: UInt64, hash: Bytes32)] {
    let forks = LeftBehind(
      chain: chain, db: db, chainID: deployment.chainID, blocksMax: limits.windowBlocks)
    return try forks.find(contradicting: headers, through: limits.finality(of: head))
  }

  /// Takes blocks off the canonical chain.
  ///
  /// - Returns: the stored events that are none of the chain's any more.
  private func orphan(
    _ blocks: [(number: UInt64, hash: Bytes32)], in tx: borrowing Transaction
  ) throws -> [Log] {
    guard let first = blocks.map(\.number).min(), let last = blocks.map(\.number).max() else {
      return []
    }
    let hashes = Set(blocks.map(\.hash))
    let phantoms = try EventStore.logs(
      of: watched, in: first...last, chainID: deployment.chainID, tx: tx
    ).logs.filter { hashes.contains($0.blockHash) }
    try Blocks.orphan(blocks, chainID: deployment.chainID, in: tx)
    return phantoms
  }
}

/// Windows that were read again and whose markets have not been derived since.
struct Underived {
  struct Part {
    let read: Window
    let versions: Set<Int32>
    let attempts: Int
  }

  private(set) var windows: [Part] = []
  /// Nil: every market.
  private(set) var markets: Set<Bytes32>? = []

  mutating func add(_ window: Part, _ concerned: Set<Bytes32>?) {
    // What becomes of it is all that is needed, and the logs may be many.
    var read = window.read
    (read.logs, read.headers) = ([], [])
    windows.append(Part(read: read, versions: window.versions, attempts: window.attempts))
    guard let concerned else { return markets = nil }
    markets?.formUnion(concerned)
  }
}
