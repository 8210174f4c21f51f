import JobRunner
import Postgres
import Store
import Systems

/// Tells people and programs what was found.
///
/// Looks for what the tables themselves show (jobs that do not succeed, blocks that are not proved,
/// divergences, positions near their line), then delivers what this and the other jobs have put
/// into the outbox. Each message arrives at least once, with a key that stays the same.
public struct Alert: Job {
  public static let name = "alert"
  public static let summary = "Tell people and programs what was found."
  public static let usage = Usage(
    examples: [
      .init("plimsoll alert", "find and deliver, as cron runs it after a scan"),
      .init("plimsoll alert --dry-run", "show what would be said, and send nothing"),
      .init("plimsoll alert --test-route ops", "send one test message to a route"),
    ],
    options: [
      .init("--at TIME", "the second of the run, unix or ISO 8601 (default: now)"),
      .init("--test-route NAME", "send one test message there, and do nothing else"),
      .init("--retry-dead", "bring messages that were given up back into the queue first"),
    ],
    details: """
      Conditions fire once and resolve once they have been gone for resolve_after_seconds. A \
      message that could not be delivered waits and is tried again by later runs, for as long as \
      Retry-After or a growing pause says; one that the receiver refuses, or after many attempts, \
      is given up, which ends the run with 1. Ends 75 if a route did not answer. Routes are in \
      the configuration under alerts (docs/alerts.md).
      """)

  var timestamp: UInt64?
  var testRoute: String?
  var retriesDead: Bool

  public init(arguments: inout Arguments) throws(UsageError) {
    timestamp = try arguments.timestamp("--at")
    testRoute = try arguments.value("--test-route")
    retriesDead = try arguments.flag("--retry-dead")
    if testRoute != nil, retriesDead {
      throw UsageError("--test-route and --retry-dead exclude each other; give one of them")
    }
  }

  public func run(in context: JobContext) throws -> RunReport {
    guard context.alerting.settings.isEnabled else {
      throw Failure(.configuration, "alerts: not configured; docs/alerts.md shows how")
    }
    let now = timestamp ?? context.now()
    let courier = try context.alerting.courier()
    if let testRoute { return try test(testRoute, courier, at: now, in: context) }
    return try context.isDryRun
      ? rehearse(courier, at: now, in: context) : tell(courier, at: now, in: context)
  }

  private func tell(
    _ courier: Courier, at now: UInt64, in context: JobContext
  ) throws -> RunReport {
    var report = RunReport()
    guard let run = context.runID else { return report }
    for route in courier.unopened { report.add(route.failure) }
    let looks = context.alerting.looks(at: now, run: run, deployments: context.deployments)
    for look in looks {
      do {
        try context.database.transaction { tx in try look(tx) }
      } catch {
        // What the outbox holds is told all the same.
        guard !context.database.isClosed else { throw error }
        report.add(context.failure(error))
      }
    }
    if retriesDead {
      let revived = try context.database.transaction { tx in
        try Deliveries.reviveDead(at: now, in: tx)
      }
      report.count("revived", revived)
    }
    report.count("messages", try courier.route(at: now, on: context.database))
    let tally = try courier.deliver(from: now, run: run, on: context.database)
    report.count("delivered", tally.delivered)
    report.count("postponed", tally.postponed)
    report.count("dead", tally.dead)
    for trouble in tally.troubles { report.note("route \(trouble.route): \(trouble.error)") }
    if tally.postponed > 0 { report.worsen(to: .retryLater) }
    if tally.dead > 0 { report.worsen(to: .itemFailures) }
    if tally.isCutShort { report.stopEarly() }
    for account in try context.database.transaction(.readOnly, { try Deliveries.account(in: $0) }) {
      let isKnown = courier.names.contains(account.route)
      report.count("waiting", account.due)
      report.count("given_up", account.dead)
      if !isKnown, account.due > 0 {
        report.note(
          "\(account.due) messages wait for route \(account.route), which is not configured")
      }
    }
    return report
  }

  /// Everything but the sending, and nothing of it kept.
  private func rehearse(
    _ courier: Courier, at now: UInt64, in context: JobContext
  ) throws -> RunReport {
    var report = RunReport()
    for route in courier.unopened { report.add(route.failure) }
    let chosen = try context.database.rehearsable(true) { tx in
      let looks = context.alerting.looks(at: now, run: nil, deployments: context.deployments)
      for look in looks { try look(tx) }
      return try courier.routeSome(at: now, in: tx)
    }
    report.count("messages", chosen.count)
    report.tables.append(
      ResultTable.messages(chosen, chains: context.alerting.chains))
    return report
  }

  private func test(
    _ name: String, _ courier: Courier, at now: UInt64, in context: JobContext
  ) throws -> RunReport {
    guard courier.names.contains(name) else {
      let known = courier.names.isEmpty ? "none" : courier.names.joined(separator: ", ")
      throw Failure(.usage, "--test-route \"\(name)\": not a route; configured: \(known)")
    }
    if let route = courier.unopened.first(where: { $0.settings.name == name }) {
      throw route.failure
    }
    var report = RunReport()
    let message = OutboxMessage(
      id: 0, dedupKey: "test-\(now)", event: .notice, deployment: nil,
      kind: AlertKind.test.rawValue, subject: name, severity: .info, timestamp: now, facts: [:])
    if context.isDryRun {
      report.tables.append(
        ResultTable.messages([(message, [name])], chains: context.alerting.chains))
      return report
    }
    switch try courier.send(message, to: name, at: now) {
    case .delivered: report.count("delivered")
    case .dead(let error): throw Failure(.configuration, "route \(name): \(error)")
    case .postponed(_, let error): throw Failure(.unavailable, "route \(name): \(error)")
    case .untried, nil: report.stopEarly()
    }
    return report
  }
}
