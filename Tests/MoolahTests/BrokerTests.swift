import Ethereum
import Quantities
import RiskCore
import Systems
import Testing

@testable import Moolah

extension HandmadeBook {
  static let brokerAddress = address(0xB)
  static let calculator = address(0xCA)

  /// An index of 1 that stands still.
  static let flatRate = BrokerRate(
    index: BrokerMath.ray, perSecond: .zero, maxPerSecond: .zero, lastUpdated: 1)

  /// Gives the market a lending broker; users by their place.
  mutating func setBroker(
    users: [UInt64: UserLoans], rate: BrokerRate? = flatRate, kind: BrokerKind = .lending
  ) {
    broker = Self.brokerAddress
    var state = BookBroker(id: 1)
    state.kind = kind
    state.calculator = Self.calculator
    state.oracle = Self.oracle
    state.rate = rate
    state.grace = kind == .credit ? 3_600 : nil
    for (place, loans) in users { state.users[Self.address(place)] = loans }
    brokerState = state
  }
}

/// What brokers answer, honest or hostile, and the verdicts that it makes.
@Suite struct BrokerTests {
  private let moolah = Moolah(.moolah)
  private static let now = HandmadeBook.block.timestamp

  // MARK: Verdicts

  private func judged(
    debt: UInt128, collateral: UInt128, next: UInt64? = nil,
    rate: BrokerRate = HandmadeBook.flatRate
  ) throws -> Judgement {
    var handmade = HandmadeBook(.moolah)
    handmade.add(debt: 10, collateral: collateral)
    handmade.setBroker(
      users: [1: .known(BrokerLoans(normalizedDebt: U256(HandmadeBook.tokens(debt))))], rate: rate)
    return moolah.judge(handmade.book(), at: Self.now, next: next)
  }

  @Test func theBrokersDebtDecidesAndNotTheCores() throws {
    // The line is at 80 %: 100 tokens carry 80.
    #expect(try judged(debt: 80, collateral: 100).healthy == 1)
    let over = try judged(debt: 81, collateral: 100)
    #expect(over.liquidatable == 1)
    #expect(over.candidates.map(\.health.debt) == [U256(HandmadeBook.tokens(81))])
    #expect(over.candidates.map(\.outcome) == [.open])
  }

  @Test func theUsersOwnPriceStandsBesideTheMarkets() throws {
    let candidate = try #require(try judged(debt: 81, collateral: 100).candidates.first)
    let userPrice = try #require(candidate.userPrice)
    #expect(candidate.price == HandmadeBook.oneToOne)
    // 81 owed, a little more than 10 of them to the core: some 71 less on 100 of collateral.
    #expect(userPrice < candidate.price)
    #expect(try userPrice.multiplied(by: 100) > candidate.price.multiplied(by: 29))
    #expect(try userPrice.multiplied(by: 100) < candidate.price.multiplied(by: 30))
  }

  @Test func withAnotherOracleThanTheBrokersTheUsersPriceIsNotKnown() {
    var handmade = HandmadeBook(.moolah)
    handmade.add(debt: 10, collateral: 100)
    handmade.setBroker(
      users: [1: .known(BrokerLoans(normalizedDebt: U256(HandmadeBook.tokens(81))))])
    handmade.brokerState?.oracle = HandmadeBook.address(0xEE)
    let judgement = moolah.judge(handmade.book(), at: Self.now, next: nil)
    #expect(judgement.candidates.map(\.userPrice) == [nil])
    #expect(judgement.liquidatable == 1)
  }

  @Test func theIndexGrowsToTheNextSecond() throws {
    let growing = BrokerRate(
      index: BrokerMath.ray, perSecond: try BrokerMath.ray.multiplied(by: 2), maxPerSecond: .zero,
      lastUpdated: Self.now)
    let judgement = try judged(debt: 50, collateral: 100, next: Self.now + 1, rate: growing)
    #expect(judgement.healthy == 1)
    #expect(judgement.candidates.map(\.certainty) == [.actionable])
    #expect(judgement.candidates.map(\.health.debt) == [U256(HandmadeBook.tokens(100))])
  }

  // MARK: Reading

  /// What a broker answers to a call, by its selector.
  private typealias Broker = ([UInt8]) -> CallResult

  private static func words(_ words: [U256]) -> CallResult {
    CallResult(succeeded: true, data: words.flatMap(\.bigEndianBytes))
  }

  private static let reverted = CallResult(succeeded: false, data: [])

  /// 90 tokens at an index of 2, and one loan of 100 for a term that is over.
  private static let loan: [U256] = [
    7, 100, 1_000_000_000_000_000_000_000_000_000, 1, 5_000, 1, 0, 40,
  ]

