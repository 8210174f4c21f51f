import Ethereum
import Quantities

/// What earlier scans of a deployment have found and what operators have said, as far as it decides
/// what becomes of a candidate.
public struct CandidateMemory: Sendable, Equatable {
  /// What a memory is about.
  public struct Key: Hashable, Sendable {
    public enum Kind: String, Sendable {
      case liquidation
      case preLiquidation = "pre_liquidation"
    }

    public let market: Bytes32
    public let user: Address
    public let kind: Kind

    public init(market: Bytes32, user: Address, kind: Kind) {
      self.market = market
      self.user = user
      self.kind = kind
    }
  }

  /// From the first scan that found a position over its line to the one that did not.
  public struct Episode: Sendable, Equatable {
    /// The row; nil: not stored yet.
    public var id: Int64?
    public var firstSeen: BlockMark
    public var lastSeen: BlockMark
    /// Since when no scan has had an unknown verdict on it; nil: the last one had.
    public var steadySince: UInt64?
    /// Judged blocks that found it over its line since then.
    public var confirmations: Int
    /// The block at which it was named as open last.
    public var opened: BlockMark?
    public var failedAttempts = 0

    public init(beginningAt block: BlockMark) {
      firstSeen = block
      lastSeen = block
      steadySince = block.timestamp
      confirmations = 1
    }
  }

  /// Episodes that have not ended.
  public var episodes: [Key: Episode] = [:]
  /// Rows of episodes that this scan has ended.
  public var ended: [Int64] = []
  /// Rows of episodes that had ended in a block which the chain has left.
  public var reopened: [Int64] = []
  /// What operators have flagged for the Liquidation Zone.
  public var flagged: Set<Key> = []
  public var guards = GuardList()

  public init() {}
}

extension Candidate {
  /// What its memory is kept under; nil: it is not over any line yet.
  public var memoryKey: CandidateMemory.Key? {
    switch certainty {
    case .verified: .init(market: market, user: user, kind: .liquidation)
    case .preLiquidatable: .init(market: market, user: user, kind: .preLiquidation)
    case .actionable: nil
    }
  }
}

// MARK: - Going on

extension CandidateMemory {
  /// Notes what a judgement at `block` has found of the positions of these markets.
  ///
  /// The same block counts once, however often it is judged. What was found healthy has ended; an
  /// unknown verdict ends nothing, but the delay begins anew behind it. A chain that went back to
  /// before an episode began has not seen it begin.
  mutating func note(_ judgement: Judgement, of markets: Set<Bytes32>, at block: BlockMark) {
    var found: Set<Key> = []
    for candidate in judgement.candidates {
      guard let key = candidate.memoryKey else { continue }
      found.insert(key)
      guard var episode = episodes[key], episode.firstSeen.number <= block.number else {
        end(key)
        episodes[key] = Episode(beginningAt: block)
        continue
      }
      episode.note(block)
      episodes[key] = episode
    }
    let judged = Dictionary(
      judgement.markets.map { ($0.market, $0) }, uniquingKeysWith: { first, _ in first })
    for key in episodes.keys where !found.contains(key) && markets.contains(key.market) {
      let isUnknown =
        judged[key.market]?.isUnknown(key.user) ?? false
        || (key.kind == .preLiquidation && judgement.unknownBands.contains(key.market))
      if isUnknown { episodes[key]?.steadySince = nil } else { end(key) }
    }
  }

  private mutating func end(_ key: Key) {
    guard let episode = episodes.removeValue(forKey: key) else { return }
    if let id = episode.id { ended.append(id) }
  }
}

extension CandidateMemory.Episode {
  /// The position is over its line at this block.
  fileprivate mutating func note(_ block: BlockMark) {
    if steadySince == nil {
      steadySince = block.timestamp
      confirmations = 1
    } else if block.number > lastSeen.number {
      confirmations += 1
    }
    lastSeen = block
  }
}
