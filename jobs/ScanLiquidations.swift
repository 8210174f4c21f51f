import Chain
import Ethereum
import Ingest
import JobRunner
import Postgres
import Quantities
import RiskCore
import Store
import Systems

/// Names exactly the positions that the contract would let anyone liquidate.
///
/// Judges the mirror's block: prices and flags are read there by block hash, interest is accrued to
/// its time (`verified`) and to one block time later (`actionable`). Every position with debt gets
/// an exact verdict or is counted as unknown with a reason; the counts add up. Each candidate gets
/// its path and amounts, and the risk controls give it exactly one outcome. Nothing is sent.
public struct ScanLiquidations: Job {
  public static let name = "scan-liquidations"
  public static let asksNodes = true
  public static let summary = "Name the positions that may be liquidated, exactly."
  public static let usage = Usage(
    examples: [
      .init("plimsoll scan-liquidations", "judge the mirror's block"),
      .init("plimsoll consume-events; plimsoll scan-liquidations --json", "as cron runs it"),
      .init(
        "plimsoll scan-liquidations --at-block 41000000 --at-timestamp 1692306000",
        "judge a stated block, with interest to a stated second"),
    ],
    options: [
      .init("--at-block N", "judge this block, derived from the stored events if it is past"),
      .init("--at-timestamp TIME", "accrue interest to this second, not before the block's own"),
      .init("--limit N", "candidates to print (default 50; all are stored)"),
    ],
    details: """
      Ends 75 with mirror_behind if the head is further ahead of the mirror than max_mirror_lag, \
      and 1 if any verdict is unknown. Writes what it found to scan_market, candidate and price. A \
      scan of a stated block or second keeps no memory, and controls over time do not apply to it.
      """)

  /// Times that the work starts again because the mirror moved.
  static let attemptsMax = 3
  /// Times that nodes are asked what the plans need.
  static let roundsMax = 4

  var block: UInt64?
  var timestamp: UInt64?
  var limit: UInt64

  public init(arguments: inout Arguments) throws(UsageError) {
    block = try arguments.blockNumber("--at-block")
    timestamp = try arguments.timestamp("--at-timestamp")
    limit = try arguments.count("--limit", default: 50, in: 0...100_000)
  }

  public func run(in context: JobContext) throws -> RunReport {
    var report = RunReport()
    for target in context.deployments {
      do {
        try scan(target.system, of: target, in: context, into: &report)
      } catch {
        report.add(context.failure(error, deployment: target))
      }
    }
    return report
  }

  private func scan(
    _ system: some OnChainSystem, of target: DeploymentContext, in context: JobContext,
    into report: inout RunReport
  ) throws {
    let deployment = try target.registered(on: context.database)
    for attempt in 1...Self.attemptsMax {
      do {
        return try scanOnce(system, deployment, target, in: context, into: &report)
      } catch CursorError.moved where attempt < Self.attemptsMax {
        context.log.info("the mirror moved, starting again", ["attempt": attempt])
      }
    }
  }

