import Ethereum
import Quantities
import RiskCore
import Testing

@testable import Systems

/// What a board asks, and what it makes of answers that come from several contracts.
@Suite struct PriceBoardTests {
  private static let now: UInt64 = 1_000_000
  private static let key = PriceKey(oracle: address(1), token: address(2))
  private static let other = PriceKey(oracle: address(1), token: address(3))

  private static func address(_ tail: UInt64) -> Address {
    unwrapped(Bytes32(U256(tail)).address)
  }

  private func words(_ words: U256...) -> CallResult {
    CallResult(succeeded: true, data: words.flatMap(\.bigEndianBytes))
  }

  /// A board whose price is 20.00000000, with a rule.
  private func board(_ change: (inout PriceRule) -> Void) -> PriceBoard {
    var board = PriceBoard()
    var rule = PriceRule()
    change(&rule)
    board.settings.rules[Self.key] = rule
    board.take(words(2_000_000_000), to: Self.key)
    return board
  }

  private func second(_ source: String, over: String? = nil) -> SecondRule {
    SecondRule(source: source, over: over, bound: BasisPoints(raw: 100))
  }

  // MARK: Questions

  @Test func everyRuleAsksItsContractsAndNoMore() {
    var board = board { rule in
      rule.feed = FeedRule(address: Self.address(10))
      rule.feed?.boundsOf = Self.address(11)
      rule.rate = RateRule(
        call: RateCall(contract: Self.address(12), signature: "rate()"), underlying: Self.other,
        step: StepBound(bound: BasisPoints(raw: 1), runs: 1, seconds: 0))
      rule.second = second("twin", over: "web")
    }
    let twin = PriceSource.peek(oracle: Self.address(13), token: Self.address(2), decimals: 8)
    board.settings.sources = ["twin": twin, "web": .outside, "unused": .outside]
    #expect(
      board.questions(for: [Self.other, Self.key]) == [
        .round(Self.address(10)), .lowest(Self.address(11)), .highest(Self.address(11)),
        .rate(RateCall(contract: Self.address(12), signature: "rate()")),
        .source("twin", twin),
      ])
    #expect(board.outsideSources(for: [Self.key]) == ["web"])
    #expect(board.outsideSources(for: [Self.other]) == [])
    #expect(board.companions(of: [Self.key]) == [Self.other])
    #expect(board.companions(of: [Self.key, Self.other]) == [])
  }

  @Test func callsHaveTheSelectorsOfTheContracts() throws {
    let feed = try #require(PriceQuestion.round(Self.address(1)).call)
    #expect(Hex.encode(feed.data) == "0xfeaf968c")
    let lowest = try #require(PriceQuestion.lowest(Self.address(1)).call)
    #expect(Hex.encode(lowest.data) == "0x22adbc78")
    let highest = try #require(PriceQuestion.highest(Self.address(1)).call)
    #expect(Hex.encode(highest.data) == "0x70da2f67")
    let rate = RateCall(contract: Self.address(1), signature: "stEthPerToken()")
    #expect(try #require(PriceQuestion.rate(rate).call).data == [0x03, 0x5f, 0xaf, 0x82])
    let pair = PriceSource.pair(oracle: Self.address(4), decimals: 8)
    #expect(
      try #require(PriceQuestion.source("x", pair).call).data == [0xa0, 0x35, 0xb1, 0xfe])
    #expect(PriceQuestion.source("x", .outside).call == nil)
  }

  // MARK: Second sources on the chain

  @Test func anotherOracleIsASecondSource() {
    var board = board { $0.second = second("twin") }
    let twin = PriceSource.peek(oracle: Self.address(13), token: Self.address(2), decimals: 6)
    for (value, reason) in [(20_000_000, nil), (21_000_000, UnknownReason.priceDisagrees)] {
      board.take(words(U256(UInt64(value))), to: .source("twin", twin), at: Self.now)
      board.check(at: Self.now, scales: [Self.key: [8]])
      #expect(board.samples[Self.key]?.refusal?.reason == reason)
    }
    board.take(CallResult(succeeded: false, data: []), to: .source("twin", twin), at: Self.now)
    board.check(at: Self.now, scales: [Self.key: [8]])
    #expect(board.samples[Self.key]?.warnings.map(\.detail) == ["twin: did not answer"])
  }

  @Test(
    arguments: [
      (60, 2_000_000_000, nil), (61, 2_000_000_000, "its answer is older than 60 s"),
      (0, 0, "answered 0"),
    ] as [(UInt64, UInt64, String?)])
  func aSecondFeedHasItsAgeAtTheBlock(age: UInt64, value: UInt64, problem: String?) {
    var board = board { $0.second = second("feed") }
    let feed = PriceSource.feed(Self.address(9), decimals: 8, maxAgeSeconds: 60)
    board.take(
      words(1, U256(value), 0, U256(Self.now - age), 1), to: .source("feed", feed), at: Self.now)
    switch board.second(of: Self.key) {
    case .success(let price)?:
      #expect(problem == nil)
      #expect(price == SecondPrice(value: U256(value), decimals: 8))
    case .failure(let found)?: #expect(found.text == problem)
    case nil: Issue.record("no opinion")
    }
  }

  @Test func aQuotientOfTwoSourcesIsExact() {
    var board = board { $0.second = second("base", over: "quote") }
    board.take([
      "base": .success(SecondPrice(value: 3_000, decimals: 2)),
      "quote": .success(SecondPrice(value: 15, decimals: 1)),
    ])
    board.check(at: Self.now, scales: [Self.key: [8]])
    #expect(board.samples[Self.key]?.refusal == nil)
    let expected = SecondPrice(value: 20, decimals: 0)
    let found = try? board.second(of: Self.key)?.get().aligned(with: expected)
    #expect(found?.0 == found?.1)
    board.take(["quote": .success(SecondPrice(value: 0, decimals: 1))])
    #expect(board.second(of: Self.key) != .success(expected))
    board.take(["quote": .failure(SecondProblem("gone"))])
    #expect(board.second(of: Self.key) == .failure(SecondProblem("gone")))
  }

  @Test func aSourceThatWasNotAskedIsAProblem() {
    let board = board { $0.second = second("web") }
    #expect(board.second(of: Self.key) == .failure(SecondProblem("was not asked")))
    #expect(board.second(of: Self.other) == nil)
  }

  // MARK: Decimals

  @Test func aPriceIsInQuarantineOnlyUntilItFitsAndNeverAfterIt() {
    var board = board { $0.second = second("web") }
    let key = DecimalsKey(price: Self.key, decimals: 8)
    func judge(_ dollars: UInt64) -> (UnknownReason?, DecimalsCheck?) {
      board.take(["web": .success(SecondPrice(value: U256(dollars), decimals: 0))])
      board.check(at: Self.now, scales: [Self.key: [8]])
      return (board.samples[Self.key]?.refusal?.reason, board.newDecimalsChecks[key])
    }
    #expect(judge(41).0 == .quarantined)
    // Exactly twice is of the same order; that it is too far is the bound's affair.
    let twice = judge(40)
    #expect(twice.0 == .priceDisagrees)
    #expect(twice.1 == .passed)
    board.decimalsChecks[key] = .passed
    let later = judge(2_000)
    #expect(later.0 == .priceDisagrees)
    #expect(later.1 == nil)
  }

  @Test func quarantineLastsWhileTheSecondSourceIsSilent() {
    var board = board { $0.second = second("web") }
    board.decimalsChecks[DecimalsKey(price: Self.key, decimals: 8)] = .quarantined("12 decades")
    board.check(at: Self.now, scales: [Self.key: [8]])
    #expect(board.samples[Self.key]?.refusal == PriceRefusal(.quarantined, "12 decades"))
  }

  @Test func quarantineEndsWithTheRuleThatNamedTheSecondSource() {
    var board = board { _ in }
    let key = DecimalsKey(price: Self.key, decimals: 8)
    board.decimalsChecks[key] = .quarantined("12 decades")
    board.check(at: Self.now, scales: [Self.key: [8]])
    #expect(board.samples[Self.key]?.refusal == nil)
    #expect(board.decimalsCheck(of: key) == .unchecked)
    board.decimalsChecks[key] = .passed
    #expect(board.decimalsCheck(of: key) == .passed)
  }

  /// Two markets may read one answer with other decimals: the one that reads it rightly is judged.
  @Test func aPriceThatOneMarketReadsRightlyIsNotInQuarantineItself() {
    var board = board { $0.second = second("web") }
    board.take(["web": .success(SecondPrice(value: 20, decimals: 0))])
    board.check(at: Self.now, scales: [Self.key: [8, 20]])
    let wrong = board.decimalsCheck(of: DecimalsKey(price: Self.key, decimals: 20))
    guard case .quarantined(let detail) = wrong else {
      Issue.record("\(wrong)")
      return
    }
    #expect(detail.contains("12 decades apart"))
    #expect(board.decimalsCheck(of: DecimalsKey(price: Self.key, decimals: 8)) == .passed)
    #expect(board.samples[Self.key]?.refusal == nil)
  }
}
