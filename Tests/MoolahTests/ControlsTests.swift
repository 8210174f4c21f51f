import Ethereum
import Quantities
import RiskCore
import Systems
import Testing

/// Each control at its boundary: what it holds back, and what it lets through one unit later.
@Suite struct ControlsTests {
  static let market = Bytes32(U256(0xA))
  static let other = Bytes32(U256(0xB))
  static let user = unwrapped(Bytes32(U256(7)).address)
  static let key = CandidateMemory.Key(market: market, user: user, kind: .liquidation)
  static let dollar: U256 = 100_000_000

  static func block(_ number: UInt64, at timestamp: UInt64, branch: UInt64 = 0) -> BlockMark {
    BlockMark(
      number: number, hash: Bytes32(U256(number * 1_000 + branch + 1)), timestamp: timestamp)
  }

  static func candidate(
    _ market: Bytes32 = market, user: Address = user, certainty: Certainty = .verified,
    usd: UInt64? = 100
  ) -> Candidate {
    var candidate = Candidate(
      marketID: 1, market: market, user: user, certainty: certainty, outcome: .open,
      health: Health(capacity: 1, debt: 2), collateral: 1, price: 1, triggerPrice: 2)
    candidate.plan = LiquidationPlan(
      extent: .full, seizedAssets: 1, repaidAssets: 1, repaidShares: 1, incentive: 1,
      isBySeizing: false)
    candidate.loanToValue = 900_000_000_000_000_000
    candidate.debtUSD = usd.map { U256(UInt128($0) * 100_000_000) }
    return candidate
  }

  /// Scans of one deployment, one after the other.
  struct Scans {
    var settings = ControlSettings()
    var memory: CandidateMemory? = CandidateMemory()
    var markets: Set<Bytes32> = [market, other]
    var last = Judgement()

    @discardableResult
    mutating func scan(
      _ candidates: [Candidate], at block: BlockMark, unknown: Set<Bytes32> = [],
      users: Set<Address>? = nil
    ) -> [Outcome] {
      var judgement = Judgement()
      judgement.candidates = candidates
      for market in markets {
        var found = MarketJudgement(marketID: 1, market: market, price: 1)
        if unknown.contains(market) { (found.unknown, found.unknownUsers) = (1, users) }
        judgement.markets.append(found)
      }
      Controls(settings).decide(&judgement, of: markets, at: block, memory: &memory)
      last = judgement
      return judgement.candidates.map(\.outcome)
    }

    @discardableResult
    mutating func one(
      _ number: UInt64, at timestamp: UInt64, _ candidate: Candidate = candidate()
    ) -> Outcome? {
      scan([candidate], at: block(number, at: timestamp)).first
    }
  }

