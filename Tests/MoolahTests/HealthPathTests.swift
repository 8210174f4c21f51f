import Moolah
import Quantities
import RiskCore
import TestKit
import Testing

/// The 128-bit path of the health against the contract's 256-bit formulas, written out.
@Suite struct HealthPathTests {
  static let rounds = 60_000

  static func capacity(
    _ collateral: UInt128, _ price: U256, _ lltv: Wad
  ) throws(ArithmeticError) -> U256 {
    let quoted = try U256.mulDivDown(U256(collateral), price, MoolahMath.oraclePriceScale)
    return try U256.mulDivDown(quoted, lltv.raw, MoolahMath.wad)
  }

  static func debt(_ shares: UInt128, _ market: MarketState) throws(ArithmeticError) -> U256 {
    try U256.mulDivUp(
      U256(shares), U256(market.totalBorrowAssets).adding(.one),
      U256(market.totalBorrowShares).adding(U256(1_000_000 as UInt64)))
  }

  static func outcome<Value>(
    _ body: () throws(ArithmeticError) -> Value
  ) -> Result<Value, ArithmeticError> {
    do { return .success(try body()) } catch { return .failure(error) }
  }

  static func market(assets: UInt128, shares: UInt128) -> MarketState {
    MarketState(
      totalSupplyAssets: .max, totalSupplyShares: 0, totalBorrowAssets: assets,
      totalBorrowShares: shares, lastUpdate: 0, fee: .zero)
  }

  @Test(arguments: [51, 52] as [UInt64])
  func theDebtIsTheSameOnBothPaths(seed: UInt64) {
    var random = EdgeBiasedGenerator(seed: seed)
    var wide = 0
    for _ in 0..<Self.rounds {
      let shares = random.u128(bits: Int(1 + random.next() % 128))
      let market = Self.market(assets: random.u128(), shares: random.u128())
      let expected = Self.outcome { () throws(ArithmeticError) in try Self.debt(shares, market) }
      let given = Self.outcome { () throws(ArithmeticError) in try market.borrowed(shares) }
      #expect(given == expected, "seed \(seed): \(shares) in \(market)")
      if case .success(let debt) = given, UInt128(exactly: debt) == nil { wide += 1 }
    }
    #expect(wide > 100)
  }

  @Test(arguments: [53, 54] as [UInt64])
  func theCapacityIsTheSameOnBothPaths(seed: UInt64) {
    var random = EdgeBiasedGenerator(seed: seed)
    var (wide, refused) = (0, 0)
    for _ in 0..<Self.rounds {
      let collateral = random.u128(bits: Int(1 + random.next() % 128))
      let price = random.u256(bits: Int(1 + random.next() % 256))
      let lltv =
        random.next() % 8 == 0
        ? Wad(raw: random.u256()) : Wad(raw: U256(random.next() % 1_000_000_000_000_000_001))
      let expected = Self.outcome { () throws(ArithmeticError) in
        try Self.capacity(collateral, price, lltv)
      }
      let given = Self.outcome { () throws(ArithmeticError) in
        try MoolahMath.maxBorrow(collateral: collateral, price: price, lltv: lltv)
      }
      #expect(given == expected, "seed \(seed): \(collateral) at \(price), lltv \(lltv)")
      switch given {
      case .success(let capacity) where UInt128(exactly: capacity) == nil: wide += 1
      case .failure: refused += 1
      default: break
      }
    }
    #expect(wide > 100)
    #expect(refused > 100)
  }

  @Test(arguments: [55] as [UInt64])
  func healthPairsTheTwo(seed: UInt64) throws {
    var random = EdgeBiasedGenerator(seed: seed)
    for _ in 0..<Self.rounds {
      let position = PositionState(
        borrowShares: random.u128(bits: 100), collateral: random.u128(bits: 100))
      if position.borrowShares == 0 { continue }
      let market = Self.market(assets: random.u128(bits: 120), shares: random.u128(bits: 120))
      let price = random.u256(bits: 150)
      let lltv = Wad(raw: U256(random.next() % 1_000_000_000_000_000_001))
      let health = try MoolahMath.health(of: position, in: market, price: price, lltv: lltv)
      #expect(health.capacity == (try Self.capacity(position.collateral, price, lltv)))
      #expect(health.debt == (try Self.debt(position.borrowShares, market)))
    }
  }

  @Test func aPositionWithoutDebtIsHealthyWhateverThePriceDoes() throws {
    let health = try MoolahMath.health(
      of: PositionState(collateral: .max), in: Self.market(assets: 1, shares: 1), price: .max,
      lltv: .one)
    #expect(Verdict(health) == .noDebt)
  }

  @Test func aPriceThatOverflowsTheContractThrows() {
    #expect(throws: ArithmeticError.overflow) {
      try MoolahMath.health(
        of: PositionState(borrowShares: 1, collateral: .max),
        in: Self.market(assets: 1, shares: 1), price: .max, lltv: .one)
    }
  }
}
