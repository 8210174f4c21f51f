import Chain
import Ethereum
import Postgres
import Store
import Systems

/// One run over one deployment: what is read, in which order, and what is read again.
///
/// Each step is a transaction of the follower's, so the run can end after any. What happens goes to
/// `tell` as it happens.
public struct Consumption<System: OnChainSystem> {
  public internal(set) var follower: Follower<System>
  let orders: ConsumptionOrders
  let isStopping: () -> Bool
  let tell: (ConsumptionNews) -> Void

  public init(
    _ follower: consuming Follower<System>, orders: ConsumptionOrders,
    isStopping: @escaping () -> Bool, tell: @escaping (ConsumptionNews) -> Void
  ) {
    self.follower = follower
    self.orders = orders
    self.isStopping = isStopping
    self.tell = tell
  }

  /// Asks a node for logs: takes back what the chain has, tries again what stands still, goes on
  /// to the head, and reads again what is open.
  ///
  /// `stored` is the chain's block of the cursor's number, if it was asked for already.
  public mutating func run(to head: BlockHeader, stored: BlockHeader?) throws {
    try reconcile(head: head, stored: stored)
    try retry(head: head.number)
    try fillIn(head: head.number)
    try goOn(head: head.number)
    if orders.commits { try follower.doubtIfCreationIsMissing() }
    // The head first: what is open, also what this run has revealed, takes the time that is left.
    try mend(head: head.number)
  }

  /// Holds what the run has changed against the contract: `Follower.vouch`.
  public mutating func vouch(head: UInt64, multicall: Address, run: Int64) throws -> Vouched {
    try follower.vouch(head: head, multicall: multicall, run: run, isStopping: isStopping)
  }

  // MARK: What was read before

  private mutating func reconcile(head: BlockHeader, stored: BlockHeader? = nil) throws {
    tell(
      .reconciled(
        try follower.reconcile(head: head, stored: stored, commit: orders.commits)))
  }

  mutating func retry(head: UInt64) throws {
    let due = try follower.due(
      attemptsMax: orders.retriesSetAside ? .max : ConsumptionOrders.attemptsMax)
    if due.isEmpty || !orders.commits { return }
    try follower.derive(due, head: head)
    tell(.triedAgain(markets: due.count))
  }

  /// The part of the range that was read before.
  private mutating func fillIn(head: UInt64) throws {
    guard var first = orders.first else { return }
    guard first <= follower.next else {
      throw IngestError.leavesGap(
        first: first, next: follower.next, deployment: follower.deployment.name)
    }
    // Below its beginning a deployment has no events.
    first = max(first, follower.begin)
    guard first < follower.next else { return }
    let last = min(orders.last ?? .max, follower.next - 1)
    while first <= last, !isStopping() {
      let filled = try follower.fillIn(
        from: first, through: last, head: head, commit: orders.commits)
      tell(.filledIn(filled))
      first = filled.range.upperBound + 1
    }
    try follower.deriveShared(head: head)
    if first <= last { tell(.stopped) }
  }

  // MARK: Going on

  /// The last block to read.
  func last(head: UInt64) -> UInt64 {
    min(head, orders.last ?? .max, orders.blocksMax.map { follower.next + $0 - 1 } ?? .max)
  }

  private mutating func goOn(head: UInt64) throws {
    let last = last(head: head)
    var reorgs = 0
    tell(.goesOn(blocks: last >= follower.next ? last - follower.next + 1 : 0))
    while follower.next <= last {
      if isStopping() { return tell(.stopped) }
      do {
        guard try takeNext(through: last, head: head) else { return }
      } catch ChainError.parentMismatch where reorgs < ConsumptionOrders.reorgsMax {
        if !orders.commits { return }
        reorgs += 1
        try reconcile(head: try follower.chain.head())
      } catch let error as ChainError where orders.commits && error.isAboutItsRange {
        try follower.noteFailure(error.description, through: last)
        throw error
      }
    }
  }

  /// Applies what is stored of the next blocks, or asks for them; false if the run ends here.
  private mutating func takeNext(through last: UInt64, head: UInt64) throws -> Bool {
    if let step = try follower.applyStored(through: last, head: head, commit: orders.commits) {
      tell(.step(step))
    } else if orders.appliesOnly {
      tell(.notFetched(block: follower.next, open: try follower.openAtNext()))
      return false
    } else {
      let (tell, isStopping) = (tell, isStopping)
      try follower.follow(
        through: follower.gapEnd(through: last), head: head, commit: orders.commits
      ) { step in
        tell(.step(step))
        return !isStopping()
      }
    }
    if !orders.commits { tell(.rehearsed) }
    return orders.commits
  }
}

/// What a run is asked to do.
public struct ConsumptionOrders: Sendable {
  /// Runs that try an event which cannot be applied, before it waits for an operator.
  public static let attemptsMax = 3
  /// Reorganisations that one run resolves before it leaves the chain to calm down.
  static let reorgsMax = 8

  /// Blocks to read again from, at or below the cursor.
  public var first: UInt64?
  /// The last block to read.
  public var last: UInt64?
  /// Blocks to go on by at most.
  public var blocksMax: UInt64?
  /// Only what was fetched is applied; no node is asked for logs of new blocks.
  public var appliesOnly = false
  /// Markets that stand still are tried however often they failed.
  public var retriesSetAside = false
  /// Open ranges are read however often they were.
  public var retriesOpen = false
  /// False: the first step is tried and nothing kept.
  public var commits = true

  public init() {}
}

/// What a run has to say of itself.
public enum ConsumptionNews: Sendable {
  case reconciled(Reconciliation)
  /// Markets that stood still were derived again.
  case triedAgain(markets: Int)
  /// Blocks that were read before were read again, as ordered.
  case filledIn(Step)
  /// So many blocks are to be read.
  case goesOn(blocks: UInt64)
  case step(Step)
  /// Only stored events were to be applied, and here they end; or here is a block that was read,
  /// and whose logs are not proved.
  case notFetched(block: UInt64, open: LedgerRange?)
  /// A dry run has tried a step.
  case rehearsed
  /// The run has to end, and something is left.
  case stopped
  /// Blocks of an open range were read again.
  case mended(Step)
  /// A part of an open range could not be read.
  case unreadable(String)
  /// Blocks that were applied before were declared.
  case declaredLate(ranges: Int)
  /// Nobody has declared the next block, or nobody is believed yet.
  case notDeclared(block: UInt64)
  /// The node has other blocks than were declared: so many declarations, and if one of them was
  /// next, its blocks.
  case contradicted(count: Int, next: ClosedRange<UInt64>?)
}
