import Moolah
import Quantities
import Testing

@Suite struct SeizureTests {
  static let onePrice: U256 = 1_000_000_000_000_000_000_000_000_000_000_000_000

  static func market(assets: UInt128, shares: UInt128) -> MarketState {
    MarketState(
      totalSupplyAssets: 1_000, totalSupplyShares: 1_000, totalBorrowAssets: assets,
      totalBorrowShares: shares, lastUpdate: 0, fee: .zero)
  }

  @Test func badDebtIsNeverMoreThanTheMarketIsOwed() throws {
    // Paying half of the shares rounds up to the whole unit that was owed.
    let seizure = try Self.market(assets: 1, shares: 1_000_000).liquidating(
      PositionState(borrowShares: 1_000_000), .repaying(500_000), price: Self.onePrice, lltv: .one)
    #expect(seizure.repaidAssets == 1)
    #expect(seizure.badDebtShares == 500_000)
    #expect(seizure.badDebtAssets == 0)
    #expect(seizure.market.totalBorrowAssets == 0)
    #expect(seizure.market.totalBorrowShares == 0)
    #expect(seizure.market.totalSupplyAssets == 1_000)
    #expect(seizure.position.borrowShares == 0)
  }

  @Test func aPaymentMayBeOneUnitMoreThanAllTheDebt() throws {
    let seizure = try Self.market(assets: 10, shares: 500_000).liquidating(
      PositionState(borrowShares: 500_000, collateral: 100), .repaying(500_000),
      price: Self.onePrice, lltv: .one)
    #expect(seizure.repaidAssets == 4)
    #expect(seizure.market.totalBorrowAssets == 6)
    let last = try Self.market(assets: 0, shares: 500_000).liquidating(
      PositionState(borrowShares: 500_000, collateral: 100), .repaying(500_000),
      price: Self.onePrice, lltv: .one)
    #expect(last.repaidAssets == 1)
    #expect(last.market.totalBorrowAssets == 0)
  }

  @Test func repayingAtAPriceOfZeroDividesByZeroButSeizingDoesNot() throws {
    let market = Self.market(assets: 10, shares: 10_000_000)
    let position = PositionState(borrowShares: 10_000_000, collateral: 5)
    #expect(throws: ArithmeticError.divisionByZero) {
      try market.liquidating(position, .repaying(1_000_000), price: .zero, lltv: .one)
    }
    let seizure = try market.liquidating(position, .seizing(5), price: .zero, lltv: .one)
    #expect(seizure.repaidAssets == 0)
    #expect(seizure.badDebtAssets == 10)
  }
}
