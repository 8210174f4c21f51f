import HTTP
import Store
import Testing

@testable import JobRunner

/// Who is told of what, and what receivers' answers mean.
@Suite struct RouteTests {
  static let token = "123456:ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef"

  static func settings(
    kinds: Set<AlertKind>? = nil, minSeverity: AlertSeverity = .info,
    deployments: Set<String> = [], isMuted: Bool = false, mutedKinds: Set<AlertKind> = [],
    mutedSubjects: Set<String> = []
  ) -> RouteSettings {
    let telegram = TelegramSettings(
      chat: "42", tokenFile: "t", baseURL: "https://api.example", language: .en,
      paceMilliseconds: 0)
    return RouteSettings(
      name: "ops", target: .telegram(telegram), kinds: kinds, minSeverity: minSeverity,
      deployments: deployments, isMuted: isMuted, mutedKinds: mutedKinds,
      mutedSubjects: mutedSubjects)
  }

  private func route() throws -> TelegramRoute {
    let settings = Self.settings()
    guard case .telegram(let telegram) = settings.target else { throw Failure(.internalError, "") }
    return try TelegramRoute(settings, telegram, token: Self.token, chains: [:])
  }

  // MARK: Who wants what

  private func message(
    _ kind: String = "liquidatable", subject: String = "0xAA/0xBB",
    severity: AlertSeverity = .critical, deployment: String? = "lista-bsc"
  ) -> OutboxMessage {
    OutboxMessage(
      id: 1, dedupKey: "k", event: .fired, deployment: deployment, kind: kind, subject: subject,
      severity: severity, timestamp: 0, facts: [:])
  }

  @Test func aRouteIsToldOfWhatItWants() {
    #expect(Self.settings().wants(message()))
    #expect(Self.settings(kinds: [.liquidatable]).wants(message()))
    #expect(!Self.settings(kinds: [.liquidation]).wants(message()))
    #expect(Self.settings(minSeverity: .critical).wants(message()))
    #expect(!Self.settings(minSeverity: .critical).wants(message(severity: .warning)))
    #expect(!Self.settings(deployments: ["other"]).wants(message()))
    #expect(Self.settings(deployments: ["other"]).wants(message(deployment: nil)))
  }

  @Test func aMuteIsHonoured() {
    #expect(!Self.settings(isMuted: true).wants(message()))
    #expect(!Self.settings(mutedKinds: [.liquidatable]).wants(message()))
    for muted in ["0xaa", "0xbb", "0xaa/0xbb"] {
      #expect(!Self.settings(mutedSubjects: [muted]).wants(message()), "\(muted)")
    }
    #expect(Self.settings(mutedSubjects: ["0xa"]).wants(message()))
  }

  @Test func aKindOfANewerProgramGoesToWhoeverWantsAll() {
    #expect(Self.settings().wants(message("eclipse")))
    #expect(!Self.settings(kinds: [.liquidatable]).wants(message("eclipse")))
  }

  // MARK: Answers

  private func outcome(
    _ result: Result<HTTPResponse, TransportError>, attempts: Int = 0
  ) throws -> DeliveryOutcome {
    try route().outcome(of: result, attempts: attempts, at: 1_000, limits: CourierLimits())
  }

  private func answer(
    _ status: Int, _ body: String = "", retryAfter: Duration? = nil
  ) -> Result<HTTPResponse, TransportError> {
    .success(HTTPResponse(status: status, retryAfter: retryAfter, body: Array(body.utf8)))
  }

