import Ethereum
import Foundation
import Quantities
import Systems
import TestKit
import Testing

@testable import Moolah

/// Seize and repay amounts against every liquidation that was recorded of the contracts' bytecode.
@Suite struct RecordedLiquidationTests {
  struct MoolahRecording: Decodable {
    struct Market: Decodable {
      let id, loan, collateral: String
      let lltv: Number
      let broker: String?
    }
    struct Token: Decodable { let decimals: Int }
    struct State: Decodable {
      let market, position: [Number]
      let accrued: [Number]?
      let price, userPrice: Number?
      let brokerDebt: Number?
    }
    struct Attempt: Decodable {
      let timestamp: UInt64
      let id, borrower, mode, status, tx: String
      let err: String?
      let seizedArg, repaidSharesArg: Number
      let before: State
      let after: State
    }
    struct Entry: Decodable {
      let topics: [String]
      let data, transactionHash: String
    }
    let markets: [Market]
    let tokens: [String: Token]
    let liquidations: [Attempt]
    let logs: [Entry]
  }

  /// The words of an event in the transaction of each attempt.
  private struct Events {
    private var byTransaction: [String: [(topic: String, words: ABIWords)]] = [:]

    init(_ logs: [MoolahRecording.Entry]) throws {
      for log in logs {
        byTransaction[log.transactionHash, default: []].append(
          (log.topics[0], ABIWords(try #require(Hex.decode(log.data)))))
      }
    }

    func words(_ signature: String, in transaction: String) -> ABIWords? {
      let topic = ABI.topic(signature).description
      return byTransaction[transaction]?.first { $0.topic == topic }?.words
    }
  }

  private static let accrual = "AccrueInterest(bytes32,uint256,uint256,uint256)"
  private static let liquidation =
    "Liquidate(bytes32,address,address,uint256,uint256,uint256,uint256,uint256)"
  private static let brokerPart = "Liquidated(address,uint256,uint256)"

  @Test func everyLiquidationOfMoolahHasTheContractsAmounts() throws {
    let recording = try JSONDecoder().decode(
      MoolahRecording.self, from: Fixture.gunzipped("Recordings/moolah_src.json.gz"))
    let events = try Events(recording.logs)
    #expect(recording.liquidations.count == 381)
    var counts: [String: Int] = [:]
    for attempt in recording.liquidations {
      let market = try #require(recording.markets.first { $0.id == attempt.id })
      let kind = market.broker == nil ? "plain" : "broker"
      guard attempt.status == "0x1" else {
        try expectPanic(attempt, market)
        counts["\(kind) panics", default: 0] += 1
        continue
      }
      let rate = try #require(events.words(Self.accrual, in: attempt.tx)).word(0)
      let accrued = try MarketState(attempt.before.market)
        .accrued(to: attempt.timestamp, rate: Wad(raw: rate)).state
      let words = try #require(events.words(Self.liquidation, in: attempt.tx))
      let event = try (0..<5).map { try words.word($0) }
      if market.broker == nil {
        let price = try #require(attempt.before.price).u256
        let seizure = try seizure(of: attempt, accrued, market, price: price)
        #expect(amounts(seizure) == event, "\(attempt.tx)")
        #expect(seizure.market == (try MarketState(attempt.after.market)), "\(attempt.tx)")
        #expect(seizure.position == (try PositionState(attempt.after.position)), "\(attempt.tx)")
        try expectPlan(attempt, seizure, accrued, market, price: price, owed: nil)
      } else {
        let told = try #require(events.words(Self.brokerPart, in: attempt.tx))
        try expectBroker(
          attempt, accrued, market, recording.tokens, event: event,
          interest: try told.word(1))
      }
      counts[kind, default: 0] += 1
    }
    #expect(counts == ["plain": 207, "plain panics": 82, "broker": 58, "broker panics": 34])
  }

  private func seizure(
    of attempt: MoolahRecording.Attempt, _ accrued: MarketState, _ market: MoolahRecording.Market,
    price: U256
  ) throws -> Seizure {
    let seized = try attempt.seizedArg.u256
    return try accrued.liquidating(
      PositionState(attempt.before.position),
      seized.isZero ? .repaying(attempt.repaidSharesArg.u256) : .seizing(seized), price: price,
      lltv: market.lltv.wad)
  }

  private func amounts(_ seizure: Seizure) -> [U256] {
    [
      seizure.repaidAssets, U256(seizure.repaidShares), U256(seizure.seizedAssets),
      U256(seizure.badDebtAssets), U256(seizure.badDebtShares),
    ]
  }

  /// The contract reverted with panic 0x11; so does the formula, and the plan asks for another
  /// call.
  private func expectPanic(
    _ attempt: MoolahRecording.Attempt, _ market: MoolahRecording.Market
  ) throws {
    #expect(attempt.err?.contains("Panic(0x11)") == true)
    let accrued = try MarketState(#require(attempt.before.accrued))
    let price = try #require(attempt.before.userPrice).u256
    #expect(throws: ArithmeticError.underflow, "\(attempt.tx)") {
      try seizure(of: attempt, accrued, market, price: price)
    }
    let position = try PositionState(attempt.before.position)
    let plan = try planner(
      accrued, position, market, price: price, marketPrice: #require(attempt.before.price).u256,
      owed: attempt.before.brokerDebt.map { try $0.u256 }
    ).plan()
    #expect(plan.isBySeizing != (try !attempt.seizedArg.u256.isZero))
    #expect(plan.extent != .partial)
  }

  private func planner(
    _ accrued: MarketState, _ position: PositionState, _ market: MoolahRecording.Market,
    price: U256, marketPrice: U256, owed: U256?
  ) throws -> LiquidationPlanner {
    var planner = LiquidationPlanner(
      market: accrued, position: position, price: price, marketPrice: marketPrice,
      lltv: try market.lltv.wad)
    planner.brokerDebt = owed
    planner.isThroughBroker = owed != nil
    return planner
  }

  /// Where the whole position was closed, the plan is that very call.
  private func expectPlan(
    _ attempt: MoolahRecording.Attempt, _ seizure: Seizure, _ accrued: MarketState,
    _ market: MoolahRecording.Market, price: U256, owed: U256?
  ) throws {
    guard seizure.position.borrowShares == 0 else { return }
    let plan = try planner(
      accrued, PositionState(attempt.before.position), market, price: price,
      marketPrice: #require(attempt.before.price).u256, owed: owed
    ).plan()
    #expect(
      [
        plan.repaidAssets, plan.repaidShares, plan.seizedAssets, plan.badDebtAssets,
        plan.badDebtShares,
      ] == amounts(seizure), "\(attempt.tx)")
    #expect(plan.extent == (seizure.badDebtShares > 0 ? .underwater : .full))
  }

  /// What the broker was owed at that second is not recorded, but follows from what it took. One
  /// such sum must give every amount.
  private func expectBroker(
    _ attempt: MoolahRecording.Attempt, _ accrued: MarketState, _ market: MoolahRecording.Market,
    _ tokens: [String: MoolahRecording.Token], event: [U256], interest: U256
  ) throws {
    let position = try PositionState(attempt.before.position)
    let known = try accrued.borrowed(position.borrowShares)
    let before = try #require(attempt.before.brokerDebt).u256
    let price = try #require(attempt.before.price).u256
    let pair = UserPrice(
      price: price, loanDecimals: try #require(tokens[market.loan]).decimals,
      collateralDecimals: try #require(tokens[market.collateral]).decimals)
    let shares = try MarketState(#require(attempt.before.accrued)).borrowed(position.borrowShares)
    #expect(
      try pair.deviated(owed: before, known: shares, collateral: position.collateral)
        == (try #require(attempt.before.userPrice).u256), "\(attempt.tx)")

    // ceil(repaid * owed / known) - repaid == interest
    let sum = try event[0].adding(interest)
    var owed = try max(
      before, U256.fullMulDivDown(sum.subtractingFlooredAtZero(.one), known, event[0]))
    let last = try U256.fullMulDivDown(sum, known, event[0])
    var found: (owed: U256, seizure: Seizure)?
    while owed <= last, found == nil {
      let price = try pair.deviated(owed: owed, known: known, collateral: position.collateral)
      let seizure = try seizure(of: attempt, accrued, market, price: price)
      let planner = try planner(
        accrued, position, market, price: price, marketPrice: pair.price, owed: owed)
      if amounts(seizure) == event, try planner.interestToBroker(seizure) == interest {
        found = (owed, seizure)
      }
      owed = try owed.adding(.one)
    }
    let match = try #require(found, "no debt at the broker explains \(attempt.tx)")
    // Twelve seconds of interest at 30 % a year are less than a part in five million.
    #expect(match.owed <= (try before.adding(before.dividedUp(by: 5_000_000)).adding(10)))
    #expect(match.seizure.market == (try MarketState(attempt.after.market)), "\(attempt.tx)")
    #expect(match.seizure.position == (try PositionState(attempt.after.position)))
    try expectPlan(
      attempt, match.seizure, accrued, market,
      price: pair.deviated(owed: match.owed, known: known, collateral: position.collateral),
      owed: match.owed)
  }

  /// The price that a broker tells of one user, with a loan token of one dollar.
  private struct UserPrice {
    let price: U256
    let loanDecimals: Int
    let collateralDecimals: Int

    private func tenTo(_ exponent: Int) throws -> U256 {
      try #require(U256(decimal: "1" + String(repeating: "0", count: exponent)))
    }

    func deviated(owed: U256, known: U256, collateral: UInt128) throws -> U256 {
      let scale = try tenTo(36 + loanDecimals - collateralDecimals)
      let dollar = try tenTo(8)
      let base = try U256.fullMulDivUp(price, dollar, scale)
      let delta = owed.subtractingFlooredAtZero(known)
      let deduction = try U256.fullMulDivUp(
        delta, tenTo(8 + collateralDecimals), U256(collateral).multiplied(by: tenTo(loanDecimals)))
      return try U256.fullMulDivDown(scale, base.subtractingFlooredAtZero(deduction), dollar)
    }
  }

  // MARK: Morpho Blue

  struct MorphoRecording: Decodable {
    struct Market: Decodable { let id, feed: String }
    struct Entry: Decodable {
      let address: String
      let topics: [String]
      let data, transactionHash, blockNumber: String
    }
    struct Block: Decodable { let number, timestamp: UInt64 }
    struct Called: Decodable { let tx: String }
    let morpho: String
    let aggregators: [String: String]
    let markets: [Market]
    let blocks: [Block]
    let logs: [Entry]
    let liquidations: [Called]
  }

  @Test func everyLiquidationOfMorphoBlueHasTheContractsAmounts() throws {
    let recording = try JSONDecoder().decode(
      MorphoRecording.self, from: Fixture.gunzipped("Recordings/morpho_real_chainlink.json.gz"))
    let times = Dictionary(
      uniqueKeysWithValues: recording.blocks.map { ($0.number, $0.timestamp) })
    let core = try #require(Address(recording.morpho))
    let deployment = Deployment(id: 1, name: "morpho", chainID: 1, address: core, firstBlock: 0)
    let morpho = Moolah(.morphoBlue)
    var mirror = morpho.blankMirror(following: nil, keepsHistory: false)
    var answers: [String: U256] = [:]
    var plans = 0
    var compared = 0
    for entry in recording.logs {
      if entry.topics[0] == ABI.topic("AnswerUpdated(int256,uint256,uint256)").description {
        answers[entry.address] = try #require(Bytes32(entry.topics[1])).u256
        continue
      }
      let number = try #require(Hex.parseQuantity(entry.blockNumber))
      let log = Log(
        address: try #require(Address(entry.address)),
        topics: try entry.topics.map { try #require(Bytes32($0)) },
        data: try #require(Hex.decode(entry.data)), blockNumber: number, blockHash: .zero,
        transactionHash: try #require(Bytes32(entry.transactionHash)), transactionIndex: 0,
        logIndex: 0)
      if log.address == core, case .liquidate(let id, let event)? = try? MoolahEvent(log) {
        let market = try #require(recording.markets.first { $0.id == id.description })
        let aggregator = try #require(recording.aggregators[market.feed])
        let answer = try #require(answers[aggregator])
        // The feeds have 8 decimals and the loan token 6; the collaterals 18 and 8.
        let scale = try #require(
          U256(decimal: "1" + String(repeating: "0", count: market.feed == "eth_usd" ? 16 : 26)))
        let matched = try compare(event, id, mirror, price: answer.multiplied(by: scale))
        plans += matched ? 1 : 0
        compared += 1
      }
      _ = try morpho.apply(
        [log], of: deployment, times: [number: try #require(times[number])], finality: .max,
        to: &mirror)
    }
    #expect(compared == 69)
    #expect(recording.liquidations.count == 69)
    #expect(plans == 27, "calls that closed the position")
  }

  /// Whether the call closed the position; then the plan must be that very call.
  private func compare(
    _ event: LiquidateEvent, _ id: Bytes32, _ mirror: MoolahMirror, price: U256
  ) throws -> Bool {
    let row = try #require(mirror.markets[id])
    let place = try #require(
      mirror.positions.place(of: PositionKey(market: id, user: event.borrower)))
    let position = mirror.positions.rows[place].state
    let lltv = row.parameters.lltv
    // The market was accrued by an event just before. Which of the two was asked for is not told.
    let told = [
      event.repaidAssets, event.repaidShares, event.seizedAssets, event.badDebtAssets,
      event.badDebtShares,
    ]
    let calls: [SeizureRequest] = [.repaying(event.repaidShares), .seizing(event.seizedAssets)]
    let isEqual = try calls.contains {
      try amounts(row.state.liquidating(position, $0, price: price, lltv: lltv)) == told
    }
    #expect(isEqual, "\(event)")
    guard U256(position.borrowShares) == event.repaidShares else { return false }
    let plan = try LiquidationPlanner(
      market: row.state, position: position, price: price, marketPrice: price, lltv: lltv
    ).plan()
    #expect(plan.extent == .full)
    #expect(plan.seizedAssets == event.seizedAssets)
    #expect(plan.repaidAssets == event.repaidAssets)
    return true
  }
}
