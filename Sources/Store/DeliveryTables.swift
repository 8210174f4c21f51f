import Postgres

/// Table `delivery`: each message on each route, until it has arrived or is given up.
///
/// Seconds are the caller's clock.
public enum Deliveries {
  /// Messages that are given to routes in one transaction.
  public static let routedMax = 500

  /// The next messages that no route has been chosen for, kept from others until the transaction
  /// ends.
  public static func unrouted(in tx: borrowing Transaction) throws -> [OutboxMessage] {
    try tx.query(
      """
      select \(message) from outbox o left join deployment d on d.id = o.deployment_id
      where o.routed_at is null order by o.id limit \(Int64(routedMax)) for update of o skip locked
      """
    ).map { try OutboxMessage($0) }
  }

  /// Gives messages to their routes: every one of `messages` is then chosen for, also where no
  /// route wants it.
  public static func route(
    _ messages: [Int64], pairs: [(message: Int64, route: String)], at now: UInt64,
    in tx: borrowing Transaction
  ) throws {
    try tx.executeBatch([
      """
      insert into delivery (outbox_id, route, next_attempt_at)
      select message, route, \(now)
      from unnest(\(pairs.map(\.message)), \(pairs.map(\.route))) as pair(message, route)
      on conflict do nothing
      """,
      "update outbox set routed_at = \(now) where id = any(\(messages))",
    ])
  }

  /// Takes the oldest message that is due on a route, for so many seconds.
  ///
  /// A route is told in order: while its oldest message waits for another attempt, or is with
  /// another run, nothing is taken.
  public static func take(
    on route: String, at now: UInt64, leaseSeconds: UInt64, run: Int64, in tx: borrowing Transaction
  ) throws -> Delivery? {
    try tx.query(
      """
      with taken as (
        update delivery set next_attempt_at = \(now + leaseSeconds), run_id = \(run),
          changed_at = now()
        where id = (
            select id from delivery where route = \(route) and state = 'due'
            order by outbox_id limit 1 for update skip locked
          ) and next_attempt_at <= \(now)
        returning id as delivery_id, outbox_id, attempts
      )
      select \(message), t.delivery_id, t.attempts
      from taken t join outbox o on o.id = t.outbox_id
      left join deployment d on d.id = o.deployment_id
      """
    ).first.map { row in
      Delivery(
        id: try row.get(OutboxMessage.columns, Int64.self), route: route,
        attempts: Int(try row.get(OutboxMessage.columns + 1, Int32.self)),
        message: try OutboxMessage(row))
    }
  }

  /// Writes what became of messages that were taken.
  public static func record(
    _ outcomes: [(delivery: Delivery, outcome: DeliveryOutcome)], run: Int64,
    in tx: borrowing Transaction
  ) throws {
    try tx.executeBatch(
      outcomes.map { delivery, outcome in
        switch outcome {
        case .delivered(let id):
          """
          update delivery set state = 'delivered', attempts = attempts + 1, message_id = \(id),
            last_error = null, changed_at = now()
          where id = \(delivery.id) and state <> 'delivered'
          """
        case .dead(let error):
          """
          update delivery set state = 'dead', attempts = attempts + 1, last_error = \(error),
            changed_at = now()
          where id = \(delivery.id) and run_id = \(run) and state = 'due'
          """
        case .postponed(let second, let error):
          """
          update delivery set attempts = attempts + 1, next_attempt_at = \(second),
            last_error = \(error), changed_at = now()
          where id = \(delivery.id) and run_id = \(run) and state = 'due'
          """
        case .untried(let second):
          """
          update delivery set next_attempt_at = \(second), changed_at = now()
          where id = \(delivery.id) and run_id = \(run) and state = 'due'
          """
        }
      })
  }

  /// Brings messages that were given up back into the queue.
  ///
  /// - Returns: how many.
  public static func reviveDead(at now: UInt64, in tx: borrowing Transaction) throws -> Int {
    try tx.execute(
      """
      update delivery set state = 'due', attempts = 0, next_attempt_at = \(now), changed_at = now()
      where state = 'dead'
      """)
  }

