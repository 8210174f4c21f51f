import Quantities
import RiskCore
import TestKit
import Testing

@Suite struct HealthTests {
  @Test func aCapacityEqualToTheDebtIsHealthy() {
    #expect(!Health(capacity: 100, debt: 100).isLiquidatable)
    #expect(Health(capacity: 99, debt: 100).isLiquidatable)
    #expect(!Health(capacity: 0, debt: 0).isLiquidatable)
  }

  @Test func ordersTheWorstFirst() {
    let sorted = [
      Health(capacity: 1, debt: 0), Health(capacity: 200, debt: 100),
      Health(capacity: 50, debt: 100), Health(capacity: 0, debt: 0),
      Health(capacity: 5, debt: 10), Health(capacity: 0, debt: 1),
    ].sorted()
    #expect(
      sorted == [
        Health(capacity: 0, debt: 1), Health(capacity: 50, debt: 100),
        Health(capacity: 5, debt: 10), Health(capacity: 200, debt: 100),
        Health(capacity: 0, debt: 0), Health(capacity: 1, debt: 0),
      ])
  }

  @Test func tellsRatiosApartThatDifferInTheLastOf512Bits() throws {
    let beforeMax = try U256.max.subtracting(.one)
    let twoBeforeMax = try beforeMax.subtracting(.one)
    // (m-1)/m > (m-2)/(m-1), by one part in m * (m-1).
    let better = Health(capacity: beforeMax, debt: .max)
    let worse = Health(capacity: twoBeforeMax, debt: beforeMax)
    #expect(worse < better)
    #expect(!(better < worse))
  }

  @Test(arguments: [21, 22] as [UInt64])
  func isATotalOrder(seed: UInt64) {
    var random = EdgeBiasedGenerator(seed: seed)
    func next() -> Health {
      Health(capacity: random.u256(bits: 2), debt: random.u256(bits: 2))
    }
    for _ in 0..<20_000 {
      let (a, b, c) = (next(), next(), next())
      let holding = [a < b, a == b, b < a].filter { $0 }.count
      #expect(holding == 1, "seed \(seed): \(a) \(b)")
      if a < b, b < c { #expect(a < c, "seed \(seed): \(a) \(b) \(c)") }
    }
  }

  @Test(arguments: [23] as [UInt64])
  func agreesWithTheOrderOfSmallExactRatios(seed: UInt64) {
    var random = EdgeBiasedGenerator(seed: seed)
    for _ in 0..<20_000 {
      let (c1, c2) = (random.next() >> 34, random.next() >> 34)
      let (d1, d2) = (random.next() >> 34 | 1, random.next() >> 34 | 1)
      let (left, right) = (c1 * d2, c2 * d1)
      if left == right { continue }
      let isWorse =
        Health(capacity: U256(c1), debt: U256(d1)) < Health(capacity: U256(c2), debt: U256(d2))
      #expect(isWorse == (left < right), "seed \(seed): \(c1)/\(d1) \(c2)/\(d2)")
    }
  }
}
