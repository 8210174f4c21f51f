import Ethereum
import Quantities
import RiskCore
import Testing

@testable import Systems

/// One answer at a time against each guard, at its bound and one beyond.
@Suite struct PriceGuardTests {
  private static let now: UInt64 = 1_000_000
  private static let feed = address(0xFEED)

  private static func address(_ tail: UInt64) -> Address {
    unwrapped(Bytes32(U256(tail)).address)
  }

  private func sample(
    _ value: UInt64, _ rule: PriceRule, memory: PriceMemory = PriceMemory(),
    at timestamp: UInt64 = now, _ adjust: (inout PriceGuard) -> Void = { _ in }
  ) -> PriceSample {
    var check = PriceGuard(
      answer: .price(U256(value)), rule: rule, memory: memory, timestamp: timestamp)
    check.scales = [8]
    adjust(&check)
    return check.sample()
  }

  /// An answer of 1000.
  private func sample(
    _ rule: PriceRule, _ adjust: (inout PriceGuard) -> Void = { _ in }
  ) -> PriceSample {
    sample(1_000, rule, adjust)
  }

  private func feedRule(_ change: (inout FeedRule) -> Void) -> PriceRule {
    var rule = PriceRule()
    var feed = FeedRule(address: Self.feed)
    change(&feed)
    rule.feed = feed
    return rule
  }

  private func round(_ answer: Int64, age: UInt64 = 0) -> FeedRound {
    FeedRound(answer: I256(answer), updatedAt: Self.now - age)
  }

  // MARK: Answers

  @Test(arguments: [
    (PriceAnswer.zero, UnknownReason.zeroPrice), (.reverted, .priceCallReverted),
    (.missing, .missingPrice),
  ])
  func anAnswerWithoutAPriceIsRefusedAndRemembersNothing(
    _ answer: PriceAnswer, _ reason: UnknownReason
  ) {
    var memory = PriceMemory()
    memory.price = StepMemory(reference: 7)
    memory.last = 7
    var check = PriceGuard(answer: answer, rule: PriceRule(), memory: memory, timestamp: Self.now)
    check.revert = "why"
    #expect(check.sample().refusal == PriceRefusal(reason, "why"))
    #expect(check.sample().memory == memory)
  }

  @Test func aPriceWithoutRulesIsTakenAndRemembered() {
    let sample = sample(5, PriceRule())
    #expect(sample.refusal == nil)
    #expect(sample.memory.price == StepMemory(reference: 5))
    #expect(sample.memory.last == 5)
  }

  @Test func aRevertIsNamed() {
    #expect(RevertReason.text(ABI.selector("StockMarketClosed()")) == "StockMarketClosed()")
    let text = ABI.selector("Error(string)") + ABI.encode([.string("no\u{1B}price")])
    #expect(RevertReason.text(text) == "no?price")
    #expect(RevertReason.text([1, 2, 3, 4]) == "0x01020304")
    #expect(RevertReason.text([]) == "")
  }

  // MARK: Feeds

  @Test(arguments: [(3_600 as UInt64, true), (3_601, false)])
  func aFeedOfExactlyItsHeartbeatIsTaken(age: UInt64, isTaken: Bool) {
    let rule = feedRule { $0.heartbeatSeconds = 3_600 }
    let sample = sample(rule) { $0.round = round(5, age: age) }
    #expect((sample.refusal == nil) == isTaken)
    if !isTaken {
      #expect(sample.refusal == PriceRefusal(.stalePrice, "3601 s old, heartbeat 3600 s"))
    }
  }

  @Test func aFeedFromTheFutureIsStale() {
    let rule = feedRule { $0.heartbeatSeconds = 3_600 }
    let sample = sample(rule) {
      $0.round = FeedRound(answer: 5, updatedAt: Self.now + 1)
    }
    #expect(sample.refusal?.reason == .stalePrice)
  }

  @Test(arguments: [0, -1, nil] as [Int64?])
  func aFeedWithoutAPositiveAnswerIsUnreadable(answer: Int64?) {
    let sample = sample(feedRule { _ in }) { $0.round = answer.map { round($0) } }
    #expect(sample.refusal?.reason == .feedUnreadable)
  }

