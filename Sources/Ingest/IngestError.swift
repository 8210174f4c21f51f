public enum IngestError: Error, Equatable, Sendable, CustomStringConvertible {
  case reorgTooDeep(block: UInt64, limit: UInt64)
  case endlessRevelations(first: UInt64)
  case contradiction(block: UInt64)

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
    }
  }
}
