import Glibc
import HTTP
import Postgres
import Store

/// Brings messages from the outbox to their routes: at least once each, in order on each route.
///
/// A message is taken in one transaction, sent outside of any, and what became of it is written in
/// another. A run that dies between them leaves the message to be taken again once its lease is
/// over; its receiver then sees the same key twice.
public struct Courier {
  let routes: [any Route]
  /// Routes that cannot be written to, as their token cannot be read: their messages wait.
  public let unopened: [(settings: RouteSettings, failure: Failure)]
  let transport: any Transport
  let deadline: Deadline
  let isStopping: () -> Bool
  var limits = CourierLimits()

  /// What one run has told.
  public struct Tally: Sendable {
    public internal(set) var delivered = 0
    public internal(set) var postponed = 0
    public internal(set) var dead = 0
    /// For each route that did not take something, why; newest last.
    public internal(set) var troubles: [(route: String, error: String)] = []
    /// Whether messages are left because the run had to stop.
    public internal(set) var isCutShort = false
  }

  /// A pause between two looks at whether to stop.
  private static let slice: Duration = .milliseconds(20)

  /// The names of the routes.
  public var names: [String] { settings.map(\.name) }

  private var settings: [RouteSettings] { routes.map(\.settings) + unopened.map(\.settings) }

  // MARK: Routing

  /// Chooses the routes of every message that has none, in transactions of bounded size.
  ///
  /// - Returns: how many messages that were.
  public func route(at now: UInt64, on db: Connection) throws -> Int {
    var routed = 0
    while !isStopping() {
      let count = try db.transaction { tx in try routeSome(at: now, in: tx).count }
      routed += count
      if count < Deliveries.routedMax { break }
    }
    return routed
  }

  /// Chooses the routes of the next messages.
  public func routeSome(
    at now: UInt64, in tx: borrowing Transaction
  ) throws -> [(message: OutboxMessage, routes: [String])] {
    let chosen = try Deliveries.unrouted(in: tx).map { message in
      (
        message: message,
        routes: settings.filter { $0.wants(message) }.map(\.name)
      )
    }
    if chosen.isEmpty { return [] }
    try Deliveries.route(
      chosen.map(\.message.id),
      pairs: chosen.flatMap { message, routes in routes.map { (message.id, $0) } }, at: now, in: tx)
    return chosen
  }

  // MARK: Delivering

  /// Sends what is due, until nothing is, every route has failed, or the run has to stop.
  ///
  /// `start` is the second at which it begins; time goes on from there.
  public func deliver(from start: UInt64, run: Int64, on db: Connection) throws -> Tally {
    let clock = RunClock(start: start)
    var tally = Tally()
    var calendar = try Calendar(routes, on: db)
    var taken = 0
    while !calendar.isDone, taken < limits.messagesMax {
      if isStopping() || deadline.isReached(at: .now()) {
        tally.isCutShort = true
        break
      }
      let ready = calendar.ready(at: .now())
      if ready.isEmpty {
        let pause = min(Self.slice, calendar.wait(from: .now()))
        usleep(UInt32(clamping: max(1, pause.wholeMilliseconds) * 1_000))
        continue
      }
      taken += try deliver(to: ready, clock, run: run, on: db, &calendar, &tally)
    }
    return tally
  }

  private typealias Turn = (route: any Route, delivery: Delivery)