  @Test(arguments: [(10, false), (11, true), (99, true), (100, false)] as [(Int64, Bool)])
  func aFeedAtItsFloorOrCeilingIsNoPrice(answer: Int64, isTaken: Bool) {
    let told = feedRule {
      $0.lowest = 10
      $0.highest = 100
    }
    #expect((sample(told) { $0.round = round(answer) }.refusal == nil) == isTaken)
    let asked = feedRule { $0.boundsOf = Self.feed }
    let sample = sample(asked) {
      $0.round = round(answer)
      $0.lowest = 10
      $0.highest = 100
    }
    #expect((sample.refusal == nil) == isTaken)
    if !isTaken { #expect(sample.refusal?.reason == .priceAtBound) }
  }

  @Test(arguments: [(nil, 100), (10, nil), (nil, nil)] as [(I256?, I256?)])
  func boundsThatAreAskedForAndNotToldMakeTheFeedUnreadable(lowest: I256?, highest: I256?) {
    let sample = sample(feedRule { $0.boundsOf = Self.feed }) {
      $0.round = round(50)
      $0.lowest = lowest
      $0.highest = highest
    }
    #expect(sample.refusal?.reason == .feedUnreadable)
  }

  // MARK: Frozen, pegged

  @Test func aPriceIsFrozenAfterSoManyRunsInWhichOthersMoved() {
    var rule = PriceRule()
    rule.frozenRuns = 2
    var memory = PriceMemory()
    var reasons: [UnknownReason?] = []
    for moved in [true, true, false, true, true] {
      let sample = sample(7, rule, memory: memory) { $0.othersMoved = moved }
      reasons.append(sample.refusal?.reason)
      memory = sample.memory
    }
    #expect(reasons == [nil, nil, nil, .frozenPrice, .frozenPrice])
    #expect(sample(8, rule, memory: memory) { $0.othersMoved = true }.refusal == nil)
  }

  @Test(arguments: [(990, true), (989, false), (1_010, true), (1_011, false)] as [(UInt64, Bool)])
  func aPegHoldsUpToItsBound(value: UInt64, isTaken: Bool) {
    var rule = PriceRule()
    rule.peg = PegRule(value: 1_000, bound: BasisPoints(raw: 100))
    let sample = sample(value, rule)
    #expect((sample.refusal == nil) == isTaken)
    if !isTaken {
      #expect(sample.refusal == PriceRefusal(.offPeg, "1.1 % off the peg, bound 1 %"))
    }
  }

  // MARK: Second sources

  private var second: PriceRule {
    var rule = PriceRule()
    rule.second = SecondRule(source: "dex", bound: BasisPoints(raw: 200))
    return rule
  }

  @Test(arguments: [(980, true), (979, false), (1_020, true), (1_021, false)] as [(UInt64, Bool)])
  func aSecondSourceMayBeAsFarAsTheBound(value: UInt64, isTaken: Bool) {
    // 1000 at the scale of the answer, told with ten more decimals.
    let other = SecondPrice(value: 10_000_000_000_000, decimals: 18)
    let sample = sample(value, second) { $0.second = .success(other) }
    #expect((sample.refusal == nil) == isTaken)
    #expect(sample.second == other)
    if !isTaken {
      #expect(sample.refusal?.reason == .priceDisagrees)
      #expect(sample.refusal?.detail.hasSuffix("2.1 % apart, bound 2 %") == true)
      #expect(sample.memory.price.reference == nil)
    }
  }

  @Test func aSecondSourceThatIsMissingIsAWarningOrAReason() {
    let problem = Result<SecondPrice, SecondProblem>.failure(SecondProblem("HTTP status 503"))
    let optional = sample(second) { $0.second = problem }
    #expect(optional.refusal == nil)
    #expect(
      optional.warnings == [PriceWarning(.secondSourceUnavailable, "dex: HTTP status 503")])
    var rule = second
    rule.second?.isRequired = true
    let required = sample(rule) { $0.second = problem }
    #expect(
      required.refusal == PriceRefusal(.secondSourceUnavailable, "dex: HTTP status 503"))
  }

  @Test func withoutDecimalsThereIsNoSecondOpinion() {
    let other = SecondPrice(value: 1_000, decimals: 8)
    let sample = sample(second) {
      $0.second = .success(other)
      $0.scales = []
    }
    #expect(sample.warnings.map(\.code) == [.secondSourceUnavailable])
    #expect(sample.refusal == nil)
    var rule = second
    rule.second?.isRequired = true
    let required = self.sample(rule) {
      $0.second = .success(other)
      $0.scales = []
    }
    #expect(required.refusal?.reason == .secondSourceUnavailable)
  }

  // MARK: Steps

  private static let step = StepBound(bound: BasisPoints(raw: 2_000), runs: 2, seconds: 60)

  /// The reasons of values that come at these seconds, after a first of 1000 at 0.
  private func walk(
    _ steps: [(value: UInt64, at: UInt64)]
  ) -> (reasons: [UnknownReason?], memory: PriceMemory) {
    var memory = sample(1_000, PriceRule(step: Self.step), at: 0).memory
    var reasons: [UnknownReason?] = []
    for (value, at) in steps {
      let next = sample(value, PriceRule(step: Self.step), memory: memory, at: at)
      reasons.append(next.refusal?.reason)
      memory = next.memory
    }
    return (reasons, memory)
  }

  @Test(arguments: [(800, true), (799, false), (1_200, true), (1_201, false)] as [(UInt64, Bool)])
  func aStepOfExactlyTheBoundIsTaken(value: UInt64, isTaken: Bool) {
    #expect(walk([(value, 12)]).reasons == [isTaken ? nil : .priceJump])
  }

  @Test func aHeldStepSaysItsFigures() {
    var memory = PriceMemory()
    memory.price = StepMemory(reference: 1_000)
    let sample = sample(688, PriceRule(step: Self.step), memory: memory)
    #expect(
      sample.refusal?.detail
        == "31.2 % in one step, bound 20 %; held, 0 of 2 runs, 0 of 60 s")
  }

  @Test func aLastingMoveIsTakenAfterBothItsRunsAndItsSeconds() {
    // Enough seconds but too few runs; enough runs but too few seconds; both.
    #expect(walk([(500, 100), (510, 170)]).reasons == [.priceJump, .priceJump])
    #expect(
      walk([(500, 100), (510, 110), (505, 120), (505, 159)]).reasons
        == [.priceJump, .priceJump, .priceJump, .priceJump])
    let confirmed = walk([(500, 100), (510, 130), (505, 160), (600, 172)])
    #expect(confirmed.reasons == [.priceJump, .priceJump, nil, nil])
    #expect(confirmed.memory.price == StepMemory(reference: 600))
  }

  @Test func aRefusedStepIsNeverWhatTheNextIsComparedWith() {
    // 500 is held, so 590 is measured from 1000 and not from 500.
    let (reasons, memory) = walk([(500, 12), (590, 24)])
    #expect(reasons == [.priceJump, .priceJump])
    #expect(memory.price.reference == 1_000)
  }

  @Test func aReturnEndsTheHold() {
    let (reasons, memory) = walk([(500, 12), (1_010, 24), (500, 500), (505, 512)])
    #expect(reasons == [.priceJump, nil, .priceJump, .priceJump])
    #expect(memory.price.held == HeldLevel(value: 500, since: 500, runs: 1))
  }

  @Test func aThirdLevelBeginsAnew() {
    let (reasons, memory) = walk([(500, 12), (505, 60), (300, 90), (300, 100)])
    #expect(reasons == Array(repeating: .priceJump, count: 4))
    #expect(memory.price.held == HeldLevel(value: 300, since: 90, runs: 1))
  }

  @Test func anAnswerThatAnotherGuardRefusesNeitherConfirmsNorEndsAHold() {
    var rule = PriceRule(step: Self.step)
    rule.peg = PegRule(value: 500, bound: BasisPoints(raw: 500))
    var memory = PriceMemory()
    memory.price = StepMemory(
      reference: 1_000, held: HeldLevel(value: 500, since: 0, runs: 1))
    let off = sample(400, rule, memory: memory)
    #expect(off.refusal?.reason == .offPeg)
    #expect(off.memory.price == memory.price)
  }

  // MARK: Rates

  private static let rate = RateCall(contract: address(0x57), signature: "stEthPerToken()")

  private func rated(
    _ value: UInt64, rate: UInt64?, underlying: PriceAnswer = .price(1_000),
    memory: PriceMemory, at timestamp: UInt64
  ) -> PriceSample {
    var rule = PriceRule(step: Self.step)
    rule.rate = RateRule(
      call: Self.rate, underlying: PriceKey(oracle: Self.feed, token: nil),
      step: StepBound(bound: BasisPoints(raw: 50), runs: 1, seconds: 3_600))
    return sample(value, rule, memory: memory, at: timestamp) {
      $0.rate = rate.map { U256($0) }
      $0.underlying = underlying
    }
  }

  @Test func aPriceThatLeavesItsRateInOneStepIsHeldOff() {
    // 1.228 of the underlying, then 1.193: 2.85 % less, far within the bound of the price itself.
    let first = rated(1_228, rate: 1_228, memory: PriceMemory(), at: 0)
    #expect(first.refusal == nil)
    let stepped = rated(1_193, rate: 1_228, memory: first.memory, at: 12)
    #expect(stepped.refusal?.reason == .rateStep)
    #expect(stepped.refusal?.detail.contains("2.86 % in one step, bound 0.5 %") == true)
    #expect(stepped.memory.price == first.memory.price)
    let early = rated(1_193, rate: 1_228, memory: stepped.memory, at: 3_611)
    #expect(early.refusal?.reason == .rateStep)
    #expect(rated(1_193, rate: 1_228, memory: early.memory, at: 3_612).refusal == nil)
    #expect(rated(1_228, rate: 1_228, memory: early.memory, at: 3_611).refusal == nil)
  }

  @Test func aMoveOfTheUnderlyingOrOfTheRateIsNoStep() {
    let first = rated(1_200, rate: 1_200, memory: PriceMemory(), at: 0)
    let market = rated(
      1_080, rate: 1_200, underlying: .price(900), memory: first.memory, at: 12)
    #expect(market.refusal == nil)
    #expect(rated(1_300, rate: 1_300, memory: first.memory, at: 12).refusal == nil)
  }

  @Test func withoutTheRateOrTheUnderlyingThereIsNoPrice() {
    #expect(
      rated(1_200, rate: nil, memory: PriceMemory(), at: 0).refusal?.reason == .feedUnreadable)
    #expect(
      rated(1_200, rate: 0, memory: PriceMemory(), at: 0).refusal?.reason == .feedUnreadable)
    #expect(
      rated(1_200, rate: 1, underlying: .reverted, memory: PriceMemory(), at: 0).refusal?.reason
        == .feedUnreadable)
  }
}

