import Ethereum
import Foundation
import Postgres
import Quantities
import TestKit
import Testing

/// Streams of logs of Moolah's deployed bytecode, through the real jobs into PostgreSQL.
@Suite struct LogStreamTests {
  struct Stream: Decodable {
    struct Market: Decodable {
      let id: String
      let market: [String]
      let rateAtTarget: String
      let expectedNow: [String: String]
    }
    struct Position: Decodable {
      let id: String
      let user: String
      let position: [String]
    }
    let markets: [Market]
    let positions: [Position]
    let endTimestamp: UInt64
  }

  @Test(arguments: ["fixture_logs_11", "fixture_logs_12"], [1, 10, 2_000])
  func endInTheRecordedWords(_ name: String, window: Int) throws {
    let stream = try Fixture.json("Moolah/\(name).json", as: Stream.self)
    let node = try RecordedNode("Moolah/\(name).json")
    let database = try TemporaryDatabase()
    let program = try Program(
      configuration: .oneDeployment(
        "stream", system: "moolah", core: node.core, chainID: node.chainID,
        firstBlock: node.firstBlock, rpc: node.rpc, windowBlocks: window),
      database: database.url)
    try program.succeed("consume-events")
    try program.succeed("refresh-debt", "--at", String(stream.endTimestamp))

    let found = try database.connection().transaction(.readOnly) { tx in
      try FoundTables(in: tx)
    }
    #expect(found.markets.count == stream.markets.count)
    for market in stream.markets {
      let words = FoundTables.totals + ["last_update", "fee"]
      #expect(words.map { found.markets[market.id]?[$0] } == market.market)
      let now = ["totalSupplyAssets", "totalSupplyShares", "totalBorrowAssets"]
      #expect(
        FoundTables.totals.prefix(3).map { found.accrued[market.id]?[$0] }
          == now.map { market.expectedNow[$0] })
    }
    for position in stream.positions {
      #expect(
        found.positions["\(position.id) \(position.user)"] ?? ["0", "0", "0"] == position.position)
    }
    #expect(found.positions.count <= stream.positions.count)
  }
}
