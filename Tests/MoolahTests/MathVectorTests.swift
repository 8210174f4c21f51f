import Quantities
import Testing

@testable import Moolah

/// Moolah's formulas against golden vectors made with its deployed bytecode.
@Suite struct MathVectorTests {
  struct Vectors: Decodable {
    struct Incentive: Decodable { var lltv, lif: Number }
    struct Exponential: Decodable { var x, y: Number }
    struct Taylor: Decodable { var x, n, y: Number }
    struct Price: Decodable { var base, quote, bd, qd, price: Number }
    struct Curve: Decodable {
      var totalSupplyAssets, totalBorrowAssets, rateAtTarget, elapsed: Number
      var rateCap, minCap, rateFloor, avgRate, endRateAtTarget: Number
    }
    struct Constants: Decodable {
      var ADJUSTMENT_SPEED, INITIAL_RATE_AT_TARGET, MIN, MAX: Number
      var DEFAULT_RATE_CAP, MAX_BORROW_RATE_FIXED: Number
    }
    var lif: [Incentive]
    var wexp: [Exponential]
    var taylor: [Taylor]
    var irm: [Curve]
    var consts: Constants
    var price: [Price]
  }

  let vectors: Vectors

  init() throws {
    vectors = try MathFixture.decode(Vectors.self, "vectors")
  }

  @Test func theIncentiveFactorEqualsTheContracts() throws {
    try #require(vectors.lif.count == 15)
    for one in vectors.lif {
      let factor = try MoolahMath.liquidationIncentiveFactor(lltv: one.lltv.wad)
      #expect(factor == (try one.lif.wad), "lltv \(one.lltv.value)")
    }
  }

  @Test func theExponentialEqualsTheContracts() throws {
    try #require(vectors.wexp.count == 16)
    for one in vectors.wexp {
      #expect(try AdaptiveCurve.wExp(one.x.value) == one.y.value, "x \(one.x.value)")
    }
  }

  @Test func theCompoundedGrowthEqualsTheContracts() throws {
    try #require(vectors.taylor.count == 5)
    for one in vectors.taylor {
      let growth = try MoolahMath.wTaylorCompounded(one.x.u256, one.n.u256)
      #expect(growth == (try one.y.u256), "x \(one.x.value)")
    }
  }

  @Test func thePairPriceEqualsTheContracts() throws {
    try #require(vectors.price.count == 5)
    for one in vectors.price {
      let price = try MoolahMath.pairPrice(
        basePeek: one.base.u256, quotePeek: one.quote.u256,
        loanDecimals: UInt8(one.qd.u64), collateralDecimals: UInt8(one.bd.u64))
      #expect(price == (try one.price.u256), "base \(one.base.value)")
    }
  }

  @Test func theConstantsEqualTheContracts() throws {
    let consts = vectors.consts
    #expect(AdaptiveCurve.adjustmentSpeed == consts.ADJUSTMENT_SPEED.value)
    #expect(AdaptiveCurve.initialRateAtTarget == consts.INITIAL_RATE_AT_TARGET.value)
    #expect(AdaptiveCurve.minRateAtTarget == consts.MIN.value)
    #expect(AdaptiveCurve.maxRateAtTarget == consts.MAX.value)
    #expect(AdaptiveCurve.defaultRateCap == (try consts.DEFAULT_RATE_CAP.u256))
    #expect(FixedRate.largest == (try consts.MAX_BORROW_RATE_FIXED.u256))
  }

  @Test func theAdaptiveCurveEqualsTheContracts() throws {
    try #require(vectors.irm.count == 60)
    for one in vectors.irm {
      let market = MarketState(
        totalSupplyAssets: try one.totalSupplyAssets.u128, totalSupplyShares: 0,
        totalBorrowAssets: try one.totalBorrowAssets.u128, totalBorrowShares: 0,
        lastUpdate: 1_000, fee: .zero)
      let bounds = RateBounds(
        cap: try one.rateCap.wad, minCap: try one.minCap.wad, floor: try one.rateFloor.wad)
      let rates = try AdaptiveCurve.rates(
        of: market, at: 1_000 + one.elapsed.u64, rateAtTarget: one.rateAtTarget.wad,
        bounds: bounds)
      #expect(rates.averageRate == (try one.avgRate.wad), "\(one)")
      #expect(rates.endRateAtTarget == (try one.endRateAtTarget.wad), "\(one)")
    }
  }
}