  private func scanOnce(
    _ system: some OnChainSystem, _ deployment: Deployment, _ target: DeploymentContext,
    in context: JobContext, into report: inout RunReport
  ) throws {
    let began = ContinuousClock.now

    // Read.
    let books = try context.bookDatabase(
      cursor: ConsumeEvents.name, deployment, lag: target.chainSettings.maxMirrorLag)
    var reading = try read(system, deployment, target, on: books)
    try reading.ask(target.chain, for: .verdicts, multicall: target.chainSettings.multicall)
    try reading.askOutside(target.outsidePrices)

    // Decide.
    let at = timestamp ?? reading.block.timestamp
    guard at >= reading.block.timestamp else {
      throw Failure(
        .usage,
        "--at-timestamp \(at): block \(reading.block.number) is of \(reading.block.timestamp), and "
          + "interest does not run backwards")
    }
    let next = timestamp == nil ? at + target.chainSettings.blockTimeSeconds : nil
    var judgement = system.judge(reading.book, at: at, next: next)
    judgement = try plan(judgement, of: reading, at: at, next: next, target)
    let controls = Controls(target.configuration.controls)
    let markets = Set(reading.labels.keys)

    // Write.
    if let run = context.runID {
      try context.database.rehearsable(context.isDryRun) { tx in
        try reading.hold(in: tx)
        try system.storeAnswers(of: reading.book, run: run, in: tx)
        var memory = try !isQuestion ? CandidateMemory(of: deployment, in: tx) : nil
        controls.decide(&judgement, of: markets, at: reading.block, memory: &memory)
        try memory?.store(
          judgement.candidates, of: deployment, at: reading.block, run: run, in: tx)
        try system.store(
          judgement, of: reading.book, at: at, isQuestion: isQuestion, run: run, in: tx)
        if !isQuestion {
          try context.alerting.tell(
            of: judgement, labels: reading.labels, at: reading.block, timestamp: at,
            deployment: deployment.id, run: run, in: tx)
        }
      }
    } else {
      // What is remembered decides in a rehearsal as well, and stays as it is.
      try context.database.rehearsable(true) { tx in
        var memory = try !isQuestion ? CandidateMemory(of: deployment, in: tx) : nil
        controls.decide(&judgement, of: markets, at: reading.block, memory: &memory)
      }
    }
    tell(judgement, of: reading, at: at, target, into: &report)
    let (seconds, attoseconds) = (ContinuousClock.now - began).components
    report.state(
      "\(target.name) duration_ms", String(seconds * 1_000 + attoseconds / 1_000_000_000_000_000))
  }

  /// A block of the past and a second of the future are questions: they alarm nobody and are in no
  /// list, and scans remember only what the mirror went through, block after block.
  private var isQuestion: Bool { block != nil || timestamp != nil }

  /// Path, amounts and value of each candidate.
  private func plan<System: OnChainSystem>(
    _ judgement: Judgement, of reading: Reading<System>, at timestamp: UInt64, next: UInt64?,
    _ target: DeploymentContext
  ) throws -> Judgement {
    let system = reading.system
    var planning = system.planning(
      for: judgement, of: reading.book, at: timestamp, next: next,
      by: target.configuration.plans)
    for _ in 1...Self.roundsMax {
      let questions = system.questions(for: planning)
      if questions.isEmpty { break }
      let answers = try target.chain.call(
        questions, at: reading.block.hash, multicall: target.chainSettings.multicall)
      system.take(answers, into: &planning)
    }
    return system.judgement(from: planning)
  }

  /// The mirror as it stands, or as it stood at a stated block.
  private func read<System: OnChainSystem>(
    _ system: System, _ deployment: Deployment, _ target: DeploymentContext, on db: Connection
  ) throws -> Reading<System> {
    guard let reached = try Reading<System>.reached(deployment, on: db) else {
      throw Failure(.retryLater, "\(target.name): nothing has been consumed yet")
    }
    if let block, block != reached.number {
      return try readPast(block, below: reached, system, deployment, target, on: db)
    }
    if block == nil { try check(reached, of: target) }
    guard let reading = try Reading(system, of: deployment, markets: target.markets, on: db),
      block == nil || block == reading.block.number
    else { throw CursorError.moved }
    return reading
  }

  private func readPast<System: OnChainSystem>(
    _ block: UInt64, below reached: BlockMark, _ system: System, _ deployment: Deployment,
    _ target: DeploymentContext, on db: Connection
  ) throws -> Reading<System> {
    guard block >= deployment.firstBlock else {
      throw Failure(
        .usage,
        "--at-block \(block): \(target.name) begins at block \(deployment.firstBlock) (first_block)"
      )
    }
    guard block < reached.number else {
      throw Failure(
        .retryLater,
        "--at-block \(block): the mirror of \(target.name) is at block \(reached.number); "
          + "run consume-events --to-block \(block) first")
    }
    // The stored events and the node's answers must be of one chain: the node's block at the
    // mirror's height tells, since it stands on all below.
    guard let header = try target.chain.header(number: block),
      try target.chain.header(number: reached.number)?.hash == reached.hash,
      let past = try Reading(
        system, of: deployment, markets: target.markets, at: header, below: reached, on: db)
    else {
      throw Failure(
        .retryLater,
        "--at-block \(block): the node of \(target.name) does not have the mirror's blocks up to "
          + "\(reached.number); run consume-events first")
    }
    return past
  }

