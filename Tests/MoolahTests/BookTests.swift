import Ethereum
import Quantities
import RiskCore
import Systems
import TestKit
import Testing

@testable import Moolah

/// Verdicts on books made by hand.
@Suite struct BookTests {
  private static let now = HandmadeBook.block.timestamp

  /// Far from its line, and far over it.
  private static func handmade(_ dialect: Dialect = .moolah) -> HandmadeBook {
    var handmade = HandmadeBook(dialect)
    handmade.add(debt: 10, collateral: 100)
    handmade.add(debt: 90, collateral: 100)
    return handmade
  }

  private func judge(
    _ handmade: HandmadeBook, at timestamp: UInt64 = now, next: UInt64? = nil
  ) throws -> (found: MarketJudgement, candidates: [Candidate]) {
    let judgement = handmade.moolah.judge(handmade.book(), at: timestamp, next: next)
    #expect(judgement.markets.count == 1)
    return (try #require(judgement.markets.first), judgement.candidates)
  }

  @Test(arguments: Dialect.allCases)
  func tellsTheHealthyFromTheLiquidatable(_ dialect: Dialect) throws {
    let (found, candidates) = try judge(Self.handmade(dialect))
    #expect(found.healthy == 1)
    #expect(found.liquidatable == 1)
    #expect(found.unknown == 0)
    #expect(found.unknownReason == nil)
    #expect(found.price == HandmadeBook.oneToOne)
    let candidate = try #require(candidates.first)
    #expect(candidates.count == 1)
    #expect(candidate.user == HandmadeBook.address(2))
    #expect(candidate.certainty == .verified)
    #expect(candidate.outcome == .open)
    #expect(candidate.collateral == U256(HandmadeBook.tokens(100)))
    #expect(candidate.health.capacity == U256(HandmadeBook.tokens(80)))
    #expect(candidate.health.debt > U256(HandmadeBook.tokens(90)))
  }

  @Test func aMarketWithoutDebtIsNotJudged() {
    let handmade = HandmadeBook(.moolah)
    #expect(handmade.moolah.judge(handmade.book(), at: Self.now, next: nil).markets.isEmpty)
  }

  @Test func withoutCollateralEveryPriceIsTooLow() throws {
    var handmade = HandmadeBook(.morphoBlue)
    handmade.add(debt: 1, collateral: 0)
    let (found, candidates) = try judge(handmade)
    #expect(found.liquidatable == 1)
    #expect(candidates.map(\.triggerPrice) == [nil])
  }

  // MARK: Unknown

  struct Cause: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let reason: UnknownReason
    var dialect = Dialect.moolah
    var at = BookTests.now
    let spoil: @Sendable (inout HandmadeBook) -> Void
  }

  private static let capped = FactSubject.market(Bytes32(U256(0xA)), irm: HandmadeBook.irm)

