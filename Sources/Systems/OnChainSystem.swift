import Ethereum
import Postgres

/// A system whose positions live in contracts.
///
/// It says what to watch, turns logs into changes of its mirror, names the reads that a judgement
/// needs, and judges. Jobs do the reading and decide when to write; a system never sees the
/// network.
public protocol OnChainSystem: Sendable {
  /// The rows that a window touches, before and after.
  associatedtype Mirror
  /// Everything that judging the positions of a deployment needs, at one block.
  associatedtype Book
  /// The state at the block that a deployment begins with in mid-chain.
  associatedtype Base
  /// How the candidates of a judgement would be liquidated, while it is being worked out.
  associatedtype Planning

  /// The name in configuration and table `deployment`.
  var name: String { get }

  // MARK: Mirror

  /// Every contract whose logs move the mirror.
  func watched(of deployment: Deployment, in tx: borrowing Transaction) throws -> Set<Address>

  /// Contracts that these logs show for the first time, and that have to be watched as well.
  func addresses(revealedBy logs: [Log], of deployment: Deployment) -> Set<Address>

  /// The rows that `logs` can change, as stored.
  ///
  /// `previous` is the mirror that was stored last: rows that it holds are not read again. The
  /// caller answers for it that its transaction was committed and that nobody has changed the
  /// deployment's rows since, which the cursor's revision says. It may be let go at any time.
  func mirror(
    touchedBy logs: [Log], after previous: consuming Mirror?, of deployment: Deployment,
    in tx: borrowing Transaction
  ) throws -> Mirror

  /// A mirror that knows nothing yet, to derive markets (nil: all) from their events.
  ///
  /// Without history it keeps only what the rows end as, so that its size does not grow with the
  /// number of events; such a mirror is for judging and cannot be stored.
  func blankMirror(following markets: Set<Bytes32>?, keepsHistory: Bool) -> Mirror

  /// Applies logs in chain order. Pure.
  ///
  /// A log that cannot be applied sets its market aside; the other markets go on. Changes in
  /// blocks above `finality` leave the row as it was before the block, so that the block can be
  /// taken back.
  func apply(
    _ logs: [Log], of deployment: Deployment, times: BlockTimes, finality: UInt64,
    to mirror: inout Mirror
  ) throws -> ApplyReport

  /// Writes what `apply` changed. The mirror is then as stored, and once the transaction is
  /// committed the next window can go on from it.
  func store(_ mirror: inout Mirror, of deployment: Deployment, in tx: borrowing Transaction) throws

  /// Takes note of logs from before the cursor, which no window will apply. The markets that they
  /// concern are derived besides.
  func note(late logs: [Log], of deployment: Deployment, in tx: borrowing Transaction) throws

  /// Replaces the rows of the markets that a blank mirror has followed.
  func replace(with mirror: Mirror, of deployment: Deployment, in tx: borrowing Transaction) throws

  /// The markets that these logs concern; nil if they concern every market.
  func markets(concernedBy logs: [Log]) -> Set<Bytes32>?

  /// Markets that stand still because an event could not be applied.
  func setAside(of deployment: Deployment, in tx: borrowing Transaction) throws -> [SetAside]

  /// Brings every row back to what it was after block `ancestor`.
  ///
  /// - Throws: `TakeBackError` if a row was changed above it and its image is not there any more;
  ///   nothing may be committed then.
  func takeBack(
    to ancestor: UInt64, of deployment: Deployment, in tx: borrowing Transaction) throws

  /// Forgets the images of blocks that can no longer be taken back.
  func prune(finality: UInt64, of deployment: Deployment, in tx: borrowing Transaction) throws

  // MARK: Judgement

  /// Loads what is needed to judge the deployment's positions with debt; for debts only the
  /// positions that cannot be told from what their market's share.
  func book(
    of deployment: Deployment, markets: MarketFilter, at block: BlockMark, for purpose: Purpose,
    in tx: borrowing Transaction
  ) throws -> Book

  /// The same book made of a mirror that was derived from events, as of a block of the past.
  func book(
    from mirror: Mirror, of deployment: Deployment, markets: MarketFilter, at block: BlockMark,
    in tx: borrowing Transaction
  ) throws -> Book

  /// The calls whose answers at the book's block are needed for `purpose`.
  func questions(about book: Book, for purpose: Purpose) -> [Call]

  /// Takes the answers, in the order of `questions`.
  func take(_ answers: [CallResult], for purpose: Purpose, into book: inout Book)

  /// The calls that the answers so far have made needed; none when all is known.
  func followUps(about book: Book, for purpose: Purpose) -> [Call]