  @Test func withoutSettingsNothingIsHeldBack() {
    var scans = Scans()
    #expect(scans.one(1, at: 100) == .open)
    #expect(scans.one(2, at: 100) == .open)
    #expect(scans.one(3, at: 112) == .open)
    #expect(
      scans.scan(
        [Self.candidate(certainty: .actionable), Self.candidate(certainty: .preLiquidatable)],
        at: Self.block(4, at: 124)) == [.open, .open])
  }

  static let told: [Outcome] = [
    .paused, .permissionUnknown, .whitelistOnly, .notAuthorized, .reportOnly, .dustRule,
  ]

  @Test(arguments: told)
  func whatTheContractsSayGoesFirst(_ outcome: Outcome) {
    var scans = Scans()
    scans.settings.minimumUSD = 1_000_000_000_000
    scans.settings.delay.seconds = 1_000
    var candidate = Self.candidate()
    candidate.outcome = outcome
    candidate.plan = nil
    #expect(scans.one(1, at: 100, candidate) == outcome)
  }

  @Test func withoutAmountsThePlanIsUnknown() {
    var scans = Scans()
    var candidate = Self.candidate()
    candidate.plan = nil
    #expect(scans.one(1, at: 100, candidate) == .planUnknown)
  }

  // MARK: Size

  @Test func lessThanTheMinimumIsLeftAlone() {
    var scans = Scans()
    scans.settings.minimumUSD = Self.dollar
    var candidate = Self.candidate()
    candidate.debtUSD = 99_999_999
    #expect(scans.one(1, at: 100, candidate) == .belowMinimum)
    candidate.debtUSD = 100_000_000
    #expect(scans.one(2, at: 112, candidate) == .open)
    candidate.debtUSD = nil
    #expect(scans.one(3, at: 124, candidate) == .open)
  }

  // MARK: Delay

  @Test func waitsForTheDelayToTheSecond() {
    var scans = Scans()
    scans.settings.delay.seconds = 60
    #expect(scans.one(1, at: 100) == .delayed)
    #expect(scans.one(2, at: 159) == .delayed)
    #expect(scans.one(3, at: 160) == .open)
    #expect(scans.last.candidates.first?.firstSeen == 100)
  }

  @Test func aPositionThatWasHealthyInBetweenWaitsAnew() {
    var scans = Scans()
    scans.settings.delay.seconds = 60
    scans.one(1, at: 100)
    scans.scan([], at: Self.block(2, at: 130))
    #expect(scans.memory?.episodes.isEmpty == true)
    #expect(scans.one(3, at: 160) == .delayed)
    #expect(scans.one(4, at: 219) == .delayed)
    #expect(scans.one(5, at: 220) == .open)
  }

  @Test func anUnknownVerdictOnSomebodyElseKeepsNoEpisodeOpen() {
    var scans = Scans()
    let neighbour = HandmadeBook.address(8)
    scans.scan([Self.candidate(), Self.candidate(user: neighbour)], at: Self.block(1, at: 100))
    scans.scan([], at: Self.block(2, at: 130), unknown: [Self.market], users: [neighbour])
    #expect(scans.memory?.episodes.keys.map(\.user) == [neighbour])
    #expect(scans.memory?.episodes.values.map(\.steadySince) == [nil])
    scans.one(3, at: 160)
    #expect(scans.last.candidates.first?.firstSeen == 160)
  }

  @Test func anUnknownVerdictEndsNothingButTheWaitBeginsAnew() {
    var scans = Scans()
    scans.settings.delay.seconds = 60
    scans.one(1, at: 100)
    scans.scan([], at: Self.block(2, at: 130), unknown: [Self.market])
    #expect(scans.one(3, at: 160) == .delayed)
    #expect(scans.last.candidates.first?.firstSeen == 100)
    #expect(scans.one(4, at: 219) == .delayed)
    #expect(scans.one(5, at: 220) == .open)
  }

  @Test func aMarketThatWasNotJudgedKeepsItsMemory() {
    var scans = Scans()
    scans.settings.delay.seconds = 60
    scans.one(1, at: 100)
    scans.markets = [Self.other]
    scans.scan([], at: Self.block(2, at: 130))
    scans.markets = [Self.market]
    #expect(scans.one(3, at: 160) == .open)
  }

  @Test func confirmationsCountBlocksAndNotScans() {
    var scans = Scans()
    scans.settings.delay.confirmations = 3
    #expect(scans.one(1, at: 100) == .delayed)
    #expect(scans.one(1, at: 100) == .delayed)
    #expect(scans.one(2, at: 112) == .delayed)
    #expect(scans.one(2, at: 112) == .delayed)
    #expect(scans.one(3, at: 124) == .open)
  }

  @Test func theDelayIsOnlyForItsMarkets() {
    var scans = Scans()
    scans.settings.delay.seconds = 60
    scans.settings.delay.markets = [Self.other]
    #expect(
      scans.scan([Self.candidate(), Self.candidate(Self.other)], at: Self.block(1, at: 100))
        == [.open, .delayed])
  }

  @Test func whatIsOverItsLineOnlyFromTheNextBlockOnWaits() {
    var scans = Scans()
    scans.settings.delay.seconds = 1
    #expect(scans.one(1, at: 100, Self.candidate(certainty: .actionable)) == .delayed)
    #expect(scans.memory?.episodes.isEmpty == true)
  }

  @Test func aChainThatWentBackHasNotSeenTheEpisodeBegin() {
    var scans = Scans()
    scans.settings.delay.seconds = 60
    scans.one(10, at: 1_000)
    #expect(scans.one(9, at: 988) == .delayed)
    #expect(scans.last.candidates.first?.firstSeen == 988)
  }

  // MARK: Dedup

  @Test func whatWasNamedIsNotNamedAgainWithinTheWindow() {
    var scans = Scans()
    scans.settings.dedupSeconds = 60
    #expect(scans.one(1, at: 100) == .open)
    #expect(scans.one(2, at: 112) == .recentlyProcessed)
    #expect(scans.one(3, at: 159) == .recentlyProcessed)
    #expect(scans.one(4, at: 160) == .open)
    #expect(scans.one(5, at: 172) == .recentlyProcessed)
  }

  @Test func judgingABlockAgainChangesNothing() {
    var scans = Scans()
    scans.settings.dedupSeconds = 60
    scans.settings.delay.confirmations = 2
    scans.one(1, at: 100)
    #expect(scans.one(2, at: 112) == .open)
    let memory = scans.memory
    #expect(scans.one(2, at: 112) == .open)
    #expect(scans.memory == memory)
  }

  // MARK: Delayed liquidation

  static func guarded(capacity: UInt64 = 1_000) -> Scans {
    var scans = Scans()
    scans.memory?.guards.raisedLines = [
      market: 950_000_000_000_000_000, other: 950_000_000_000_000_000,
    ]
    scans.memory?.guards.capacities = [user: U256(UInt128(capacity) * 100_000_000)]
    return scans
  }

  @Test func aProtectedBorrowerHasADayFromTheFirstCrossing() {
    var scans = Self.guarded()
    #expect(scans.one(1, at: 100) == .protected)
    #expect(scans.last.candidates.first?.guardState == .protected)
    #expect(scans.one(2, at: 86_499) == .protected)
    #expect(scans.one(3, at: 86_500) == .open)
    #expect(scans.last.candidates.first?.guardState == .graceOver)
  }

  @Test func atTheRaisedLineTheProtectionEnds() {
    var scans = Self.guarded()
    var candidate = Self.candidate()
    candidate.loanToValue = 949_999_999_999_999_999
    #expect(scans.one(1, at: 100, candidate) == .protected)
    candidate.loanToValue = 950_000_000_000_000_000
    #expect(scans.one(2, at: 112, candidate) == .open)
    #expect(scans.last.candidates.first?.guardState == .raisedLineReached)
    candidate.loanToValue = nil
    #expect(scans.one(3, at: 124, candidate) == .open)
  }

  @Test func whatExceedsTheCapacityIsNotProtected() {
    var scans = Self.guarded(capacity: 100)
    #expect(scans.one(1, at: 100, Self.candidate(usd: 100)) == .protected)
    #expect(scans.one(2, at: 112, Self.candidate(usd: 101)) == .open)
    #expect(scans.last.candidates.first?.guardState == .capacityExceeded)
    #expect(scans.one(3, at: 124, Self.candidate(usd: nil)) == .open)
    #expect(scans.last.candidates.first?.guardState == .capacityExceeded)
  }

  @Test func theCapacityGoesToWhatCrossedFirst() {
    var scans = Self.guarded(capacity: 150)
    scans.one(1, at: 100, Self.candidate(Self.other))
    #expect(
      scans.scan(
        [Self.candidate(usd: 51), Self.candidate(Self.other)], at: Self.block(2, at: 112))
        == [.open, .protected])
    #expect(
      scans.scan(
        [Self.candidate(usd: 50), Self.candidate(Self.other)], at: Self.block(3, at: 124))
        == [.protected, .protected])
  }

  @Test func onlyListedBorrowersInListedMarketsAreProtected() {
    var scans = Self.guarded()
    scans.memory?.guards.raisedLines[Self.market] = nil
    #expect(scans.one(1, at: 100) == .open)
    #expect(scans.last.candidates.first?.guardState == GuardState.none)
    scans = Self.guarded()
    scans.memory?.guards.capacities = [:]
    #expect(scans.one(1, at: 100) == .open)
  }

  // MARK: Liquidation Zone

  private func zone(
    _ scans: inout Scans, _ number: UInt64, at timestamp: UInt64, usd: UInt64? = 100
  )
    -> ZoneReasons
  {
    scans.one(number, at: timestamp, Self.candidate(usd: usd))
    return scans.last.candidates.first?.zone ?? []
  }

  @Test func theZoneHasWhatIsLargeOldFailedOrFlagged() {
    var scans = Scans()
    #expect(zone(&scans, 1, at: 100) == [])
    #expect(zone(&scans, 2, at: 112, usd: 1_000_000) == [])
    #expect(zone(&scans, 3, at: 124, usd: 1_000_001) == .value)
    #expect(zone(&scans, 4, at: 136, usd: nil) == .valueUnknown)
    #expect(zone(&scans, 5, at: 3_700) == [])
    #expect(zone(&scans, 6, at: 3_701) == .age)
    scans.memory?.episodes[Self.key]?.failedAttempts = 1
    scans.memory?.flagged = [Self.key]
    #expect(zone(&scans, 7, at: 3_800) == [.age, .failedAttempts, .manual])
    #expect("\(scans.last.candidates[0].zone)" == "age,failed_attempts,manual")
  }

  // MARK: The past

  @Test func withoutAMemoryThereAreNoControlsOverTime() {
    var scans = Self.guarded()
    scans.memory = nil
    scans.settings.delay.seconds = 60
    scans.settings.dedupSeconds = 60
    scans.settings.minimumUSD = Self.dollar
    #expect(scans.one(1, at: 100) == .open)
    #expect(scans.last.candidates.first?.firstSeen == nil)
    #expect(scans.one(2, at: 112, Self.candidate(usd: 0)) == .belowMinimum)
  }

  @Test func everyOutcomeComesFromSomewhere() {
    let decided: Set<Outcome> = [
      .planUnknown, .belowMinimum, .protected, .delayed, .recentlyProcessed, .open,
    ]
    #expect(decided.union(Self.told) == Set(Outcome.allCases))
    #expect(decided.isDisjoint(with: Self.told))
  }
}
