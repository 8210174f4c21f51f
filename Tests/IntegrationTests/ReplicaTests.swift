import Foundation
import Postgres
import Schema
import TestKit
import Testing

/// Reads from a standby, which may be behind, be none any more, or be another server's.
@Suite(.serialized) struct ReplicaTests {
  /// A primary with its standby, and a chain that was read up to its head.
  private struct Site {
    let chain: DevChain
    let primary: TestServer
    let standby: TestServer
    let database: String

    init(seed: UInt64) throws {
      chain = try DevChain(seed: seed)
      try chain.advance(30)
      primary = try TestServer()
      let connection = try Connection.open(primary.info)
      try Migrator.apply(Schema.migrations, on: connection)
      connection.close()
      standby = try TestServer(following: primary)
      database = Self.url(of: primary)
      try program(reading: standby).consume()
    }

    static func url(of server: TestServer) -> String {
      let name = PrivateCluster.databaseName
      return "postgresql://\(name)@/\(name)?host=\(server.socketDirectory)"
    }

    func program(reading server: TestServer, lagMax: UInt64 = 3) throws -> Program {
      try program(reading: Self.url(of: server), lagMax: lagMax)
    }

    func program(reading url: String, lagMax: UInt64 = 3) throws -> Program {
      let configuration = String.oneDeployment(
        "story", system: "moolah", core: chain.core, chainID: chain.chainID,
        firstBlock: chain.firstBlock, rpc: chain.rpc)
      let reads = "{ \"read_url\": \"\(url)\", \"max_replica_lag\": \(lagMax),"
      return try Program(
        configuration: reads + configuration.dropFirst(), database: database)
    }

    func scans() throws -> Int {
      try Connection.open(primary.info).transaction(.readOnly) { tx in
        try tx.query("select count(distinct run_id) from scan_market")[0].get(0, Int.self)
      }
    }
  }

  @Test func aStandbyIsReadOnlyWhenItHasReplayedThePrimarysMirror() throws {
    let site = try Site(seed: 510)
    let program = try site.program(reading: site.standby)
    try expectScan(program, "the standby is read")
    #expect(try site.scans() == 1)

    try site.standby.delayReplay(by: "1h")
    try site.chain.advance(10)
    try program.consume()
    let refused = try program.run("scan-liquidations")
    #expect(refused.exit == 75, "\(refused.errors)")
    #expect(refused.errors.contains("replica_behind"))
    #expect(!refused.errors.contains("does not catch up"))
    // Within the bound it is waited for, and refused all the same when it does not come.
    let waited = try site.program(reading: site.standby, lagMax: 1_000).run("scan-liquidations")
    #expect(waited.exit == 75, "\(waited.errors)")
    #expect(waited.errors.contains("does not catch up"))
    #expect(try site.scans() == 1)

    // A list says how old it is.
    let list = try program.succeed("positions", "--json")
    #expect(list.output.contains("has not replayed"))

    try site.standby.delayReplay(by: "0")
    try expectScan(program, "the standby is read")
    #expect(try site.scans() == 2)
    #expect(try !program.succeed("positions", "--json").output.contains("has not replayed"))
  }

  /// What was committed this moment is on its way, however many blocks it is.
  @Test func aHealthyStandbyIsGivenTheTimeToReplayManyBlocks() throws {
    let site = try Site(seed: 514)
    let program = try site.program(reading: site.standby)
    try site.standby.delayReplay(by: "600ms")
    try site.chain.advance(10)
    try program.consume()
    try expectScan(program, "the standby is read")
    #expect(try site.scans() == 1)
  }

  /// A mirror that stands at the same block after a change is not the same.
  @Test func aChangeWithoutANewBlockIsWaitedForAsWell() throws {
    let site = try Site(seed: 511)
    try site.standby.delayReplay(by: "1h")
    let db = try Connection.open(site.primary.info)
    try db.transaction { tx in
      try tx.execute("update cursor set revision = revision + 1")
    }
    let refused = try site.program(reading: site.standby, lagMax: 1_000).run("scan-liquidations")
    #expect(refused.exit == 75, "\(refused.errors)")
    #expect(refused.errors.contains("0 blocks behind"))
    #expect(try site.scans() == 0)
  }

  @Test func aServerThatIsNoStandbyAnyMoreIsNotRead() throws {
    let site = try Site(seed: 512)
    let program = try site.program(reading: site.standby)
    // Without it the primary's commits would wait for it.
    try site.primary.commitAlone()
    try site.standby.promote()
    try expectScan(program, "no standby; the primary is read")
    try expectScan(
      site.program(reading: "postgresql://plimsoll@/plimsoll?host=/nowhere"), "the primary is read")
    #expect(try site.scans() == 2)
  }

  @Test func theStandbyOfAnotherServerIsRefused() throws {
    let site = try Site(seed: 513)
    let other = try TestServer()
    let connection = try Connection.open(other.info)
    try Migrator.apply(Schema.migrations, on: connection)
    connection.close()
    let foreign = try TestServer(following: other)
    let result = try site.program(reading: foreign).run("scan-liquidations")
    #expect(result.exit == 78, "\(result.errors)")
    #expect(result.errors.contains("standby of another"))
    #expect(try site.scans() == 0)
  }

  private func expectScan(
    _ program: Program, _ text: String, _ location: SourceLocation = #_sourceLocation
  ) throws {
    let result = try program.run("scan-liquidations", "-v")
    #expect(result.exit == 0 || result.exit == 1, "\(result.errors)", sourceLocation: location)
    #expect(result.errors.contains(text), "\(result.errors)", sourceLocation: location)
  }
}
