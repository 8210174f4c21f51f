import Ethereum
import JobRunner
import Postgres
import Store
import Systems

/// Shows the positions nearest to their line, from the last refresh and the last scan.
///
/// Reads only.
public struct Positions: Job {
  public static let name = "positions"
  public static let summary = "Show the positions nearest to their line."
  public static let access = JobAccess.reads
  public static let usage = Usage(
    examples: [
      .init("plimsoll positions --limit 10", "the ten nearest to their line"),
      .init("plimsoll positions --user 0x73bb…09d1 --json", "every position of one user"),
    ],
    options: [
      .init("--user ADDRESS", "only this user's"),
      .init("--market ID", "only this market's"),
      .init("--limit N", "rows per deployment (default 20)"),
    ],
    details: """
      The debt is that of the last refresh-debt, the price that of the last scan-liquidations; a \
      position that has changed since has no debt until the next refresh. For a verdict of now, \
      run scan-liquidations. With read_url the standby is read, and how far it is behind is said.
      """)

  var user: Address?
  var market: Bytes32?
  var limit: UInt64

  public init(arguments: inout Arguments) throws(UsageError) {
    user = try arguments.address("--user")
    market = try arguments.bytes32("--market")
    limit = try arguments.count("--limit", default: 20, in: 1...100_000)
  }

  public func run(in context: JobContext) throws -> RunReport {
    var report = RunReport()
    for target in context.deployments {
      let lines = try nearest(target.system, of: target, in: context, into: &report)
      report.count("positions", lines.count)
      report.tables.append(.positions(lines, of: target.name))
    }
    return report
  }

  private func nearest(
    _ system: some OnChainSystem, of target: DeploymentContext, in context: JobContext,
    into report: inout RunReport
  ) throws -> [PositionLine] {
    let deployment = try target.registered(on: context.database)
    let (database, lag) = try context.listDatabase(cursor: ConsumeEvents.name, deployment)
    if let lag {
      report.state("\(target.name) replica_lag_blocks", String(lag.blocks))
      if !lag.hasReplayed {
        report.note(
          "\(target.name): read from a standby that is \(lag.blocks) blocks behind and has not "
            + "replayed all that the primary has")
      }
    }
    return try database.transaction(.readOnly) { tx in
      try system.nearest(
        of: deployment, user: user, market: market, limit: Int(limit), in: tx)
    }
  }
}
