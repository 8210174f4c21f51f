import Ethereum
import JobRunner
import Postgres
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
      The debt is that of the last refresh-debt, the price that of the last scan-liquidations. For \
      a verdict of now, run scan-liquidations.
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
      let lines = try nearest(target.system, of: target, in: context)
      report.count("positions", lines.count)
      report.tables.append(.positions(lines, of: target.name))
    }
    return report
  }

  private func nearest(
    _ system: some OnChainSystem, of target: DeploymentContext, in context: JobContext
  ) throws -> [PositionLine] {
    let deployment = try target.registered(on: context.database)
    return try context.database.transaction(.readOnly) { tx in
      try system.nearest(
        of: deployment, user: user, market: market, limit: Int(limit), in: tx)
    }
  }
}
