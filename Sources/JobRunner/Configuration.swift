import Ethereum
import Systems

/// Everything that is set before a run: where the database is, which chains and deployments there
/// are. Options of a job are not here; they belong to the job.
public struct Configuration: Sendable {
  /// The file that was read; nil when there was none.
  public let file: String?
  /// Nil when nothing says where the database is; a job then ends with 78.
  public let database: DatabaseSetting?
  /// Where a standby is that may be read instead; nil: none.
  public let readURL: DatabaseSetting?
  /// Blocks that the standby may be behind the primary's mirror for a verdict to wait for it; nil:
  /// the `max_mirror_lag` of each chain.
  public let maxReplicaLag: UInt64?
  /// Where `"private"` keeps its cluster, an absolute path or one relative to the process.
  public let privateDirectory: String
  public let chains: [ChainConfiguration]
  public let deployments: [DeploymentConfiguration]
  /// What somebody is told of, and how.
  public let alerts: AlertSettings
  public let logFormat: LogFormat?
  public let logLevel: LogLevel?
  /// Every setting with its value as it may be shown and where it comes from.
  public let settings: [Setting]

  /// One line of `config show`.
  public struct Setting: Equatable, Sendable {
    public let field: String
    /// Never a secret: URLs are shown as where they come from.
    public let value: String
    /// `flag …`, `environment …`, `file:line` or `default`.
    public let source: String
  }

  /// The chain a deployment is on. Loading has checked that it exists.
  public func chain(of deployment: DeploymentConfiguration) -> ChainConfiguration {
    guard let chain = chains.first(where: { $0.name == deployment.chain }) else {
      preconditionFailure("a loaded deployment names a chain of the same configuration")
    }
    return chain
  }
}

/// One chain and the nodes that are asked about it.
public struct ChainConfiguration: Equatable, Sendable {
  public let name: String
  public let chainID: UInt64
  /// In the order in which they are tried; at least one.
  public let endpoints: [EndpointConfiguration]
  public let blockTimeMilliseconds: UInt64
  /// A reorg deeper than this many blocks stops the run.
  public let reorgLimit: UInt64
  /// How many blocks the mirror may be behind the head for a scan to judge it.
  public let maxMirrorLag: UInt64
  /// Blocks in one window, and so in one transaction.
  public let windowBlocks: UInt64
  /// The Multicall3 contract.
  public let multicall: Address
  public let maxResponseBytes: Int
  public let requestTimeoutMilliseconds: UInt64
  /// How many endpoints must give the same logs of a window.
  public let agreeLogs: Int
  /// How many endpoints must give the same answer to a call.
  public let agreePrices: Int
  /// How many blocks behind the best head an endpoint is used last.
  public let maxHeadLag: UInt64
  /// How old the newest block may be by the wall clock; nil when any age will do.
  public let maxHeadAgeSeconds: UInt64?
  /// How prices are judged.
  public var prices = PriceConfiguration()

  /// The block time in whole seconds, rounded up: a timestamp never lies nearer than that.
  public var blockTimeSeconds: UInt64 { (blockTimeMilliseconds + 999) / 1_000 }
}

/// A node, known by its name; its URL is a secret.
public struct EndpointConfiguration: Equatable, Sendable {
  public let name: String
  public let url: SecretSource
}

/// Who writes table `event`.
public enum EventSource: String, Sendable, CaseIterable, CustomStringConvertible {
  /// This program, from a node's logs.
  case node
  /// Another indexer; a node is asked for no logs.
  case foreign

  public var description: String { rawValue }
}

/// One contract of a system on one chain.
public struct DeploymentConfiguration: Equatable, Sendable {
  public let name: String
  /// The name of its chain in the configuration.
  public let chain: String
  /// The name of its system, such as `moolah`.
  public let system: String
  public let address: Address
  /// The first block that can hold an event of the contract.
  public let firstBlock: UInt64
  /// Who writes the events.
  public let events: EventSource
  /// The markets that are judged.
  public let markets: MarketFilter
  /// How its chain's prices are judged.
  public var prices = PriceSettings()
  /// What holds candidates back.
  public var controls = ControlSettings()
  /// How candidates may be liquidated.
  public var plans = PlanSettings()
}
