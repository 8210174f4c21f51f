import Moolah
import Quantities
import RiskCore
import Testing

/// The formulas together, against what Moolah's contracts answered in a local EVM.
@Suite struct ContractAnswerTests {
  struct RateModel {
    var rateAtTarget: Wad?
    var fixedRate: Wad?

    func rate(of market: MarketState, at timestamp: UInt64) throws -> Wad {
      if let fixedRate { return FixedRate.rate(stored: fixedRate) }
      return try AdaptiveCurve.rates(
        of: market, at: timestamp, rateAtTarget: try #require(rateAtTarget), bounds: RateBounds()
      ).averageRate
    }
  }

  struct View: Decodable {
    var timestamp: Number
    var market: [Number]
    var lltv, price: Number
    var peeks, decimals: [Number]
    var rates: [String: Number]
    var accrued: [String: [Number]]
    var rateAtTarget, fixedRate: Number?
    var positions: [[Holding]]?
  }

  /// Three numbers and the contract's answer, in one JSON array.
  enum Holding: Decodable {
    case number(Number)
    case isHealthy(Bool)

    init(from decoder: any Decoder) throws {
      let container = try decoder.singleValueContainer()
      if let answer = try? container.decode(Bool.self) {
        self = .isHealthy(answer)
      } else {
        self = .number(try container.decode(Number.self))
      }
    }
  }

  @Test func ratesAndAccruedMarketsEqualTheContractsViews() throws {
    let views = try MathFixture.decode(Recorded<View>.self, "views").cases
    var compared = 0
    for view in views {
      let market = try MarketState(view.market)
      let model = RateModel(
        rateAtTarget: try view.rateAtTarget?.wad, fixedRate: try view.fixedRate?.wad)
      for (seconds, words) in view.accrued {
        let timestamp = try view.timestamp.u64 + (try #require(UInt64(seconds)))
        let rate = try model.rate(of: market, at: timestamp)
        #expect(rate == (try view.rates[seconds]?.wad), "\(market) at \(timestamp)")
        let accrued = try market.accrued(to: timestamp, rate: rate).state
        #expect(accrued == (try MarketState(words)), "\(market) at \(timestamp)")
        compared += 1
      }
    }
    #expect(compared == 840)
  }

  @Test func pairPricesEqualTheContracts() throws {
    for view in try MathFixture.decode(Recorded<View>.self, "views").cases {
      let price = try MoolahMath.pairPrice(
        basePeek: view.peeks[0].u256, quotePeek: view.peeks[1].u256,
        loanDecimals: UInt8(view.decimals[1].u64), collateralDecimals: UInt8(view.decimals[0].u64))
      #expect(price == (try view.price.u256))
    }
  }

  @Test func healthEqualsTheContractsAnswerOnStoredTotals() throws {
    var answers = [true: 0, false: 0]
    for view in try MathFixture.decode(Recorded<View>.self, "views").cases {
      let market = try MarketState(view.market)
      for holding in view.positions ?? [] {
        let words = holding.compactMap { if case .number(let number) = $0 { number } else { nil } }
        guard case .isHealthy(let isHealthy) = try #require(holding.last) else {
          Issue.record("no answer in \(holding)")
          continue
        }
        let position = try PositionState(words)
        let health = try MoolahMath.health(
          of: position, in: market, price: view.price.u256, lltv: view.lltv.wad)
        #expect(health.isLiquidatable == !isHealthy, "\(position) in \(market)")
        let trigger = MoolahMath.triggerPrice(
          debt: try market.borrowed(position.borrowShares), collateral: position.collateral,
          lltv: try view.lltv.wad)
        #expect(trigger.isAbove(try view.price.u256) == !isHealthy, "\(position) in \(market)")
        answers[isHealthy, default: 0] += 1
      }
    }
    #expect(answers.values.allSatisfy { $0 > 10 }, "\(answers)")
  }

  struct Attempt: Decodable {
    struct After: Decodable { var market, position: [Number] }
    var timestamp, lltv, price: Number
    var market, position: [Number]
    var seized, shares: Number
    var rateAtTarget, fixedRate, rate: Number?
    var event: [Number]?
    var after: After?

    func seizure() throws -> Seizure {
      let stored = try MarketState(market)
      let model = RateModel(rateAtTarget: try rateAtTarget?.wad, fixedRate: try fixedRate?.wad)
      let used = try model.rate(of: stored, at: timestamp.u64)
      if let rate { #expect(used == (try rate.wad)) }
      let accrued = try stored.accrued(to: timestamp.u64, rate: used).state
      return try accrued.liquidating(
        PositionState(position),
        seized.u256.isZero ? .repaying(shares.u256) : .seizing(seized.u256),
        price: price.u256, lltv: lltv.wad)
    }
  }

  @Test func liquidationsEqualTheContracts() throws {
    let attempts = try MathFixture.decode(Recorded<Attempt>.self, "liquidations").cases
    var (succeeded, withBadDebt) = (0, 0)
    for attempt in attempts {
      guard let event = attempt.event, let after = attempt.after else { continue }
      let seizure = try attempt.seizure()
      let amounts = [
        seizure.repaidAssets, U256(seizure.repaidShares), U256(seizure.seizedAssets),
        U256(seizure.badDebtAssets), U256(seizure.badDebtShares),
      ]
      #expect(amounts == (try event.map { try $0.u256 }))
      #expect(seizure.market == (try MarketState(after.market)))
      #expect(seizure.position == (try PositionState(after.position)))
      succeeded += 1
      if seizure.badDebtShares > 0 { withBadDebt += 1 }
    }
    #expect(succeeded == 207)
    #expect(withBadDebt > 10)
  }

  @Test func takingMoreThanThereIsThrowsWhereTheContractPanics() throws {
    let attempts = try MathFixture.decode(Recorded<Attempt>.self, "liquidations").cases
    let refused = attempts.filter { $0.event == nil }
    #expect(refused.count == 82)
    for attempt in refused {
      #expect(throws: ArithmeticError.underflow) { try attempt.seizure() }
    }
  }
}