  static let causes: [Cause] =
    [
      Cause(testDescription: "no price asked", reason: .missingPrice) { $0.prices = [:] },
      Cause(testDescription: "no price of the collateral", reason: .missingPrice) {
        $0.prices[HandmadeBook.base] = .missing
      },
      Cause(testDescription: "no price of the loan token", reason: .missingPrice) {
        $0.prices[HandmadeBook.quote] = nil
      },
      Cause(testDescription: "no price of the pair", reason: .missingPrice, dialect: .morphoBlue) {
        $0.prices[HandmadeBook.pair] = .missing
      },
      Cause(testDescription: "decimals unknown", reason: .missingPrice) {
        $0.decimals[HandmadeBook.collateral] = nil
      },
      Cause(testDescription: "the collateral is worth 0", reason: .zeroPrice) {
        $0.prices[HandmadeBook.base] = .zero
      },
      Cause(testDescription: "the loan token is worth 0", reason: .zeroPrice) {
        $0.prices[HandmadeBook.quote] = .zero
      },
      Cause(testDescription: "the pair is worth 0", reason: .zeroPrice, dialect: .morphoBlue) {
        $0.prices[HandmadeBook.pair] = .zero
      },
      Cause(testDescription: "the quotient rounds to 0", reason: .zeroPrice) {
        $0.prices[HandmadeBook.base] = .price(.one)
        $0.prices[HandmadeBook.quote] = .price(.max)
      },
      Cause(testDescription: "the collateral's price reverts", reason: .priceCallReverted) {
        $0.prices[HandmadeBook.base] = .reverted
      },
      Cause(testDescription: "the loan token's price reverts", reason: .priceCallReverted) {
        $0.prices[HandmadeBook.quote] = .reverted
      },
      Cause(
        testDescription: "the pair's price reverts", reason: .priceCallReverted,
        dialect: .morphoBlue
      ) { $0.prices[HandmadeBook.pair] = .reverted },
    ] + priceCauses + [
      Cause(testDescription: "a model that nobody knows", reason: .unknownRate) {
        $0.storedRate = nil
        $0.askedRate = .some(nil)
      },
      Cause(testDescription: "a model that nobody knows, later", reason: .unknownRate, at: 10_003) {
        $0.storedRate = nil
        $0.askedRate = Wad(raw: 5)
      },
      Cause(testDescription: "the contract's rate reverts", reason: .unknownRate) {
        $0.askedRate = .some(nil)
      },
      Cause(testDescription: "the contract's rate reverts, later", reason: .unknownRate, at: 10_003)
      {
        $0.askedRate = .some(nil)
      },
      Cause(testDescription: "the models disagree, later", reason: .unknownRate, at: 10_003) {
        $0.askedRate = Wad(raw: 5)
      },
      Cause(testDescription: "a cap that the model did not see", reason: .unknownRate, at: 10_003) {
        $0.facts = [(.rateCap, capped, 1)]
      },
      Cause(testDescription: "before the last accrual", reason: .unknownRate, at: 8_999) { _ in },
      Cause(testDescription: "set aside", reason: .marketSetAside) { $0.isSetAside = true },
      Cause(testDescription: "a broker", reason: .brokerMarket) {
        $0.broker = HandmadeBook.address(0xB)
      },
      Cause(testDescription: "a broker's user that was not read", reason: .noBrokerState) {
        $0.setBroker(users: [:])
      },
      Cause(testDescription: "a broker that answers nonsense", reason: .brokerAnswer) {
        $0.setBroker(users: [1: .unknown(.brokerAnswer)])
      },
      Cause(testDescription: "a broker that contradicts itself", reason: .brokerDebtDiffers) {
        $0.setBroker(users: [1: .unknown(.brokerDebtDiffers)])
      },
      Cause(testDescription: "a broker without a rate row", reason: .noBrokerRate) {
        $0.setBroker(users: [1: .known(BrokerLoans(normalizedDebt: 1))], rate: nil)
      },
      Cause(testDescription: "the accrual overflows", reason: .arithmeticOverflow) {
        $0.state.totalSupplyAssets = .max
      },
      Cause(testDescription: "the growth overflows", reason: .arithmeticOverflow) {
        $0.askedRate = Wad(raw: .max)
      },
      Cause(testDescription: "the price overflows", reason: .arithmeticOverflow) {
        $0.prices[HandmadeBook.base] = .price(.max)
      },
      Cause(testDescription: "the scale underflows", reason: .arithmeticOverflow) {
        $0.decimals = [HandmadeBook.loan: 0, HandmadeBook.collateral: 37]
      },
      Cause(
        testDescription: "every capacity overflows", reason: .arithmeticOverflow,
        dialect: .morphoBlue
      ) { $0.setPrice(.max) },
    ]

