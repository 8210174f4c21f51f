import Chain
import Ethereum
import Postgres
import Store
import Systems

/// How a deployment begins: with its contract, or in mid-chain with the state of one block.
extension Follower {
  /// Calls that are made before their answers are taken in.
  static var baseCallsMax: Int { 10_000 }

  /// Refuses to begin where the contract exists already, as far as a node can tell; asks only
  /// before anything was read.
  ///
  /// Most nodes have no state as old as the first block: then the first event of a market that was
  /// never created tells (`checkBeginning(_:in:)`).
  ///
  /// - Throws: `IngestError.beginsInMidChain`.
  public mutating func checkBeginning() throws {
    guard cursor.block == nil, begin > 0 else { return }
    switch try chain.hasCode(at: deployment.address, block: begin - 1) {
    case true?:
      throw IngestError.beginsInMidChain(
        block: begin, evidence: "it has code at block \(begin - 1)")
    case false?: isBeginningProved = true
    case nil: break
    }
  }

  /// Refuses events of a market that was never created, before any market was: whoever begins with
  /// the contract sees a market created first.
  func checkBeginning(_ report: ApplyReport, in tx: borrowing Transaction) throws {
    guard let market = report.neverCreated.sorted().first, !isBeginningProved else { return }
    if try cursor.block != nil && system.hasMarkets(of: deployment, in: tx) { return }
    throw IngestError.beginsInMidChain(
      block: begin, evidence: "market \(market) has events and was never created")
  }

  // MARK: In mid-chain

  /// Begins with the state of every listed position at a block, which the contracts are asked for
  /// at the block's hash, and goes on from there. Nothing is ever asked for of earlier blocks.
  ///
  /// All is read before anything is written, and written in one transaction. `progress` is told how
  /// many calls were answered.
  ///
  /// - Throws: `IngestError.cannotBegin` if the deployment has begun, or the block is before its
  ///   first one or may still be taken back; `BootstrapError` if the list is not complete or the
  ///   contracts contradict it; `ChainError.unknownBlock` if no node has the block's state.
  public mutating func bootstrap(
    at number: UInt64, with list: PositionList, head: UInt64, multicall: Address,
    commit: Bool = true, progress: (Int) -> Void = { _ in }
  ) throws -> BaseSummary {
    try checkBlock(number, head: head)
    guard let header = try chain.header(number: number) else {
      throw IngestError.cannotBegin(at: number, reason: "the node does not have the block")
    }
    var base = system.base(of: list, of: deployment)
    var answered = 0
    while true {
      let calls = system.questions(for: base, atMost: Self.baseCallsMax)
      if calls.isEmpty { break }
      try system.take(chain.call(calls, at: header.hash, multicall: multicall), into: &base)
      answered += calls.count
      progress(answered)
    }
    let summary = try system.check(base)
    try keep(base, at: header, commit: commit)
    return summary
  }

  private func checkBlock(_ number: UInt64, head: UInt64) throws {
    func refuse(_ reason: String) -> IngestError { .cannotBegin(at: number, reason: reason) }
    if let block = cursor.block {
      let start = bootstrapBlock.map { " with the state of block \($0)" } ?? ""
      throw refuse("the deployment has begun\(start), and is at block \(block)")
    }
    guard number >= deployment.firstBlock else {
      throw refuse("before block \(deployment.firstBlock) (first_block) there is nothing to read")
    }
    let last = limits.finality(of: head)
    guard number <= last else {
      throw refuse(
        "blocks above \(last) may still be taken back (reorg_limit \(limits.reorg), head \(head))")
    }
  }

  private mutating func keep(_ base: System.Base, at header: BlockHeader, commit: Bool) throws {
    var filters = filters
    cursor = try write(commit: commit) { tx in
      if let block = try Blocks.contradicted(by: [header], chainID: deployment.chainID, in: tx) {
        throw IngestError.contradiction(block: block)
      }
      try Blocks.append([header], chainID: deployment.chainID, in: tx)
      try Deployments.bootstrap(deployment.id, at: header.number, in: tx)
      try system.store(base, of: deployment, at: BlockMark(header), in: tx)
      filters = try Ledger.watch(
        system.watched(of: deployment, in: tx), of: deployment.id, in: tx)
      try Ledger.begin(at: header.number + 1, of: deployment.id, in: tx)
      return try cursor.move(
        Self.job, of: deployment.id, to: header.number, hash: header.hash, in: tx)
    }
    guard commit else { return }
    bootstrapBlock = header.number
    self.filters = filters
    unlisted.subtract(filters.keys)
  }
}
