import Ethereum
import Quantities
import RiskCore
import Systems
import Testing

@testable import Moolah

/// What a scan says beside its verdicts: the view at a second source's price, and strained markets.
@Suite struct SecondPriceTests {
  private static let now = HandmadeBook.block.timestamp

  /// Positions that owe 10 and 70 on 100, at a line of 80 %, and a second source for a key.
  private func handmade(
    _ dialect: Dialect, second: SecondPrice?, of key: PriceKey, bound: UInt64 = 100_000
  ) -> HandmadeBook {
    var handmade = HandmadeBook(dialect)
    handmade.add(debt: 10, collateral: 100)
    handmade.add(debt: 70, collateral: 100)
    handmade.board = { board in
      var rule = PriceRule()
      rule.second = SecondRule(source: "dex", bound: BasisPoints(raw: U256(bound)))
      board.settings.rules[key] = rule
      board.settings.sources["dex"] = .outside
      board.decimalsChecks[DecimalsKey(price: key, decimals: 8)] = .passed
      board.decimalsChecks[DecimalsKey(price: key, decimals: 36)] = .passed
      if let second { board.take(["dex": .success(second)]) }
    }
    return handmade
  }

  private func judge(_ handmade: HandmadeBook) throws -> MarketJudgement {
    let judgement = handmade.moolah.judge(handmade.book(), at: Self.now, next: nil)
    return try #require(judgement.markets.first)
  }

  @Test(arguments: Dialect.allCases)
  func theShadowCountsWhoWouldBeOverTheLineAtTheSecondPrice(_ dialect: Dialect) throws {
    // Half of the oracle's price; the oracle of Moolah says 1e28 dollars.
    let key = dialect == .moolah ? HandmadeBook.base : HandmadeBook.pair
    let half = SecondPrice(value: 5, decimals: dialect == .moolah ? -27 : 1)
    let found = try judge(handmade(dialect, second: half, of: key))
    #expect(found.healthy == 2)
    #expect(found.liquidatable == 0)
    let shadow = try #require(found.shadow)
    #expect(shadow.price == 500_000_000_000_000_000_000_000_000_000_000_000)
    #expect(shadow.liquidatable == 1)
    #expect(shadow.debt > U256(HandmadeBook.tokens(70)))
    #expect(shadow.debt < U256(HandmadeBook.tokens(71)))
    #expect(found.warnings.map(\.code) == [.shadowLiquidatable])
    #expect(found.warnings[0].detail.hasPrefix("1 position that owes 70"))
  }

  @Test func aSecondPriceOfTheLoanTokenWorksTheOtherWay() throws {
    // The loan token is worth twice as much: the pair's price halves.
    let double = SecondPrice(value: 2, decimals: -28)
    let found = try judge(handmade(.moolah, second: double, of: HandmadeBook.quote))
    #expect(found.shadow?.price == 500_000_000_000_000_000_000_000_000_000_000_000)
  }

  @Test func theShadowIsThereEvenWhenThePriceIsRefused() throws {
    let half = SecondPrice(value: 5, decimals: -27)
    let found = try judge(
      handmade(.moolah, second: half, of: HandmadeBook.base, bound: 100))
    #expect(found.unknownReason == .priceDisagrees)
    #expect(found.unknown == 2)
    #expect(found.shadow?.liquidatable == 1)
    #expect(found.warnings.map(\.code) == [.shadowLiquidatable])
  }

  @Test func whoIsOverTheLineAtBothPricesIsNoNews() throws {
    var handmade = handmade(
      .moolah, second: SecondPrice(value: 1, decimals: -28), of: HandmadeBook.base)
    handmade.add(debt: 90, collateral: 100)
    let found = try judge(handmade)
    #expect(found.liquidatable == 1)
    #expect(found.shadow?.liquidatable == 1)
    #expect(found.warnings.isEmpty)
  }

  @Test func withoutASecondPriceThereIsNoShadow() throws {
    let found = try judge(handmade(.moolah, second: nil, of: HandmadeBook.base))
    #expect(found.shadow == nil)
    #expect(found.warnings.map(\.code) == [.secondSourceUnavailable])
    #expect(found.healthy == 2)
  }

  @Test func decimalsAreCheckedOrSaidNotToBe() throws {
    #expect(try judge(HandmadeBook.withDebt).isDecimalsUnchecked)
    var whole = handmade(
      .morphoBlue, second: SecondPrice(value: 1, decimals: 0), of: HandmadeBook.pair)
    #expect(try !judge(whole).isDecimalsUnchecked)
    whole = handmade(
      .moolah, second: SecondPrice(value: 1, decimals: -28), of: HandmadeBook.base)
    // The loan token has no second source.
    #expect(try judge(whole).isDecimalsUnchecked)
  }

  @Test func aMarketThatReadsAPriceWithWrongDecimalsIsInQuarantineAlone() throws {
    var right = handmade(
      .morphoBlue, second: SecondPrice(value: 1, decimals: 0), of: HandmadeBook.pair)
    right.board = { [board = right.board] in
      board(&$0)
      $0.decimalsChecks = [:]
    }
    // The same oracle for a token with twelve decimals fewer.
    var wrong = right
    wrong.key = Bytes32(U256(0xB))
    wrong.collateralToken = HandmadeBook.address(0x24)
    wrong.decimals[wrong.collateralToken] = 6
    let judgement = right.moolah.judge(
      MoolahBook.joining([right, wrong]), at: Self.now, next: nil)
    #expect(judgement.markets.map(\.unknownReason) == [nil, .quarantined])
    #expect(judgement.markets[1].unknownDetail.contains("12 decades apart"))
    #expect(judgement.markets[1].unknown == 2)
  }

  // MARK: Strain

  @Test(arguments: [(1_979, false), (1_980, true)] as [(UInt128, Bool)])
  func aMarketWithNearlyAllLentIsStrained(borrowed: UInt128, isStrained: Bool) throws {
    var handmade = HandmadeBook.withDebt
    handmade.state.totalBorrowAssets = HandmadeBook.tokens(borrowed)
    handmade.state.lastUpdate = Self.now
    let warnings = try judge(handmade).warnings.filter { $0.code == .highUtilisation }
    #expect(warnings.map(\.detail) == (isStrained ? ["99 % of the supply is lent"] : []))
  }

  @Test(arguments: [(0, false), (1, true)] as [(UInt64, Bool)])
  func aRateThatNobodyMeansToPayIsSaid(more: UInt64, isStrained: Bool) throws {
    var handmade = HandmadeBook.withDebt
    // 100 % a year is 31,709,791,983.76… a second.
    handmade.askedRate = Wad(raw: U256(31_709_791_983 + more))
    let warnings = try judge(handmade).warnings.filter { $0.code == .highBorrowRate }
    #expect(warnings.map(\.detail) == (isStrained ? ["100 % a year"] : []))
  }
}

extension HandmadeBook {
  /// One position, far from its line.
  fileprivate static var withDebt: HandmadeBook {
    var handmade = HandmadeBook(.moolah)
    handmade.add(debt: 1, collateral: 100)
    return handmade
  }
}
