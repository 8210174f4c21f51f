import Chain
import Ethereum
import Ingest
import JobRunner
import Postgres
import Store
import Systems

/// Brings the position tables up to date with contract events.
///
/// Reads logs from the cursor to the head, one window at a time, and applies them to the mirror of
/// each market and position. A window's events, rows and cursor are one transaction, so a run can
/// stop or die anywhere and the next one goes on from there.
///
/// Safe to re-run, and to run twice at once: there is one writer per deployment, and a log enters
/// the event store once.
public struct ConsumeEvents: Job {
  public static let name = "consume-events"
  public static let asksNodes = true
  public static let isWriter = true
  public static let summary = "Apply new contract events to the position tables."
  public static let usage = Usage(
    examples: [
      .init("plimsoll consume-events", "read every deployment from its cursor to the head"),
      .init(
        "plimsoll consume-events --deployment lista-bsc --max-blocks 100000",
        "go on by at most 100,000 blocks"),
      .init(
        "plimsoll consume-events --from-block 48172369 --to-block 48200000",
        "read old blocks again and add what was missed"),
    ],
    options: [
      .init("--from-block N", "start here; at or below the cursor it fills in missed events"),
      .init("--to-block N", "go no further than this block"),
      .init("--max-blocks N", "go on by at most this many blocks per deployment"),
      .init("--window N", "blocks per transaction (default: window_blocks of the chain)"),
      .init("--retry-set-aside", "try markets set aside again, however often they failed"),
      .init("--apply", "apply only what fetch-events has stored; ask for logs of open ranges only"),
      .init("--retry-open", "read open ranges again, however often that was done"),
      .init("--accept-open", "take what is open in the range given as complete; reads nothing"),
      .init("--bootstrap-at N", "begin with the state of this block instead of at first_block"),
      .init("--positions FILE", "every market and position there is: lines market_id,user"),
    ],
    details: """
      Reads logs, headers and the contract's views; writes events, markets, positions, the \
      operation log, liquidations and the cursor. A reorganisation up to reorg_limit blocks \
      deep is taken back first. An event that cannot be applied sets its market aside and is \
      tried in \(ConsumptionOrders.attemptsMax) runs, then only when asked for; other markets \
      go on, and the run ends with 1. Blocks whose logs are not proved to be all are open in \
      table block_range: they are read again by later runs, and as long as any is open a run \
      ends with 1. A run that ends near the head asks the contract once about what it has \
      changed: what the contract tells otherwise is stored in table divergence, opens the \
      run's blocks, and ends runs with 1 until both agree. A first run whose first_block is \
      not before the contract's creation is refused: lower it, or give --bootstrap-at and \
      --positions, which reads every listed position at that block from the contract (the \
      endpoint needs the block's state), compares their sums with the markets' totals, and \
      goes on from there.
      """)

  /// Open ranges that a run's log names.
  static let openShownMax = 20
  /// The largest list of positions: some two million lines.
  static let positionBytesMax = 256 << 20
  /// Sums that do not match, and tokens, that a run's log names.
  static let bootstrapShownMax = 20

  var range: BlockRange
  var windowBlocks: UInt64?
  var maxBlocks: UInt64?
  var retriesAll: Bool
  var appliesOnly: Bool
  var retriesOpen: Bool
  var acceptsOpen: Bool
  var bootstrapBlock: UInt64?
  var positionFile: String?

  public init(arguments: inout Arguments) throws(UsageError) {
    range = try arguments.blockRange("--from-block", "--to-block")
    windowBlocks = try arguments.count("--window", in: 1...UInt64(Int64.max))
    maxBlocks = try arguments.count("--max-blocks", in: 1...UInt64(Int64.max))
    retriesAll = try arguments.flag("--retry-set-aside")
    appliesOnly = try arguments.flag("--apply")
    retriesOpen = try arguments.flag("--retry-open")
    acceptsOpen = try arguments.flag("--accept-open")
    if acceptsOpen, range.first == nil || range.last == nil {
      throw UsageError("--accept-open needs --from-block and --to-block")
    }
    bootstrapBlock = try arguments.blockNumber("--bootstrap-at")
    positionFile = try arguments.value("--positions")
    if (bootstrapBlock == nil) != (positionFile == nil) {
      throw UsageError("--bootstrap-at and --positions need each other")
    }
    if bootstrapBlock != nil, acceptsOpen || range.first != nil {
      throw UsageError("--bootstrap-at goes neither with --from-block nor with --accept-open")
    }
  }

