import Chain
import Ethereum
import Ingest
import JobRunner
import Postgres
import Store
import Systems

/// Holds the tables against the contracts' own views, at the mirror's block.
///
/// Every number is asked of the contract by the block's hash: totals and parameters of all markets,
/// the sums of our position rows against the contract's own counts of shares, and positions field
/// by field. A difference is stored with both values and stays open until an audit finds it equal.
/// What no contract answers is unknown, and never equal.
public struct Audit: Job {
  public static let name = "audit"
  public static let asksNodes = true
  public static let summary = "Hold the tables against the contracts, and repair them if asked."
  public static let usage = Usage(
    examples: [
      .init("plimsoll audit", "every market, and 200 positions drawn by the block's hash"),
      .init("plimsoll audit --all --json", "every position"),
      .init("plimsoll audit --repair", "derive what differs from its events, and audit it again"),
    ],
    options: [
      .init("--sample N", "positions drawn at random (default 200), beside the largest debts"),
      .init("--seed HASH", "draw by this and not by the block's hash: 0x and 64 hex digits"),
      .init("--all", "every position"),
      .init("--market ID", "only this market; may be given several times"),
      .init("--user ADDRESS", "only this user's positions, in every market"),
      .init("--repair", "derive markets that differ again from their stored events"),
      .init("--limit N", "rows to print of each table (default 50; all are stored)"),
    ],
    details: """
      Asks at the mirror's block, so the node must still have its state: ends 75 if it does not, \
      or is on another fork. Ends 1 if anything differs or was not answered. Writes only table \
      divergence; --repair becomes the writer of the deployment, and ends 75 if another run is.
      """)

  /// Derivations of one run. The second one has the logs of a rate model that a damaged row named
  /// wrongly before the first.
  static let repairsMax = 2

  var scope: AuditScope
  var repairs: Bool
  var limit: UInt64

  public init(arguments: inout Arguments) throws(UsageError) {
    let sample = try arguments.count("--sample", in: 0...10_000_000)
    let takesAll = try arguments.flag("--all")
    scope = AuditScope(
      sample: takesAll ? nil : Int(sample ?? 200), seed: try arguments.bytes32("--seed"))
    scope.markets = Set(try Self.markets(&arguments))
    scope.user = try arguments.address("--user")
    if takesAll, sample != nil || scope.user != nil {
      throw UsageError("--all leaves nothing to choose: give it without --sample and --user")
    }
    repairs = try arguments.flag("--repair")
    limit = try arguments.count("--limit", default: 50, in: 0...100_000)
  }

  private static func markets(_ arguments: inout Arguments) throws(UsageError) -> [Bytes32] {
    var markets: [Bytes32] = []
    for text in try arguments.values("--market") {
      guard let market = Bytes32(text) else {
        throw UsageError("--market must be 0x and 64 hex digits")
      }
      markets.append(market)
    }
    return markets
  }

  public func run(in context: JobContext) throws -> RunReport {
    var report = RunReport()
    for target in context.deployments {
      do {
        try audit(target.system, of: target, in: context, into: &report)
      } catch {
        report.add(context.failure(error, deployment: target))
      }
    }
    return report
  }

  private func audit(
    _ system: some OnChainSystem, of target: DeploymentContext, in context: JobContext,
    into report: inout RunReport
  ) throws {
    let deployment = try target.registered(on: context.database)
    var findings = try findings(system, deployment, scope, of: target, in: context, into: &report)
    if repairs, !findings.divergences.isEmpty {
      findings = try repair(findings, system, deployment, of: target, in: context, into: &report)
    }
    context.tellNotices(of: try target.chain, into: &report)
    tell(findings, of: target, into: &report)
  }

  /// One audit: reads, asks, compares, stores.
  private func findings<System: OnChainSystem>(
    _ system: System, _ deployment: Deployment, _ scope: AuditScope, of target: DeploymentContext,
    in context: JobContext, into report: inout RunReport
  ) throws -> AuditFindings {
    // Read.
    guard let auditing = try Auditing(system, of: deployment, in: scope, on: context.database)
    else { throw Failure(.retryLater, "\(target.name): nothing has been consumed yet") }
    context.progress.start("audit \(target.name)", of: UInt64(auditing.count), unit: "claims")
    defer { context.progress.finish() }

    // Decide.
    let findings = try auditing.ask(
      target.chain, multicall: target.chainSettings.multicall, isStopping: context.isStopping
    ) { context.progress.reach(UInt64($0)) }

    // Write.
    if let run = context.runID {
      let resolved = try context.database.transaction { tx in
        try auditing.store(findings, run: run, in: tx)
      }
      report.count("resolved", resolved)
    }
    if !findings.isComplete { report.stopEarly() }
    return findings
  }

  // MARK: Repair

