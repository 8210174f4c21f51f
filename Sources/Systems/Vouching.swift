import Ethereum

/// Rows that the contract is asked about at the end of a run, because the run may have changed
/// them: few, whatever the number of positions.
public struct VouchScope: Sendable {
  /// Markets that were touched, the latest first.
  public private(set) var markets: [Bytes32] = []
  /// Positions that were touched, the latest first.
  public private(set) var positions: [AuditSubject] = []
  /// Markets to add, drawn by the seed: a market whose events are all withheld is touched by none.
  public var drawnMarkets = 16
  /// Positions to add, drawn by the seed in the markets that are asked about.
  public var drawnPositions = 32
  /// Markets whose positions are added up as well, because something of them differs already.
  public var summed: Set<Bytes32> = []
  /// The same seed draws the same rows from the same tables.
  public var seed: Bytes32

  /// Markets, and positions, that one run asks about at most, beside those that are drawn.
  public static let touchedMax = 200

  private var marketsSeen: Set<Bytes32> = []
  private var positionsSeen: Set<AuditSubject> = []

  public init(seed: Bytes32) { self.seed = seed }

  /// Adds a market, if there is room.
  public mutating func add(market: Bytes32) {
    guard markets.count < Self.touchedMax, marketsSeen.insert(market).inserted else { return }
    markets.append(market)
  }

  /// Adds a position and its market, if there is room.
  public mutating func add(position: AuditSubject) {
    if let market = position.market { add(market: market) }
    guard positions.count < Self.touchedMax, positionsSeen.insert(position).inserted else { return }
    positions.append(position)
  }

  /// Whether the subject belongs to what was touched; what belongs to no single market does.
  public func touches(_ subject: AuditSubject) -> Bool {
    subject.market.map(marketsSeen.contains) ?? true
  }
}
