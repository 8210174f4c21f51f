import Chain
import HTTP

/// The chains of one run, each made when it is first asked for.
final class ChainPool {
  private var open: [String: Chain] = [:]
  private let environment: [String: String]
  private let place: String
  private let redactor: Redactor
  private let transport: any Transport
  private let stop: StopSignal
  private let deadline: Deadline

  init(
    environment: [String: String], place: String, redactor: Redactor,
    transport: any Transport, stop: StopSignal, deadline: Deadline
  ) {
    self.environment = environment
    self.place = place
    self.redactor = redactor
    self.transport = transport
    self.stop = stop
    self.deadline = deadline
  }

  func chain(_ configuration: ChainConfiguration) throws -> Chain {
    if let chain = open[configuration.name] { return chain }
    let endpoints = try Self.endpoints(
      of: configuration, environment: environment, place: place, redactor: redactor)
    let chain = Chain(
      name: configuration.name, chainID: configuration.chainID, endpoints: endpoints,
      transport: transport, limits: Self.limits(of: configuration), deadline: deadline,
      isStopping: { [stop] in stop.isStopping })
    open[configuration.name] = chain
    return chain
  }

  private static func limits(of configuration: ChainConfiguration) -> ChainLimits {
    var limits = ChainLimits()
    limits.requestTimeout = .milliseconds(Int64(configuration.requestTimeoutMilliseconds))
    limits.maxResponseBytes = configuration.maxResponseBytes
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