  private static func lending(_ selector: [UInt8], total: U256 = 240) -> CallResult {
    switch selector {
    case ABI.selector("rateCalculator()"):
      words([Bytes32(HandmadeBook.calculator).u256])
    case ABI.selector("ORACLE()"): words([Bytes32(HandmadeBook.oracle).u256])
    case ABI.selector("brokers(address)"): words([BrokerMath.ray, .zero, .zero, 1])
    case ABI.selector("userFixedPositions(address)"): words([32, 1] + loan)
    case ABI.selector("userDynamicPosition(address)"): words([150, 180])
    case ABI.selector("getUserTotalDebt(address)"): words([total])
    default: reverted
    }
  }

  private static func credit(
    _ selector: [UInt8], end: U256, isBadDebt: Bool = false
  ) -> CallResult {
    let kind: [U256] = [0]
    let loan = [7, 100, BrokerMath.ray, 1, end, 1, .zero, 40] as [U256]
    switch selector {
    case ABI.selector("getGraceConfig()"): return words([3_600, 15, 60])
    case ABI.selector("userFixedPositions(address)"):
      return words([32, 1] + kind + loan + [.zero, 5, isBadDebt ? .one : .zero])
    case ABI.selector("getUserTotalDebt(address)"): return words([60])
    default: return reverted
    }
  }

  private func read(users: Int = 1, _ broker: Broker) throws -> MoolahBook {
    var handmade = HandmadeBook(.moolah)
    for _ in 0..<users { handmade.add(debt: 10, collateral: 100) }
    handmade.broker = HandmadeBook.brokerAddress
    var state = BookBroker(id: 1)
    state.unread = (1...users).map { HandmadeBook.address(UInt64($0)) }
    handmade.brokerState = state
    var book = handmade.book()
    var rounds = 0
    while true {
      let calls = moolah.followUps(about: book, for: .verdicts)
      if calls.isEmpty { return book }
      rounds += 1
      try #require(rounds < 20)
      moolah.takeFollowUps(
        calls.map { broker(Array($0.data.prefix(4))) }, for: .verdicts, into: &book)
    }
  }

  private func state(_ book: MoolahBook) throws -> BookBroker {
    try #require(book.brokers[HandmadeBook.brokerAddress])
  }

  @Test func anHonestLendingBrokerIsRead() throws {
    let broker = try state(read { Self.lending($0) })
    #expect(broker.kind == .lending)
    #expect(broker.rate?.index == BrokerMath.ray)
    guard case .read(let loans) = broker.users[HandmadeBook.address(1)] else {
      Issue.record("not read: \(broker)")
      return
    }
    #expect(loans.dynamicPrincipal == 150)
    #expect(loans.normalizedDebt == 180)
    #expect(loans.terms.map(\.loan.number) == [7])
    #expect(loans.terms.map(\.loan.principalRepaid) == [40])
  }

  @Test func loansThatDoNotComeToTheBrokersTotalAreNotBelieved() throws {
    for total in [239, 241] as [U256] {
      let book = try read { Self.lending($0, total: total) }
      let judgement = moolah.judge(book, at: Self.now, next: nil)
      #expect(judgement.markets.map(\.unknownReason) == [.brokerDebtDiffers])
      #expect(judgement.unknown == 1 && judgement.candidates.isEmpty)
    }
  }

  static let hostile: [CallResult] = [
    reverted, CallResult(succeeded: true, data: []), CallResult(succeeded: true, data: [1]),
    CallResult(succeeded: true, data: [UInt8](repeating: 0xFF, count: 96)), words([.max]),
    words([32, .max]), words([32, 1_000_000]), words([64, 1] + loan), words([32, 1] + loan + [0]),
    words([32, 2] + loan), words([32, 1] + loan.dropLast()),
    words([32, 1_001] + (0..<1_001).flatMap { _ in loan }),
  ]

  /// Each in the place of each answer, and of all: no verdict, and no trap.
  @Test(arguments: hostile.indices)
  func hostileAnswersMakeNoVerdict(_ row: Int) throws {
    let answer = Self.hostile[row]
    let needed = [
      "rateCalculator()", "brokers(address)", "userFixedPositions(address)",
      "userDynamicPosition(address)", "getUserTotalDebt(address)",
    ]
    for spoiled in needed {
      let book = try read { $0 == ABI.selector(spoiled) ? answer : Self.lending($0) }
      let judgement = moolah.judge(book, at: Self.now, next: Self.now + 12)
      #expect(judgement.unknown == 1, "\(spoiled)")
      #expect(judgement.candidates.isEmpty, "\(spoiled)")
    }
    let book = try read { _ in answer }
    #expect(moolah.judge(book, at: Self.now, next: nil).unknown == 1)
  }

