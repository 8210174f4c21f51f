import Ethereum
import Ingest
import JobRunner
import Postgres
import RiskCore
import Store
import Systems

/// Brings the debt of every active position to a stated second.
///
/// Interest is accrued locally with each market's own rate model; from the accrued totals the debt
/// and the trigger price of each position follow when they are read (view `position_now`), so that
/// a refresh writes one row for each market. All rows of a deployment change in one transaction, so
/// nobody sees a half-refreshed table. Safe to re-run: the same block and second give the same
/// rows.
public struct RefreshDebt: Job {
  public static let name = "refresh-debt"
  public static let asksNodes = true
  public static let summary = "Bring the debt and trigger price of every position to now."
  public static let usage = Usage(
    examples: [
      .init("plimsoll refresh-debt", "accrue to the time of the mirror's block"),
      .init("plimsoll refresh-debt --at 2023-08-17T21:00:00Z", "accrue to a stated second"),
    ],
    options: [
      .init("--at TIME", "unix seconds or ISO 8601 (default: the time of the mirror's block)")
    ],
    details: """
      Reads the mirror and, at its block, what no event carries (token decimals, caps of rate \
      models); writes market_now, from which view position_now derives the numbers of each \
      position. Positions whose debt cannot be told have none there, are counted as unknown, and \
      the run ends with 1. Markets that the filter leaves out have none either.
      """)

  /// Times that the work starts again because the mirror moved.
  static let attemptsMax = 3

  var timestamp: UInt64?

  public init(arguments: inout Arguments) throws(UsageError) {
    timestamp = try arguments.timestamp("--at")
  }

  public func run(in context: JobContext) throws -> RunReport {
    var report = RunReport()
    for target in context.deployments {
      do {
        try refresh(target.system, of: target, in: context, into: &report)
      } catch {
        report.add(context.failure(error, deployment: target))
      }
    }
    return report
  }

  private func refresh(
    _ system: some OnChainSystem, of target: DeploymentContext, in context: JobContext,
    into report: inout RunReport
  ) throws {
    let deployment = try target.registered(on: context.database)
    for attempt in 1...Self.attemptsMax {
      do {
        return try refreshOnce(system, deployment, target, in: context, into: &report)
      } catch CursorError.moved where attempt < Self.attemptsMax {
        context.log.info("the mirror moved, starting again", ["attempt": attempt])
      }
    }
  }

  private func refreshOnce(
    _ system: some OnChainSystem, _ deployment: Deployment, _ target: DeploymentContext,
    in context: JobContext, into report: inout RunReport
  ) throws {
    // Read.
    guard
      var reading = try Reading(
        system, of: deployment, markets: target.markets, for: .debts, on: context.database)
    else { return report.note("\(target.name): nothing has been consumed yet") }
    try reading.ask(target.chain, for: .debts, multicall: target.chainSettings.multicall)

    // Decide.
    let at = timestamp ?? reading.block.timestamp
    guard at >= reading.block.timestamp else {
      throw Failure(
        .usage,
        "--at \(at): the mirror is at block \(reading.block.number), whose time is "
          + "\(reading.block.timestamp); a refresh looks at that time or later")
    }

    // Write.
    var refreshed = RefreshReport()
    try context.database.rehearsable(context.isDryRun) { tx in
      try reading.hold(in: tx)
      refreshed = try system.refreshDebt(of: reading.book, at: at, in: tx)
      try system.storeAnswers(of: reading.book, run: context.runID, in: tx)
    }
    report.count("markets", refreshed.markets)
    report.count("positions", refreshed.positions)
    report.count("written", refreshed.written)
    report.count("unknown", refreshed.unknown)
    for reason in refreshed.unknownReasons { report.note("\(target.name): \(reason.code)") }
    if refreshed.unknown > 0 { report.worsen(to: .itemFailures) }
    report.state("\(target.name) block", String(reading.block.number))
    report.state("\(target.name) timestamp", String(at))
    report.touched(reading.block.number...reading.block.number)
  }
}
