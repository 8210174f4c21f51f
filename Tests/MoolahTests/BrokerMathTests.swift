import Moolah
import Quantities
import Testing

/// The brokers' formulas against golden vectors, and at their edges.
@Suite struct BrokerMathTests {
  struct Vectors: Decodable {
    struct Power: Decodable { var x, n, z: Number }
    struct Rate: Decodable { var cur, rps, last, now, rate: Number }
    struct Loan: Decodable {
      var principal, principalRepaid, apr, start, end, lastRepaidTime, interestRepaid: Number
    }
    struct Fixed: Decodable {
      var p: Loan
      var now, interest, penaltyOn, penalty, totalDebt: Number
    }
    struct Price: Decodable { var cp, lp, bd, md, coll, cd, ld, price: Number }
    var rpow: [Power]
    var rateNow: [Rate]
    var fixed: [Fixed]
    var brokerPrice: [Price]
  }

  let vectors: Vectors

  init() throws {
    vectors = try MathFixture.decode(Vectors.self, "vectors")
  }

  @Test func thePowerEqualsTheContracts() throws {
    try #require(vectors.rpow.count == 5)
    for one in vectors.rpow {
      let power = try BrokerMath.rpowHalfUp(one.x.u256, one.n.u64)
      #expect(power == (try one.z.u256), "\(one)")
    }
  }

  @Test func theIndexEqualsTheContracts() throws {
    try #require(vectors.rateNow.count == 1)
    for one in vectors.rateNow {
      let row = BrokerRate(
        index: try one.cur.u256, perSecond: try one.rps.u256, maxPerSecond: .zero,
        lastUpdated: try one.last.u64)
      #expect(try row.index(at: one.now.u64) == one.rate.u256, "\(one)")
    }
  }

  @Test func aFixedLoanEqualsTheContracts() throws {
    try #require(vectors.fixed.count == 1)
    for one in vectors.fixed {
      let loan = try loan(one.p)
      let now = try one.now.u64
      #expect(try loan.interestUp(at: now) == one.interest.u256)
      #expect(try loan.penaltyUp(repaying: one.penaltyOn.u256, at: now) == one.penalty.u256)
      #expect(try loan.debt(at: now) == one.totalDebt.u256)
    }
  }

  @Test func theUsersPriceEqualsTheContracts() throws {
    try #require(vectors.brokerPrice.count == 4)
    for one in vectors.brokerPrice {
      let price = try BrokerMath.userPeek(
        collateralPeek: one.cp.u256, loanPeek: one.lp.u256, brokerDebt: one.bd.u256,
        coreDebt: one.md.u256, collateral: one.coll.u128,
        collateralDecimals: UInt8(one.cd.u64), loanDecimals: UInt8(one.ld.u64))
      #expect(price == (try one.price.u256), "\(one)")
    }
  }

  @Test func interestStopsAtTheEndOfTheTermAndThePenaltyAfterIt() throws {
    let loan = try loan(#require(vectors.fixed.first).p)
    let end = try #require(UInt64(exactly: loan.end))
    #expect(try loan.interestUp(at: end) == loan.interestUp(at: end + 1_000_000))
    #expect(try loan.interestUp(at: end - 1) < loan.interestUp(at: end))
    #expect(try loan.penaltyUp(repaying: 1_000, at: end + 1) == .zero)
    #expect(try loan.penaltyUp(repaying: 1_000, at: end - 1) == 1)
  }

  @Test func aRateOfNothingAccruesNothing() throws {
    #expect(try BrokerMath.aprPerSecondUp(BrokerMath.ray) == .zero)
    #expect(try BrokerMath.aprPerSecondUp(BrokerMath.ray.adding(.one)) == .one)
  }

  @Test func theIndexDoesNotRunBackwards() {
    let row = BrokerRate(index: BrokerMath.ray, perSecond: 2, maxPerSecond: 3, lastUpdated: 100)
    #expect(throws: ArithmeticError.underflow) { try row.index(at: 99) }
  }

  @Test func whatTheContractWouldRevertOnThrows() throws {
    #expect(throws: ArithmeticError.overflow) { try BrokerMath.rpowHalfUp(.max, 2) }
    let repaidTooMuch = FixedLoan(
      number: 1, principal: 5, apr: BrokerMath.ray, start: 0, end: 10, lastRepaid: 0,
      interestRepaid: 1, principalRepaid: 0)
    #expect(throws: ArithmeticError.underflow) { try repaidTooMuch.debt(at: 5) }
    let beforeItsRepayment = FixedLoan(
      number: 1, principal: 5, apr: BrokerMath.ray, start: 0, end: 10, lastRepaid: 6,
      interestRepaid: 0, principalRepaid: 0)
    #expect(throws: ArithmeticError.underflow) { try beforeItsRepayment.debt(at: 5) }
  }

  private func loan(_ p: Vectors.Loan) throws -> FixedLoan {
    FixedLoan(
      number: 1, principal: try p.principal.u256, apr: try p.apr.u256, start: try p.start.u256,
      end: try p.end.u256, lastRepaid: try p.lastRepaidTime.u256,
      interestRepaid: try p.interestRepaid.u256, principalRepaid: try p.principalRepaid.u256)
  }
}
