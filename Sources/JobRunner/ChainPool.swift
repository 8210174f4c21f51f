import Chain
import HTTP

/// The chains of one run, each made when it is first asked for.
final class ChainPool {
  private var open: [String: (chain: Chain, memory: ChainMemory)] = [:]
  let environment: [String: String]
  let place: String
  let redactor: Redactor
  private let makeTransport: () -> any Transport
  private(set) lazy var transport = makeTransport()
  private let stop: StopSignal
  let deadline: Deadline
  private let recall: (ChainConfiguration) throws -> ChainMemory

  /// A pool; `recall` gives what earlier runs have learnt of a chain and its endpoints.
  init(
    environment: [String: String], place: String, redactor: Redactor,
    transport: @autoclosure @escaping () -> any Transport, stop: StopSignal, deadline: Deadline,
    recall: @escaping (ChainConfiguration) throws -> ChainMemory
  ) {
    self.environment = environment
    self.place = place
    self.redactor = redactor
    self.makeTransport = transport
    self.stop = stop
    self.deadline = deadline
    self.recall = recall
  }

  /// The chains that were asked for so far, by chain id, with what was known of them before.
  var opened: [(chain: Chain, memory: ChainMemory)] {
    open.values.sorted { $0.chain.chainID < $1.chain.chainID }
  }

  func chain(_ configuration: ChainConfiguration) throws -> Chain {
    if let (chain, _) = open[configuration.name] { return chain }
    let memory = try recall(configuration)
    let endpoints = try Self.endpoints(
      of: configuration, environment: environment, place: place, redactor: redactor)
    let chain = Chain(
      name: configuration.name, chainID: configuration.chainID, endpoints: endpoints,
      transport: transport, limits: Self.limits(of: configuration), deadline: deadline,
      memory: memory.endpoints, isStopping: { [stop] in stop.isStopping })
    chain.expect(genesis: memory.genesis)
    open[configuration.name] = (chain, memory)
    return chain
  }

  private static func limits(of configuration: ChainConfiguration) -> ChainLimits {
    var limits = ChainLimits()
    limits.requestTimeout = .milliseconds(Int64(configuration.requestTimeoutMilliseconds))
    limits.maxResponseBytes = configuration.maxResponseBytes
    limits.agreeLogs = configuration.agreeLogs
    limits.agreePrices = configuration.agreePrices
    limits.maxHeadLag = configuration.maxHeadLag
    limits.blockTimeMilliseconds = configuration.blockTimeMilliseconds
    limits.maxHeadAgeSeconds = configuration.maxHeadAgeSeconds
    return limits
  }

  /// Reads every URL of a chain and registers it as a secret.
  static func endpoints(
    of configuration: ChainConfiguration, environment: [String: String], place: String,
    redactor: Redactor
  ) throws(ConfigError) -> [Endpoint] {
    var endpoints: [Endpoint] = []
    for (index, endpoint) in configuration.endpoints.enumerated() {
      let field = "chains.\(configuration.name).endpoints[\(index)]"
      let text = try endpoint.url.read(environment: environment, place: place, field: field)
      redactor.register(url: text)
      do {
        endpoints.append(Endpoint(name: endpoint.name, url: try EndpointURL(text)))
      } catch {
        throw ConfigError(place, field: field, remedy: "the URL \(error)")
      }
    }
    return endpoints
  }
}
