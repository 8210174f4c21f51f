import Chain
import Postgres
import Store
import Systems

/// One deployment of a run: what is configured, the system that knows it, and its chain.
public struct DeploymentContext {
  public let configuration: DeploymentConfiguration
  public let chainSettings: ChainConfiguration
  public let system: any OnChainSystem
  private let isDryRun: Bool
  /// As the run found it in the database, nil when it is not there.
  private let stored: StoredDeployment?
  /// What became of the attempt to be the writer, if the run has made it already.
  let taking: Writer.Taking?
  private let openChain: () throws -> Chain
  private let askOutside: (Set<String>) throws -> [String: Result<SecondPrice, SecondProblem>]

  public init(
    configuration: DeploymentConfiguration, chainSettings: ChainConfiguration,
    system: any OnChainSystem, isDryRun: Bool = false, stored: StoredDeployment? = nil,
    taking: Writer.Taking? = nil, openChain: @escaping () throws -> Chain,
    askOutside: @escaping (Set<String>) throws -> [String: Result<SecondPrice, SecondProblem>] = {
      _ in [:]
    }
  ) {
    self.configuration = configuration
    self.chainSettings = chainSettings
    self.system = system
    self.isDryRun = isDryRun
    self.stored = stored
    self.taking = taking
    self.openChain = openChain
    self.askOutside = askOutside
  }

  public var name: String { configuration.name }

  /// The chain, with the URLs of its endpoints read at the first call.
  ///
  /// Deployments on one chain share it. Nothing is sent before the job asks for something.
  public var chain: Chain {
    get throws { try openChain() }
  }

  /// What the named price sources outside the chain say now, one result for each.
  ///
  /// Goes over the network: never inside a transaction. Throws `ConfigError` when a URL is missing.
  public func outsidePrices(
    _ names: Set<String>
  ) throws -> [String: Result<SecondPrice, SecondProblem>] {
    names.isEmpty ? [:] : try askOutside(names)
  }

  /// The markets of this deployment that are judged.
  public var markets: MarketFilter { configuration.markets }

  /// The deployment as the database knows it; a first run adds it.
  ///
  /// A dry run adds nothing, so it needs a run before it. Throws `DeploymentError` when the
  /// database knows the name or the contract with other values.
  public func registered(on database: Connection) throws -> Deployment {
    if isDryRun {
      if let found = try found(on: database) { return found }
      throw Failure(
        .configuration, "\(name): not in the database yet; a run without --dry-run adds it")
    }
    if let stored, configuration.isStored(as: stored, chainID: chainSettings.chainID) {
      return deployment(stored.id)
    }
    return deployment(try register(on: database))
  }

  /// The deployment as the database knows it, nil before its first run.
  public func found(on database: Connection) throws -> Deployment? {
    if let stored { return deployment(stored.id) }
    return try database.transaction(.readOnly) { tx in
      try Deployments.find(name: name, in: tx)
    }.map(deployment)
  }

  private func deployment(_ id: Int32) -> Deployment {
    Deployment(
      id: id, name: name, chainID: chainSettings.chainID, address: configuration.address,
      firstBlock: configuration.firstBlock)
  }

  private func register(on database: Connection) throws -> Int32 {
    try database.transaction { tx in
      try Deployments.register(
        name: name, chainID: chainSettings.chainID, system: configuration.system,
        address: configuration.address, firstBlock: configuration.firstBlock, in: tx)
    }
  }
}

extension DeploymentConfiguration {
  /// Whether the database knows it by this name, with the same values.
  func isStored(as stored: StoredDeployment, chainID: UInt64) -> Bool {
    stored.name == name && stored.chainID == chainID && stored.system == system
      && stored.address == address && stored.firstBlock == firstBlock
  }
}