  private func repair(
    _ before: AuditFindings, _ system: some OnChainSystem, _ deployment: Deployment,
    of target: DeploymentContext, in context: JobContext, into report: inout RunReport
  ) throws -> AuditFindings {
    if context.isDryRun {
      report.note("dry run: \(target.name): \(Self.words(before.markets)) would be derived again")
      return before
    }
    let taking = try context.takeWriter(of: target, deployment)
    guard case .mine(let writer) = taking else {
      if case .taken(let holder) = taking {
        report.add(
          Failure(.retryLater, "\(target.name): nothing was repaired: \(holder) is its writer"))
      }
      return before
    }
    defer { try? writer.release(on: context.database) }
    let head = try target.chain.greet().head.number
    var findings = before
    var follower = try follower(system, deployment, of: target, in: context, writer: writer)
    for _ in 1...Self.repairsMax where !findings.divergences.isEmpty && findings.isComplete {
      follower = try self.follower(system, deployment, of: target, in: context, writer: writer)
      let derived = try follower.repair(findings.markets, head: head)
      report.count("derivations")
      var scope = scope
      if let derived { scope.markets = derived }
      let after = try self.findings(
        system, deployment, scope, of: target, in: context, into: &report)
      findings = findings.followed(by: after, in: derived)
    }
    report.count("repaired", max(0, before.divergences.count - findings.divergences.count))
    if findings.isComplete {
      try openMissing(findings, &follower, target, &report)
    }
    return findings
  }

  private func follower<System: OnChainSystem>(
    _ system: System, _ deployment: Deployment, of target: DeploymentContext,
    in context: JobContext, writer: Writer
  ) throws -> Follower<System> {
    try Follower(
      system, of: deployment,
      limits: IngestLimits(
        windowBlocks: target.chainSettings.windowBlocks, reorg: target.chainSettings.reorgLimit),
      chain: target.chain, db: context.database, writer: writer)
  }

  /// What differs although it was derived from its events: some of them were never stored. The
  /// blocks where they are missing are open from now on, and the next consume-events reads them
  /// again. A market that stands still at an event which is there has another reason to differ.
  private func openMissing(
    _ findings: AuditFindings,
    _ follower: inout Follower<some OnChainSystem>, _ target: DeploymentContext,
    _ report: inout RunReport
  ) throws {
    for token in Set(findings.divergences.filter { $0.subject.kind == .token }.map(\.subject)) {
      // A token may take from balances by its own rules, which is no event of ours.
      report.note(
        "\(target.name): token \(token.contract) differs although its markets were derived again")
    }
    let left = findings.divergences.filter { $0.subject.kind != .token }
    for (market, divergences) in Dictionary(grouping: left, by: \.subject.market)
      .sorted(by: { ($0.key ?? .zero) < ($1.key ?? .zero) })
    {
      guard
        let blocks = try follower.blocksMissing(
          for: divergences, multicall: target.chainSettings.multicall)
      else { continue }
      let name = market.map { "market \($0)" } ?? "what belongs to no single market"
      try follower.suspect(blocks, reason: "audit: \(name) differs from the contract")
      report.count("ranges_opened")
      report.note(
        "\(target.name): \(name) differs although it was derived again: events are missing between "
          + "blocks \(blocks.lowerBound) and \(blocks.upperBound), which the next consume-events "
          + "reads again")
    }
  }

  private static func words(_ markets: Set<Bytes32>?) -> String {
    guard let markets else { return "every market" }
    return markets.count == 1 ? "1 market" : "\(markets.count) markets"
  }

  // MARK: The result

  private func tell(
    _ findings: AuditFindings, of target: DeploymentContext, into report: inout RunReport
  ) {
    for kind in AuditSubject.Kind.allCases {
      report.count("\(kind.rawValue)_claims", findings.claims[kind] ?? 0)
    }
    report.count("fields", findings.fields)
    report.count("divergences", findings.divergences.count)
    report.count("divergences_set_aside", findings.divergences.count { $0.isSetAside })
    report.count("unknown", findings.unanswered.count)
    if !findings.divergences.isEmpty || !findings.unanswered.isEmpty {
      report.worsen(to: .itemFailures)
    }
    report.state("\(target.name) block", String(findings.block.number))
    report.state("\(target.name) block_hash", findings.block.hash.description)
    report.state("\(target.name) seed", (scope.seed ?? findings.block.hash).description)
    report.touched(findings.block.number...findings.block.number)
    report.tables += [
      .divergences(findings, of: target.name, limit: Int(limit)),
      .unanswered(findings, of: target.name, limit: Int(limit)),
    ]
  }
}

extension ResultTable {
  fileprivate static func divergences(
    _ findings: AuditFindings, of deployment: String, limit: Int
  ) -> ResultTable {
    var table = ResultTable(
      name: "divergences",
      columns: subjectColumns + [
        Column("field"), Column("expected", alignment: .right), Column("relation"),
        Column("actual", alignment: .right), Column("set_aside"),
        Column("block", alignment: .right), Column("block_hash", audience: .programs),
      ])
    for found in findings.divergences.prefix(limit) {
      table.append(
        cells(of: found.subject, deployment) + [
          found.field, found.expected, found.relation.rawValue, found.actual,
          String(found.isSetAside), String(findings.block.number),
          findings.block.hash.description,
        ])
    }
    table.omitted = max(0, findings.divergences.count - limit)
    return table
  }

  fileprivate static func unanswered(
    _ findings: AuditFindings, of deployment: String, limit: Int
  ) -> ResultTable {
    var table = ResultTable(name: "unknown", columns: subjectColumns + [Column("reason")])
    for claim in findings.unanswered.prefix(limit) {
      table.append(cells(of: claim.subject, deployment) + [claim.reason.rawValue])
    }
    table.omitted = max(0, findings.unanswered.count - limit)
    return table
  }

  private static let subjectColumns: [Column] = [
    Column("deployment"), Column("kind"), Column("contract"), Column("market"), Column("user"),
  ]

  private static func cells(of subject: AuditSubject, _ deployment: String) -> [String?] {
    [
      deployment, subject.kind.rawValue, subject.contract.description, subject.market?.description,
      subject.user?.description,
    ]
  }
}
