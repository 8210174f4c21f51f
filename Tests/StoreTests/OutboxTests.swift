import Ethereum
import Postgres
import Store
import TestKit
import Testing

/// Messages in the outbox, and who takes them.
@Suite struct OutboxTests {
  private static let run: Int64 = 1

  private func ground() throws -> Ground {
    let ground = try Ground()
    try ground.db.transaction { tx in
      for _ in 0..<2 {
        _ = try Runs.begin(
          job: "alert \(UInt64.random(in: .min ... .max))", arguments: "", deployments: "core",
          version: "0", host: "h", pid: 1, in: tx)
      }
    }
    return ground
  }

  private func finding(_ subject: String, _ facts: [String: String] = [:]) -> Finding {
    Finding(.liquidatable, subject) { facts }
  }

  @discardableResult
  private func observe(
    _ subjects: [String], at now: UInt64, of ground: Ground, facts: [String: String] = [:]
  ) throws -> AlertStep {
    try ground.db.transaction { tx in
      try Alerts.observe(
        subjects.map { finding($0, facts) }, of: [.liquidatable], deployment: ground.deployment,
        at: now, resolveAfter: 600, firingMax: 100, run: Self.run, in: tx)
    }
  }

  /// Gives every message to some routes.
  private func route(to routes: [String], of ground: Ground) throws -> [OutboxMessage] {
    try ground.db.transaction { tx in
      let messages = try Deliveries.unrouted(in: tx)
      try Deliveries.route(
        messages.map(\.id), pairs: messages.flatMap { m in routes.map { (m.id, $0) } }, at: 1_000,
        in: tx)
      return messages
    }
  }

  private func take(
    _ route: String, at now: UInt64, run: Int64 = Self.run, on db: Connection
  ) throws -> Delivery? {
    try db.transaction { tx in
      try Deliveries.take(on: route, at: now, leaseSeconds: 120, run: run, in: tx)
    }
  }

  private func record(
    _ delivery: Delivery, _ outcome: DeliveryOutcome, run: Int64 = Self.run, of ground: Ground
  ) throws {
    try ground.db.transaction { tx in
      try Deliveries.record([(delivery, outcome)], run: run, in: tx)
    }
  }

  @Test func aContractThatWasReplacedIsToldOfOnceAndTakenBack() throws {
    let ground = try ground()
    try ground.db.transaction { tx in
      try tx.execute(
        """
        insert into block (chain_id, number, hash, parent_hash, timestamp)
        values (\(Ground.chainID), 20, \(BlockHeader.hash(20)), \(BlockHeader.hash(19)), 1240)
        """)
      try tx.execute(
        """
        insert into upgrade (deployment_id, contract, implementation, block_number, log_index,
          block_hash, transaction_hash)
        values (\(ground.deployment), \(Ground.core), \(Address(tail: 9)), 20, 3,
          \(BlockHeader.hash(20)), \(BlockHeader.hash(7)))
        """)
      for isTakenBack in [false, true, false, false] {
        try Alerts.noticeUpgrades(
          in: 0...30, of: ground.deployment, chainID: Ground.chainID, in: tx)
        // The block then comes again.
        if isTakenBack { try Alerts.takeBackNotices(above: 19, of: ground.deployment, in: tx) }
      }
    }
    let messages = try route(to: [], of: ground)
    #expect(messages.map(\.event) == [.notice, .takenBack, .notice])
    #expect(messages.allSatisfy { $0.kind == "upgraded" && $0.severity == .critical })
    #expect(messages.first?.facts["implementation"] == Address(tail: 9).lowercaseHex)
    #expect(messages.first?.timestamp == 1_240)
  }

