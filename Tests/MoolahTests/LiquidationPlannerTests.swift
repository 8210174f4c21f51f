import Quantities
import Systems
import Testing

@testable import Moolah

@Suite struct LiquidationPlannerTests {
  /// A market of a million loan tokens, a million shares to each, so that shares and debt are one.
  private static let market = MarketState(
    totalSupplyAssets: 2_000_000, totalSupplyShares: 2_000_000_000_000,
    totalBorrowAssets: 1_000_000, totalBorrowShares: 1_000_000_000_000, lastUpdate: 0, fee: .zero)
  private static let one: U256 = 1_000_000_000_000_000_000_000_000_000_000_000_000
  private static let lltv = Wad(raw: 860_000_000_000_000_000)

  private static func planner(
    debt: UInt128, collateral: UInt128, price: U256 = one
  ) -> LiquidationPlanner {
    LiquidationPlanner(
      market: market,
      position: PositionState(borrowShares: debt * 1_000_000, collateral: collateral),
      price: price, marketPrice: one, lltv: lltv)
  }

  @Test func closesWhatItsCollateralPaysFor() throws {
    let plan = try Self.planner(debt: 900, collateral: 1_000).plan()
    #expect(plan.extent == .full)
    #expect(!plan.isBySeizing)
    #expect(plan.repaidAssets == 900)
    #expect(plan.repaidShares == 900_000_000)
    // 900 * 1.0438…
    #expect(plan.seizedAssets == 939)
    #expect(plan.badDebtShares == 0)
  }

  @Test func takesAllCollateralOfWhatIsUnderWater() throws {
    let plan = try Self.planner(debt: 990, collateral: 1_000).plan()
    #expect(plan.extent == .underwater)
    #expect(plan.isBySeizing)
    #expect(plan.seizedAssets == 1_000)
    #expect(plan.repaidAssets == 959)
    #expect(plan.badDebtAssets == 31)
    let shares = try plan.repaidShares.adding(plan.badDebtShares)
    #expect(shares == 990_000_000)
  }

  @Test func atAPriceOfZeroItSeizesForNothing() throws {
    let plan = try Self.planner(debt: 900, collateral: 1_000, price: .zero).plan()
    #expect(plan.isBySeizing)
    #expect(plan.seizedAssets == 1_000)
    #expect(plan.repaidAssets == 0)
    #expect(plan.badDebtAssets == 900)
  }

  @Test func withoutCollateralThereIsNothingToTake() {
    #expect(throws: PlanRefusal.unknown) {
      try Self.planner(debt: 900, collateral: 0).plan()
    }
  }

  // MARK: A limit, and the rule against dust

  @Test func paysNoMoreThanTheLimit() throws {
    var planner = Self.planner(debt: 900, collateral: 1_000)
    planner.costLimit = 400
    planner.minLoan = 15
    let plan = try planner.plan()
    #expect(plan.extent == .partial)
    #expect(plan.repaidAssets <= 400)
    #expect(plan.repaidAssets >= 398)
    planner.costLimit = 1_000
    #expect(try planner.plan().extent == .full)
  }

  @Test func leavesNoLessThanTheContractAllows() throws {
    var planner = Self.planner(debt: 900, collateral: 1_000)
    planner.costLimit = 895
    planner.minLoan = 100
    // 895 of 900 would leave 5; the collateral that is left carries them, so the contract agrees.
    #expect(try planner.plan().repaidAssets >= 893)

    // Beside almost no collateral those 9 would be dust over the line.
    var deep = Self.planner(debt: 958, collateral: 1_000)
    deep.costLimit = 950
    deep.minLoan = 100
    let plan = try deep.plan()
    #expect(plan.extent == .partial)
    let left = try U256(958).subtracting(plan.repaidAssets)
    #expect(left >= 100)
    #expect(left <= 103)
  }

  @Test func dustThatCannotBeAvoidedIsNoPlan() throws {
    var planner = Self.planner(debt: 958, collateral: 1_000)
    planner.costLimit = 950
    planner.minLoan = 958
    #expect(throws: PlanRefusal.dust) { try planner.plan() }
    planner.costLimit = 0
    #expect(throws: PlanRefusal.dust) { try planner.plan() }
    planner.costLimit = nil
    #expect(try planner.plan().extent == .full)
  }

  @Test func aPartIsUnknownWithoutTheContractsLeastDebt() throws {
    var planner = Self.planner(debt: 958, collateral: 1_000)
    planner.minLoan = nil
    #expect(try planner.plan().extent == .full)
    planner.costLimit = 950
    #expect(throws: PlanRefusal.unknown) { try planner.plan() }
  }

  // MARK: Brokers

  @Test func aBrokerTakesWholeMillionsOfSharesAndItsInterest() throws {
    var planner = Self.planner(debt: 900, collateral: 1_000)
    planner.position.borrowShares += 5
    planner.brokerDebt = 909
    planner.isThroughBroker = true
    let plan = try planner.plan()
    #expect(plan.repaidShares == 900_000_000)
    // ceil(900 * 909 / 901) - 900: the five shares more make it 901.
    #expect(plan.repaidAssets == 900)
    #expect(plan.interestToBroker == 8)
    planner.isThroughBroker = false
    let direct = try planner.plan()
    #expect(direct.repaidShares == 900_000_005)
    #expect(direct.interestToBroker == 0)
  }

  @Test func theLimitHoldsWithTheBrokersPart() throws {
    var planner = Self.planner(debt: 900, collateral: 1_000)
    planner.brokerDebt = 1_800
    planner.isThroughBroker = true
    planner.costLimit = 1_000
    let plan = try planner.plan()
    let cost = try plan.repaidAssets.adding(plan.interestToBroker)
    #expect(cost <= 1_000)
    #expect(cost >= 990)
  }

  // MARK: The factor

  @Test func aFloorRaisesTheFactorAndNoFloorDoesNot() throws {
    let plain = try Self.planner(debt: 900, collateral: 1_000).plan()
    #expect(plain.incentive == 1_043_841_336_116_910_229)
    var planner = Self.planner(debt: 900, collateral: 1_000)
    planner.incentiveFloor = Wad(raw: 1_048_000_000_000_000_000)
    let raised = try planner.plan()
    #expect(raised.incentive == 1_048_000_000_000_000_000)
    #expect(raised.seizedAssets == 943)
    planner.incentiveFloor = Wad(raw: 1_010_000_000_000_000_000)
    #expect(try planner.plan() == plain)
  }
}