  public func run(in context: JobContext) throws -> RunReport {
    var report = RunReport()
    if bootstrapBlock != nil, context.deployments.count > 1 {
      throw Failure(.usage, "--bootstrap-at is for one deployment; name it with --deployment")
    }
    for target in context.deployments {
      do {
        try consume(target.system, of: target, in: context, into: &report)
      } catch {
        report.add(context.failure(error, deployment: target))
      }
    }
    return report
  }

  private func consume(
    _ system: some OnChainSystem, of target: DeploymentContext, in context: JobContext,
    into report: inout RunReport
  ) throws {
    let deployment = try target.registered(on: context.database)
    let taking = try context.takeWriter(of: target, deployment)
    guard case .mine(let writer) = taking else {
      if case .taken(let holder) = taking { report.skipLocked(heldBy: holder) }
      return
    }
    defer { try? writer.release(on: context.database) }

    var limits = IngestLimits(
      windowBlocks: windowBlocks ?? target.chainSettings.windowBlocks,
      reorg: target.chainSettings.reorgLimit)
    limits.toldBlocks = context.alerting.settings.toldBlocks(
      blockTimeMilliseconds: target.chainSettings.blockTimeMilliseconds)
    var follower = try Follower(
      system, of: deployment, limits: limits,
      chain: target.chain, db: context.database, writer: writer)

    if acceptsOpen { return try accept(&follower, in: context, into: &report) }
    let start = follower.cursor
    let greeting = try target.chain.greet(at: start.block, hash: start.hash)
    let head = greeting.head
    if greeting.isStale { report.add(.staleHead(of: target, head)) }
    guard try begin(&follower, head: head.number, of: target, in: context, into: &report) else {
      return
    }
    try follow(&follower, greeting, of: target, in: context, into: &report)
    context.tellNotices(of: try target.chain, into: &report)
    if let failure = Failure.heldUp(target, greeting, from: start.block, to: follower.cursor.block)
    {
      report.add(failure)
    }
    try account(for: follower, head: head.number, in: context, into: &report)
  }

  private func follow<System: OnChainSystem>(
    _ follower: inout Follower<System>, _ greeting: Greeting, of target: DeploymentContext,
    in context: JobContext, into report: inout RunReport
  ) throws {
    let journal = Journal(name: target.name, context: context, report)
    defer {
      context.progress.finish()
      report = journal.report
    }
    var consumption = Consumption(
      follower, orders: orders(in: context), isStopping: context.isStopping,
      tell: journal.tell)
    defer { follower = consumption.follower }
    let head = greeting.head
    if target.configuration.events == .foreign {
      return try consumption.runOnDeclarations(head: head.number)
    }
    try consumption.run(to: head, stored: greeting.stored)
    guard let run = context.runID else { return }
    journal.tell(
      try consumption.vouch(
        head: head.number, multicall: target.chainSettings.multicall, run: run))
  }

  private func orders(in context: JobContext) -> ConsumptionOrders {
    var orders = ConsumptionOrders()
    (orders.first, orders.last, orders.blocksMax) = (range.first, range.last, maxBlocks)
    orders.appliesOnly = appliesOnly
    orders.retriesSetAside = retriesAll
    orders.retriesOpen = retriesOpen
    orders.commits = !context.isDryRun
    return orders
  }

  // MARK: The beginning

  /// Sees to it that nothing is missing before the first block.
  ///
  /// - Returns: false if a dry run has tried to begin, and there is nothing to go on from.
  private func begin(
    _ follower: inout Follower<some OnChainSystem>, head: UInt64, of target: DeploymentContext,
    in context: JobContext, into report: inout RunReport
  ) throws -> Bool {
    guard let bootstrapBlock, let positionFile else {
      try follower.checkBeginning()
      return true
    }
    if follower.bootstrapBlock == bootstrapBlock {
      report.note("\(target.name) has begun with the state of block \(bootstrapBlock) already")
      return true
    }
    let list = try positions(in: positionFile)
    context.progress.start("reading block \(bootstrapBlock)", of: nil, unit: "calls")
    defer { context.progress.finish() }
    do {
      let summary = try follower.bootstrap(
        at: bootstrapBlock, with: list, head: head, multicall: target.chainSettings.multicall,
        commit: !context.isDryRun
      ) { context.progress.reach(UInt64($0)) }
      tell(summary, in: context, into: &report)
    } catch BootstrapError.incomplete(let shortfalls) {
      throw failure(shortfalls, in: context)
    } catch ChainError.unknownBlock(let endpoint, _) {
      throw Failure(
        .unavailable,
        "endpoint \"\(endpoint)\" does not have the state of block \(bootstrapBlock) (any more); "
          + "take a later block, or an endpoint that keeps old states")
    }
    if context.isDryRun { report.note("dry run: the state is complete, and was not stored") }
    return !context.isDryRun
  }

