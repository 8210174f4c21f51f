import Ethereum
import Quantities
import RiskCore
import Systems
import Testing

@testable import Moolah

/// What is asked for a plan, and what the answers make of a candidate.
@Suite struct PlanningTests {
  static let broker = HandmadeBook.address(0xB0)
  static let liquidator = HandmadeBook.address(0xB1)
  static let publicLiquidator = HandmadeBook.address(0xB2)
  static let feed = HandmadeBook.address(0xFE)
  static let user = HandmadeBook.address(1)

  /// One position of 900 on 1000, over its line at 80 %.
  static func handmade(_ dialect: Dialect = .moolah) -> HandmadeBook {
    var handmade = HandmadeBook(dialect)
    handmade.add(debt: 900, collateral: 1_000)
    return handmade
  }

  static func judgement(of book: MoolahBook, certainty: Certainty = .verified) -> Judgement {
    var judgement = Judgement()
    let market = book.markets[0]
    var found = MarketJudgement(marketID: market.id, market: market.key, price: .one)
    found.liquidatable = 1
    judgement.markets = [found]
    let debt =
      (try? book.accrued(market, to: book.block.timestamp).get().state.borrowed(
        book.positions.borrowShares[0])) ?? .zero
    judgement.candidates = [
      Candidate(
        marketID: market.id, market: market.key, user: user, certainty: certainty,
        outcome: .open, health: Health(capacity: 1, debt: debt),
        collateral: U256(book.positions.collateral[0]), price: HandmadeBook.oneToOne,
        triggerPrice: nil)
    ]
    return judgement
  }

  static func yes(_ word: U256 = 1) -> CallResult {
    CallResult(succeeded: true, data: word.bigEndianBytes)
  }
  static let no = yes(0)
  static let mute = CallResult(succeeded: false, data: [])
  static func list(_ addresses: Address...) -> CallResult {
    CallResult(succeeded: true, data: ABI.encode([.array(addresses.map { .address($0) })]))
  }
  static func said(_ address: Address) -> CallResult {
    CallResult(succeeded: true, data: ABI.encode([.address(address)]))
  }

  /// Answers by the selector of the question; the rest reverts.
  static func planned(
    _ handmade: HandmadeBook, _ settings: PlanSettings, certainty: Certainty = .verified,
    _ answers: [String: CallResult] = [:]
  ) throws -> Judgement {
    let book = handmade.book()
    var planning = handmade.moolah.planning(
      for: judgement(of: book, certainty: certainty), of: book,
      at: HandmadeBook.block.timestamp, next: HandmadeBook.block.timestamp + 12, by: settings)
    var bySelector: [[UInt8]: CallResult] = [:]
    for (signature, answer) in answers { bySelector[ABI.selector(signature)] = answer }
    for round in 0... {
      let questions = handmade.moolah.questions(for: planning)
      if questions.isEmpty { break }
      #expect(round < 2, "a third round of questions")
      handmade.moolah.take(
        questions.map { bySelector[Array($0.data.prefix(4))] ?? mute }, into: &planning)
    }
    return handmade.moolah.judgement(from: planning)
  }

