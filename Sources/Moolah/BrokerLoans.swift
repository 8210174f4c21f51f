import Ethereum
import Quantities

/// What sort of broker a contract is, by the calls that it answers.
enum BrokerKind: UInt64, Sendable {
  /// Dynamic and fixed loans at a rate calculator's index; liquidated by price.
  case lending = 1
  /// Credit without real collateral; written off once overdue, never liquidated by price.
  case credit = 2
}

/// All that a broker keeps of one user, at one block.
struct BrokerLoans: Hashable, Sendable {
  var dynamicPrincipal: U256 = .zero
  /// Dynamic debt divided by the index.
  var normalizedDebt: U256 = .zero
  var terms: [LoanTerm] = []
  /// What `getUserTotalDebt` answered at that block.
  var totalDebt: U256 = .zero

  /// All that is owed at a second; `index` is that of the dynamic debt.
  /// Source: `LendingBroker.getUserTotalDebt`, `CreditBroker.getUserTotalDebt`.
  func debt(at timestamp: UInt64, index: U256) throws(ArithmeticError) -> U256 {
    var debt = try BrokerMath.dynamicDebtUp(normalized: normalizedDebt, index: index)
    for term in terms { debt = try debt.adding(term.debt(at: timestamp)) }
    return debt
  }

  /// More than this is no user of a broker, which allows some tens.
  static let termsMax = 1_000
}

/// A loan of a fixed term, with what only credit brokers keep.
struct LoanTerm: Hashable, Sendable {
  let loan: FixedLoan
  var credit: CreditTerm?

  /// What is owed at a second, by the formula of its sort of broker.
  func debt(at timestamp: UInt64) throws(ArithmeticError) -> U256 {
    guard let credit else { return try loan.debt(at: timestamp) }
    let interest = try credit.interestUp(of: loan, at: timestamp)
    return try loan.principal.subtracting(loan.principalRepaid)
      .adding(interest.subtracting(loan.interestRepaid))
  }

  /// Whether a credit broker may write it off. Source: `CreditBroker.isPositionPenalized`.
  func isOverdue(at timestamp: UInt64, grace: U256) -> Bool {
    // A sum beyond 256 bits is never reached; the contract would revert.
    guard let due = try? loan.end.adding(grace) else { return false }
    return U256(timestamp) > due
  }
}

/// The four words of a credit broker's tuple that a lending broker's does not have.
struct CreditTerm: Hashable, Sendable {
  /// 0: interest accrues; 1: it was taken at the beginning.
  let kind: UInt8
  let noInterestUntil: U256
  let borrowedShares: U256
  let isBadDebt: Bool

  /// Interest that accrues, or all of it from `noInterestUntil` on; rounded up.
  /// Source: `CreditBrokerMath.getInterestForFixedPosition`.
  func interestUp(
    of loan: FixedLoan, at timestamp: UInt64
  ) throws(ArithmeticError) -> U256 {
    if kind == 0 { return try loan.interestUp(at: timestamp) }
    if U256(timestamp) <= noInterestUntil { return .zero }
    let ofTerm = try U256.fullMulDivUp(
      loan.apr.subtracting(BrokerMath.ray), loan.end.subtracting(loan.start),
      BrokerMath.secondsPerYear)
    return try U256.fullMulDivUp(loan.principal, ofTerm, BrokerMath.ray)
  }
}

// MARK: - Answers

extension BrokerLoans {
  /// The answer of `userFixedPositions(user)`: an array of tuples of 8 words (lending broker) or 12
  /// (credit broker), under one selector. Nil for anything else, for more than `termsMax`, and
  /// where two have one number: it is by their numbers that they are told apart.
  static func terms(_ data: [UInt8], of kind: BrokerKind) -> [LoanTerm]? {
    let width = kind == .lending ? 8 : 12
    let words = ABIWords(data)
    guard data.count % 32 == 0, words.count >= 2, (try? words.uint64(0)) == 32,
      let count = (try? words.uint64(1)).flatMap({ Int(exactly: $0) }), count <= termsMax,
      words.count == 2 + width * count
    else { return nil }
    var terms: [LoanTerm] = []
    var numbers: Set<U256> = []
    for index in 0..<count {
      let first = 2 + width * index
      let term = try? kind == .lending ? lending(words, at: first) : credit(words, at: first)
      guard let term, numbers.insert(term.loan.number).inserted else { return nil }
      terms.append(term)
    }
    return terms
  }

  private static func lending(_ words: ABIWords, at first: Int) throws -> LoanTerm {
    LoanTerm(loan: try loan(words, number: first, rest: first + 1))
  }

  private static func credit(_ words: ABIWords, at first: Int) throws -> LoanTerm {
    let kind = try words.uint64(first)
    guard kind <= 1 else { throw ABIError.dirtyWord(offset: 32 * first) }
    return LoanTerm(
      loan: try loan(words, number: first + 1, rest: first + 2),
      credit: CreditTerm(
        kind: UInt8(kind), noInterestUntil: try words.word(first + 9),
        borrowedShares: try words.word(first + 10), isBadDebt: try words.bool(first + 11)))
  }

  private static func loan(
    _ words: ABIWords, number: Int, rest: Int
  ) throws -> FixedLoan {
    FixedLoan(
      number: try words.word(number), principal: try words.word(rest),
      apr: try words.word(rest + 1), start: try words.word(rest + 2),
      end: try words.word(rest + 3), lastRepaid: try words.word(rest + 4),
      interestRepaid: try words.word(rest + 5), principalRepaid: try words.word(rest + 6))
  }
}

extension BrokerRate {
  /// The four words of `brokers(broker)`; nil if they are no row of a calculator, of which a second
  /// that no clock reaches is a sign.
  init?(_ data: [UInt8]) {
    guard let words = try? ABIWords(data, count: 4), let index = try? words.word(0),
      let perSecond = try? words.word(1), let maximum = try? words.word(2),
      let updated = try? words.uint64(3), !index.isZero,
      updated <= UInt64(Int64.max)
    else { return nil }
    self.init(index: index, perSecond: perSecond, maxPerSecond: maximum, lastUpdated: updated)
  }
}