  private func positions(in file: String) throws -> PositionList {
    let bytes = try InputFile.read(file, limit: Self.positionBytesMax, option: "--positions")
    do {
      return try PositionList(csv: bytes)
    } catch {
      throw Failure(.badData, "--positions \(VisibleText.escape(file)): \(error)")
    }
  }

  private func failure(
    _ shortfalls: [BootstrapError.Shortfall], in context: JobContext
  ) -> Failure {
    for shortfall in shortfalls.prefix(Self.bootstrapShownMax) {
      context.log.error(
        "the list of positions is not complete",
        [
          "market": shortfall.market, "of": shortfall.what, "listed": shortfall.listed,
          "total": shortfall.total, "missing": shortfall.missing,
        ])
    }
    return Failure(.badData, BootstrapError.incomplete(shortfalls).description)
  }

  private func tell(
    _ summary: BaseSummary, in context: JobContext, into report: inout RunReport
  ) {
    report.count("markets_begun_with", summary.markets)
    report.count("positions_begun_with", summary.positions)
    for excess in summary.unaccounted.prefix(Self.bootstrapShownMax) {
      context.log.warning(
        "the contract holds more of a token than the listed positions account for",
        ["token": excess.token, "more": excess.amount])
    }
    if summary.unaccounted.isEmpty { return }
    report.count("tokens_unaccounted", summary.unaccounted.count)
    report.note(
      "the contract holds more of \(summary.unaccounted.count) tokens than the list accounts for: "
        + "a position of collateral alone, or a market, may be missing from it")
  }

  // MARK: The end

  private func accept(
    _ follower: inout Follower<some OnChainSystem>, in context: JobContext,
    into report: inout RunReport
  ) throws {
    guard let first = range.first, let last = range.last, !context.isDryRun else { return }
    try follower.accept(first...last, reason: "accepted by \(context.holder)")
    try account(for: follower, head: nil, in: context, into: &report)
  }

  private func account(
    for follower: Follower<some OnChainSystem>, head: UInt64?, in context: JobContext,
    into report: inout RunReport
  ) throws {
    let aside = try context.database.transaction(.readOnly) { tx in
      try follower.system.setAside(of: follower.deployment, in: tx)
    }
    for market in aside {
      context.log.error(
        "a market stands still",
        [
          "market": market.market, "block": market.blockNumber, "log": market.logIndex,
          "attempts": market.attempts, "reason": market.reason,
        ])
    }
    if !aside.isEmpty {
      report.count("markets_set_aside", aside.count)
      report.worsen(to: .itemFailures)
    }
    try tell(open: follower.open(), in: context, into: &report)
    if let head { report.state("\(follower.deployment.name) head", String(head)) }
    report.state(
      "\(follower.deployment.name) cursor", follower.cursor.block.map(String.init) ?? "none")
  }

  private func tell(
    open ranges: [Ledger.OpenRange], in context: JobContext, into report: inout RunReport
  ) throws {
    if ranges.isEmpty { return }
    for open in ranges.prefix(Self.openShownMax) {
      context.log.error(
        "not complete",
        [
          "from": open.range.blocks.lowerBound, "to": open.range.blocks.upperBound,
          "state": open.range.state.rawValue, "reason": open.range.reason ?? "",
          "attempts": open.range.attempts, "filter_version": open.filterVersion,
        ])
    }
    report.count("open_ranges", ranges.count)
    report.note("\(ranges.count) ranges of blocks are not proved complete (table block_range)")
    report.worsen(to: .itemFailures)
  }
}

// MARK: - Telling

/// Takes down what a run has to say: for its result, and for the log.
private final class Journal {
  private(set) var report: RunReport
  private let name: String
  private let context: JobContext
  /// Blocks that were gone on by.
  private var reached: UInt64 = 0

  init(name: String, context: JobContext, _ report: RunReport) {
    self.name = name
    self.context = context
    self.report = report
  }