  @Test func whoIsOfTwoKindsIsOfNone() throws {
    let book = try read { selector in
      selector == ABI.selector("getGraceConfig()")
        ? Self.words([1, 2, 3]) : Self.lending(selector)
    }
    #expect(try state(book).kind == nil)
    let judgement = moolah.judge(book, at: Self.now, next: nil)
    #expect(judgement.markets.map(\.unknownReason) == [.brokerMarket])
  }

  @Test func aBrokerOfWhichNothingCanBeMadeIsLeftAlone() throws {
    let many = 2 * BrokerLimits.readsPerRound + 1
    var asked = 0
    _ = try read(users: many) { selector in
      guard selector == ABI.selector("userFixedPositions(address)") else {
        return Self.lending(selector)
      }
      asked += 1
      return Self.reverted
    }
    #expect(asked == BrokerLimits.readsPerRound)
    asked = 0
    let book = try read(users: many) { selector in
      if selector == ABI.selector("userFixedPositions(address)") { asked += 1 }
      return Self.lending(selector)
    }
    #expect(asked == many)
    #expect(moolah.judge(book, at: Self.now, next: nil).unknown == 0)
  }

  // MARK: Credit

  @Test func creditIsOverdueAfterItsGraceAndNeverLiquidatable() throws {
    // Judged at 10 000 s, with a grace of an hour.
    for (end, overdue) in [(6_399, 1), (6_400, 0), (12_000, 0)] as [(U256, Int)] {
      var book = try read { Self.credit($0, end: end) }
      // Far over the line by price.
      book.prices[HandmadeBook.base] = .price(.one)
      let judgement = moolah.judge(book, at: Self.now, next: Self.now + 12)
      #expect(judgement.overduePositions == overdue, "end \(end)")
      #expect(judgement.overdue.map(\.principalLeft) == (overdue == 1 ? [60] : []))
      #expect(judgement.healthy == 1 - overdue)
      #expect(judgement.liquidatable == 0 && judgement.candidates.isEmpty)
      #expect(judgement.positions == 1)
    }
  }

  @Test func whatWasWrittenOffIsNotOverdue() throws {
    let book = try read { Self.credit($0, end: 100, isBadDebt: true) }
    #expect(moolah.judge(book, at: Self.now, next: nil).overduePositions == 0)
  }

  @Test func theWidthOfATupleIsThatOfItsKind() {
    let lending = Self.words([32, 1] + Self.loan).data
    let credit = Self.words([32, 1] + [0] + Self.loan + [0, 0, 0]).data
    #expect(BrokerLoans.terms(lending, of: .lending)?.count == 1)
    #expect(BrokerLoans.terms(lending, of: .credit) == nil)
    #expect(BrokerLoans.terms(credit, of: .credit)?.count == 1)
    #expect(BrokerLoans.terms(credit, of: .lending) == nil)
    let one: [U256] = [0] + Self.loan + [0, 0, 0]
    var other = one
    other[1] = 8
    #expect(BrokerLoans.terms(Self.words([32, 2] + one + other).data, of: .credit)?.count == 2)
    #expect(BrokerLoans.terms(Self.words([32, 2] + one + one).data, of: .credit) == nil)
    // Three loans of eight words are as long as two of twelve.
    let three = Self.words([32, 3] + Self.loan + Self.loan + Self.loan).data
    #expect(BrokerLoans.terms(three, of: .credit) == nil)
  }

  @Test(arguments: [(UInt64(Int64.max), true), (UInt64(Int64.max) + 1, false)])
  func aRateOfASecondThatNoClockReachesIsNone(updated: UInt64, isRate: Bool) {
    let words = Self.words([BrokerMath.ray, .zero, .zero, U256(updated)])
    #expect((BrokerRate(words.data) != nil) == isRate)
  }

  @Test func interestTakenUpfrontIsDueAfterItsFreeTime() throws {
    let loan = FixedLoan(
      number: 1, principal: 1_000, apr: try BrokerMath.ray.multiplied(by: 2), start: 0,
      end: BrokerMath.secondsPerYear, lastRepaid: 0, interestRepaid: 0, principalRepaid: 0)
    let term = LoanTerm(
      loan: loan,
      credit: CreditTerm(kind: 1, noInterestUntil: 60, borrowedShares: 0, isBadDebt: false))
    #expect(try term.debt(at: 60) == 1_000)
    #expect(try term.debt(at: 61) == 2_000)
  }
}