  @Test func anAccountOfWhatIsLeftDoesNotReadWhatWasDelivered() throws {
    let ground = try ground()
    try ground.db.transaction { tx in
      try tx.execute(
        """
        insert into outbox (dedup_key, event, deployment_id, kind, subject, severity, at_timestamp,
          facts, routed_at)
        select 'k' || i, 'notice', \(ground.deployment), 'test', 's', 'info', 1, '{}', 1
        from generate_series(1, 20000) i
        """)
      try tx.execute(
        """
        insert into delivery (outbox_id, route, state, next_attempt_at)
        select id, 'ops', case when id % 10000 = 0 then 'dead' else 'delivered' end, 1 from outbox
        """)
      try tx.execute("analyze outbox, delivery")
    }
    let read = try ground.db.transaction(.readOnly) { tx in
      #expect(try Deliveries.account(in: tx).map(\.dead) == [2])
      return try tx.query(
        """
        select coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)
        from pg_stat_xact_user_tables where relname = 'delivery'
        """)[0].get(0, Int.self)
    }
    #expect(read < 200)
  }

  @Test func aNumberThatHasDoubledIsSaidAgain() throws {
    let ground = try ground()
    for (second, count) in [10, 19, 20, 39, 3, 40].enumerated() {
      try ground.db.transaction { tx in
        let now = UInt64(second)
        try Alerts.forget(
          .liquidatableMore, of: ground.deployment, outgrownBy: count, at: now, in: tx)
        try Alerts.observe(
          [Finding(.liquidatableMore, "all") { ["more": String(count)] }], of: [.liquidatableMore],
          deployment: ground.deployment, at: now, resolveAfter: 600, firingMax: 1, run: Self.run,
          in: tx)
      }
    }
    let messages = try route(to: [], of: ground)
    #expect(messages.map { $0.facts["more"] } == ["10", "20", "40"])
    #expect(messages.allSatisfy { $0.event == .fired })
  }

  @Test func aConditionIsSaidWhenItFiresAndWhenItResolves() throws {
    let ground = try ground()
    try observe(["a"], at: 100, of: ground, facts: ["debt": "1"])
    try observe(["a"], at: 200, of: ground, facts: ["debt": "2", "odd\"'": "x\0y"])
    try observe([], at: 300, of: ground)
    try observe(["a"], at: 800, of: ground)
    try observe([], at: 900, of: ground)
    try observe([], at: 1_500, of: ground)
    try observe(["a"], at: 1_600, of: ground)
    let messages = try route(to: [], of: ground)
    #expect(messages.map(\.event) == [.fired, .resolved, .fired])
    #expect(messages.map(\.timestamp) == [100, 1_500, 1_600])
    #expect(messages[0].facts == ["debt": "1"])
    #expect(messages[1].facts["fired_at"] == "100")
    #expect(Set(messages.map(\.dedupKey)).count == 3)
    #expect(messages.allSatisfy { $0.deployment == "core" && $0.severity == .critical })
  }

  @Test func aTextThatCannotBeStoredLosesOnlyWhatItCannotHold() throws {
    let ground = try ground()
    try observe(["a"], at: 100, of: ground, facts: ["odd\"'": "x\0y"])
    #expect(try route(to: [], of: ground).first?.facts == ["odd\"'": "xy"])
  }

  @Test func anEventIsSaidOnce() throws {
    let ground = try ground()
    for _ in 0..<2 {
      try ground.db.transaction { tx in
        try Alerts.notice(
          Finding(.upgraded, "core") { [:] }, key: "upgraded-1", deployment: ground.deployment,
          at: 5, block: 7, run: nil, in: tx)
      }
    }
    #expect(try route(to: [], of: ground).map(\.event) == [.notice])
  }

  @Test func anEventIsCorrectedOnceWhenItsBlockIsGone() throws {
    let ground = try ground()
    try ground.db.transaction { tx in
      for (key, block) in [("upgraded-1", 7), ("upgraded-2", 8)] as [(String, UInt64)] {
        try Alerts.notice(
          Finding(.upgraded, "core") { [:] }, key: key, deployment: ground.deployment, at: 5,
          block: block, run: nil, in: tx)
      }
    }
    for _ in 0..<2 {
      try ground.db.transaction { tx in
        try Alerts.takeBackNotices(above: 7, of: ground.deployment, in: tx)
      }
    }
    let messages = try route(to: [], of: ground)
    #expect(messages.map(\.event) == [.notice, .notice, .takenBack])
    #expect(messages.last?.dedupKey == "upgraded-2-taken-back")
  }

