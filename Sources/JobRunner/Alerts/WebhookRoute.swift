import HTTP
import Store

/// A URL that takes signed JSON (`docs/alerts.md` has its shape).
struct WebhookRoute: Route {
  let settings: RouteSettings
  private let url: EndpointURL
  private let key: SigningKey
  private let chains: [String: ChainConfiguration]

  static let schemaVersion: Int64 = 1

  private static let answerBytesMax = 1 << 16

  init(
    _ settings: RouteSettings, url: EndpointURL, key: SigningKey,
    chains: [String: ChainConfiguration]
  ) {
    self.settings = settings
    self.url = url
    self.key = key
    self.chains = chains
  }

  var paceKey: String { "webhook \(settings.name)" }

  var pace: Duration { .zero }

  func request(for message: OutboxMessage, at now: UInt64) throws(Failure) -> HTTPRequest {
    let body = Array(payload(of: message).compact.utf8)
    guard let headers = key.headers(id: message.dedupKey, timestamp: now, body: body) else {
      throw Failure(
        .configuration, "route \(settings.name): messages cannot be signed (libcrypto)")
    }
    return HTTPRequest(
      url: url, body: body, headers: headers, maxResponseBytes: Self.answerBytesMax)
  }

  func payload(of message: OutboxMessage) -> JSONValue {
    let chain = message.deployment.flatMap { chains[$0] }
    let names = chains.mapValues(\.name)
    return .object([
      .init("schema_version", .integer(Self.schemaVersion)),
      .init("id", .string(message.dedupKey)),
      .init("event", .string(message.event.rawValue)),
      .init("kind", .string(message.kind)),
      .init("severity", .string(message.severity.rawValue)),
      .init("deployment", message.deployment.map { .string($0) } ?? .null),
      .init("chain", chain.map { .string($0.name) } ?? .null),
      .init("chain_id", chain.map { .string(String($0.chainID)) } ?? .null),
      .init("subject", .string(message.subject)),
      .init("timestamp", .string(UTCTime.format(message.timestamp))),
      .init(
        "facts",
        .object(
          message.facts.sorted { $0.key < $1.key }.map { .init($0.key, .string($0.value)) })),
      .init("text", .string(AlertText(message, in: .en, chains: names).text)),
    ])
  }

  func meaning(of response: HTTPResponse) -> RouteAnswer {
    if (200..<300).contains(response.status) { return .delivered(id: nil) }
    let asked = response.retryAfter.map { UInt64($0.wholeMilliseconds + 999) / 1_000 }
    return RouteAnswer(status: response.status, detail: "", retryAfter: asked)
  }

  func redact(_ text: String) -> String { url.redacting(text) }
}