  /// One for each guard of a price.
  private static let priceCauses: [Cause] = [
    refused(.stalePrice) { board, rule in
      rule.feed?.heartbeatSeconds = 60
      board.take(.round(answer: 5, updatedAt: now - 61), to: .round(HandmadeBook.oracle), at: now)
    },
    refused(.priceAtBound) { board, rule in
      rule.feed?.lowest = 5
      board.take(.round(answer: 5, updatedAt: now), to: .round(HandmadeBook.oracle), at: now)
    },
    refused(.feedUnreadable) { _, _ in },
    refused(.frozenPrice) { board, rule in
      rule.feed = nil
      rule.frozenRuns = 1
      var memory = PriceMemory()
      memory.last = HandmadeBook.oneToOne
      memory.unchangedRuns = 1
      board.memories[HandmadeBook.base] = memory
    },
    refused(.priceJump) { board, rule in
      rule.feed = nil
      rule.step = StepBound(bound: BasisPoints(raw: 2_000), runs: 3, seconds: 300)
      board.memories[HandmadeBook.base] = PriceMemory(reference: 1_000)
    },
    refused(.rateStep) { board, rule in
      rule.feed = nil
      let call = RateCall(contract: HandmadeBook.oracle, signature: "rate()")
      rule.rate = RateRule(
        call: call, underlying: nil,
        step: StepBound(bound: BasisPoints(raw: 50), runs: 1, seconds: 60))
      board.take(.word(HandmadeBook.oneToOne), to: .rate(call), at: now)
      var memory = PriceMemory()
      memory.premium = StepMemory(reference: 1)
      board.memories[HandmadeBook.base] = memory
    },
    refused(.offPeg) { _, rule in
      rule.feed = nil
      rule.peg = PegRule(value: 100, bound: BasisPoints(raw: 100))
    },
    refused(.priceDisagrees) { board, rule in
      rule.feed = nil
      rule.second = SecondRule(source: "dex", bound: BasisPoints(raw: 100))
      // Close enough to be of the right order.
      board.take(["dex": .success(SecondPrice(value: 6, decimals: -27))])
    },
    refused(.secondSourceUnavailable) { _, rule in
      rule.feed = nil
      rule.second = SecondRule(
        source: "dex", bound: BasisPoints(raw: 100), isRequired: true)
    },
    refused(.quarantined) { board, rule in
      rule.feed = nil
      rule.second = SecondRule(source: "dex", bound: BasisPoints(raw: 100))
      board.take(["dex": .success(SecondPrice(value: 1, decimals: 0))])
    },
  ]

  private static func refused(
    _ reason: UnknownReason,
    _ change: @escaping @Sendable (inout PriceBoard, inout PriceRule) -> Void
  ) -> Cause {
    Cause(testDescription: reason.code, reason: reason) { handmade in
      handmade.board = { board in
        var rule = PriceRule()
        rule.feed = FeedRule(address: HandmadeBook.oracle)
        change(&board, &rule)
        board.settings.rules[HandmadeBook.base] = rule
      }
    }
  }

  @Test func everyReasonHasItsCause() {
    #expect(Set(Self.causes.map(\.reason)) == Set(UnknownReason.allCases))
  }

  @Test(arguments: causes)
  func whatIsNotKnownIsNeitherHealthyNorLiquidatable(_ cause: Cause) throws {
    var handmade = Self.handmade(cause.dialect)
    #expect(try judge(handmade).found.unknown == 0)
    cause.spoil(&handmade)
    let (found, candidates) = try judge(handmade, at: cause.at, next: cause.at + 12)
    #expect(found.unknownReason == cause.reason)
    #expect(found.unknown == 2)
    #expect(found.healthy == 0)
    #expect(found.liquidatable == 0)
    #expect(found.actionable == 0)
    #expect(candidates.isEmpty)
  }

  @Test func onePositionThatOverflowsDoesNotHideTheOthers() throws {
    // Its collateral times the price is beyond 256 bits; the others' is not.
    var handmade = HandmadeBook(.morphoBlue, price: HandmadeBook.oneToOne)
    handmade.add(debt: 10, collateral: 100)
    handmade.positions.append((1, .max))
    handmade.add(debt: 90, collateral: 100)
    handmade.setPrice(try U256.max.dividedDown(by: U256(HandmadeBook.tokens(100))))
    handmade.lltv = Wad(raw: 1)
    let (found, candidates) = try judge(handmade)
    #expect(found.unknown == 1)
    #expect(found.unknownReason == .arithmeticOverflow)
    #expect(found.positions == 3)
    #expect(candidates.count == found.liquidatable)
    #expect(!candidates.contains { $0.user == HandmadeBook.address(2) })
  }