  @Test func aMessageIsGivenToItsRoutesOnce() throws {
    let ground = try ground()
    try observe(["a", "b"], at: 100, of: ground)
    #expect(try route(to: ["ops", "hook"], of: ground).count == 2)
    #expect(try route(to: ["ops", "hook"], of: ground).isEmpty)
    #expect(try ground.value(Int.self, "select count(*) from delivery") == 4)
  }

  @Test func whatOneHasTakenNobodyElseTakesUntilItsTimeIsOver() throws {
    let ground = try ground()
    try observe(["a", "b"], at: 100, of: ground)
    _ = try route(to: ["ops"], of: ground)
    let other = try ground.database.connection()
    let first = try #require(try take("ops", at: 1_000, on: ground.db))
    #expect(try take("ops", at: 1_000, run: 2, on: other) == nil)
    #expect(try take("ops", at: 1_119, run: 2, on: other) == nil)
    let again = try #require(try take("ops", at: 1_120, run: 2, on: other))
    #expect(again.message.dedupKey == first.message.dedupKey)
    // The first taker has no say any more, unless it has delivered.
    try record(first, .dead(error: "x"), of: ground)
    #expect(try ground.value(Int.self, "select count(*) from delivery where state = 'dead'") == 0)
    try record(first, .delivered(id: "9"), of: ground)
    #expect(
      try ground.value(Int.self, "select count(*) from delivery where state = 'delivered'") == 1)
  }

  @Test func twoAtOnceNeverTakeTheSame() throws {
    let ground = try ground()
    try observe(["a"], at: 100, of: ground)
    _ = try route(to: ["ops"], of: ground)
    let other = try ground.database.connection()
    try ground.db.transaction { tx in
      let mine = try Deliveries.take(on: "ops", at: 1_000, leaseSeconds: 120, run: 1, in: tx)
      #expect(mine != nil)
      // Not committed yet: the other one neither waits nor takes it.
      #expect(try take("ops", at: 1_000, run: 2, on: other) == nil)
    }
  }

  @Test func aMessageThatWaitsHoldsThoseAfterItBack() throws {
    let ground = try ground()
    try observe(["a", "b"], at: 100, of: ground)
    let messages = try route(to: ["ops", "hook"], of: ground)
    let first = try #require(try take("ops", at: 1_000, on: ground.db))
    #expect(first.message.id == messages[0].id)
    try record(first, .postponed(until: 1_300, error: "HTTP 503"), of: ground)
    #expect(try take("ops", at: 1_299, on: ground.db) == nil)
    // Another route goes on.
    #expect(try take("hook", at: 1_000, on: ground.db)?.message.id == messages[0].id)
    let again = try #require(try take("ops", at: 1_300, on: ground.db))
    #expect(again.message.id == messages[0].id && again.attempts == 1)
    try record(again, .dead(error: "HTTP 400"), of: ground)
    #expect(try take("ops", at: 1_300, on: ground.db)?.message.id == messages[1].id)
    let account = try ground.db.transaction(.readOnly) { try Deliveries.account(in: $0) }
    #expect(account.first { $0.route == "ops" } == RouteAccount(route: "ops", due: 1, dead: 1))
    #expect(try ground.db.transaction { try Deliveries.reviveDead(at: 1_400, in: $0) } == 1)
  }

  @Test func whatWasNotTriedHasNoAttempt() throws {
    let ground = try ground()
    try observe(["a"], at: 100, of: ground)
    _ = try route(to: ["ops"], of: ground)
    let first = try #require(try take("ops", at: 1_000, on: ground.db))
    try record(first, .untried(until: 1_000), of: ground)
    #expect(try take("ops", at: 1_000, on: ground.db)?.attempts == 0)
  }
}