  /// Takes the answers, in the order of `followUps`.
  func takeFollowUps(_ answers: [CallResult], for purpose: Purpose, into book: inout Book)

  /// The names of the price sources that are not on the chain and that a verdict needs.
  func outsidePrices(for book: Book) -> Set<String>

  /// Takes what those sources gave.
  func take(
    _ prices: [String: Result<SecondPrice, SecondProblem>], into book: inout Book)

  /// Brings debt and trigger price of every position to `timestamp`, from a book for debts.
  func refreshDebt(
    of book: Book, at timestamp: UInt64, in tx: borrowing Transaction
  ) throws -> RefreshReport

  /// The exact verdict on every position with debt. Pure.
  ///
  /// `verified` verdicts are true at `timestamp`; positions that cross the line by `next`, a later
  /// second, are `actionable`.
  func judge(_ book: Book, at timestamp: UInt64, next: UInt64?) -> Judgement

  /// Begins to work out how the candidates of a judgement would be liquidated: by whom, with which
  /// amounts, worth how much. Also finds who stands in the band of a pre-liquidation contract.
  func planning(
    for judgement: Judgement, of book: Book, at timestamp: UInt64, next: UInt64?,
    by settings: PlanSettings
  ) -> Planning

  /// The next calls whose answers at the book's block are needed; none when all is known.
  func questions(for planning: Planning) -> [Call]

  /// Takes the answers, in the order of the last `questions`.
  func take(_ answers: [CallResult], into planning: inout Planning)

  /// The judgement with path, plan and value of each candidate. What was not answered is unknown.
  func judgement(from planning: Planning) -> Judgement

  /// The tokens of each market of a book, for showing amounts.
  func labels(of book: Book) -> [Bytes32: MarketLabel]

  /// Writes facts and prices that were asked for the book.
  func storeAnswers(of book: Book, run: Int64?, in tx: borrowing Transaction) throws

  /// Writes a scan's findings. Those of a question are of a stated block or second, and no list
  /// of what is so now has them.
  func store(
    _ judgement: Judgement, of book: Book, at timestamp: UInt64, isQuestion: Bool, run: Int64,
    in tx: borrowing Transaction
  ) throws

  /// The positions nearest to their line, from the last refresh and the last scan.
  func nearest(
    of deployment: Deployment, user: Address?, market: Bytes32?, limit: Int,
    in tx: borrowing Transaction
  ) throws -> [PositionLine]

  // MARK: Audit

  /// What the rows say that the contracts can be asked at `block`.
  ///
  /// Sums are the server's and positions are drawn by it; only chosen ones come into memory.
  func claims(
    of deployment: Deployment, at block: BlockMark, in scope: AuditScope,
    in tx: borrowing Transaction
  ) throws -> Claims

  /// Adds the rows that these logs may have changed, the latest first, as far as there is room.
  func touch(_ logs: [Log], of deployment: Deployment, into scope: inout VouchScope)

  /// What the rows of the scope say that the contracts can be asked at `block`.
  ///
  /// Looks rows up by their keys: the cost grows with the scope and the number of markets, never
  /// with the number of positions, but for markets whose sums are wanted.
  func claims(
    of deployment: Deployment, at block: BlockMark, toVouchFor scope: VouchScope,
    in tx: borrowing Transaction
  ) throws -> Claims

  /// What a mirror in memory says of a field that differs; nil if it does not keep that field.
  func claim(of divergence: Divergence, in mirror: Mirror, of deployment: Deployment) -> Claim?

  /// Markets that stored events create and that have no row. Reads every event.
  func lostMarkets(of deployment: Deployment, in tx: borrowing Transaction) throws -> Set<Bytes32>

  /// Forgets what these markets' (nil: all) rate models and tokens were asked or have told: it is
  /// derived or asked anew.
  func forgetFacts(
    of markets: Set<Bytes32>?, of deployment: Deployment, in tx: borrowing Transaction) throws

  // MARK: Beginning in mid-chain

  /// What is known of a list before anything was asked.
  func base(of list: PositionList, of deployment: Deployment) -> Base

  /// The next calls whose answers are needed, at most so many; none when all is known.
  func questions(for base: Base, atMost count: Int) -> [Call]

  /// Takes the answers, in the order of the last `questions`.
  ///
  /// - Throws: `BootstrapError` if they cannot be the state of the listed markets.
  func take(_ answers: [CallResult], into base: inout Base) throws

  /// Whether the list is complete, once all is known.
  ///
  /// - Throws: `BootstrapError.incomplete`.
  func check(_ base: Base) throws -> BaseSummary

