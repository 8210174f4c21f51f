import Foundation
import Quantities
import Systems
import TestKit
import Testing

@testable import Moolah

@Suite struct PreLiquidationTests {
  struct Recording: Decodable {
    struct Contract: Decodable {
      let address: String
      let preLltv, preLCF1, preLCF2, preLIF1, preLIF2: Number
    }
    struct Record: Decodable {
      let pre: String
      let authorized, ok: Bool
      let repaidShares, price: Number
      let accrued, position: [Number]
      let error, text: String?
      let result: [Number]?
    }
    let lltv: Number
    let preLiquidations: [Contract]
    let records: [Record]
  }

  private static func wad(_ percent: UInt64) -> Wad {
    Wad(raw: U256(percent * 10_000_000_000_000_000))
  }

  @Test func everyRecordedAnswerAndErrorIsTheContracts() throws {
    let recording = try JSONDecoder().decode(
      Recording.self, from: Fixture.gunzipped("Recordings/preliquidation.json.gz"))
    var contracts: [String: PreLiquidation] = [:]
    for contract in recording.preLiquidations {
      let terms = try #require(
        PreLiquidationTerms(
          preLLTV: contract.preLltv.wad,
          closeFactor: .init(contract.preLCF1.wad, contract.preLCF2.wad),
          incentive: .init(contract.preLIF1.wad, contract.preLIF2.wad)))
      let lltv = try recording.lltv.wad
      let made: PreLiquidation = try #require(PreLiquidation(terms, lltv: lltv))
      contracts[contract.address] = made
    }
    var counts: [String: Int] = [:]
    for record in recording.records {
      let answer = try answer(record, #require(contracts[record.pre]))
      #expect(answer == (try recorded(record)))
      counts[answer.split(separator: " ").first.map(String.init) ?? "", default: 0] += 1
    }
    #expect(recording.records.count == 2_293)
    #expect(
      counts == [
        "paid": 190, "NotPreLiquidatablePosition": 1_566, "LiquidatablePosition": 242,
        "zero": 201, "unauthorized": 94,
      ])
  }

  private func answer(_ record: Recording.Record, _ contract: PreLiquidation) throws -> String {
    do {
      let seizure = try contract.preLiquidating(
        PositionState(record.position), .repaying(record.repaidShares.u256),
        in: MarketState(record.accrued), price: record.price.u256,
        isAuthorized: record.authorized)
      return "paid \(seizure.seizedAssets) \(seizure.repaidAssets)"
    } catch let refusal as PreLiquidationRefusal {
      switch refusal {
      case .overTheLine: return "LiquidatablePosition"
      case .belowTheBand: return "NotPreLiquidatablePosition"
      case .zeroAssets: return "zero assets"
      case .unauthorized: return "unauthorized"
      case .tooLarge, .insufficientCollateral, .arithmetic: return "\(refusal)"
      }
    }
  }

  private func recorded(_ record: Recording.Record) throws -> String {
    if record.ok {
      let result = try #require(record.result).map { try $0.u256 }
      return "paid \(result[0]) \(result[1])"
    }
    switch record.error {
    case "f78266a2": return "LiquidatablePosition"
    case "0bb9a651": return "NotPreLiquidatablePosition"
    default: return (record.text ?? "?").replacingOccurrences(of: ": ", with: "")
    }
  }

  // MARK: The band by hand

  /// One million borrowed, one share a unit, so that debt is shares / 1e6 rounded up.
  private static let market = MarketState(
    totalSupplyAssets: 2_000_000, totalSupplyShares: 2_000_000_000_000,
    totalBorrowAssets: 1_000_000, totalBorrowShares: 1_000_000_000_000, lastUpdate: 0, fee: .zero)
  private static let price: U256 = 1_000_000_000_000_000_000_000_000_000_000_000_000

  private func contract() throws -> PreLiquidation {
    let terms = try #require(
      PreLiquidationTerms(
        preLLTV: Self.wad(70), closeFactor: .init(Self.wad(10), Self.wad(100)),
        incentive: .init(Self.wad(101), Self.wad(105))))
    return try #require(PreLiquidation(terms, lltv: Self.wad(80)))
  }

  private func offer(debt: UInt128) throws -> Result<PreLiquidationOffer, PreLiquidationRefusal> {
    let contract = try contract()
    return Result { () throws(PreLiquidationRefusal) in
      try contract.offer(
        for: PositionState(borrowShares: debt * 1_000_000, collateral: 1_000), in: Self.market,
        price: Self.price)
    }
  }

  @Test func theBandIsStrictBelowAndInclusiveAbove() throws {
    #expect(try offer(debt: 700) == .failure(.belowTheBand))
    #expect(try offer(debt: 701).get().incentive > Self.wad(101))
    #expect(try offer(debt: 800).get().incentive == Self.wad(105))
    #expect(try offer(debt: 801) == .failure(.overTheLine))
  }

  @Test func atTheMarketsLineTheSecondFactorsCount() throws {
    let offer = try offer(debt: 800).get()
    #expect(offer.repayableShares == 800_000_000)
    #expect(offer.incentive == Self.wad(105))
  }

  @Test func moreThanTheCloseFactorIsTooLarge() throws {
    let position = PositionState(borrowShares: 750_000_000, collateral: 1_000)
    let repayable = try contract().offer(for: position, in: Self.market, price: Self.price)
      .repayableShares
    #expect(throws: PreLiquidationRefusal.tooLarge(repaid: repayable + 1, repayable: repayable)) {
      try contract().preLiquidating(
        position, .repaying(repayable + 1), in: Self.market, price: Self.price, isAuthorized: true)
    }
    _ = try contract().preLiquidating(
      position, .repaying(repayable), in: Self.market, price: Self.price, isAuthorized: true)
  }

  @Test func termsThatNoContractHasAreRefused() throws {
    func terms(_ low: UInt64, _ high: UInt64, _ first: UInt64, _ second: UInt64)
      -> PreLiquidationTerms?
    {
      PreLiquidationTerms(
        preLLTV: Self.wad(70), closeFactor: .init(Self.wad(low), Self.wad(high)),
        incentive: .init(Self.wad(first), Self.wad(second)))
    }
    #expect(terms(50, 40, 101, 105) == nil)
    #expect(terms(101, 150, 101, 105) == nil)
    #expect(terms(10, 40, 99, 105) == nil)
    #expect(terms(10, 40, 105, 101) == nil)
    let good = try #require(terms(10, 40, 101, 125))
    #expect(PreLiquidation(good, lltv: Self.wad(80)) != nil)
    // Beyond one over the market's line, and a line that is not below the market's.
    #expect(PreLiquidation(good, lltv: Self.wad(81)) == nil)
    #expect(PreLiquidation(good, lltv: Self.wad(70)) == nil)
  }
}

extension U256 {
  fileprivate static func + (lhs: U256, rhs: U256) -> U256 {
    (try? lhs.adding(rhs)) ?? .max
  }
}
