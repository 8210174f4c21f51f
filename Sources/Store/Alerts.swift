/// What somebody can be told of.
///
/// The first group are conditions, which fire and resolve; the others are events, told once.
public enum AlertKind: String, CaseIterable, Sendable, CustomStringConvertible {
  /// A position that the contract would let be liquidated.
  case liquidatable
  /// More positions are liquidatable than are told of one by one.
  case liquidatableMore = "liquidatable_more"
  /// A healthy position whose trigger price is near the price.
  case nearLine = "near_line"
  /// More positions are near their line than are told of one by one.
  case nearLineMore = "near_line_more"
  /// A market with positions whose verdict is not known.
  case unknownVerdicts = "unknown_verdicts"
  /// Positions would be over their line at a second source's price, and are not at the oracle's.
  case shadowLiquidatable = "shadow_liquidatable"
  /// A second source did not answer, and the price was taken without it.
  case secondSourceUnavailable = "second_source_unavailable"
  /// Nearly all of a market's supply is lent.
  case highUtilisation = "high_utilisation"
  /// A market's rate is more than anybody means to pay.
  case highBorrowRate = "high_borrow_rate"
  /// More such markets than are told of one by one.
  case unknownVerdictsMore = "unknown_verdicts_more"
  /// A job whose last runs all failed.
  case jobFailing = "job_failing"
  /// A job that has not succeeded for longer than it may.
  case jobSilent = "job_silent"
  /// A mirror that stands on blocks which are not proved complete.
  case incomplete
  /// Tables and contracts differ.
  case divergence

  /// A position was liquidated.
  case liquidation
  /// A contract was replaced by another, whose formulas may differ.
  case upgraded
  /// An operator tries a route.
  case test

  public var description: String { rawValue }

  /// How much each matters unless a finding says otherwise.
  public var severity: AlertSeverity {
    switch self {
    case .liquidatable, .liquidatableMore, .shadowLiquidatable, .jobFailing, .jobSilent,
      .divergence, .upgraded:
      .critical
    case .nearLine, .nearLineMore, .unknownVerdicts, .unknownVerdictsMore,
      .secondSourceUnavailable, .highUtilisation, .highBorrowRate, .incomplete:
      .warning
    case .liquidation, .test: .info
    }
  }
}

/// How much an alert matters.
public enum AlertSeverity: String, CaseIterable, Comparable, Sendable, CustomStringConvertible {
  case info, warning, critical

  public var description: String { rawValue }

  private var rank: Int {
    switch self {
    case .info: 0
    case .warning: 1
    case .critical: 2
    }
  }

  public static func < (left: AlertSeverity, right: AlertSeverity) -> Bool {
    left.rank < right.rank
  }
}

/// A condition that a run has found.
public struct Finding: Sendable {
  public let kind: AlertKind
  /// What it is about: two findings of one kind and subject are the same condition.
  public let subject: String
  /// Names and values, all text; only worked out for findings that are written.
  public let facts: @Sendable () -> [String: String]

  public init(
    _ kind: AlertKind, _ subject: String, facts: @escaping @Sendable () -> [String: String]
  ) {
    self.kind = kind
    self.subject = subject
    self.facts = facts
  }
}

/// An alert that has fired and is not resolved.
public struct FiringAlert: Sendable, Equatable {
  public let id: Int64
  public let kind: AlertKind
  public let subject: String
  /// Since when the condition is known to be gone; nil: it is there, or not known.
  public let absentSince: UInt64?

  public init(id: Int64, kind: AlertKind, subject: String, absentSince: UInt64?) {
    self.id = id
    self.kind = kind
    self.subject = subject
    self.absentSince = absentSince
  }
}

/// What findings make of the alerts that fire: the rule for what is said and what is not.
///
/// A condition fires once and resolves once, however often it comes and goes in between: it
/// resolves only when it has been known to be gone for a stated time.
public struct AlertStep: Sendable {
  /// New conditions, to be said.
  public private(set) var fired: [Finding] = []
  /// Those that fire already and were found again: nothing is said.
  public private(set) var seen: [(id: Int64, finding: Finding)] = []
  /// Gone as of now.
  public private(set) var absent: [Int64] = []
  /// Neither found nor known to be gone.
  public private(set) var doubted: [Int64] = []
  /// Gone long enough, to be said.
  public private(set) var resolved: [Int64] = []
  /// Conditions that are left out because enough of their kind fire.
  public private(set) var omitted = 0

  /// Works out one step, at the second `now`.
  ///
  /// `firing` are all alerts that fire of the kinds that the run looks for, `findings` all that it
  /// has found, the most important first. What is new fires while fewer than `firingMax` fire, and
  /// always if it is among the first `firingMax` of all findings: old conditions that stay for
  /// months keep nobody from being told of a worse one. Further conditions are counted in
  /// `omitted`. `isDoubted` says whether the absence of a condition says nothing, as
  /// where a price is unknown.
  public init(
    from firing: [FiringAlert], findings: [Finding], at now: UInt64, resolveAfter: UInt64,
    firingMax: Int, isDoubted: (FiringAlert) -> Bool
  ) {
    var unseen = Dictionary(
      firing.map { (Key($0.kind, $0.subject), $0) }, uniquingKeysWith: { first, _ in first })
    var new: [(rank: Int, finding: Finding)] = []
    var taken: Set<Key> = []
    for finding in findings {
      let key = Key(finding.kind, finding.subject)
      guard taken.insert(key).inserted else { continue }
      if let alert = unseen.removeValue(forKey: key) {
        seen.append((alert.id, finding))
      } else {
        new.append((taken.count - 1, finding))
      }
    }
    for alert in firing where unseen[Key(alert.kind, alert.subject)] != nil {
      if isDoubted(alert) {
        if alert.absentSince != nil { doubted.append(alert.id) }
      } else if let since = alert.absentSince {
        // A reorganisation may set the clock of the chain back.
        if now >= since, now - since >= resolveAfter { resolved.append(alert.id) }
      } else if resolveAfter == 0 {
        resolved.append(alert.id)
      } else {
        absent.append(alert.id)
      }
    }
    let room = max(0, firingMax - (firing.count - resolved.count))
    fired = new.enumerated()
      .filter { $0.offset < room || $0.element.rank < firingMax }.map(\.element.finding)
    omitted = new.count - fired.count
  }

  private struct Key: Hashable {
    let kind: AlertKind
    let subject: String

    init(_ kind: AlertKind, _ subject: String) {
      self.kind = kind
      self.subject = subject
    }
  }
}
