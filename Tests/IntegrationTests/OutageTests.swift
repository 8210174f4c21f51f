import Foundation
import Postgres
import Schema
import Synchronization
import TestKit
import Testing

/// The database goes away in the middle of a run: it crashes and recovers, or a standby takes over.
@Suite(.serialized) struct OutageTests {
  /// A server of its own with the program's schema, and the program in front of it.
  private struct Site {
    let ground: FaultGround
    let proxy: DatabaseProxy
    let program: Program
    var server: TestServer

    init() throws {
      ground = try FaultGround.shared.get()
      server = try TestServer()
      let connection = try Connection.open(server.info)
      try Migrator.apply(Schema.migrations, on: connection)
      connection.close()
      proxy = try DatabaseProxy(to: server.socketDirectory)
      let name = PrivateCluster.databaseName
      program = try Program(
        configuration: FaultGround.configuration(
          of: ground.chain, endpoints: [ground.chain.rpc], timeoutMilliseconds: 10_000,
          windowBlocks: 2),
        database: "postgresql://\(name)@/\(name)?host=\(proxy.directory)")
    }

    /// Forgets what was read, so that the next run begins anew.
    func clear() throws {
      let db = try Connection.open(server.info)
      try db.transaction { tx in
        _ = try tx.execute("truncate deployment, block, event, run cascade")
      }
    }
  }

  @Test func aCrashOfTheServerInMidRunLosesNothing() throws {
    let site = try Site()
    defer { site.proxy.stop() }
    var times: [Duration] = []
    for step in Length.pick(short: [25, 110], long: Array(stride(from: 3, to: 400, by: 13))) {
      try play(site, at: step) {
        try site.server.crash()
        try site.server.start()
      } judge: { exits, time in
        times.append(time)
        #expect(exits.allSatisfy { [0, 69, 75].contains($0) }, "step \(step): \(exits)")
      }
    }
    tell("crash and restart of the server", times)
  }

  @Test func aStandbyThatTakesOverHasEverything() throws {
    var site = try Site()
    defer { site.proxy.stop() }
    var times: [Duration] = []
    for step in Length.pick(short: [40, 90], long: Array(stride(from: 5, to: 400, by: 21))) {
      let standby = try TestServer(following: site.server)
      let (server, proxy) = (site.server, site.proxy)
      var next = site
      next.server = standby
      try play(next, clearing: site, at: step) {
        try server.crash()
        try standby.promote()
        proxy.lead(to: standby.socketDirectory)
      } judge: { exits, time in
        times.append(time)
        #expect(exits.allSatisfy { [0, 69, 75].contains($0) }, "step \(step): \(exits)")
      }
      site = next
    }
    tell("failover to a synchronous standby", times)
  }

  /// One run from an empty mirror with an outage at its n-th message, and runs until one succeeds.
  private func play(
    _ site: Site, clearing former: Site? = nil, at step: Int,
    _ harm: @escaping @Sendable () throws -> Void, judge: ([Int32], Duration) -> Void
  ) throws {
    try (former ?? site).clear()
    let back = Return()
    site.proxy.at(.message(step)) {
      #expect(throws: Never.self) { try harm() }
      back.note()
      return .cut
    }
    let running = site.program.start(["consume-events", "--deadline", "20s"])
    try running.launch()
    var exits = [running.wait().exit]
    #expect(site.proxy.isDone, "the run has fewer messages than \(step)")
    for _ in 0..<50 where exits.last != 0 {
      exits.append(try site.program.run("consume-events", "--deadline", "20s").exit)
    }
    judge(exits, .now - back.time)
    let dump = try TableDump(Connection.open(site.server.info))
    #expect(dump == site.ground.reference, "\(dump.difference(from: site.ground.reference))")
  }

  /// When the server was there again.
  private final class Return: Sendable {
    private let instant = Mutex(ContinuousClock.now)
    var time: ContinuousClock.Instant { instant.withLock { $0 } }
    func note() { instant.withLock { $0 = .now } }
  }

  private func tell(_ what: String, _ times: [Duration]) {
    let sorted = times.sorted()
    guard let median = sorted.dropFirst(sorted.count / 2).first, let most = sorted.last else {
      return
    }
    print(
      "outage | \(what) | \(times.count) times |"
        + " tables right \(median) after it was back, at most \(most)"
    )
  }
}
