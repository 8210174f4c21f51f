import HTTP
import Store

/// A chat of the Telegram Bot API.
///
/// `sendMessage` with entities and without a parse mode: the text is shown as it is. Source:
/// Telegram Bot API, "sendMessage", "MessageEntity", "Making requests", "ResponseParameters".
struct TelegramRoute: Route {
  let settings: RouteSettings
  private let telegram: TelegramSettings
  private let url: EndpointURL
  private let token: String
  private let chains: [String: String]

  /// The answer to one message is some hundred bytes.
  private static let answerBytesMax = 1 << 16

  init(
    _ settings: RouteSettings, _ telegram: TelegramSettings, token: String,
    chains: [String: String]
  ) throws(EndpointURL.Problem) {
    self.settings = settings
    self.telegram = telegram
    self.token = token
    self.chains = chains
    let base = telegram.baseURL.hasSuffix("/") ? telegram.baseURL.dropLast() : telegram.baseURL[...]
    url = try EndpointURL("\(base)/bot\(token)/sendMessage")
  }

  /// A bot's token: a number, a colon, and letters, digits, `_` and `-`.
  static func isToken(_ text: String) -> Bool {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count == 2, (1...20).contains(parts[0].utf8.count),
      (20...100).contains(parts[1].utf8.count)
    else { return false }
    return parts[0].utf8.allSatisfy { (0x30...0x39).contains($0) }
      && parts[1].utf8.allSatisfy {
        (0x30...0x39).contains($0) || (0x41...0x5a).contains($0) || (0x61...0x7a).contains($0)
          || $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: "-")
      }
  }

  var paceKey: String { "telegram \(telegram.baseURL) \(telegram.chat)" }

  var pace: Duration { .milliseconds(Int64(telegram.paceMilliseconds)) }

  func request(for message: OutboxMessage, at now: UInt64) -> HTTPRequest {
    let text = AlertText(message, in: telegram.language, chains: chains)
    let entities = text.parts.map { part in
      JSONValue.object([
        .init("type", .string(part.style.rawValue)), .init("offset", .integer(Int64(part.offset))),
        .init("length", .integer(Int64(part.length))),
      ])
    }
    let body = JSONValue.object([
      .init("chat_id", .string(telegram.chat)), .init("text", .string(text.text)),
      .init("entities", .array(entities)),
      .init("link_preview_options", .object([.init("is_disabled", .bool(true))])),
      .init("disable_notification", .bool(message.event == .resolved)),
    ])
    return HTTPRequest(
      url: url, body: Array(body.compact.utf8), maxResponseBytes: Self.answerBytesMax)
  }

  func meaning(of response: HTTPResponse) -> RouteAnswer {
    let answer = TelegramAnswer(response.body)
    if (200..<300).contains(response.status) {
      guard answer?.isOK == true else {
        return .failed("HTTP \(response.status) without ok", retryAfter: nil)
      }
      return .delivered(id: answer?.messageID)
    }
    let header = response.retryAfter.map { UInt64($0.wholeMilliseconds + 999) / 1_000 }
    let asked = [header, answer?.retryAfter].compactMap { $0 }.max()
    let detail = answer?.description ?? ""
    if response.status == 400, Self.isAboutTheChat(detail) {
      return .failed("HTTP 400: \(detail)", retryAfter: asked)
    }
    return RouteAnswer(status: response.status, detail: detail, retryAfter: asked)
  }

  /// Whether a refusal would be the same for every message, as where a group has moved or the bot
  /// was put out of it: the messages wait until the chat is set right.
  private static func isAboutTheChat(_ description: String) -> Bool {
    let words = description.lowercased()
    return words.contains("chat") || words.contains("peer_id_invalid")
      || words.contains("not enough rights")
  }

  func redact(_ text: String) -> String { url.redacting(text) }
}

/// The part of the API's answer that is looked at.
private struct TelegramAnswer {
  var isOK = false
  var messageID: String?
  var retryAfter: UInt64?
  var description = ""

  /// Nil for what is no JSON object.
  init?(_ body: [UInt8]) {
    guard let source = try? JSONSource.parse(body), case .object(let members) = source.value else {
      return nil
    }
    for member in members {
      switch (member.name, member.value.value) {
      case ("ok", .bool(let isOK)): self.isOK = isOK
      case ("description", .string(let text)): description = text
      case ("result", .object(let result)):
        messageID = Self.number("message_id", in: result).map { String($0) }
      case ("parameters", .object(let parameters)):
        retryAfter = Self.number("retry_after", in: parameters)
      default: break
      }
    }
  }

  private static func number(
    _ name: String, in members: [(name: String, value: JSONSource)]
  ) -> UInt64? {
    guard case .number(let text)? = members.first(where: { $0.name == name })?.value.value else {
      return nil
    }
    return Arguments.wholeNumber(text)
  }
}
