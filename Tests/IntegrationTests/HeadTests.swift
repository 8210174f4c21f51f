import Postgres
import TestKit
import Testing

/// Endpoints whose heads differ: none of them makes a run stand still and end well.
@Suite struct HeadTests {
  /// The other says that it is 9,900 blocks further on, at the same second.
  @Test func aRunThatADisbelievedHeadMayHaveHeldUpDoesNotEndWell() throws {
    let nodes = [try ToyNode(), try ToyNode(latest: 10_000)]
    let database = try TemporaryDatabase()
    let first = try Self.consume(nodes, database)
    #expect(first.exit == 0, "\(first.errors)")
    let second = try Self.consume(nodes, database)
    #expect(second.exit == 75)
    #expect(second.errors.contains("tells of block 10000, and no other beyond 100"))
  }

  @Test func aNodeFarBehindTheMirrorDoesNotEndWell() throws {
    let database = try TemporaryDatabase()
    #expect(try Self.consume([ToyNode()], database).exit == 0)
    let behind = try Self.consume([ToyNode(latest: 60)], database)
    #expect(behind.exit == 75)
    #expect(behind.errors.contains("60, is 40 blocks below the mirror"), "\(behind.errors)")
    let near = try Self.consume([ToyNode(latest: 90)], database)
    #expect(near.exit == 0, "\(near.errors)")
  }

  @Test func aNodeThatStandsStillIsStaleUnlessAnyAgeWillDo() throws {
    let database = try TemporaryDatabase()
    let nodes = [try ToyNode()]
    let stale = try Self.consume(nodes, database, age: "")
    #expect(stale.exit == 75)
    #expect(stale.errors.contains("max_head_age_seconds"), "\(stale.errors)")
    #expect(try Self.consume(nodes, database).exit == 0)
  }

  private static func consume(
    _ nodes: [ToyNode], _ database: TemporaryDatabase,
    age: String = #""max_head_age_seconds": 0,"#
  ) throws -> Program.Result {
    try withExtendedLifetime(nodes) {
      try program(nodes, database, age: age).run("consume-events")
    }
  }

  private static func program(
    _ nodes: [ToyNode], _ database: TemporaryDatabase, age: String
  ) throws -> Program {
    let endpoints = nodes.enumerated().map {
      #"{ "name": "node-\#($0 + 1)", "url": "\#($1.url)" }"#
    }
    return try Program(
      configuration: """
        {
          "chains": {
            "local": {
              "chain_id": 1, "endpoints": [\(endpoints.joined(separator: ", "))], \(age)
            },
          },
          "deployments": {
            "markets": {
              "chain": "local", "system": "morpho-blue",
              "address": "0x8F73b65B4caAf64FBA2aF91cC5D4a2A1318E5D8C", "first_block": 5,
            },
          },
        }
        """, database: database.url)
  }
}
