import Postgres
import Store
import Systems

extension Alerting {
  /// One thing that is looked for, in a transaction of its own.
  public typealias Look = (borrowing Transaction) throws -> Void

  /// What to look for in the tables themselves, at the second `now`, to be told as alerts.
  ///
  /// Each is for itself: what one of them cannot find keeps nobody from being told of the rest.
  public func looks(at now: UInt64, run: Int64?, deployments: [DeploymentContext]) -> [Look] {
    var looks: [Look] = [
      { tx in
        try observe(
          Watch.failingJobs(inARow: settings.failedRuns, except: "alert", at: now, in: tx),
          .jobFailing, of: nil, at: now, run: run, in: tx)
      },
      { tx in
        let names = deployments.map(\.name)
        let silent = try Watch.silentJobs(
          settings.successWithin.map { ($0.job, $0.seconds) }, on: names, at: now, in: tx)
        // Nothing is known of deployments that this run was not asked about.
        try Alerts.observe(
          silent, of: [.jobSilent], deployment: nil, at: now,
          resolveAfter: settings.resolveAfterSeconds, firingMax: settings.top, run: run, in: tx
        ) { alert in !names.contains { alert.subject.hasSuffix(" \($0)") } }
      },
    ]
    for target in deployments {
      looks.append { tx in
        guard let id = try Deployments.find(name: target.name, in: tx) else { return }
        try observe(
          Watch.openRanges(of: target.name, in: tx), .incomplete, of: id, at: now, run: run, in: tx)
        try observe(
          Watch.divergences(of: id, named: target.name, in: tx), .divergence, of: id, at: now,
          run: run, in: tx)
      }
      looks.append { tx in
        guard let id = try Deployments.find(name: target.name, in: tx) else { return }
        try lookNearLine(of: id, run: run, in: tx)
      }
    }
    return looks
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
    let notAway = try Watch.notAway(
      Array(firing), of: deployment, scan: near.run, within: settings.nearBasisPoints, in: tx)
    let isCut = near.count > near.findings.count
    let step = try Alerts.observe(
      findings, of: [.nearLine], deployment: deployment, at: near.timestamp,
      resolveAfter: settings.resolveAfterSeconds, firingMax: settings.top, run: run, in: tx
    ) { alert in
      isCut || worse.contains(alert.subject) || notAway.contains(alert.subject)
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