  @Test func oneMarketThatIsUnknownDoesNotHideTheOthers() {
    var unknown = Self.handmade()
    unknown.key = Bytes32(U256(0xB))
    unknown.isSetAside = true
    let judgement = unknown.moolah.judge(
      MoolahBook.joining([Self.handmade(), unknown, Self.handmade()]), at: Self.now, next: nil)
    #expect(judgement.positions == 6)
    #expect(judgement.unknown == 2)
    #expect(judgement.healthy == 2)
    #expect(judgement.liquidatable == 2)
    #expect(judgement.candidates.map(\.marketID) == [1, 3])
  }

  // MARK: Counts

  @Test func theCountsAddUpToThePositionsWithDebt() throws {
    var generator = SeededGenerator()
    for _ in 0..<200 {
      let dialect: Dialect = Bool.random(using: &generator) ? .moolah : .morphoBlue
      var handmade = HandmadeBook(dialect)
      handmade.setPrice(U256(UInt64.random(in: 1...UInt64.max, using: &generator)))
      for _ in 0..<Int.random(in: 1...20, using: &generator) {
        handmade.positions.append(
          (
            UInt128.random(in: 1...HandmadeBook.tokens(1_000_000), using: &generator),
            UInt128.random(in: 0...(UInt128.max >> 20), using: &generator)
          ))
      }
      if Int.random(in: 0..<4, using: &generator) == 0 {
        Self.causes.filter { $0.dialect == dialect }.randomElement(using: &generator)?
          .spoil(&handmade)
      }
      let (found, candidates) = try judge(handmade, next: Self.now + 3_600)
      #expect(found.positions == handmade.positions.count)
      #expect(found.healthy + found.liquidatable + found.unknown == handmade.positions.count)
      #expect(candidates.count { $0.certainty == .verified } == found.liquidatable)
      #expect(candidates.count { $0.certainty == .actionable } == found.actionable)
      #expect((found.unknown > 0) == (found.unknownReason != nil))
      #expect(found.actionable <= found.healthy)
    }
  }

  // MARK: Outcomes

  static let outcomes: [(paused: Bool?, open: Bool?, outcome: Outcome)] = [
    (false, true, .open), (false, false, .whitelistOnly), (true, true, .paused),
    (true, false, .paused), (nil, true, .permissionUnknown), (nil, false, .permissionUnknown),
    (false, nil, .permissionUnknown), (true, nil, .permissionUnknown),
    (nil, nil, .permissionUnknown),
  ]

  @Test(arguments: outcomes.indices)
  func whoMayLiquidateIsTheOutcomeAndNotTheVerdict(_ row: Int) throws {
    let (paused, open, outcome) = Self.outcomes[row]
    var handmade = Self.handmade()
    handmade.isPaused = paused
    handmade.isOpenToAll = open
    let (found, candidates) = try judge(handmade)
    #expect(candidates.map(\.outcome) == [outcome])
    #expect(found.liquidatable == 1)
    #expect(found.unknown == 0)
  }

  @Test func nobodyPausesMorphoBlue() throws {
    var handmade = Self.handmade(.morphoBlue)
    handmade.isPaused = nil
    handmade.isOpenToAll = nil
    #expect(try judge(handmade).candidates.map(\.outcome) == [.open])
  }