  static func candidate(
    _ handmade: HandmadeBook, _ settings: PlanSettings = PlanSettings(),
    certainty: Certainty = .verified, _ answers: [String: CallResult] = [:]
  ) throws -> Candidate {
    try #require(
      try planned(handmade, settings, certainty: certainty, answers).candidates.first)
  }

  @Test func withoutSettingsNothingIsAsked() throws {
    let handmade = Self.handmade()
    let book = handmade.book()
    let planning = handmade.moolah.planning(
      for: Self.judgement(of: book), of: book, at: HandmadeBook.block.timestamp, next: nil,
      by: PlanSettings())
    #expect(handmade.moolah.questions(for: planning).isEmpty)
    let candidate = try Self.candidate(handmade)
    #expect(candidate.path == .direct)
    #expect(candidate.contract == book.deployment.address)
    #expect(candidate.outcome == .open)
    #expect(candidate.plan?.extent == .full)
  }

  @Test func whatComesOverItsLineInTheNextBlockIsPlannedWithThatBlocksDebt() throws {
    let now = try #require(try Self.candidate(Self.handmade()).plan)
    let then = try #require(try Self.candidate(Self.handmade(), certainty: .actionable).plan)
    #expect(then.repaidAssets > now.repaidAssets)
    #expect(then.repaidShares == now.repaidShares)
  }

  @Test func theValueIsTheOraclesOrTheConfiguredFeeds() throws {
    var handmade = Self.handmade()
    handmade.prices = [
      HandmadeBook.base: .price(300_000_000), HandmadeBook.quote: .price(200_000_000),
    ]
    // Ninety and a hundred times ten, at two and three dollars, and a bit of interest.
    let candidate = try Self.candidate(handmade)
    #expect(try #require(candidate.debtUSD) / 100_000_000 == 1_800)
    #expect(candidate.collateralUSD == 300_000_000_000)
    #expect(try #require(candidate.loanToValue) > 900_000_000_000_000_000)

    let morpho = Self.handmade(.morphoBlue)
    #expect(try Self.candidate(morpho).debtUSD == nil)
    var settings = PlanSettings()
    settings.usdFeeds = [HandmadeBook.loan: Self.feed]
    let now = HandmadeBook.block.timestamp
    func answers(
      _ price: U256, decimals: U256, at second: UInt64 = HandmadeBook.block.timestamp
    ) -> [String: CallResult] {
      let words: [U256] = [1, price, 0, U256(second), 1]
      return [
        "latestRoundData()": CallResult(
          succeeded: true, data: words.flatMap(\.bigEndianBytes)),
        "decimals()": Self.yes(decimals),
      ]
    }
    let fed = try Self.candidate(morpho, settings, answers(2_000_000, decimals: 6))
    #expect(try #require(fed.debtUSD) / 100_000_000 == 1_800)
    #expect(fed.collateralUSD == nil)
    // No price, a negative one, and decimals that are none.
    for (price, decimals): (U256, U256) in [(0, 6), (.max, 6), (2_000_000, 78)] {
      #expect(
        try Self.candidate(morpho, settings, answers(price, decimals: decimals)).debtUSD == nil)
    }
    #expect(try Self.candidate(morpho, settings).debtUSD == nil)
    // As old as it may be, older, and from after the block.
    settings.usdFeedMaxAgeSeconds = 60
    for (second, isTaken) in [(now - 60, true), (now - 61, false), (now + 1, false)] {
      let aged = answers(2_000_000, decimals: 6, at: second)
      #expect((try Self.candidate(morpho, settings, aged).debtUSD != nil) == isTaken)
    }
  }

  // MARK: Brokers

  static let brokered: HandmadeBook = {
    var brokered = handmade()
    brokered.broker = broker
    return brokered
  }()

  static func admits(_ change: (inout [String: CallResult]) -> Void = { _ in })
    -> [String: CallResult]
  {
    var answers = [
      "marketIdToBroker(bytes32)": said(broker),
      "getLiquidationWhitelist()": list(publicLiquidator, liquidator),
      "isLiquidationWhitelist(bytes32,address)": yes(),
      "minLoanValue()": yes(1_500_000_000),
    ]
    change(&answers)
    return answers
  }

  @Test func aBrokerMarketGoesByTheBrokerLiquidator() throws {
    var settings = PlanSettings()
    settings.brokerLiquidator = Self.liquidator
    settings.mainLiquidator = Self.publicLiquidator
    settings.usesDirect = false
    let candidate = try Self.candidate(Self.brokered, settings, Self.admits())
    #expect(candidate.path == .brokerLiquidator)
    #expect(candidate.contract == Self.liquidator)
    #expect(candidate.outcome == .open)
  }

  @Test func everyPreconditionOfTheBrokerLiquidatorCounts() throws {
    var settings = PlanSettings()
    settings.brokerLiquidator = Self.liquidator
    settings.usesDirect = false
    let refusals = [
      Self.admits { $0["marketIdToBroker(bytes32)"] = Self.said(.zero) },
      Self.admits { $0["marketIdToBroker(bytes32)"] = Self.said(Self.liquidator) },
      Self.admits { $0["getLiquidationWhitelist()"] = Self.list(Self.publicLiquidator) },
      Self.admits { $0["isLiquidationWhitelist(bytes32,address)"] = Self.no },
    ]
    for answers in refusals {
      let candidate = try Self.candidate(Self.brokered, settings, answers)
      #expect(candidate.path == .reportOnly)
      #expect(candidate.outcome == .reportOnly)
    }
    for name in Self.admits().keys where name != "minLoanValue()" {
      let candidate = try Self.candidate(
        Self.brokered, settings, Self.admits { $0[name] = Self.mute })
      #expect(candidate.outcome == .permissionUnknown, "\(name)")
    }
  }

  // MARK: The other liquidators

  @Test func theFirstPermittedWayIsTaken() throws {
    var settings = PlanSettings()
    settings.mainLiquidator = Self.liquidator
    settings.publicLiquidator = Self.publicLiquidator
    let all = [
      "marketWhitelist(bytes32)": Self.yes(), "isLiquidationWhitelist(bytes32,address)": Self.yes(),
      "marketUserWhitelist(bytes32,address)": Self.no,
    ]
    #expect(try Self.candidate(Self.handmade(), settings, all).path == .mainLiquidator)
    settings.mainLiquidator = nil
    #expect(try Self.candidate(Self.handmade(), settings, all).path == .publicLiquidator)
    settings.publicLiquidator = nil
    #expect(try Self.candidate(Self.handmade(), settings, all).path == .direct)
  }

  @Test func thePublicLiquidatorTakesListedUsersOfClosedMarkets() throws {
    var settings = PlanSettings()
    settings.publicLiquidator = Self.publicLiquidator
    var closed = Self.handmade()
    closed.isOpenToAll = false
    func outcome(user: CallResult, market: CallResult, core: CallResult) throws -> Outcome {
      try Self.candidate(
        closed, settings,
        [
          "marketWhitelist(bytes32)": market, "isLiquidationWhitelist(bytes32,address)": core,
          "marketUserWhitelist(bytes32,address)": user,
        ]
      ).outcome
    }
    #expect(try outcome(user: Self.yes(), market: Self.no, core: Self.yes()) == .open)
    #expect(try outcome(user: Self.no, market: Self.yes(), core: Self.yes()) == .open)
    #expect(try outcome(user: Self.no, market: Self.no, core: Self.yes()) == .whitelistOnly)
    #expect(try outcome(user: Self.yes(), market: Self.no, core: Self.no) == .whitelistOnly)
    #expect(
      try outcome(user: Self.mute, market: Self.no, core: Self.yes()) == .permissionUnknown)
    #expect(try outcome(user: Self.mute, market: Self.yes(), core: Self.yes()) == .open)
  }

  @Test func withoutAnAnswerAboutThePauseNoWayIsOpen() throws {
    var handmade = Self.handmade()
    handmade.isPaused = nil
    var settings = PlanSettings()
    settings.mainLiquidator = Self.liquidator
    let book = handmade.book()
    var judgement = handmade.moolah.judge(book, at: HandmadeBook.block.timestamp, next: nil)
    #expect(judgement.candidates.map(\.outcome) == [.permissionUnknown])
    var planning = handmade.moolah.planning(
      for: judgement, of: book, at: HandmadeBook.block.timestamp, next: nil, by: settings)
    let questions = handmade.moolah.questions(for: planning)
    handmade.moolah.take(questions.map { _ in Self.yes() }, into: &planning)
    judgement = handmade.moolah.judgement(from: planning)
    #expect(judgement.candidates.map(\.outcome) == [.permissionUnknown])
    #expect(judgement.candidates.map(\.path) == [.reportOnly])
  }

  // MARK: Brokers

  /// A user whose loans were read earlier: 81 owed on 100, over its line at 80 %.
  private static func brokered(_ answer: CallResult, next: UInt64? = nil) throws -> Judgement {
    var handmade = HandmadeBook(.moolah)
    handmade.add(debt: 10, collateral: 100)
    handmade.setBroker(
      users: [1: .known(BrokerLoans(normalizedDebt: U256(HandmadeBook.tokens(81))))])
    let book = handmade.book()
    var planning = handmade.moolah.planning(
      for: handmade.moolah.judge(book, at: HandmadeBook.block.timestamp, next: next), of: book,
      at: HandmadeBook.block.timestamp, next: next, by: PlanSettings())
    let questions = handmade.moolah.questions(for: planning)
    handmade.moolah.take(
      questions.map {
        Array($0.data.prefix(4)) == ABI.selector("getUserTotalDebt(address)") ? answer : mute
      }, into: &planning)
    return handmade.moolah.judgement(from: planning)
  }

  @Test func aBrokerIsAskedAgainBeforeItsUserIsNamed() throws {
    let debt = U256(HandmadeBook.tokens(81))
    let same = try Self.brokered(Self.yes(debt))
    #expect(same.candidates.count == 1 && same.liquidatable == 1 && same.unknown == 0)
    for (answer, reason) in [
      (Self.yes(1), UnknownReason.brokerDebtDiffers), (Self.mute, .brokerAnswer),
    ] {
      let other = try Self.brokered(answer)
      #expect(other.candidates.isEmpty)
      #expect(other.liquidatable == 0 && other.unknown == 1 && other.positions == 1)
      #expect(other.markets.map(\.unknownReason) == [reason])
      #expect(other.markets.map(\.unknownUsers) == [[Self.user]])
    }
  }

  // MARK: Bands

  static func band(oracle: Address? = nil, second: Bool = false) throws -> PlanSettings {
    func wad(_ percent: UInt64) -> Wad { Wad(raw: U256(percent * 10_000_000_000_000_000)) }
    let terms = try #require(
      PreLiquidationTerms(
        preLLTV: wad(60), closeFactor: .init(wad(50), wad(50)),
        incentive: .init(wad(101), wad(101))))
    var settings = PlanSettings()
    let key = HandmadeBook(.moolah).key
    settings.preLiquidations = [
      PreLiquidationContract(address: liquidator, market: key, oracle: oracle, terms: terms)
    ]
    if second {
      settings.preLiquidations.append(
        PreLiquidationContract(
          address: publicLiquidator, market: key, oracle: oracle, terms: terms))
    }
    return settings
  }

  static func banded(_ dialect: Dialect = .morphoBlue) -> HandmadeBook {
    var handmade = HandmadeBook(dialect)
    // Over the line, in the band, below it.
    handmade.add(debt: 450, collateral: 500)
    handmade.add(debt: 350, collateral: 500)
    handmade.add(debt: 100, collateral: 500)
    return handmade
  }

  private static func bandCandidates(
    _ handmade: HandmadeBook, _ settings: PlanSettings, _ answers: [String: CallResult]
  ) throws -> Judgement {
    var judgement = try planned(handmade, settings, answers)
    judgement.candidates.removeAll { $0.certainty != .preLiquidatable }
    return judgement
  }

  @Test func theBandHasWhoIsInItAndNobodyElse() throws {
    for dialect in Dialect.allCases {
      let found = try Self.bandCandidates(
        Self.banded(dialect), Self.band(), ["isAuthorized(address,address)": Self.yes()])
      #expect(found.candidates.map(\.user) == [HandmadeBook.address(2)])
      let candidate = try #require(found.candidates.first)
      #expect(candidate.outcome == .open)
      #expect(candidate.path == .preLiquidation)
      #expect(candidate.contract == Self.liquidator)
      #expect(candidate.plan?.repaidShares == U256(HandmadeBook.tokens(175) * 1_000_000))
      #expect(candidate.plan?.incentive == 1_010_000_000_000_000_000)
      #expect(!candidate.health.isLiquidatable)
    }
  }

  @Test func theBorrowersWordDecides() throws {
    func outcome(_ answer: CallResult) throws -> Outcome? {
      try Self.bandCandidates(
        Self.banded(), Self.band(), ["isAuthorized(address,address)": answer]
      ).candidates.first?.outcome
    }
    #expect(try outcome(Self.yes()) == .open)
    #expect(try outcome(Self.no) == .notAuthorized)
    #expect(try outcome(Self.mute) == .permissionUnknown)
  }

  @Test(
    arguments: [(true, .paused), (nil, .permissionUnknown), (false, .open)] as [(Bool?, Outcome)])
  func aBandIsOfNoUseWhileTheCoreIsPaused(_ paused: Bool?, _ outcome: Outcome) throws {
    var handmade = Self.banded(.moolah)
    handmade.isPaused = paused
    let found = try Self.bandCandidates(
      handmade, Self.band(), ["isAuthorized(address,address)": Self.yes()])
    #expect(found.candidates.map(\.outcome) == [outcome])
    // Morpho Blue has nothing to pause.
    handmade = Self.banded(.morphoBlue)
    handmade.isPaused = paused
    let others = try Self.bandCandidates(
      handmade, Self.band(), ["isAuthorized(address,address)": Self.yes()])
    #expect(others.candidates.map(\.outcome) == [.open])
  }

  @Test func aContractsOwnOracleIsAskedAndMayNotAnswer() throws {
    let settings = try Self.band(oracle: Self.feed)
    // At half the price the healthy one of 100 on 500 is not in the band yet, at a third it is.
    let third: U256 = 310_000_000_000_000_000_000_000_000_000_000_000
    let found = try Self.bandCandidates(
      Self.banded(), settings,
      ["isAuthorized(address,address)": Self.yes(), "price()": Self.yes(third)])
    #expect(found.candidates.map(\.user) == [HandmadeBook.address(3)])
    let silent = try Self.bandCandidates(Self.banded(), settings, [:])
    #expect(silent.candidates.isEmpty)
    #expect(silent.unknownBands == [HandmadeBook(.moolah).key])
  }

  @Test func ofTwoBandsTheAuthorizedContractIsTaken() throws {
    let settings = try Self.band(second: true)
    let handmade = Self.banded()
    let book = handmade.book()
    var planning = handmade.moolah.planning(
      for: Judgement(), of: book, at: HandmadeBook.block.timestamp, next: nil, by: settings)
    let questions = handmade.moolah.questions(for: planning)
    #expect(questions.count == 2)
    handmade.moolah.take(
      questions.map {
        $0.data.suffix(20) == Self.publicLiquidator.bytes[...] ? Self.yes() : Self.no
      }, into: &planning)
    let found = handmade.moolah.judgement(from: planning).candidates
    #expect(found.map(\.contract) == [Self.publicLiquidator])
    #expect(found.map(\.outcome) == [.open])
  }
}

extension U256 {
  fileprivate static func / (lhs: U256, rhs: U256) -> U256 {
    (try? lhs.dividedDown(by: rhs)) ?? .max
  }
}
