import Chain
import Ethereum
import Ingest
import JobRunner
import Store
import Systems

/// Fetches contract events ahead of the mirror, in any order and in many runs at once.
///
/// What it stores is entered as verified in the ledger and applied later, in order, by
/// `consume-events`. Only blocks that can no longer be taken back are fetched.
public struct FetchEvents: Job {
  public static let name = "fetch-events"
  public static let asksNodes = true
  public static let summary = "Fetch old events ahead of the position tables, also in parallel."
  public static let usage = Usage(
    examples: [
      .init("plimsoll fetch-events", "fetch everything that is final and not there yet"),
      .init(
        "plimsoll fetch-events --shard 1/4",
        "one of four runs that share the blocks; start the others beside it"),
      .init(
        "plimsoll consume-events --apply",
        "then apply what was fetched, without asking for logs"),
    ],
    options: [
      .init("--from-block N", "start here (default: after the cursor)"),
      .init("--to-block N", "go no further than this block (default: the last final one)"),
      .init("--shard I/N", "fetch only every N-th stretch of blocks; 1/N to N/N together are all"),
      .init("--window N", "blocks per transaction (default: window_blocks of the chain)"),
    ],
    details: """
      Reads only logs and headers; writes events, headers and the ledger (table block_range), and \
      changes no position. May run beside consume-events, which applies the events when it gets \
      there. Stopped or killed anywhere, it goes on where the ledger has gaps.
      """)

  /// Times that everything is gone over, for contracts that were revealed on the way.
  static let passesMax = 4
  /// Times that a piece is tried again because the mirror has moved under it.
  static let attemptsMax = 10

  let range: BlockRange
  let windowBlocks: UInt64?
  let shard: (index: UInt64, count: UInt64)?

  public var lockName: String? {
    shard.map { "\(Self.name) \($0.index)/\($0.count)" }
  }

  public init(arguments: inout Arguments) throws(UsageError) {
    range = try arguments.blockRange("--from-block", "--to-block")
    windowBlocks = try arguments.count("--window", in: 1...UInt64(Int64.max))
    shard = try arguments.shard("--shard")
  }

  public func run(in context: JobContext) throws -> RunReport {
    var report = RunReport()
    for target in context.deployments {
      do {
        try fetch(target.system, of: target, in: context, into: &report)
      } catch {
        report.add(context.failure(error, deployment: target))
      }
    }
    return report
  }

  private func fetch(
    _ system: some OnChainSystem, of target: DeploymentContext, in context: JobContext,
    into report: inout RunReport
  ) throws {
    guard target.configuration.events == .node else {
      return report.note("\(target.name): events are foreign, and are not fetched")
    }
    let deployment = try target.registered(on: context.database)
    let settings = target.chainSettings
    let window = windowBlocks ?? settings.windowBlocks
    let fetcher = Fetcher(
      system, of: deployment,
      limits: IngestLimits(windowBlocks: window, reorg: settings.reorgLimit),
      shard: Shard(index: (shard?.index ?? 1) - 1, count: shard?.count ?? 1, stretch: window),
      chain: try target.chain, db: context.database)
    let head = try target.chain.greet().head.number
    let final = head > settings.reorgLimit ? head - settings.reorgLimit : 0
    let first = max(range.first ?? 0, deployment.firstBlock)
    let last = min(range.last ?? .max, final)
    report.state("\(deployment.name) final block", String(final))
    report.count("blocks", 0)
    report.count("events", 0)
    if first > last { return }
    if context.isDryRun { return report.note("dry run: nothing was fetched") }

    context.progress.start(
      "fetch-events \(target.name)", of: last - first + 1, unit: "blocks")
    defer { context.progress.finish() }
    for _ in 0..<Self.passesMax {
      let found = try pass(fetcher, over: first...last, in: context, into: &report)
      if found == 0 || report.isStoppedEarly { break }
    }
    context.tellNotices(of: try target.chain, into: &report)
  }

  /// Goes over the blocks once; returns how many windows were not there yet.
  private func pass(
    _ fetcher: Fetcher<some OnChainSystem>, over blocks: ClosedRange<UInt64>,
    in context: JobContext, into report: inout RunReport
  ) throws -> Int {
    var next = blocks.lowerBound
    var found = 0
    var attempts = 0
    while next <= blocks.upperBound {
      if context.isStopping() {
        report.stopEarly()
        return found
      }
      do {
        guard let read = try fetcher.fetch(in: next...blocks.upperBound) else { return found }
        next = read.next
        attempts = 0
        if let step = read.step {
          found += 1
          tell(step, into: &report)
        }
        if let obstacle = read.obstacle {
          context.log.warning("blocks were not kept", ["error": "\(obstacle)"])
          report.count("pieces_not_kept")
          report.worsen(to: .itemFailures)
        }
        context.progress.reach(next - blocks.lowerBound)
      } catch CursorError.moved where attempts < Self.attemptsMax {
        attempts += 1
      }
    }
    return found
  }

  private func tell(_ step: Step, into report: inout RunReport) {
    report.count("blocks", step.range.count)
    report.count("events", step.logs)
    report.touched(step.range)
    guard !step.doubts.isEmpty else { return }
    report.count("ranges_in_doubt", step.doubts.count)
    report.worsen(to: .itemFailures)
  }
}