  @Test func everyAnswerAboutWhoMayLiquidateIsReached() {
    #expect(
      Set(Self.outcomes.map(\.outcome)) == [.open, .whitelistOnly, .paused, .permissionUnknown])
  }

  // MARK: Actionable

  /// A position exactly on its line at the block, which the next second's interest carries over.
  private func onTheLine() throws -> (HandmadeBook, trigger: U256) {
    var handmade = HandmadeBook(.morphoBlue)
    handmade.add(debt: 80, collateral: 100)
    let debt = try handmade.accrued(to: Self.now).borrowed(handmade.positions[0].borrowShares)
    guard
      case .at(let trigger) = MoolahMath.triggerPrice(
        debt: debt, collateral: handmade.positions[0].collateral, lltv: handmade.lltv)
    else {
      Issue.record("a position with collateral has a trigger price")
      return (handmade, .zero)
    }
    handmade.setPrice(trigger)
    return (handmade, trigger)
  }

  @Test func aPositionThatInterestCarriesOverTheLineIsActionable() throws {
    let (handmade, _) = try onTheLine()
    let (found, candidates) = try judge(handmade, next: Self.now + 12)
    #expect(found.healthy == 1)
    #expect(found.actionable == 1)
    #expect(found.actionableUnknown == 0)
    #expect(found.liquidatable == 0)
    let candidate = try #require(candidates.first)
    #expect(candidate.certainty == .actionable)
    // Its numbers are those of the later second.
    #expect(
      candidate.health.debt
        == (try handmade.accrued(to: Self.now + 12).borrowed(handmade.positions[0].borrowShares)))
    #expect(candidate.health.isLiquidatable)
  }

  @Test func onlyThoseHealthyNowAndOverTheLineLaterAreActionable() throws {
    var (handmade, trigger) = try onTheLine()
    #expect(try judge(handmade).candidates.isEmpty)
    #expect(try judge(handmade, next: Self.now).candidates.isEmpty)
    handmade.setPrice(try trigger.subtracting(.one))
    #expect(
      try judge(handmade, next: Self.now + 12).candidates.map(\.certainty) == [.verified])
    handmade.setPrice(HandmadeBook.oneToOne)
    handmade.positions[0].collateral = HandmadeBook.tokens(1_000)
    #expect(try judge(handmade, next: Self.now + 12).candidates.isEmpty)
  }

  @Test func nothingIsActionableWhereTheLaterRateIsNotKnown() throws {
    var (handmade, _) = try onTheLine()
    // The contract's answer at the block differs from the local model by one unit.
    handmade.askedRate = Wad(raw: try handmade.localRate(at: Self.now).raw.subtracting(.one))
    let (found, candidates) = try judge(handmade, next: Self.now + 12)
    #expect(found.healthy == 1)
    #expect(found.actionableUnknown == 1)
    #expect(candidates.isEmpty)
    #expect(try judge(handmade).found.actionableUnknown == 0)
  }

  // MARK: Rates

  @Test func atTheBlockTheContractsRateCountsAndElsewhereOnlyAModelThatAgrees() throws {
    var handmade = Self.handmade(.morphoBlue)
    handmade.askedRate = Wad(raw: 77_000_000_000)
    let book = handmade.book()
    let atBlock = try book.accrued(book.markets[0], to: Self.now).get()
    #expect(atBlock.rate == Wad(raw: 77_000_000_000))
    #expect(
      atBlock.state == (try handmade.state.accrued(to: Self.now, rate: atBlock.rate).state))
    #expect(try judge(handmade).found.unknown == 0)
    for second in [Self.now - 1, Self.now + 1, Self.now + 100_000] {
      #expect(try judge(handmade, at: second).found.unknownReason == .unknownRate)
    }
    handmade.askedRate = nil
    let agreeing = handmade.book()
    for second in [9_000, 9_500, Self.now, Self.now + 1, Self.now + 100_000] {
      #expect(
        try agreeing.accrued(agreeing.markets[0], to: second).get().state
          == handmade.accrued(to: second))
    }
  }

  @Test func aMarketIsAsStoredAtItsLastAccrualWhateverTheModel() throws {
    var handmade = Self.handmade(.morphoBlue)
    handmade.storedRate = nil
    handmade.askedRate = .some(nil)
    let book = handmade.book()
    #expect(try book.accrued(book.markets[0], to: 9_000).get().state == handmade.state)
    #expect(try judge(handmade, at: 9_000).found.unknown == 0)
  }

  @Test func aMarketWithoutARateModelAccruesNothing() throws {
    var handmade = Self.handmade(.morphoBlue)
    handmade.model = .zero
    handmade.storedRate = nil
    handmade.askedRate = .some(nil)
    let book = handmade.book()
    for second in [9_000, Self.now, Self.now + 1_000_000_000] {
      var expected = handmade.state
      expected.lastUpdate = second
      let (state, rate) = try book.accrued(book.markets[0], to: second).get()
      #expect(state == expected)
      #expect(rate.isZero)
      let (found, _) = try judge(handmade, at: second, next: second + 1_000_000)
      #expect(found.unknown == 0)
      #expect(found.actionable == 0)
    }
  }

  @Test func theBoundsOfAModelAreItsFacts() throws {
    var handmade = Self.handmade(.moolah)
    let subject = Self.capped
    let free = try handmade.localRate(at: Self.now + 50)
    let cap = try free.raw.dividedDown(by: 2)
    handmade.facts = [(.rateCap, subject, cap), (.minCap, .irm(HandmadeBook.irm), .zero)]
    handmade.askedRate = Wad(raw: cap)
    var book = handmade.book()
    #expect(try book.rate(of: book.markets[0], at: Self.now + 50).get() == Wad(raw: cap))

    // A fixed rate counts if the model has stored no rate at target.
    handmade.storedRate = nil
    handmade.facts = [
      (.fixedRate, subject, 4_000), (.rateFloor, subject, 5_000), (.rateCap, subject, 0),
    ]
    handmade.askedRate = Wad(raw: 5_000)
    book = handmade.book()
    #expect(try book.rate(of: book.markets[0], at: Self.now + 50).get() == Wad(raw: 5_000))
  }

  // MARK: Trigger price

  @Test func aCandidatesTriggerPriceIsTheFormulas() throws {
    var generator = SeededGenerator()
    var handmade = HandmadeBook(.morphoBlue)
    for _ in 0..<300 {
      handmade.positions.append(
        (
          UInt128.random(in: 1...HandmadeBook.tokens(1_000_000), using: &generator),
          UInt128.random(in: 1...HandmadeBook.tokens(2), using: &generator)
        ))
    }
    let state = try handmade.accrued(to: Self.now)
    let (found, candidates) = try judge(handmade)
    #expect(found.liquidatable > 50 && found.healthy > 0)
    var byUser: [Address: Candidate] = [:]
    for candidate in candidates { byUser[candidate.user] = candidate }
    for (index, position) in handmade.positions.enumerated() {
      let debt = try state.borrowed(position.borrowShares)
      let trigger = MoolahMath.triggerPrice(
        debt: debt, collateral: position.collateral, lltv: handmade.lltv)
      let candidate = byUser[HandmadeBook.address(UInt64(index + 1))]
      #expect((candidate != nil) == trigger.isAbove(HandmadeBook.oneToOne))
      guard let candidate, case .at(let price) = trigger else { continue }
      #expect(candidate.triggerPrice == price)
      #expect(candidate.health.debt == debt)
      // At the trigger itself it is healthy, one unit below it is not.
      let at = try MoolahMath.maxBorrow(
        collateral: position.collateral, price: price, lltv: handmade.lltv)
      let below = try MoolahMath.maxBorrow(
        collateral: position.collateral, price: price.subtracting(.one), lltv: handmade.lltv)
      #expect(at >= debt && below < debt)
    }
  }
}

extension PriceMemory {
  fileprivate init(reference: U256) {
    self.init()
    price = StepMemory(reference: reference)
  }
}

extension CallResult {
  fileprivate static func word(_ value: U256) -> CallResult {
    CallResult(succeeded: true, data: value.bigEndianBytes)
  }

  fileprivate static func round(answer: UInt64, updatedAt: UInt64) -> CallResult {
    let words: [U256] = [1, U256(answer), U256(updatedAt), U256(updatedAt), 1]
    return CallResult(succeeded: true, data: words.flatMap(\.bigEndianBytes))
  }
}