  /// Sends the oldest message of each route, all at once.
  ///
  /// - Returns: how many that were.
  private func deliver(
    to ready: [any Route], _ clock: RunClock, run: Int64, on db: Connection,
    _ calendar: inout Calendar, _ tally: inout Tally
  ) throws -> Int {
    let turns = try take(ready, at: clock.now, run: run, on: db)
    for route in ready where !turns.contains(where: { $0.route.name == route.name }) {
      calendar.close(route)
    }
    if turns.isEmpty { return 0 }
    let requests = try turns.map { try $0.route.request(for: $0.delivery.message, at: clock.now) }
    let results = transport.perform(requests, deadline: deadline)
    let outcomes = zip(turns, results).map { turn, result in
      turn.route.outcome(
        of: result, attempts: turn.delivery.attempts, at: clock.now, limits: limits)
    }
    try db.transaction { tx in
      try Deliveries.record(
        zip(turns, outcomes).map { ($0.delivery, $1) }, run: run, in: tx)
    }
    for (turn, outcome) in zip(turns, outcomes) {
      calendar.note(turn.route, at: .now())
      if tally.note(outcome, on: turn.route) { calendar.close(turn.route) }
    }
    return turns.count
  }

  private func take(
    _ routes: [any Route], at now: UInt64, run: Int64, on db: Connection
  ) throws -> [Turn] {
    try db.transaction { tx in
      var turns: [Turn] = []
      for route in routes {
        let delivery = try Deliveries.take(
          on: route.name, at: now, leaseSeconds: limits.leaseSeconds, run: run, in: tx)
        if let delivery { turns.append((route, delivery)) }
      }
      return turns
    }
  }

  // MARK: One message

  /// Sends one message to one route and keeps nothing; nil: there is no such route.
  public func send(_ message: OutboxMessage, to name: String, at now: UInt64) throws
    -> DeliveryOutcome?
  {
    guard let route = routes.first(where: { $0.name == name }) else { return nil }
    let results = transport.perform(
      [try route.request(for: message, at: now)], deadline: deadline)
    return results.first.map { route.outcome(of: $0, attempts: 0, at: now, limits: limits) }
  }
}

extension Courier.Tally {
  /// Counts an outcome; true when the route is to be left alone for the rest of the run.
  fileprivate mutating func note(_ outcome: DeliveryOutcome, on route: any Route) -> Bool {
    switch outcome {
    case .delivered:
      delivered += 1
      return false
    case .dead(let error):
      dead += 1
      troubles.append((route.name, error))
      return false
    case .postponed(_, let error):
      postponed += 1
      troubles.append((route.name, error))
      return true
    case .untried:
      isCutShort = true
      return true
    }
  }
}

/// The second that it is, in a run that begins at a stated one.
private struct RunClock {
  let start: UInt64
  private let began = MonotonicInstant.now()

  init(start: UInt64) { self.start = start }

  var now: UInt64 {
    start + MonotonicInstant.now().duration(since: began).wholeNanoseconds / 1_000_000_000
  }
}

/// When each route may be written to.
private struct Calendar {
  private var open: [any Route]
  private var next: [String: MonotonicInstant] = [:]

  init(_ routes: [any Route], on db: Connection) throws {
    open = routes
    let now = MonotonicInstant.now()
    for route in routes where route.pace > .zero {
      let since = try db.transaction(.readOnly) { tx in
        try Deliveries.millisecondsSinceLast(on: route.name, in: tx)
      }
      guard let since, since < route.pace.wholeMilliseconds else { continue }
      let wait = route.pace - .milliseconds(since)
      next[route.paceKey] = max(next[route.paceKey] ?? now, now.advanced(by: wait))
    }
  }

  var isDone: Bool { open.isEmpty }

  /// The routes whose turn it is, at most one of those that share a pace.
  func ready(at now: MonotonicInstant) -> [any Route] {
    var keys: Set<String> = []
    return open.filter { route in
      next[route.paceKey, default: now] <= now && keys.insert(route.paceKey).inserted
    }
  }

  func wait(from now: MonotonicInstant) -> Duration {
    open.compactMap { next[$0.paceKey]?.duration(since: now) }.min() ?? .zero
  }

  mutating func note(_ route: any Route, at now: MonotonicInstant) {
    next[route.paceKey] = now.advanced(by: route.pace)
  }

  mutating func close(_ route: any Route) {
    open.removeAll { $0.name == route.name }
  }
}