/// The memory a price guard never has, made of numbers.
@Suite struct PriceComparisonTests {
  @Test func decimalsThatAreTwelveOffAreTwelveDecadesApart() {
    // PAXG at 2663 dollars, against the same with twelve decimals too many.
    #expect(PriceComparison.decades(2_663, 0, 2_663_000_000_000_000, 0) == 12)
    #expect(PriceComparison.decades(2_663, 24, 2_650, 36) == 12)
    #expect(PriceComparison.decades(.max, 0, 1, 77) == 154)
    #expect(PriceComparison.decades(3_162, 0, 1_000, 0) == 0)
    #expect(PriceComparison.decades(3_163, 0, 1_000, 0) == 1)
    #expect(PriceComparison.decades(1_000, 0, 3_163, 0) == 1)
    #expect(PriceComparison.decades(999_999_999, 0, 1_000_000_000, 0) == 0)
    #expect(PriceComparison.decades(0, 0, 1, 0) == nil)
  }

  @Test func twiceAsMuchIsWithinAFactorOfTwoAndNoMore() {
    #expect(PriceComparison.isWithinFactorTwo(200, 100))
    #expect(!PriceComparison.isWithinFactorTwo(201, 100))
    #expect(PriceComparison.isWithinFactorTwo(50, 100))
    #expect(!PriceComparison.isWithinFactorTwo(49, 100))
    #expect(!PriceComparison.isWithinFactorTwo(.max, 1))
  }

  @Test func scalesWithoutRoomAreNotComparable() {
    #expect(PriceComparison.aligned(.max, 0, 1, 1) == nil)
    #expect(PriceComparison.aligned(1, 0, 1, 78) == nil)
    let pair = PriceComparison.aligned(5, 8, 3, 6)
    #expect(pair?.0 == 5)
    #expect(pair?.1 == 300)
  }

  @Test(
    arguments: [
      ("1850.25", 185_025, 2), ("2.5e-7", 25, 8), ("1E3", 1, -3), ("0", 0, 0), ("007", 7, 0),
      ("1.50e+1", 150, 1),
    ] as [(String, UInt64, Int)])
  func aNumberOfJSONIsTakenExactly(text: String, value: UInt64, decimals: Int) {
    #expect(SecondPrice(text: text) == SecondPrice(value: U256(value), decimals: decimals))
  }

  @Test(arguments: [
    "", "-1", ".5", "1.", "1e", "1e61", "1e9999", "0x10", "1 ", "NaN", "1.2.3", "+1",
    String(repeating: "9", count: 61),
  ])
  func whatIsNoNumberIsNoPrice(text: String) {
    #expect(SecondPrice(text: text) == nil)
  }
}
