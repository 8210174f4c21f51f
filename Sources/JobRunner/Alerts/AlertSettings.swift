import HTTP
import Store

/// What somebody is told of, and how.
public struct AlertSettings: Equatable, Sendable {
  /// Whether anything is found and told at all: the configuration has `alerts`.
  public var isEnabled = false
  /// How long a condition has to be known to be gone before it resolves.
  public var resolveAfterSeconds: UInt64 = 600
  /// Events in blocks further below the head than this are not told of.
  public var maxAgeSeconds: UInt64 = 3_600
  /// How near a trigger price is to the price, in parts of 10,000 of the price, to be told of; 0:
  /// none is.
  public var nearBasisPoints: UInt64 = 200
  /// Positions of a deployment that are told of one by one, for each kind; the others are counted.
  public var top = 20
  /// Runs of a job that have to fail in a row.
  public var failedRuns = 3
  /// Jobs that have to succeed every so many seconds.
  public var successWithin: [SuccessWithin] = []
  public var routes: [RouteSettings] = []

  public init() {}

  /// A job and how long it may go without success.
  public struct SuccessWithin: Equatable, Sendable {
    public let job: String
    public let seconds: UInt64
  }

  /// How many blocks below the head events are told of, for a chain.
  public func toldBlocks(blockTimeMilliseconds: UInt64) -> UInt64 {
    isEnabled ? maxAgeSeconds * 1_000 / max(1, blockTimeMilliseconds) : 0
  }
}

/// One receiver of messages.
public struct RouteSettings: Equatable, Sendable {
  public enum Target: Equatable, Sendable {
    case telegram(TelegramSettings)
    case webhook(WebhookSettings)
  }

  public let name: String
  public let target: Target
  /// The kinds that it is told of; nil: all.
  public let kinds: Set<AlertKind>?
  public let minSeverity: AlertSeverity
  /// The deployments that it is told of; empty: all. What concerns the whole installation is told
  /// to every route.
  public let deployments: Set<String>
  /// Told of nothing for now.
  public let isMuted: Bool
  /// Kinds that it does not want.
  public let mutedKinds: Set<AlertKind>
  /// Users, markets and whole subjects that it does not want, lower case.
  public let mutedSubjects: Set<String>

  /// Whether the route is told of a message. What was fired is also resolved: mutes and filters
  /// look at the kind and not at the event.
  public func wants(_ message: OutboxMessage) -> Bool {
    guard !isMuted, message.severity >= minSeverity else { return false }
    if let deployment = message.deployment, !deployments.isEmpty {
      guard deployments.contains(deployment) else { return false }
    }
    // A kind that this program does not know goes to those who want all.
    guard let kind = AlertKind(rawValue: message.kind) else { return kinds == nil }
    guard kinds?.contains(kind) ?? true, !mutedKinds.contains(kind) else { return false }
    let parts = [message.subject] + message.subject.split(separator: "/").map(String.init)
    return !parts.contains { mutedSubjects.contains($0.lowercased()) }
  }
}

/// A chat that a bot writes to.
public struct TelegramSettings: Equatable, Sendable {
  public let chat: String
  /// A file that nobody else may read.
  public let tokenFile: String
  public let baseURL: String
  public let language: AlertLanguage
  /// The least time between two messages to the chat.
  public let paceMilliseconds: UInt64
}

/// A URL that takes signed messages.
public struct WebhookSettings: Equatable, Sendable {
  public let url: SecretSource
  /// A file that nobody else may read.
  public let secretFile: String
}

/// The language of a message for people.
public enum AlertLanguage: String, CaseIterable, Sendable, CustomStringConvertible {
  case en, zh

  public var description: String { rawValue }
}
