import HTTP
import Store

/// What a job may do about alerts: the rules for finding, and the way to the receivers.
public struct Alerting {
  public let settings: AlertSettings
  /// The name of the chain of each deployment.
  public let chains: [String: String]
  private let open: () throws -> Courier

  public init(
    settings: AlertSettings = AlertSettings(), chains: [String: String] = [:],
    open: @escaping () throws -> Courier = {
      throw Failure(.configuration, "alerts: no routes are configured")
    }
  ) {
    self.settings = settings
    self.chains = chains
    self.open = open
  }

  /// The way to the routes: reads their tokens and keys, and sends nothing yet. A route that cannot
  /// be opened keeps no other from being told.
  public func courier() throws -> Courier { try open() }
}

/// Makes the routes of a configuration.
struct RouteOpener {
  let configuration: Configuration
  let environment: [String: String]
  let redactor: Redactor

  func open(
    transport: any Transport, deadline: Deadline, isStopping: @escaping () -> Bool
  ) -> Courier {
    var routes: [any Route] = []
    var unopened: [(settings: RouteSettings, failure: Failure)] = []
    for settings in configuration.alerts.routes {
      do {
        routes.append(try route(settings))
      } catch {
        unopened.append((settings, Failure(error, explain: { _ in nil })))
      }
    }
    return Courier(
      routes: routes, unopened: unopened, transport: transport, deadline: deadline,
      isStopping: isStopping)
  }

  private var chains: [String: ChainConfiguration] {
    Dictionary(
      configuration.deployments.map { ($0.name, configuration.chain(of: $0)) },
      uniquingKeysWith: { first, _ in first })
  }

  private func route(_ settings: RouteSettings) throws -> any Route {
    let field = "alerts.routes.\(settings.name)"
    switch settings.target {
    case .telegram(let telegram):
      let token = try PrivateFile.read(
        telegram.tokenFile, place: configuration.place, field: "\(field).token_file")
      redactor.register(token)
      guard TelegramRoute.isToken(token) else {
        throw ConfigError(
          configuration.place, field: "\(field).token_file",
          remedy: "\(telegram.tokenFile): must hold a bot's token, as 123456:ABC…")
      }
      do {
        return try TelegramRoute(
          settings, telegram, token: token, chains: chains.mapValues(\.name))
      } catch {
        throw ConfigError(
          configuration.place, field: "\(field).base_url", remedy: "the URL \(error)")
      }
    case .webhook(let webhook):
      let text =
        if case .file(let path) = webhook.url {
          try PrivateFile.read(path, place: configuration.place, field: "\(field).url_file")
        } else {
          try webhook.url.read(
            environment: environment, place: configuration.place, field: field)
        }
      redactor.register(url: text)
      let secret = try PrivateFile.read(
        webhook.secretFile, place: configuration.place, field: "\(field).secret_file")
      redactor.register(secret)
      guard let key = SigningKey(secret) else {
        throw ConfigError(
          configuration.place, field: "\(field).secret_file",
          remedy: "\(webhook.secretFile): must hold whsec_ and 24 to 64 bytes in Base64")
      }
      do {
        return WebhookRoute(settings, url: try EndpointURL(text), key: key, chains: chains)
      } catch {
        throw ConfigError(configuration.place, field: field, remedy: "the URL \(error)")
      }
    }
  }
}
