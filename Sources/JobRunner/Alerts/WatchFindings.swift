import Postgres
import Store
import Systems

extension Alerting {
  /// What the tables themselves show at the second `now`, as alerts.
  public func look(
    at now: UInt64, run: Int64?, deployments: [DeploymentContext], in tx: borrowing Transaction
  ) throws {
    try observe(
      Watch.failingJobs(inARow: settings.failedRuns, except: "alert", at: now, in: tx),
      .jobFailing, of: nil, at: now, run: run, in: tx)
    try observe(
      Watch.silentJobs(
        settings.successWithin.map { ($0.job, $0.seconds) }, at: now, in: tx),
      .jobSilent, of: nil, at: now, run: run, in: tx)
    for target in deployments {
      guard let id = try Deployments.find(name: target.name, in: tx) else { continue }
      try observe(
        Watch.openRanges(of: target.name, in: tx), .incomplete, of: id, at: now, run: run, in: tx)
      try observe(
        Watch.divergences(of: id, named: target.name, in: tx), .divergence, of: id, at: now,
        run: run, in: tx)
      try lookNearLine(of: id, run: run, in: tx)
    }
  }

  private func observe(
    _ findings: [Finding], _ kind: AlertKind, of deployment: Int32?, at now: UInt64, run: Int64?,
    in tx: borrowing Transaction
  ) throws {
    try Alerts.observe(
      findings, of: [kind], deployment: deployment, at: now,
      resolveAfter: settings.resolveAfterSeconds, firingMax: settings.top, run: run, in: tx)
  }

  /// Positions near their line, by the second of the last scan. One that is told of as liquidatable
  /// is not told of as near as well, and stays near until that is over.
  private func lookNearLine(
    of deployment: Int32, run: Int64?, in tx: borrowing Transaction
  ) throws {
    guard settings.nearBasisPoints > 0,
      let near = try Watch.nearLine(of: deployment, within: settings.nearBasisPoints, in: tx)
    else { return }
    let worse = Set(
      try Alerts.firing([.liquidatable], of: deployment, in: tx).map(\.subject))
    let firing = Set(try Alerts.firing([.nearLine], of: deployment, in: tx).map(\.subject))
    let findings = near.findings.filter {
      !worse.contains($0.subject) || firing.contains($0.subject)
    }
    let isCut = near.count > near.findings.count
    let step = try Alerts.observe(
      findings, of: [.nearLine], deployment: deployment, at: near.timestamp,
      resolveAfter: settings.resolveAfterSeconds, firingMax: settings.top, run: run, in: tx
    ) { alert in
      isCut || worse.contains(alert.subject)
        || near.unknownMarkets.contains(String(alert.subject.prefix { $0 != "/" }))
    }
    let more = step.omitted + near.count - near.findings.count
    try tellMore(
      .nearLineMore, more, at: near.timestamp, deployment: deployment, run: run, in: tx)
  }
}

extension ResultTable {
  /// Messages as people would read them, with the routes that want each.
  public static func messages(
    _ messages: [(message: OutboxMessage, routes: [String])], chains: [String: String]
  ) -> ResultTable {
    var table = ResultTable(
      name: "messages",
      columns: [
        Column("id"), Column("event"), Column("kind"), Column("severity"), Column("routes"),
        Column("subject"), Column("text", audience: .programs),
      ])
    for (message, routes) in messages {
      table.append([
        message.dedupKey, message.event.rawValue, message.kind, message.severity.rawValue,
        routes.isEmpty ? nil : routes.joined(separator: ","), message.subject,
        AlertText(message, in: .en, chains: chains).text,
      ])
    }
    return table
  }
}
