import Moolah
import Quantities
import RiskCore
import TestKit
import Testing

/// The trigger price against the contract's health at every neighbouring unit of the price.
@Suite struct TriggerPriceTests {
  static let rounds = 34_000

  /// Whether the contract would call it liquidatable, in 512 bits where its own product would
  /// revert.
  static func isLiquidatable(
    debt: U256, collateral: UInt128, price: U256, lltv: Wad
  ) throws -> Bool {
    let quoted = try U256(collateral).multipliedFullWidth(by: price)
      .quotientAndRemainder(dividingBy: MoolahMath.oraclePriceScale).quotient
    let capacity = try quoted.multiplied(by: lltv.raw)
      .quotientAndRemainder(dividingBy: MoolahMath.wad).quotient
    return capacity < U512(debt)
  }

  /// The first of `prices` at which the trigger disagrees with the contract.
  static func disagreement(
    of trigger: TriggerPrice, debt: U256, collateral: UInt128, lltv: Wad, at prices: [U256]
  ) throws -> U256? {
    for price in prices {
      let expected = try isLiquidatable(
        debt: debt, collateral: collateral, price: price, lltv: lltv)
      if trigger.isAbove(price) != expected { return price }
      guard
        let capacity = try? MoolahMath.maxBorrow(collateral: collateral, price: price, lltv: lltv)
      else { continue }
      if Health(capacity: capacity, debt: debt).isLiquidatable != expected { return price }
    }
    return nil
  }

  @Test(arguments: [41, 42] as [UInt64])
  func aPositionIsLiquidatableExactlyBelowItsTrigger(seed: UInt64) throws {
    var random = EdgeBiasedGenerator(seed: seed)
    var finite = 0
    for _ in 0..<Self.rounds {
      let debt = random.u256(bits: Int(1 + random.next() % 200))
      let collateral = random.u128(bits: Int(1 + random.next() % 128))
      let lltv = Wad(raw: U256(random.next() % 1_000_000_000_000_000_001))
      let trigger = MoolahMath.triggerPrice(debt: debt, collateral: collateral, lltv: lltv)
      var prices = [random.u256()]
      if case .at(let price) = trigger {
        finite += 1
        prices += [price, price.subtractingFlooredAtZero(.one)]
        if price != .max { prices.append(try price.adding(.one)) }
      }
      let wrong = try Self.disagreement(
        of: trigger, debt: debt, collateral: collateral, lltv: lltv, at: prices)
      if let wrong { Issue.record("seed \(seed): \(debt) \(collateral) \(lltv) at \(wrong)") }
    }
    #expect(finite > Self.rounds / 2)
  }

  @Test(arguments: [43] as [UInt64])
  func agreesOnEverydayPositionsToTheUnit(seed: UInt64) throws {
    var random = EdgeBiasedGenerator(seed: seed)
    for _ in 0..<Self.rounds {
      let debt = U256(1 + random.next() % 1_000_000)
      let collateral = UInt128(1 + random.next() % 1_000_000)
      let lltv = Wad(raw: U256((1 + random.next() % 100) * 10_000_000_000_000_000))
      let trigger = MoolahMath.triggerPrice(debt: debt, collateral: collateral, lltv: lltv)
      guard case .at(let price) = trigger else {
        Issue.record("seed \(seed): no trigger for \(debt), \(collateral), \(lltv)")
        continue
      }
      let wrong = try Self.disagreement(
        of: trigger, debt: debt, collateral: collateral, lltv: lltv,
        at: [price, try price.subtracting(.one), try price.adding(.one)])
      if let wrong { Issue.record("seed \(seed): \(debt) \(collateral) \(lltv) at \(wrong)") }
    }
  }

  @Test func aPositionWithoutDebtHasNoTrigger() {
    let trigger = MoolahMath.triggerPrice(debt: .zero, collateral: 0, lltv: .one)
    #expect(trigger == .noDebt)
    #expect(!trigger.isAbove(.zero))
  }

  @Test(arguments: [
    (U256(1 as UInt64), 0 as UInt128, Wad.one),
    (U256(1 as UInt64), 1 as UInt128, Wad.zero),
    (U256.max, 1 as UInt128, Wad(raw: 1)),
  ])
  func aDebtThatNoPriceCanCarryIsAlwaysLiquidatable(
    debt: U256, collateral: UInt128, lltv: Wad
  ) {
    let trigger = MoolahMath.triggerPrice(debt: debt, collateral: collateral, lltv: lltv)
    #expect(trigger == .always)
    #expect(trigger.isAbove(.max))
  }
}
