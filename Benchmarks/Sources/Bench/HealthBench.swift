import Moolah
import Quantities
import RiskCore

/// The exact verdict of a million single-market positions.
enum HealthBench {
  static let positions = 1_000_000
  static let markets = 50

  struct Market {
    var state: MarketState
    var price: U256
    var lltv: Wad
  }

  static func run() {
    var random = Random(state: 7)
    let world = (0..<markets).map { _ in market(&random) }
    let held = (0..<positions).map { index in position(&random, in: world[index % markets]) }
    Measurement.header("health of \(positions) positions in \(markets) markets")
    measure("MoolahMath.health, exact, both paths", held, world) { position, market in
      let health = try? MoolahMath.health(
        of: position, in: market.state, price: market.price, lltv: market.lltv)
      return health?.isLiquidatable ?? false
    }
    measure("reference: the same in 256 bits only", held, world) { position, market in
      (try? wide(position, market)) ?? false
    }
    measure("reference: one pass over the same memory", held, world) { position, market in
      position.collateral &+ position.borrowShares < market.state.totalBorrowAssets
    }
    Measurement.report("MoolahMath.triggerPrice", operations: positions) {
      var finite: UInt64 = 0
      for index in 0..<positions {
        let trigger = MoolahMath.triggerPrice(
          debt: U256(held[index].borrowShares / 1_000_000), collateral: held[index].collateral,
          lltv: world[index % markets].lltv)
        if case .at = trigger { finite += 1 }
      }
      return finite
    }
  }

  private static func measure(
    _ name: String, _ held: [PositionState], _ world: [Market],
    _ isLiquidatable: (PositionState, Market) -> Bool
  ) {
    var found: UInt64 = 0
    Measurement.report(name, operations: positions) {
      found = 0
      var market = 0
      for position in held {
        if isLiquidatable(position, world[market]) { found += 1 }
        market = market + 1 == markets ? 0 : market + 1
      }
      return found
    }
    print("    liquidatable: \(found)")
  }

  /// Moolah's formulas with a 256-bit product and division at each step.
  private static func wide(
    _ position: PositionState, _ market: Market
  ) throws(ArithmeticError) -> Bool {
    let debt = try MoolahMath.toAssetsUp(
      U256(position.borrowShares), totalAssets: U256(market.state.totalBorrowAssets),
      totalShares: U256(market.state.totalBorrowShares))
    let quoted = try U256.mulDivDown(
      U256(position.collateral), market.price, MoolahMath.oraclePriceScale)
    return try MoolahMath.wMulDown(quoted, market.lltv.raw) < debt
  }

  /// 18 decimals on both sides; prices from 0.001 to 100,000, most of them above 128 bits.
  private static func market(_ random: inout Random) -> Market {
    let assets = UInt128(1_000_000 + random.next() % 100_000_000) * UInt128(MoolahMath.wad.w0)
    let milli = 1 + random.next() % 100_000_000
    let price = try? U256(UInt128(milli)).multiplied(by: U256(oneThousandth))
    return Market(
      state: MarketState(
        totalSupplyAssets: assets * 2, totalSupplyShares: assets * 2_000_000,
        totalBorrowAssets: assets, totalBorrowShares: assets / 100 * 97_000_000,
        lastUpdate: 0, fee: .zero),
      price: price ?? .one, lltv: Wad(raw: U256(860_000_000_000_000_000 as UInt64)))
  }

  private static var oneThousandth: UInt128 { 1_000_000_000_000_000_000_000_000_000_000_000 }

  /// A debt around what the collateral may carry, from 50 % to 101 % of it.
  private static func position(_ random: inout Random, in market: Market) -> PositionState {
    let collateral = UInt128(random.next() % 1_000_000_000) * 1_000_000_000_000
    let capacity =
      (try? MoolahMath.maxBorrow(collateral: collateral, price: market.price, lltv: market.lltv))
      ?? .zero
    let part = UInt128(500 + random.next() % 510)
    let debt = capacity.low / 1_000 * part
    return PositionState(borrowShares: debt * 970_000, collateral: collateral)
  }
}
