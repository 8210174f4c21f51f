import Quantities
import TestKit
import Testing

@Suite struct LawTests {
  static let rounds = 20_000

  @Test(arguments: [1, 2] as [UInt64])
  func subtractionUndoesAddition(seed: UInt64) throws {
    var random = EdgeBiasedGenerator(seed: seed)
    for _ in 0..<Self.rounds {
      let (a, b) = (random.u256(), random.u256())
      let (sum, carry) = a.addingReportingOverflow(b)
      let (back, borrow) = sum.subtractingReportingOverflow(b)
      #expect(back == a && borrow == carry, "seed \(seed): \(a) + \(b)")
    }
  }

  @Test(arguments: [3, 4] as [UInt64])
  func quotientTimesDivisorPlusRemainderIsTheDividend(seed: UInt64) throws {
    var random = EdgeBiasedGenerator(seed: seed)
    for _ in 0..<Self.rounds {
      let (n, d) = (random.u256(), random.u256())
      if d.isZero { continue }
      let (quotient, remainder) = try n.quotientAndRemainder(dividingBy: d)
      #expect(remainder < d, "seed \(seed): \(n) / \(d)")
      #expect(try quotient.multiplied(by: d).adding(remainder) == n, "seed \(seed): \(n) / \(d)")
    }
  }

  @Test(arguments: [5, 6] as [UInt64])
  func wideQuotientTimesDivisorPlusRemainderIsTheDividend(seed: UInt64) throws {
    var random = EdgeBiasedGenerator(seed: seed)
    for _ in 0..<Self.rounds {
      let n = U512(high: random.u256(), low: random.u256())
      let d = random.u256()
      if d.isZero { continue }
      let (quotient, remainder) = try n.quotientAndRemainder(dividingBy: d)
      #expect(remainder < d, "seed \(seed): \(n) / \(d)")
      #expect(
        try quotient.multiplied(by: d).adding(U512(remainder)) == n, "seed \(seed): \(n) / \(d)")
    }
  }

  @Test(arguments: [7, 8] as [UInt64])
  func multiplicationDistributesOverAddition(seed: UInt64) throws {
    var random = EdgeBiasedGenerator(seed: seed)
    for _ in 0..<Self.rounds {
      let (a, b, c) = (random.u256(), random.u256(bits: 255), random.u256(bits: 255))
      let whole = a.multipliedFullWidth(by: try b.adding(c))
      let parts = try a.multipliedFullWidth(by: b).adding(a.multipliedFullWidth(by: c))
      #expect(whole == parts, "seed \(seed): \(a) * (\(b) + \(c))")
      #expect(a.multipliedFullWidth(by: b) == b.multipliedFullWidth(by: a))
    }
  }

  @Test(arguments: [9, 10] as [UInt64])
  func roundingUpIsAtMostOneMoreThanRoundingDown(seed: UInt64) throws {
    var random = EdgeBiasedGenerator(seed: seed)
    for _ in 0..<Self.rounds {
      let (x, y) = (random.u256(bits: 128), random.u256(bits: 127))
      let d = try random.u256(bits: 200).adding(.one)
      let down = try U256.mulDivDown(x, y, d)
      let up = try U256.mulDivUp(x, y, d)
      let remainder = try x.multiplied(by: y).quotientAndRemainder(dividingBy: d).remainder
      #expect(up == (remainder.isZero ? down : try down.adding(.one)), "seed \(seed)")
      #expect(try U256.fullMulDivDown(x, y, d) == down, "seed \(seed)")
      #expect(try U256.fullMulDivUp(x, y, d) == up, "seed \(seed)")
    }
  }

  @Test(arguments: [11, 12] as [UInt64])
  func orderAgreesWithSubtraction(seed: UInt64) throws {
    var random = EdgeBiasedGenerator(seed: seed)
    for _ in 0..<Self.rounds {
      let (a, b) = (random.u256(), random.u256())
      #expect((a < b) == (b.subtractingFlooredAtZero(a) > .zero), "seed \(seed): \(a) \(b)")
      #expect((a <= b) != (b < a), "seed \(seed): \(a) \(b)")
    }
  }
}