  /// What waits and what was given up on each route that has either.
  public static func account(in tx: borrowing Transaction) throws -> [RouteAccount] {
    try tx.query(
      """
      select route, count(*) filter (where state = 'due'), count(*) filter (where state = 'dead')
      from delivery where state <> 'delivered' group by route
      """
    ).map { row in
      RouteAccount(route: try row.get(0), due: try row.get(1), dead: try row.get(2))
    }
  }

  /// Milliseconds since a route last delivered, by the server's clock; nil: never.
  public static func millisecondsSinceLast(
    on route: String, in tx: borrowing Transaction
  ) throws -> Int64? {
    try tx.query(
      """
      select greatest(0, extract(epoch from clock_timestamp() - max(changed_at)) * 1000)::bigint
      from delivery where route = \(route) and state = 'delivered'
      """
    ).first?.get(0, Int64?.self)
  }

  private static var message: SQL {
    """
    o.id, o.dedup_key, o.event, d.name, o.kind, o.subject, o.severity, o.at_timestamp,
    array(select key from jsonb_each_text(o.facts) order by key),
    array(select value from jsonb_each_text(o.facts) order by key)
    """
  }
}

/// What is to be said, as the outbox holds it. Its facts are hostile until escaped.
public struct OutboxMessage: Sendable {
  /// What has happened to the thing it is about.
  public enum Event: String, Sendable {
    case fired, resolved, notice
    case takenBack = "taken_back"
  }

  public let id: Int64
  public let dedupKey: String
  public let event: Event
  /// The deployment's name; nil: the whole installation.
  public let deployment: String?
  /// The kind's name; a newer program may have written one that this one does not know.
  public let kind: String
  public let subject: String
  public let severity: AlertSeverity
  /// The second of the finding.
  public let timestamp: UInt64
  public let facts: [String: String]

  public init(
    id: Int64, dedupKey: String, event: Event, deployment: String?, kind: String, subject: String,
    severity: AlertSeverity, timestamp: UInt64, facts: [String: String]
  ) {
    self.id = id
    self.dedupKey = dedupKey
    self.event = event
    self.deployment = deployment
    self.kind = kind
    self.subject = subject
    self.severity = severity
    self.timestamp = timestamp
    self.facts = facts
  }

  /// How many columns of a row it takes.
  static let columns = 10

  init(_ row: Row) throws {
    // The table admits no other words; a newer program's would be told as what it most likely is.
    let event = Event(rawValue: try row.get(2, String.self)) ?? .notice
    let severity = AlertSeverity(rawValue: try row.get(6, String.self)) ?? .critical
    let names = try row.get(8, [String].self)
    let values = try row.get(9, [String].self)
    self.init(
      id: try row.get(0), dedupKey: try row.get(1), event: event, deployment: try row.get(3),
      kind: try row.get(4), subject: try row.get(5), severity: severity, timestamp: try row.get(7),
      facts: Dictionary(zip(names, values), uniquingKeysWith: { first, _ in first }))
  }
}

/// One message that was taken to be sent on one route.
public struct Delivery: Sendable {
  public let id: Int64
  public let route: String
  /// Attempts that have failed before.
  public let attempts: Int
  public let message: OutboxMessage

  public init(id: Int64, route: String, attempts: Int, message: OutboxMessage) {
    self.id = id
    self.route = route
    self.attempts = attempts
    self.message = message
  }
}

/// What became of an attempt.
public enum DeliveryOutcome: Sendable, Equatable {
  /// It arrived; the receiver's name for it, if it gave one.
  case delivered(id: String?)
  /// It did not; it is tried again at that second.
  case postponed(until: UInt64, error: String)
  /// It never will: it is given up.
  case dead(error: String)
  /// The run had to stop before it was sent, or before an answer came.
  case untried(until: UInt64)
}

/// What a route has left.
public struct RouteAccount: Sendable, Equatable {
  public let route: String
  public let due: Int
  public let dead: Int

  public init(route: String, due: Int, dead: Int) {
    self.route = route
    self.due = due
    self.dead = dead
  }
}