  func tell(_ news: ConsumptionNews) {
    switch news {
    case .reconciled(let reconciliation): tell(reconciliation)
    case .triedAgain(let markets): report.count("markets_tried_again", markets)
    case .filledIn(let step):
      report.count("late_events", step.applied.applied)
      report.touched(step.range)
      tell(step.doubts)
    case .goesOn(let blocks):
      report.count("blocks", 0)
      report.count("events", 0)
      context.progress.start("consume-events \(name)", of: blocks, unit: "blocks")
    case .step(let step): tell(step)
    case .mended(let step):
      report.count("late_events", step.applied.applied)
      report.count("blocks_read_again", step.range.count)
    case .unreadable(let error):
      context.log.warning("an open range could not be read", ["error": error])
    case .notFetched(let block, nil): report.note("block \(block) was not fetched yet")
    case .notFetched(let block, let open?):
      report.note(
        "block \(block) was read and is \(open.state.rawValue) (\(open.reason ?? "")): it is not "
          + "applied before fetch-events, or a run without --apply, has read it again")
    case .notDeclared(let block): report.note("block \(block) is not declared yet")
    case .rehearsed: report.note("dry run: the first step was tried, nothing was written")
    case .stopped: report.stopEarly()
    case .declaredLate(let ranges): report.count("ranges_declared_late", ranges)
    case .contradicted(let count, let next): tell(contradicted: count, next: next)
    }
  }

  private func tell(_ reconciliation: Reconciliation) {
    switch reconciliation {
    case .unchanged: break
    case .nodeBehind(let blocks):
      context.log.warning("the node is behind the mirror", ["blocks": blocks])
      report.count("node_behind_blocks", Int(blocks))
    case .takenBack(let blocks):
      if context.isDryRun { return report.note("dry run: \(blocks) blocks would be taken back") }
      context.log.warning("took back a reorganisation", ["blocks": blocks])
      report.count("blocks_taken_back", Int(blocks))
    }
  }

  private func tell(_ step: Step) {
    report.count("blocks", step.range.count)
    report.count("events", step.logs)
    report.count("applied", step.applied.applied)
    report.count("waiting", step.applied.waiting)
    if step.applied.malformed > 0 { report.count("malformed", step.applied.malformed) }
    tell(step.applied.upgrades)
    report.touched(step.range)
    tell(step.doubts)
    reached += UInt64(step.range.count)
    context.progress.reach(reached)
  }

  /// One note for each contract, with its last upgrade.
  private func tell(_ upgrades: [ContractUpgrade]) {
    if upgrades.isEmpty { return }
    report.count("upgrades", upgrades.count)
    let last = Dictionary(upgrades.map { ($0.contract, $0.block) }, uniquingKeysWith: max)
    for (contract, block) in last.sorted(by: { $0.key < $1.key }) {
      report.note(
        "\(contract) got other code in block \(block): what it computes may have changed; "
          + "see table upgrade, and run audit")
    }
  }

  private func tell(_ doubts: [Doubt]) {
    for doubt in doubts {
      context.log.warning(
        "logs may be missing",
        [
          "from": doubt.blocks.lowerBound, "to": doubt.blocks.upperBound,
          "reason": doubt.reason.rawValue, "endpoint": doubt.endpoint,
        ])
    }
    if !doubts.isEmpty { report.count("ranges_in_doubt", doubts.count) }
  }

  private func tell(contradicted count: Int, next: ClosedRange<UInt64>?) {
    if let next {
      context.log.error(
        "the node has another block than was declared",
        ["from": next.lowerBound, "to": next.upperBound])
    }
    report.count("declarations_contradicted", count)
    report.note("the node has other blocks than were declared; what was declared is suspect")
    report.worsen(to: .itemFailures)
  }

  func tell(_ vouched: Vouched) {
    if let obstacle = vouched.obstacle {
      context.log.info("the contract was not asked", ["reason": obstacle])
      report.count("unvouched")
    }
    if let findings = vouched.findings { tell(findings) }
    if vouched.resolved > 0 { report.count("divergences_resolved", vouched.resolved) }
    if vouched.openDivergences == 0 { return }
    report.count("open_divergences", vouched.openDivergences)
    report.note(
      "the contract tells \(vouched.openDivergences) fields otherwise (table divergence): blocks "
        + "in doubt are read again by the next run; plimsoll audit --repair looks further")
    report.worsen(to: .itemFailures)
  }

  private func tell(_ findings: AuditFindings) {
    report.count("claims_asked", findings.claims.values.reduce(0, +))
    if !findings.unanswered.isEmpty {
      report.count("claims_unanswered", findings.unanswered.count)
    }
    if !findings.isComplete { report.stopEarly() }
    for found in findings.divergences.prefix(ConsumeEvents.openShownMax) {
      context.log.error(
        "the contract tells otherwise",
        [
          "kind": found.subject.kind.rawValue, "contract": found.subject.contract,
          "market": found.subject.market?.description ?? "",
          "user": found.subject.user?.description ?? "", "field": found.field,
          "expected": found.expected ?? "", "actual": found.actual ?? "",
          "block": findings.block.number,
        ])
    }
  }
}