  /// Writes the base rows, and the mirror that they are at their block.
  func store(
    _ base: Base, of deployment: Deployment, at block: BlockMark, in tx: borrowing Transaction
  ) throws

  /// The mirror at the block that the deployment begins with; a blank one if it was read from its
  /// first block on. Loads all base positions of the markets.
  func baseMirror(
    following markets: Set<Bytes32>?, keepsHistory: Bool, of deployment: Deployment,
    in tx: borrowing Transaction
  ) throws -> Mirror

  /// Whether any market is known.
  func hasMarkets(of deployment: Deployment, in tx: borrowing Transaction) throws -> Bool
}

extension OnChainSystem {
  /// None.
  public func outsidePrices(for book: Book) -> Set<String> { [] }

  public func take(
    _ prices: [String: Result<SecondPrice, SecondProblem>], into book: inout Book
  ) {}

  /// A blank mirror that can be stored.
  public func blankMirror(following markets: Set<Bytes32>?) -> Mirror {
    blankMirror(following: markets, keepsHistory: true)
  }

  /// Loads what is needed to judge the deployment's positions with debt.
  public func book(
    of deployment: Deployment, markets: MarketFilter, at block: BlockMark,
    in tx: borrowing Transaction
  ) throws -> Book {
    try book(of: deployment, markets: markets, at: block, for: .verdicts, in: tx)
  }

  /// The rows that `logs` can change, all of them read from the tables.
  public func mirror(
    touchedBy logs: [Log], of deployment: Deployment, in tx: borrowing Transaction
  ) throws -> Mirror {
    try mirror(touchedBy: logs, after: nil, of: deployment, in: tx)
  }

  /// Writes what `apply` changed.
  public func store(
    _ mirror: Mirror, of deployment: Deployment, in tx: borrowing Transaction
  ) throws {
    var mirror = mirror
    try store(&mirror, of: deployment, in: tx)
  }
}

/// Why blocks cannot be taken back.
public enum TakeBackError: Error, Equatable, Sendable, CustomStringConvertible {
  /// Rows that changed above the ancestor are final: what they were before is not known.
  case imagesForgotten(ancestor: UInt64)

  public var description: String {
    switch self {
    case .imagesForgotten(let ancestor):
      "the chain has left blocks above \(ancestor) that were final, so what was there before them "
        + "is not known; nothing was taken back. If the node is on another chain, use another node"
    }
  }
}

/// What the answers are for: more is asked for a verdict than for a debt.
public enum Purpose: Sendable {
  case debts
  case verdicts
}

/// The markets that a user wants judged. Everything is mirrored all the same.
public struct MarketFilter: Sendable, Equatable {
  /// If not empty, only these.
  public let include: Set<Bytes32>
  public let exclude: Set<Bytes32>

  public init(include: Set<Bytes32> = [], exclude: Set<Bytes32> = []) {
    self.include = include
    self.exclude = exclude
  }

  public func admits(_ market: Bytes32) -> Bool {
    (include.isEmpty || include.contains(market)) && !exclude.contains(market)
  }
}

/// The timestamp of each block that has logs.
public typealias BlockTimes = [UInt64: UInt64]

/// What became of the logs of a window.
public struct ApplyReport: Equatable, Sendable {
  /// Logs that changed a row.
  public var applied = 0
  /// Logs that change nothing we keep.
  public var ignored = 0
  /// Logs of markets that stand still.
  public var waiting = 0
  /// Logs of rate models that do not have the shape of their event, and were passed over.
  public var malformed = 0
  /// Markets set aside by these logs.
  public var setAside: [SetAside] = []
  /// Those of them whose creation was never seen.
  public var neverCreated: Set<Bytes32> = []
  /// Contracts behind which other code stands now.
  public var upgrades: [ContractUpgrade] = []

  public init() {}
}

/// That a contract got other code: what it computes may have changed.
public struct ContractUpgrade: Equatable, Sendable {
  public let contract: Address
  public let block: UInt64

  public init(contract: Address, block: UInt64) {
    self.contract = contract
    self.block = block
  }
}

/// A market that stands still because one of its events could not be applied.
public struct SetAside: Equatable, Sendable {
  public let market: Bytes32
  public let blockNumber: UInt64
  public let logIndex: UInt32
  public let reason: String
  public let attempts: Int

  public init(
    market: Bytes32, blockNumber: UInt64, logIndex: UInt32, reason: String, attempts: Int
  ) {
    self.market = market
    self.blockNumber = blockNumber
    self.logIndex = logIndex
    self.reason = reason
    self.attempts = attempts
  }
}