  /// Decision 2 of the design: only a mirror that is near the head is judged.
  private func check(_ mirror: BlockMark, of target: DeploymentContext) throws {
    let greeting = try target.chain.greet()
    let head = greeting.head
    if greeting.isStale { throw Failure.staleHead(of: target, head) }
    let lag = head.number > mirror.number ? head.number - mirror.number : 0
    guard lag <= target.chainSettings.maxMirrorLag else {
      throw Failure(
        .retryLater,
        "mirror_behind: \(target.name) is at block \(mirror.number), \(lag) blocks behind the head "
          + "(max_mirror_lag \(target.chainSettings.maxMirrorLag)); run consume-events first")
    }
  }

  private func tell(
    _ judgement: Judgement, of reading: Reading<some OnChainSystem>, at timestamp: UInt64,
    _ target: DeploymentContext, into report: inout RunReport
  ) {
    if reading.openRanges > 0 {
      report.count("open_ranges", reading.openRanges)
      report.note(
        "\(target.name): verdicts rest on \(reading.openRanges) ranges of blocks that are not "
          + "proved complete (table block_range)")
      report.worsen(to: .itemFailures)
    }
    report.count("positions", judgement.positions)
    report.count("healthy", judgement.healthy)
    report.count("liquidatable", judgement.liquidatable)
    report.count("unknown", judgement.unknown)
    tell(judgement.candidates, into: &report)
    if !judgement.overdue.isEmpty { report.count("overdue", judgement.overduePositions) }
    report.count("actionable_unknown", judgement.actionableUnknown)
    for market in judgement.unknownBands.sorted() {
      report.note("\(target.name): market \(market): who stands in its band is unknown")
      report.worsen(to: .itemFailures)
    }
    for market in judgement.markets {
      guard let reason = market.unknownReason else { continue }
      let figures = market.unknownDetail.isEmpty ? "" : ", \(market.unknownDetail)"
      report.count("unknown_\(reason.code)", market.unknown)
      report.note("\(target.name): market \(market.market) skipped: \(reason.code)\(figures)")
    }
    report.tellWarnings(of: judgement, in: target.name)
    for note in judgement.notes { report.note("\(target.name): \(note)") }
    if judgement.unknown > 0 { report.worsen(to: .itemFailures) }
    report.state("\(target.name) block", String(reading.block.number))
    report.state("\(target.name) block_hash", reading.block.hash.description)
    report.state("\(target.name) timestamp", String(timestamp))
    report.touched(reading.block.number...reading.block.number)
    report.tables.append(
      ResultTable.candidates(
        judgement.candidates, of: target.name, labels: reading.labels, limit: Int(limit)))
    if !judgement.overdue.isEmpty {
      report.tables.append(
        ResultTable.overdue(
          judgement.overdue, of: target.name, labels: reading.labels, limit: Int(limit)))
    }
  }

  /// Of the verified and the pre-liquidatable each has exactly one outcome, so that these counts
  /// add up.
  private func tell(_ candidates: [Candidate], into report: inout RunReport) {
    for outcome in Outcome.allCases {
      report.count(
        "outcome_\(outcome.rawValue)",
        candidates.count { $0.outcome == outcome && $0.certainty != .actionable })
    }
    report.count("pre_liquidatable", candidates.count { $0.certainty == .preLiquidatable })
    report.count("in_liquidation_zone", candidates.count { !$0.zone.isEmpty })
    report.count("actionable_next_block", candidates.count { $0.certainty == .actionable })
  }
}
