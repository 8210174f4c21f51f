import Ethereum
import Quantities
import Systems

/// Moolah (Lista Lending) and its origin Morpho Blue: isolated markets of one collateral and one
/// loan token, debt kept in shares.
public struct Moolah: OnChainSystem {
  public let dialect: Dialect
  /// What the prices of its chain must keep.
  public let prices: PriceSettings

  public init(_ dialect: Dialect, prices: PriceSettings = PriceSettings()) {
    self.dialect = dialect
    self.prices = prices
  }

  public var name: String { dialect.rawValue }

  public func addresses(revealedBy logs: [Log], of deployment: Deployment) -> Set<Address> {
    var revealed: Set<Address> = []
    // Only the core contract creates markets and names brokers, whoever else prints the event.
    for log in logs where log.address == deployment.address {
      // A log that cannot be decoded is answered for when it is applied.
      switch EventSignature(of: log) {
      case .createMarket:
        guard case .createMarket(_, let parameters)? = try? MoolahEvent(log) else { continue }
        if parameters.irm != .zero { revealed.insert(parameters.irm) }
      case .setMarketBroker:
        guard case .setMarketBroker(_, let broker?)? = try? MoolahEvent(log) else { continue }
        if broker != .zero { revealed.insert(broker) }
      default: continue
      }
    }
    return revealed
  }

  public func markets(concernedBy logs: [Log]) -> Set<Bytes32>? {
    var markets: Set<Bytes32> = []
    for log in logs {
      guard EventSignature(of: log) != nil else { continue }
      guard let event = try? MoolahEvent(log) else {
        if let market = log.topics.dropFirst().first { markets.insert(market) }
        continue
      }
      guard let market = event.market else { return nil }
      markets.insert(market)
    }
    return markets
  }

  public func blankMirror(following markets: Set<Bytes32>?, keepsHistory: Bool) -> MoolahMirror {
    var mirror = MoolahMirror(following: markets)
    mirror.keepsHistory = keepsHistory
    return mirror
  }

  public func apply(
    _ logs: [Log], of deployment: Deployment, times: BlockTimes, finality: UInt64,
    to mirror: inout MoolahMirror
  ) throws -> ApplyReport {
    var report = ApplyReport()
    // Logs come block by block.
    var block: (number: UInt64, timestamp: UInt64)?
    for log in logs {
      if block?.number != log.blockNumber {
        block = times[log.blockNumber].map { (log.blockNumber, $0) }
      }
      guard let block else { preconditionFailure("a log came without the time of its block") }
      try mirror.apply(
        log, timestamp: block.timestamp, finality: finality, core: deployment.address,
        dialect: dialect,
        to: &report)
    }
    return report
  }
}

/// Where the two sisters differ.
public enum Dialect: String, Sendable, CaseIterable {
  /// Prices per token in USD (`peek`), whitelists, brokers, pause.
  case moolah
  /// One price per pair (`price`), nobody to pause it.
  case morphoBlue = "morpho-blue"

  /// The fee of a new market, if no event tells it: Morpho Blue starts at 0; Moolah's first
  /// implementation had a constant that a later one replaced without an event.
  var initialFee: Wad? {
    switch self {
    case .moolah: nil
    case .morphoBlue: Wad(raw: .zero)
    }
  }
}
