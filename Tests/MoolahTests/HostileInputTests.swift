import Moolah
import Quantities
import TestKit
import Testing

/// Numbers no honest chain has: each is an answer or a typed error, never a trap.
@Suite struct HostileInputTests {
  static func market(_ random: inout EdgeBiasedGenerator) -> MarketState {
    MarketState(
      totalSupplyAssets: random.u128(), totalSupplyShares: random.u128(),
      totalBorrowAssets: random.u128(), totalBorrowShares: random.u128(),
      lastUpdate: random.next() >> (random.next() % 64), fee: Wad(raw: random.u256()))
  }

  @Test(arguments: [61, 62] as [UInt64])
  func everyFormulaAnswersOrThrows(seed: UInt64) {
    var random = EdgeBiasedGenerator(seed: seed)
    var (answered, refused) = (0, 0)
    func count<Value>(_ body: () throws(ArithmeticError) -> Value) {
      do {
        _ = try body()
        answered += 1
      } catch { refused += 1 }
    }
    for _ in 0..<20_000 {
      let market = Self.market(&random)
      let timestamp = random.next() >> (random.next() % 64)
      let (rate, price, lltv) = (random.u256(), random.u256(), Wad(raw: random.u256(bits: 61)))
      let bounds = RateBounds(
        cap: Wad(raw: random.u256()), minCap: Wad(raw: random.u256()),
        floor: Wad(raw: random.u256()))
      let position = PositionState(
        supplyShares: random.u256(), borrowShares: random.u128(), collateral: random.u128())
      count { () throws(ArithmeticError) in try market.accrued(to: timestamp, rate: Wad(raw: rate))
      }
      count { () throws(ArithmeticError) in
        try AdaptiveCurve.rates(
          of: market, at: timestamp, rateAtTarget: Wad(raw: rate), bounds: bounds)
      }
      count { () throws(ArithmeticError) in
        try market.liquidating(position, .seizing(rate), price: price, lltv: lltv)
      }
      count { () throws(ArithmeticError) in
        try market.liquidating(position, .repaying(rate), price: price, lltv: lltv)
      }
      count { () throws(ArithmeticError) in
        try MoolahMath.pairPrice(
          basePeek: price, quotePeek: rate, loanDecimals: UInt8(truncatingIfNeeded: timestamp),
          collateralDecimals: UInt8(truncatingIfNeeded: timestamp >> 8))
      }
    }
    #expect(answered > 1_000)
    #expect(refused > 1_000)
  }

  @Test func theCurveStaysWithinItsLimitsOverTheLongestTime() throws {
    let full = MarketState(
      totalSupplyAssets: 100, totalSupplyShares: 0, totalBorrowAssets: 100, totalBorrowShares: 0,
      lastUpdate: 0, fee: .zero)
    var empty = full
    empty.totalBorrowAssets = 0
    let start = Wad(raw: 1_268_391_679)
    let high = try AdaptiveCurve.rates(of: full, at: 1 << 63, rateAtTarget: start)
    let low = try AdaptiveCurve.rates(of: empty, at: 1 << 63, rateAtTarget: start)
    #expect(high.endRateAtTarget.raw == 63_419_583_967)
    #expect(low.endRateAtTarget.raw == 31_709_791)
  }

  @Test func aTimeBeforeTheLastUpdateIsRefused() {
    let market = MarketState(
      totalSupplyAssets: 1, totalSupplyShares: 1, totalBorrowAssets: 1, totalBorrowShares: 1,
      lastUpdate: 100, fee: .zero)
    #expect(throws: ArithmeticError.underflow) { try market.accrued(to: 99, rate: .one) }
    #expect(throws: ArithmeticError.underflow) {
      try AdaptiveCurve.rates(of: market, at: 99, rateAtTarget: .one)
    }
  }

  @Test func totalsAreTheContractsUint128() {
    let market = MarketState(
      totalSupplyAssets: .max, totalSupplyShares: 1, totalBorrowAssets: 1 << 100,
      totalBorrowShares: 1, lastUpdate: 0, fee: .zero)
    #expect(throws: ArithmeticError.overflow) {
      try market.accrued(to: 31_536_000, rate: Wad(raw: 63_419_583_967))
    }
  }

  @Test func aFixedRateStaysWithinItsBounds() {
    let stored = Wad(raw: 5_000)
    #expect(FixedRate.rate(stored: stored) == stored)
    #expect(FixedRate.rate(stored: stored, bounds: RateBounds(cap: Wad(raw: 7))).raw == 7)
    #expect(
      FixedRate.rate(stored: stored, bounds: RateBounds(cap: Wad(raw: 7), minCap: Wad(raw: 9)))
        .raw == 9)
    #expect(FixedRate.rate(stored: stored, bounds: RateBounds(floor: Wad(raw: 8_000))).raw == 8_000)
    #expect(FixedRate.rate(stored: Wad(raw: .max)).raw == 253_678_335_870)
  }
}
