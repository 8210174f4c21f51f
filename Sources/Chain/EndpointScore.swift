/// How well an endpoint does, as one whole number: 0 is faultless, and every fault lowers it.
///
/// It heals: by an eighth with each answer of its own, and by one with each answer that another
/// endpoint gives meanwhile. The same answers give the same score, but for the latency.
struct EndpointScore: Equatable {
  /// How far above the score of the endpoint in use another must be to replace it unasked.
  static let clearlyBetter = 200

  /// What the faults of one endpoint count at most, so that it can heal.
  static let heaviest = 1000

  /// What is held against an endpoint, and how much.
  enum Fault: Int {
    /// No answer, or none that can be used.
    case failure = 100
    /// Answers that contradict each other, or logs that were withheld.
    case contradiction = 300
    /// It asked for fewer requests.
    case rateLimit = 60
    /// It did not know a block that it, or another, had known before.
    case lag = 80
    /// It was much slower than another at the same question.
    case late = 40
  }

  /// The weight of its faults.
  private(set) var penalty = 0

  /// The smoothed time that a small question takes, in milliseconds; nil until one was measured.
  private(set) var latency: Int?

  /// Whether its head is behind those of others.
  var isBehind = false

  /// Whether its head is so far above those of others that it is not believed.
  var isAhead = false

  /// A score without faults, or with those that an earlier run has remembered: half of them, since
  /// time has passed.
  init(remembered score: Int = 0) {
    penalty = min(max(0, score == .min ? .max : -score), Self.heaviest) / 2
  }

  /// The score; never positive.
  var value: Int {
    -(penalty + min((latency ?? 0) / 4, 250) + (isBehind || isAhead ? Self.heaviest : 0))
  }

  /// Lowers the score for a fault.
  mutating func lower(for fault: Fault) {
    penalty = min(penalty + fault.rawValue, Self.heaviest)
  }

  /// Heals by a good answer of its own.
  mutating func answered() {
    penalty -= (penalty + 7) / 8
  }

  /// Heals by a good answer of another.
  mutating func rested() {
    penalty = max(0, penalty - 1)
  }

  /// Takes the time of one small question in.
  mutating func measured(milliseconds: Int) {
    latency = latency.map { $0 + (milliseconds - $0) / 8 } ?? milliseconds
  }
}
