import Chain
import Ethereum
import Postgres
import Store
import Systems

/// The claims of a mirror, held against the contracts at the mirror's block.
///
/// Trusts no log: every number is asked of the contract itself, by the block's hash, so that all of
/// it is of one block. Nothing here changes the mirror; while the node is asked no transaction is
/// open, and what is found stays true of its block when the mirror has moved on.
public struct Auditing<System: OnChainSystem> {
  public let deployment: Deployment
  public let block: BlockMark
  private let claims: Claims
  /// What earlier audits found and this one asks again.
  private let open: [Divergences.Open]

  /// Claims that are asked, and held in memory, at a time.
  private static var claimsAtOnce: Int { 5_000 }

  init(
    deployment: Deployment, block: BlockMark, claims: Claims, open: [Divergences.Open]
  ) {
    self.deployment = deployment
    self.block = block
    self.claims = claims
    self.open = open
  }

  /// Reads the claims in one snapshot; nil if no block has been consumed yet.
  public init?(
    _ system: System, of deployment: Deployment, in scope: AuditScope, on db: Connection
  ) throws {
    let read: (BlockMark, Claims, [Divergences.Open])? = try db.transaction(.readOnly) { tx in
      let cursor = try Cursor.read(Follower<System>.job, of: deployment.id, in: tx)
      guard let number = cursor.block, let hash = cursor.hash,
        let header = try Blocks.header(
          number: number, hash: hash, chainID: deployment.chainID, in: tx)
      else { return nil }
      let open = try Divergences.open(of: deployment, in: tx).filter { scope.admits($0.subject) }
      var scope = scope
      scope.again.formUnion(open.map(\.subject))
      let block = BlockMark(header)
      return (block, try system.claims(of: deployment, at: block, in: scope, in: tx), open)
    }
    guard let (block, claims, open) = read else { return nil }
    self.deployment = deployment
    self.block = block
    self.claims = claims
    self.open = open
  }

  /// How many claims there are.
  public var count: Int { claims.count }

  // MARK: Asking

  /// Asks the chain, some thousand claims at a time; `told` hears how many are done.
  ///
  /// Stops between two batches, or inside one, when the run has to end: what was compared until
  /// then is the result. Throws the errors of `Chain.call`; a block or state that the node does not
  /// have is one.
  public func ask(
    _ chain: Chain, multicall: Address, isStopping: () -> Bool, told: (Int) -> Void
  ) throws -> AuditFindings {
    var findings = AuditFindings(block: block)
    let watched = Set(open.map(\.subject))
    var next = 0
    while next < claims.count {
      let batch = Array(claims[next..<min(next + Self.claimsAtOnce, claims.count)])
      do {
        if isStopping() { throw ChainError.stopped }
        try Self.ask(batch, chain, at: block, multicall: multicall, watched, into: &findings)
      } catch ChainError.stopped, ChainError.deadlineReached {
        findings.isComplete = false
        return findings
      }
      next += batch.count
      told(next)
    }
    return findings
  }

  private static func ask(
    _ claims: [Claim], _ chain: Chain, at block: BlockMark, multicall: Address,
    _ watched: Set<AuditSubject>, into findings: inout AuditFindings
  ) throws {
    // Several claims may rest on one view.
    var calls: [Call] = []
    var places: [Call: Int] = [:]
    for call in claims.flatMap({
      $0.fields.isEmpty ? [] : [$0.call] + ($0.otherwise.map { [$0] } ?? [])
    })
    where places[call] == nil {
      places[call] = calls.count
      calls.append(call)
    }
    let answers = try chain.call(calls, at: block.hash, multicall: multicall)
    func answer(_ call: Call) -> CallResult? { places[call].map { answers[$0] } }
    for claim in claims {
      if watched.contains(claim.subject) { findings.asked.insert(claim.subject) }
      guard let told = answer(claim.call) else { continue }
      findings.add(
        claim, claim.held(against: told, otherwise: claim.otherwise.flatMap(answer)))
    }
  }

  // MARK: Storing

  /// Stores what was found, and closes what earlier audits found and this one found equal.
  ///
  /// - Returns: how many were closed.
  @discardableResult
  public func store(
    _ findings: AuditFindings, run: Int64, in tx: borrowing Transaction
  ) throws -> Int {
    try Divergences.record(findings.divergences, of: deployment, at: block, run: run, in: tx)
    let wrong = Set(findings.divergences.map { Field(subject: $0.subject, name: $0.field) })
    let unanswered = Set(findings.unanswered.map(\.subject))
    let equal = open.filter {
      findings.asked.contains($0.subject) && !unanswered.contains($0.subject)
        && !wrong.contains(Field(subject: $0.subject, name: $0.field))
    }
    try Divergences.resolve(equal.map(\.id), run: run, in: tx)
    return equal.count
  }

  private struct Field: Hashable {
    let subject: AuditSubject
    let name: String
  }
}

/// What an audit has found at one block.
public struct AuditFindings: Sendable {
  public let block: BlockMark
  /// Claims that were held against an answer, by kind.
  public private(set) var claims: [AuditSubject.Kind: Int] = [:]
  public private(set) var fields = 0
  public private(set) var divergences: [Divergence] = []
  public private(set) var unanswered: [UnansweredClaim] = []
  /// False: the run had to end before everything was asked.
  public internal(set) var isComplete = true
  /// Subjects of open divergences that have been asked again.
  var asked: Set<AuditSubject> = []

  init(block: BlockMark) {
    self.block = block
  }

  mutating func add(_ claim: Claim, _ outcome: Claim.Outcome) {
    switch outcome {
    case .unanswered(let reason):
      unanswered.append(UnansweredClaim(claim.subject, reason))
    case .compared(let found):
      claims[claim.subject.kind, default: 0] += 1
      fields += claim.fields.count
      divergences += found
    }
  }

  /// The markets to derive again; nil: all of them.
  public var markets: Set<Bytes32>? {
    var markets: Set<Bytes32> = []
    for divergence in divergences {
      guard let some = divergence.markets else { return nil }
      markets.formUnion(some)
    }
    return markets
  }

  /// What is left after these markets (nil: all) were derived and audited again: nothing found in
  /// them before counts any more.
  public func followed(by later: AuditFindings, in markets: Set<Bytes32>?) -> AuditFindings {
    func isLeft(_ subject: AuditSubject) -> Bool {
      guard let markets, let market = subject.market else { return false }
      return !markets.contains(market)
    }
    var joined = later
    joined.divergences += divergences.filter { isLeft($0.subject) }
    joined.unanswered += unanswered.filter { isLeft($0.subject) }
    joined.claims = claims.merging(later.claims) { max($0, $1) }
    joined.fields = max(fields, later.fields)
    joined.isComplete = isComplete && later.isComplete
    return joined
  }
}
