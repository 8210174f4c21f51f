import HTTP
import Store

/// Where messages go, and what its answers mean.
protocol Route {
  var settings: RouteSettings { get }
  /// Routes with the same name for it share one pace.
  var paceKey: String { get }
  /// The least time between two messages.
  var pace: Duration { get }

  /// The request that sends a message at that second.
  func request(for message: OutboxMessage, at now: UInt64) throws(Failure) -> HTTPRequest

  /// What an HTTP answer means.
  func meaning(of response: HTTPResponse) -> RouteAnswer

  /// Text without any secret of the route.
  func redact(_ text: String) -> String
}

/// What a receiver has said.
enum RouteAnswer: Equatable {
  case delivered(id: String?)
  /// It will never take this message.
  case refused(String)
  /// It may take it later: not before so many seconds, where it says so.
  case failed(String, retryAfter: UInt64?)

  /// Statuses that mean the message itself: sending it again changes nothing.
  static let refusals: Set<Int> = [400, 410, 413, 414, 415, 422]

  init(status: Int, detail: String, retryAfter: UInt64?) {
    let text = detail.isEmpty ? "HTTP \(status)" : "HTTP \(status): \(detail)"
    self = Self.refusals.contains(status) ? .refused(text) : .failed(text, retryAfter: retryAfter)
  }
}

extension Route {
  /// The name in the configuration.
  var name: String { settings.name }

  /// What became of an attempt, after so many that have failed; `now` is when the answer came.
  func outcome(
    of result: Result<HTTPResponse, TransportError>, attempts: Int, at now: UInt64,
    limits: CourierLimits
  ) -> DeliveryOutcome {
    let answer: RouteAnswer
    switch result {
    case .success(let response): answer = meaning(of: response)
    case .failure(.stopped), .failure(.deadlineReached): return .untried(until: now)
    case .failure(let error): answer = .failed(error.description, retryAfter: nil)
    }
    switch answer {
    case .delivered(let id): return .delivered(id: id.map(shown))
    case .refused(let error): return .dead(error: shown(error))
    case .failed(let error, _) where attempts + 1 >= limits.attemptsMax:
      return .dead(error: shown("given up after \(attempts + 1) attempts: \(error)"))
    case .failed(let error, let retryAfter):
      let wait = retryAfter.map { min($0, limits.retryAfterMaxSeconds) }
      return .postponed(
        until: now + (wait ?? limits.backOff(after: attempts + 1)), error: shown(error))
    }
  }

  private func shown(_ text: String) -> String {
    VisibleText.cut(VisibleText.escape(redact(text)), columns: 300)
  }
}

/// What bounds the telling.
struct CourierLimits {
  /// Attempts after which a message is given up.
  var attemptsMax = 100
  /// The first wait; each further one is twice as long.
  var backOffSeconds: UInt64 = 5
  var backOffMaxSeconds: UInt64 = 300
  /// A receiver may ask for a wait up to this.
  var retryAfterMaxSeconds: UInt64 = 3_600
  /// For how long a message that was taken is not given to another run. Longer than any request.
  var leaseSeconds: UInt64 = 120
  /// Messages of one run.
  var messagesMax = 5_000

  /// How long to wait after so many failed attempts.
  func backOff(after attempts: Int) -> UInt64 {
    let doublings = min(max(0, attempts - 1), 16)
    return min(backOffMaxSeconds, backOffSeconds << UInt64(doublings))
  }
}
