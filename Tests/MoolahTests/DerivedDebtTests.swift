import Ethereum
import Postgres
import Quantities
import Systems
import TestKit
import Testing

@testable import Moolah

/// The server's arithmetic in view `position_now` against the formulas in Swift, to the unit.
@Suite struct DerivedDebtTests {
  private static let markets = 250
  private static let positionsInEach = Length.pick(short: 500, long: 4_000)

  /// A market and positions made by chance, as they are and as they are stored.
  private struct Case {
    let id: Int64
    let market: MarketState
    let lltv: Wad
    let position: PositionState
  }

  @Test(arguments: [51] as [UInt64])
  func everyDebtAndTriggerPriceEqualsTheFormulas(seed: UInt64) throws {
    var random = EdgeBiasedGenerator(seed: seed)
    let stored = try StoredMirror()
    let cases = try store(&random, in: stored)
    var (overflowing, withoutTrigger, equal) = (0, 0, 0)
    var found: [Int64: (borrowed: U256?, trigger: U256?, reason: String?)] = [:]
    try stored.db.transaction(.readOnly) { tx in
      try tx.forEachRow(
        "select position_id, borrowed, trigger_price, unknown_reason from position_now"
      ) { row in
        found[try row.get(0, Int64.self)] = (
          try row.get(1, U256?.self), try row.get(2, U256?.self), try row.get(3, String?.self)
        )
      }
    }
    #expect(found.count == cases.count)
    for each in cases {
      let answer = try #require(found[each.id])
      let debt =
        each.position.borrowShares == 0
        ? .zero
        : try? each.market.borrowed(
          each.position.borrowShares)
      let trigger = debt.flatMap { stored.moolah.trigger(debt: $0, each.position, each.lltv) }
      let reason = debt == nil ? "arithmetic_overflow" : nil
      if answer.borrowed != debt || answer.trigger != trigger || answer.reason != reason {
        Issue.record("seed \(seed): \(each): \(answer), not \(debt as Any), \(trigger as Any)")
        return
      }
      equal += 1
      overflowing += debt == nil ? 1 : 0
      withoutTrigger += debt != nil && trigger == nil ? 1 : 0
    }
    // Each kind is there in numbers.
    #expect(overflowing > 100 && withoutTrigger > 1_000 && equal > 100_000)
    print("derived debts: \(equal) equal, \(overflowing) overflow, \(withoutTrigger) no trigger")
  }

  /// Shares at the very bound of what a market can convert, and one beyond.
  @Test func theBoundOfTheArithmeticIsTheContracts() throws {
    for (assets, shares) in [
      (UInt128.max, UInt128.max), (.max, 0), (.max - 1, .max), (1 << 127, .max), (0, .max),
    ] as [(UInt128, UInt128)] {
      let market = MarketState(
        totalSupplyAssets: 0, totalSupplyShares: 0, totalBorrowAssets: assets,
        totalBorrowShares: shares, lastUpdate: 0, fee: .zero)
      let most = try market.convertibleSharesMax
      guard let bound = UInt128(exactly: most) else {
        _ = try market.borrowed(.max)
        continue
      }
      _ = try market.borrowed(bound)
      if bound < .max {
        #expect(throws: ArithmeticError.overflow) { try market.borrowed(bound + 1) }
      }
    }
  }

  private func store(
    _ random: inout EdgeBiasedGenerator, in stored: StoredMirror
  ) throws -> [Case] {
    var cases: [Case] = []
    var id: Int64 = 0
    try stored.db.transaction { tx in
      for number in 1...Int32(Self.markets) {
        let (market, lltv) = try storeMarket(number, &random, in: stored, tx)
        try tx.copyIn(
          "position",
          columns:
            """
            id, market_id, user_address, supply_shares, borrow_shares, collateral, as_of_block
            """
        ) { rows in
          for _ in 0..<Self.positionsInEach {
            id += 1
            let position = try position(of: market, &random)
            cases.append(Case(id: id, market: market, lltv: lltv, position: position))
            rows.beginRow()
            try rows.append(id)
            try rows.append(number)
            try rows.append(HandmadeBook.address(UInt64(id)))
            try rows.append(U256.zero)
            try rows.append(position.borrowShares)
            try rows.append(position.collateral)
            try rows.append(Int64(1))
          }
        }
      }
    }
    return cases
  }

  private func storeMarket(
    _ number: Int32, _ random: inout EdgeBiasedGenerator, in stored: StoredMirror,
    _ tx: borrowing Transaction
  ) throws -> (MarketState, Wad) {
    let isExtreme = random.next() % 4 == 0
    let assets = isExtreme ? .max - random.u128(bits: 8) : random.u128(bits: bits(&random))
    let shares = isExtreme ? .max - random.u128(bits: 8) : random.u128(bits: bits(&random))
    let market = MarketState(
      totalSupplyAssets: 0, totalSupplyShares: 0, totalBorrowAssets: assets,
      totalBorrowShares: shares, lastUpdate: 0, fee: .zero)
    let lltv: U256 =
      switch random.next() % 8 {
      case 0: .zero
      case 1: random.u256(bits: 256)
      case 2: U256(1 + random.next() % 1_000_000_000_000_000_000)
      default: U256((1 + random.next() % 1_000) * 1_000_000_000_000_000)
      }
    let one = HandmadeBook.address(1)
    try tx.execute(
      """
      insert into market (id, deployment_id, market_key, loan_token, collateral_token, oracle, irm,
        lltv_wad, total_supply_assets, total_supply_shares, total_borrow_assets,
        total_borrow_shares, last_update, as_of_block)
      overriding system value values (\(number), \(stored.deployment.id),
        \(Bytes32(U256(UInt64(number)))), \(one), \(one), \(one), \(one), \(lltv), 0, 0, 0, 0, 1, 1)
      """)
    try tx.execute(
      """
      insert into market_now values (\(number), 1, \(Bytes32.zero), 1, 0, 0,
        \(market.totalBorrowAssets), \(market.totalBorrowShares), 0)
      """)
    return (market, Wad(raw: lltv))
  }

  private func bits(_ random: inout EdgeBiasedGenerator) -> Int { Int(1 + random.next() % 128) }

  private func position(
    of market: MarketState, _ random: inout EdgeBiasedGenerator
  ) throws -> PositionState {
    let bound = UInt128(exactly: try market.convertibleSharesMax) ?? .max
    let shares: UInt128 =
      switch random.next() % 4 {
      case 0: bound - min(bound, UInt128(random.next() % 3))
      case 1: bound.addingReportingOverflow(UInt128(random.next() % 3)).partialValue
      default: random.u128(bits: bits(&random))
      }
    return PositionState(
      borrowShares: shares,
      collateral: random.next() % 16 == 0 ? 0 : random.u128(bits: bits(&random)))
  }
}