  @Test func aMessageThatWasTakenHasANumber() throws {
    let taken = answer(200, #"{"ok":true,"result":{"message_id":77,"chat":{"id":1}}}"#)
    #expect(try outcome(taken) == .delivered(id: "77"))
  }

  @Test(arguments: ["", "<html>", #"{"ok":false}"#, "[]", #"{"result":{}}"#])
  func aSuccessWithoutOKIsNone(body: String) throws {
    guard case .postponed = try outcome(answer(200, body)) else {
      Issue.record("taken for delivered: \(body)")
      return
    }
  }

  @Test func theLongerOfTwoWaitsThatAreAskedForCounts() throws {
    let body = #"{"ok":false,"error_code":429,"parameters":{"retry_after":37}}"#
    for (header, until) in [(nil, 1_037), (5, 1_037), (60, 1_060)] as [(Int?, UInt64)] {
      let result = answer(429, body, retryAfter: header.map { .seconds($0) })
      guard case .postponed(let second, _) = try outcome(result) else {
        Issue.record("not postponed")
        return
      }
      #expect(second == until)
    }
  }

  @Test func nobodyIsWaitedForLongerThanAnHour() throws {
    guard case .postponed(let second, _) = try outcome(answer(503, retryAfter: .seconds(999_999)))
    else {
      Issue.record("not postponed")
      return
    }
    #expect(second == 1_000 + 3_600)
  }

  @Test func withoutAWishTheWaitsGrowUpToALimit() throws {
    var waits: [UInt64] = []
    for attempts in 0..<9 {
      if case .postponed(let second, _) = try outcome(.failure(.timeout), attempts: attempts) {
        waits.append(second - 1_000)
      }
    }
    #expect(waits == [5, 10, 20, 40, 80, 160, 300, 300, 300])
  }

  @Test(arguments: [400, 410, 413, 422])
  func whatIsRefusedIsGivenUp(status: Int) throws {
    #expect(try outcome(answer(status)) == .dead(error: "HTTP \(status)"))
  }

  @Test(arguments: [
    "Bad Request: chat not found",
    "Bad Request: group chat was upgraded to a supergroup chat",
    "Bad Request: not enough rights to send text messages to the chat",
  ])
  func aChatThatTakesNothingLosesNothing(description: String) throws {
    let body = #"{"ok":false,"error_code":400,"description":"\#(description)"}"#
    guard case .postponed = try outcome(answer(400, body)) else {
      Issue.record("\(description): given up")
      return
    }
  }

  @Test(arguments: [301, 401, 403, 404, 408, 409, 429, 500, 502, 503, 504])
  func whatMayPassIsTriedAgain(status: Int) throws {
    guard case .postponed = try outcome(answer(status)) else {
      Issue.record("\(status) is not tried again")
      return
    }
  }

  @Test func afterManyAttemptsAMessageIsGivenUp() throws {
    guard case .dead(let error) = try outcome(.failure(.timeout), attempts: 99) else {
      Issue.record("tried for ever")
      return
    }
    #expect(error == "given up after 100 attempts: no answer in time")
  }

  @Test func aRunThatStopsHasNotTried() throws {
    #expect(try outcome(.failure(.stopped), attempts: 99) == .untried(until: 1_000))
    #expect(try outcome(.failure(.deadlineReached)) == .untried(until: 1_000))
  }

  @Test func anErrorShowsNeitherTheTokenNorHiddenSigns() throws {
    let body = #"{"ok":false,"description":"at /bot\#(Self.token)/sendMessage \u202e"}"#
    guard case .dead(let error) = try outcome(answer(400, body)) else {
      Issue.record("not given up")
      return
    }
    #expect(!error.contains("ABCDEF"))
    #expect(error.contains(#"\u{202E}"#))
  }

  @Test func aMessageHasNoPreviewsAndNoParseMode() throws {
    let request = try route().request(for: AlertTextTests.message(), at: 0)
    let body = String(decoding: request.body, as: UTF8.self)
    #expect(body.contains(#""link_preview_options":{"is_disabled":true}"#))
    #expect(!body.contains("parse_mode"))
    #expect(body.contains(#""chat_id":"42""#))
    #expect("\(request)".contains("ABCDEF") == false)
  }

  @Test(arguments: [
    ("123456:ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef", true), ("123456", false), ("", false),
    ("12:short", false), ("x:ABCDEFGHIJKLMNOPQRSTUVWXYZ", false),
    ("1:ABCDEFGHIJKLMNOPQRST/../x", false), ("1:2:ABCDEFGHIJKLMNOPQRSTUVWXYZ", false),
  ])
  func knowsATokenByItsShape(text: String, isToken: Bool) {
    #expect(TelegramRoute.isToken(text) == isToken)
  }

  @Test func aWebhookSaysItsShape() throws {
    let key = try #require(SigningKey("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
    let route = WebhookRoute(
      Self.settings(), url: try EndpointURL("https://hook.example/x"), key: key, chains: [:])
    let request = try route.request(for: AlertTextTests.message(), at: 9)
    let body = String(decoding: request.body, as: UTF8.self)
    #expect(body.hasPrefix(#"{"schema_version":1,"id":"alert-3-fired","event":"fired","kind":"#))
    #expect(body.contains(#""debt":"120000000000000000000000""#))
    #expect(request.headers.contains("webhook-timestamp: 9"))
    #expect(route.meaning(of: HTTPResponse(status: 204, body: [])) == .delivered(id: nil))
  }
}

/// The settings of alerts in a configuration file.
@Suite struct AlertSettingsTests {
  private func load(_ alerts: String) throws -> AlertSettings {
    let directory = try ScratchDirectory()
    let file = try directory.write(
      "plimsoll.json", "{ \(Program.deployments) \"alerts\": \(alerts) }")
    return try Configuration.load(
      flags: .init(config: file), environment: [:], systems: ["moolah", "morpho-blue"]
    ).alerts
  }

  @Test func withoutAlertsNothingIsTold() throws {
    let directory = try ScratchDirectory()
    let file = try directory.write("plimsoll.json", "{ \(Program.deployments) }")
    let settings = try Configuration.load(
      flags: .init(config: file), environment: [:], systems: ["moolah", "morpho-blue"]
    ).alerts
    #expect(!settings.isEnabled)
    #expect(settings.toldBlocks(blockTimeMilliseconds: 450) == 0)
  }

  @Test func takesRoutesOfBothTypes() throws {
    let settings = try load(
      """
      {
        "near_bps": 500, "top": 5, "success_within_seconds": { "consume-events": 600 },
        "routes": {
          "ops": { "type": "telegram", "chat_id": "-1001", "token_file": "t", "language": "zh",
            "kinds": ["liquidatable"], "mute": ["0xAB"], "min_severity": "warning" },
          "hook": { "type": "webhook", "url_env": "HOOK", "secret_file": "/s", "muted": true,
            "deployments": ["lista-bsc"] },
        },
      }
      """)
    #expect(settings.isEnabled && settings.top == 5 && settings.nearBasisPoints == 500)
    #expect(settings.toldBlocks(blockTimeMilliseconds: 450) == 8_000)
    #expect(settings.successWithin == [.init(job: "consume-events", seconds: 600)])
    #expect(settings.routes.map(\.name) == ["ops", "hook"])
    #expect(settings.routes[0].mutedSubjects == ["0xab"])
    guard case .telegram(let telegram) = settings.routes[0].target else {
      Issue.record("no bot")
      return
    }
    // A group takes twenty messages a minute, a person one a second.
    #expect(telegram.paceMilliseconds > 3_000 && telegram.language == .zh)
    #expect(telegram.tokenFile.hasSuffix("/t") && telegram.tokenFile.hasPrefix("/"))
    #expect(settings.routes[1].isMuted)
  }

  @Test(arguments: [
    (#"{ "routes": { "a": { "type": "pager" } } }"#, "must be telegram or webhook"),
    (
      #"{ "routes": { "a": { "type": "telegram", "chat_id": "4 2", "token_file": "t" } } }"#,
      "chat_id"
    ),
    (
      #"{ "routes": { "a": { "type": "telegram", "chat_id": "1", "token": "1:2" } } }"#,
      "token_file"
    ),
    (#"{ "routes": { "A b": {} } }"#, "the name of a route"),
    (
      #"""
      { "routes": { "a": { "type": "webhook", "url": "http://u:p@h/", "secret_file": "s" } } }
      """#, "carries a user name"
    ),
    (#"{ "near_bsp": 1 }"#, "near_bps"), (#"{ "top": 0 }"#, "from 1 to 1000"),
    (
      #"""
      { "routes": { "a": { "type": "telegram", "chat_id": "1", "token_file": "t",
        "kinds": ["liquidable"] } } }
      """#, "kinds[0]"
    ),
  ])
  func refusesWhatMeansNothing(alerts: String, says: String) {
    #expect {
      _ = try load(alerts)
    } throws: { error in
      "\(error)".contains(says)
    }
  }
}
