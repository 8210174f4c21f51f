public enum IngestError: Error, Equatable, Sendable, CustomStringConvertible {
  case reorgTooDeep(block: UInt64, limit: UInt64)
  case endlessRevelations(first: UInt64)
  case contradiction(block: UInt64)
  case beginsInMidChain(block: UInt64, evidence: String)
  case cannotBegin(at: UInt64, reason: String)
  case beforeBeginning(block: UInt64, bootstrap: UInt64)
  case leavesGap(first: UInt64, next: UInt64, deployment: String)
  case isForeign(deployment: String)

  /// Whether another configuration or command line would cure it.
  public var isAboutTheBeginning: Bool {
    switch self {
    case .beginsInMidChain: true
    default: false
    }
  }

  /// Whether another command line would cure it.
  public var isAboutTheCommand: Bool {
    switch self {
    case .cannotBegin, .beforeBeginning, .leavesGap, .isForeign: true
    default: false
    }
  }

  public var description: String {
    switch self {
    case .reorgTooDeep(let block, let limit):
      "the chain no longer has block \(block), nor any of the \(limit) blocks before it that were "
        + "read (reorg_limit); nothing was taken back. Is the node on another chain? If the chain "
        + "really was reorganised that deep, consume the deployment anew into an empty database"
    case .endlessRevelations(let first):
      "the window from block \(first) reveals new contracts each time it is read"
    case .contradiction(let block):
      "the node has another block \(block) than the one that was consumed; nothing was filled in"
    case .beginsInMidChain(let block, let evidence):
      "first_block \(block) is in the middle of the contract's life: \(evidence); what came before "
        + "would be missing. Lower first_block to the block that created the contract, or begin "
        + "with --bootstrap-at and a list of all positions"
    case .cannotBegin(let block, let reason):
      "--bootstrap-at \(block): \(reason)"
    case .beforeBeginning(let block, let bootstrap):
      "block \(block) is before block \(bootstrap), whose state the deployment began with "
        + "(--bootstrap-at): nothing is known of it"
    case .leavesGap(let first, let next, let deployment):
      "--from-block \(first): blocks \(next)...\(first - 1) of \(deployment) have not been read, "
        + "and events would be missing; leave --from-block out, or start at \(next) or before"
    case .isForeign(let deployment):
      "--from-block: the events of \(deployment) are foreign; have the indexer declare the blocks "
        + "again, and they are read again"
    }
  }
}
