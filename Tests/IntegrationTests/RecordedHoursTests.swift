import Ethereum
import Foundation
import Postgres
import Quantities
import TestKit
import Testing

/// 35 days of Morpho Blue's deployed bytecode on real Chainlink rounds, hour by hour: what the jobs
/// leave in the tables against what the contract answered.
@Suite struct RecordedHoursTests {
  struct Recording: Decodable {
    struct Market: Decodable {
      /// Totals, last update and fee as an accrual to the hour leaves them.
      let accrued: [String]
      let price: String
    }
    struct Hour: Decodable {
      let ts: UInt64
      let block: UInt64
      let markets: [String: Market]
      let positions: [String: [String: [String]]]
      /// Users that the contract let anyone liquidate, each with what the call answered.
      let liquidatable: [String: [[String]]]
    }
    let hourly: [Hour]
  }

  static let fixture = "Recordings/morpho_real_chainlink.json.gz"

  @Test func equalsTheContractAtEveryFullHour() throws {
    let recording = try JSONDecoder().decode(
      Recording.self, from: Fixture.gunzipped(Self.fixture))
    #expect(recording.hourly.count == 841)
    let node = try RecordedNode(Self.fixture)
    let database = try TemporaryDatabase()
    let program = try Program(
      configuration: .oneDeployment(
        "morpho", system: "morpho-blue", core: node.core, chainID: node.chainID,
        firstBlock: node.firstBlock, rpc: node.rpc), database: try database.url)
    let db = try database.connection()

    var hoursWithCandidates = 0
    var positions = 0
    for hour in recording.hourly {
      try node.setHead(hour.block)
      try program.succeed("consume-events")
      try program.succeed("refresh-debt", "--at", String(hour.ts))
      try program.succeed("scan-liquidations", "--at-timestamp", String(hour.ts))
      let found = try db.transaction(.readOnly) { tx in try Found(in: tx) }

      for (id, market) in hour.markets {
        #expect(found.totals[id] == Array(market.accrued.prefix(5)), "\(id) at \(hour.ts)")
        #expect(found.prices[id] == market.price, "\(id) at \(hour.ts)")
      }
      for (id, users) in hour.positions {
        for (user, words) in users where words.contains(where: { $0 != "0" }) {
          #expect(found.positions["\(id) \(user)"] == words, "\(user) at \(hour.ts)")
          positions += 1
        }
      }
      let recorded = Set(hour.liquidatable.flatMap { id, users in users.map { "\(id) \($0[0])" } })
      #expect(found.candidates == recorded, "candidates at \(hour.ts)")
      if !recorded.isEmpty { hoursWithCandidates += 1 }
    }
    // The recording must be able to fail us: 61 of its hours have something to liquidate.
    #expect(hoursWithCandidates == 61)
    #expect(positions > 100_000)
  }

  /// What the tables say, in the recording's words.
  private struct Found {
    var totals: [String: [String]] = [:]
    var prices: [String: String] = [:]
    var positions: [String: [String]] = [:]
    var candidates: Set<String> = []

    init(in tx: borrowing Transaction) throws {
      let markets = try tx.query(
        """
        select m.market_key, n.total_supply_assets, n.total_supply_shares, n.total_borrow_assets,
          n.total_borrow_shares, n.as_of_timestamp, s.price
        from market m join market_now n on n.market_id = m.id
        join scan_market s on s.market_id = m.id
        where s.run_id = (select max(id) from run where job = 'scan-liquidations')
        """)
      for row in markets {
        let id = try row.get(0, Bytes32.self).description
        totals[id] =
          try (1...4).map { try row.get($0, U256.self).description }
          + [String(try row.get(5, Int64.self))]
        prices[id] = try row.get(6, U256?.self)?.description
      }
      let rows = try tx.query(
        """
        select m.market_key, p.user_address, p.supply_shares, p.borrow_shares, p.collateral
        from position p join market m on m.id = p.market_id
        """)
      for row in rows {
        let key = "\(try row.get(0, Bytes32.self)) \(try row.get(1, Address.self).lowercaseHex)"
        positions[key] = try (2...4).map { try row.get($0, U256.self).description }
      }
      let found = try tx.query(
        """
        select m.market_key, c.user_address from candidate c join market m on m.id = c.market_id
        where c.run_id = (select max(id) from run where job = 'scan-liquidations')
          and c.certainty = 'verified'
        """)
      for row in found {
        candidates.insert(
          "\(try row.get(0, Bytes32.self)) \(try row.get(1, Address.self).lowercaseHex)")
      }
    }
  }
}
