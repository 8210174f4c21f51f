import Ethereum
import Foundation
import Postgres
import Quantities
import TestKit
import Testing

/// Somebody is told of what happens on a chain, by the real program.
@Suite struct AlertTests {
  @Test func aPositionThatOscillatesForAnHourIsToldOfTwice() throws {
    let ground = try AlertGround(seed: 700)
    let subject = try ground.subject()
    let now = UInt64(Date().timeIntervalSince1970)
    // Under the line at every third look, and above it at the others.
    let step = Length.pick(short: 240, long: 60)
    let looks = 3_600 / step
    func look(_ number: Int, thousandths: UInt64) throws {
      try ground.setPrice(of: subject, thousandths: thousandths, after: step)
      try ground.judge()
      try ground.alert(at: now + UInt64(number * step))
    }
    for number in 0..<looks { try look(number, thousandths: number % 3 == 0 ? 985 : 1_030) }
    let during = try ground.told(of: "liquidatable").filter { $0.subject == subject.name }
    #expect(during.map(\.event) == ["fired"])
    for number in looks..<looks + 900 / step + 1 { try look(number, thousandths: 1_030) }
    let told = try ground.told(of: "liquidatable").filter { $0.subject == subject.name }
    #expect(told.map(\.event) == ["fired", "resolved"])
    let received = ground.server.taken.filter { message in told.contains { $0.key == message.key } }
    #expect(received.map(\.key) == told.map(\.key))
    #expect(received.first?.text.hasPrefix("Alert (critical): Position liquidatable") == true)
    #expect(received.last?.text.hasPrefix("Resolved: Position liquidatable") == true)
    // Nobody else's position is told of more often either.
    for (name, all) in Dictionary(grouping: try ground.told(of: "liquidatable"), by: \.subject) {
      #expect(all.count { $0.event == "fired" } == 1, "\(name)")
      #expect(all.count { $0.event == "resolved" } <= 1, "\(name)")
    }
    let found = try ground.scansThatFound(subject)
    print(
      "alerts | an hour around the line | liquidatable in \(found) of \(looks) scans |"
        + " told \(told.map(\.event)) | \(ground.server.taken.count) messages in all")
    #expect(found == (looks + 2) / 3)
  }

  @Test func aPositionNearItsLineIsToldOfAndThenThatItIsOverIt() throws {
    let ground = try AlertGround(
      seed: 700, alerts: #""near_bps": 300, "resolve_after_seconds": 60,"#)
    let subject = try ground.subject()
    let now = UInt64(Date().timeIntervalSince1970)
    for (number, thousandths) in [1_020, 985, 1_020, 1_020, 1_020, 1_200, 1_200].enumerated() {
      try ground.setPrice(of: subject, thousandths: UInt64(thousandths), after: 61)
      try ground.judge()
      try ground.alert(at: now + UInt64(number) * 61)
    }
    let told = try ground.told().filter { $0.subject == subject.name && !$0.key.hasPrefix("liq") }
    let kinds = Dictionary(
      uniqueKeysWithValues: try ground.db.transaction(.readOnly) { tx in
        try tx.query("select dedup_key, kind from outbox").map {
          (try $0.get(0, String.self), try $0.get(1, String.self))
        }
      })
    #expect(
      told.map { "\($0.event) \(kinds[$0.key] ?? "")" } == [
        "fired near_line", "fired liquidatable", "resolved liquidatable", "resolved near_line",
      ])
  }

  /// What is not known is not over: neither a position of such a market, nor is it told of anew.
  @Test func anUnknownPriceResolvesNothing() throws {
    let ground = try AlertGround(seed: 700, alerts: #""near_bps": 0, "resolve_after_seconds": 60,"#)
    let subject = try ground.subject()
    try ground.setPrice(of: subject, thousandths: 985, after: 12)
    try ground.judge()
    for _ in 0..<4 {
      try ground.setPrice(of: subject, thousandths: 0, after: 100)
      try ground.judge()
    }
    let told = try ground.told(of: "liquidatable").filter { $0.subject == subject.name }
    #expect(told.map(\.event) == ["fired"])
    let unknown = try ground.told(of: "unknown_verdicts").filter { $0.subject == subject.market }
    #expect(unknown.map(\.event) == ["fired"])
  }

  @Test func onlySoManyPositionsAreToldOfOneByOne() throws {
    let ground = try AlertGround(seed: 700, alerts: #""near_bps": 0, "top": 1,"#)
    let subject = try ground.subject()
    try ground.setPrice(of: subject, thousandths: 400, after: 12)
    try ground.judge()
    let untold = try ground.db.transaction(.readOnly) { tx in
      try tx.query(
        """
        select count(*) from candidate c join market m on m.id = c.market_id
        where c.certainty = 'verified' and c.run_id = (select max(run_id) from candidate)
          and not exists (
            select from alert a where a.kind = 'liquidatable' and a.state = 'firing'
              and a.subject = '0x' || encode(m.market_key, 'hex') || '/0x'
                || encode(c.user_address, 'hex'))
        """)[0].get(0, Int.self)
    }
    try #require(untold > 0)
    // One in each of the two scans, where the second has found a worse one.
    #expect((1...2).contains(try ground.told(of: "liquidatable").count))
    let more = try ground.db.transaction(.readOnly) { tx in
      try tx.query("select facts->>'more' from outbox where kind = 'liquidatable_more'")[0]
        .get(0, String.self)
    }
    #expect(more == String(untold))
  }

  @Test func aQuestionAboutThePastOrTheFutureAlarmsNobody() throws {
    let ground = try AlertGround(seed: 700)
    let subject = try ground.subject()
    try ground.setPrice(of: subject, thousandths: 900, after: 12)
    try ground.program.consume()
    let before = try ground.told().count
    let head = try #require(try ground.chain.truth()["timestamp"] as? Int)
    let later = try ground.program.run("scan-liquidations", "--at-timestamp", String(head + 9))
    #expect(later.exit == 0 || later.exit == 1, "\(later.errors)")
    let dry = try ground.program.run("scan-liquidations", "--dry-run")
    #expect(dry.exit == 0 || dry.exit == 1, "\(dry.errors)")
    #expect(try ground.told().count == before)
    #expect(try ground.scansThatFound(subject) > 0)
  }

  /// What a question finds is so at another second: it is in no list, and the watch does not take
  /// it for the last scan.
  @Test func aQuestionIsInNoListAndTheWatchDoesNotFollowIt() throws {
    let ground = try AlertGround(seed: 700, alerts: #""near_bps": 500,"#)
    let subject = try ground.subject()
    let listed: () throws -> [String] = {
      try ground.db.transaction(.readOnly) { tx in
        try tx.query(
          """
          select '0x' || encode("marketId", 'hex') || '/0x' || encode("userAddress", 'hex')
          from moolah_liquidatable
          """
        ).map { try $0.get(0, String.self) }
      }
    }
    let near: () throws -> [String] = {
      try ground.told(of: "near_line").filter { $0.subject == subject.name }.map(\.event)
    }
    let question: () throws -> Void = {
      let head = try #require(try ground.chain.truth()["timestamp"] as? Int)
      let result = try ground.program.run("scan-liquidations", "--at-timestamp", String(head + 9))
      #expect(result.exit == 0 || result.exit == 1, "\(result.errors)")
      try ground.alert(at: UInt64(head + 10))
    }
    try ground.setPrice(of: subject, thousandths: 1300, after: 12)
    try ground.judge()
    let before = try listed()
    #expect(try !before.contains(subject.name) && near() == [])

    try ground.setPrice(of: subject, thousandths: 1020, after: 12)
    try ground.program.consume()
    try question()
    #expect(try near() == [])
    try ground.setPrice(of: subject, thousandths: 900, after: 12)
    try ground.program.consume()
    try question()
    #expect(try ground.scansThatFound(subject) > 0)
    #expect(try listed() == before)

    // What is so is told by the next scan.
    try ground.judge()
    #expect(try listed().contains(subject.name))
  }

  // MARK: Liquidations

  @Test func liquidationsAreToldOfAndCorrectedWhenTheirBlocksAreTakenBack() throws {
    let ground = try AlertGround(seed: 400, steps: 40)
    try ground.program.consume()
    try ground.checkLastWords()
    var corrections = 0
    for depth in [6, 9, 12] {
      try ground.chain.reorg(depth: depth, keep: depth != 9, delay: 1)
      try ground.chain.advance(14)
      try ground.program.consume()
      try ground.checkLastWords()
    }
    corrections = try ground.told(of: "liquidation").count { $0.event == "taken_back" }
    #expect(corrections > 0)
    // A mirror that is derived again tells nothing again.
    let before = try ground.told().count
    try ground.program.consume("--retry-open")
    #expect(try ground.told().count == before)
  }

  /// What an endpoint has told falsely is corrected when reading again derives the truth.
  @Test func whatWasToldFalselyIsCorrectedWhenItsMarketIsDerivedAgain() throws {
    let ground = try AlertGround(seed: 400, steps: 40)
    try ground.program.consume()
    try ground.checkLastWords()
    let before = try ground.told(of: "liquidation")
    let lies: [String] = try ground.db.transaction { tx in
      // One was told with other amounts, and one is none at all.
      let changed = try tx.query(
        """
        update outbox set facts = facts || '{"repaid_assets": "1"}'
        where id = (select min(id) from outbox where kind = 'liquidation') returning dedup_key
        """)[0].get(0, String.self)
      let invented = try tx.query(
        """
        insert into outbox (dedup_key, event, deployment_id, kind, subject, severity, at_timestamp,
          block_number, facts)
        select replace(dedup_key, '-' || (facts->>'log_index') || '-0', '-999-0'), event,
          deployment_id, kind, subject, severity, at_timestamp, block_number,
          facts || '{"log_index": "999"}'
        from outbox where kind = 'liquidation' order by id limit 1 returning dedup_key
        """)[0].get(0, String.self)
      // A blank in the store, so that reading again finds a late event.
      _ = try tx.execute(
        """
        delete from event e using market m
        where m.market_key = e.topic1::bytes32 and m.id = (
            select l.market_id from liquidation l join outbox o on o.block_number = l.block_number
              and (o.facts->>'log_index')::int = l.log_index
            where o.dedup_key = \(changed))
          and (e.block_number, e.log_index) = (
            select max(block_number), max(log_index) from event x where x.topic1 = e.topic1
              and x.block_number = (
                select max(block_number) from event y where y.topic1 = e.topic1))
        """)
      _ = try tx.execute(
        "update block_range set state = 'suspect', reason = 'a test', attempts = 0")
      return [changed, invented]
    }
    let run = try ground.program.run("consume-events")
    #expect(run.exit == 0 || run.exit == 1, "\(run.errors)")
    try ground.checkLastWords()
    let after = try ground.told(of: "liquidation")
    #expect(Set(lies.map { "\($0)-taken-back" }).isSubset(of: Set(after.map(\.key))))
    let again = lies[0].dropLast() + "1"
    #expect(
      after.count == before.count + 4 && after.contains { $0.key == again && $0.event == "notice" })
  }

  @Test func aBackfillDoesNotTellOfAYear() throws {
    let ground = try AlertGround(seed: 400, steps: 40, alerts: #""max_age_seconds": 60,"#)
    let head = try #require(try ground.chain.truth()["block"] as? Int)
    try ground.program.consume()
    let blocks = try ground.db.transaction(.readOnly) { tx in
      try tx.query("select block_number from outbox where kind = 'liquidation'").map {
        try $0.get(0, Int.self)
      }
    }
    #expect(blocks.allSatisfy { $0 >= head - 5 })
    let all = try ground.db.transaction(.readOnly) { tx in
      try tx.query("select count(*) from liquidation")[0].get(0, Int.self)
    }
    #expect(all > blocks.count)
  }
}

/// What the program finds in its own tables.
@Suite struct AlertWatchTests {
  @Test func aJobThatFailsAgainAndAgainIsToldOfOnceAndResolves() throws {
    let ground = try AlertGround(
      seed: 701, steps: 3,
      alerts: #""failed_runs": 3, "success_within_seconds": { "audit": 60 },"#)
    try ground.program.consume()
    let now = UInt64(Date().timeIntervalSince1970) + 5
    // The mirror falls behind, so every scan ends with 75.
    try ground.chain.mine(20, seconds: 12)
    for _ in 0..<2 { try ground.program.succeed("scan-liquidations", exit: 75) }
    try ground.alert(at: now)
    #expect(try ground.told(of: "job_failing").isEmpty)
    try ground.program.succeed("scan-liquidations", exit: 75)
    for second in 1...3 { try ground.alert(at: now + UInt64(second)) }
    #expect(try ground.told(of: "job_failing").map(\.event) == ["fired"])
    #expect(try ground.told(of: "job_silent").map(\.subject) == ["audit story"])
    try ground.program.consume()
    let healed = try ground.program.run("scan-liquidations")
    #expect(healed.exit == 0 || healed.exit == 1, "\(healed.errors)")
    try ground.alert(at: now + 60)
    try ground.alert(at: now + 700)
    #expect(try ground.told(of: "job_failing").map(\.event) == ["fired", "resolved"])
    let text = ground.server.taken.first { $0.text.contains("Job fails") }?.text ?? ""
    #expect(text.contains("- Job: scan-liquidations"))
    #expect(text.contains("mirror_behind"))
  }

  @Test func openBlocksAndDivergencesAreToldOf() throws {
    let ground = try AlertGround(seed: 702, steps: 5)
    try ground.program.consume()
    let now = UInt64(Date().timeIntervalSince1970)
    try ground.db.transaction { tx in
      try tx.execute("update block_range set state = 'suspect', reason = 'a test'")
      try tx.execute("update market set total_borrow_assets = total_borrow_assets + 1")
    }
    _ = try ground.program.run("audit")
    try ground.alert(at: now)
    #expect(try ground.told(of: "incomplete").map(\.event) == ["fired"])
    #expect(try ground.told(of: "divergence").map(\.event) == ["fired"])
    try ground.db.transaction { tx in
      try tx.execute("update block_range set state = 'verified', reason = null")
    }
    try ground.alert(at: now + 1)
    try ground.alert(at: now + 601)
    #expect(try ground.told(of: "incomplete").map(\.event) == ["fired", "resolved"])
  }
}

extension AlertGround {
  /// Scans that have found a position to be liquidatable.
  func scansThatFound(_ subject: Subject) throws -> Int {
    try db.transaction(.readOnly) { tx in
      try tx.query(
        """
        select count(*) from candidate c join market m on m.id = c.market_id
        where '0x' || encode(c.user_address, 'hex') = \(subject.user)
          and '0x' || encode(m.market_key, 'hex') = \(subject.market)
          and c.certainty = 'verified'
        """)[0].get(0, Int.self)
    }
  }

  /// The last word on every liquidation is that it happened, if it stands in the tables, and else
  /// that it did not; nothing is said twice in a row.
  func checkLastWords(_ location: SourceLocation = #_sourceLocation) throws {
    try Self.checkLastWords(on: db, location)
  }

  static func checkLastWords(
    on db: Connection, _ location: SourceLocation = #_sourceLocation
  ) throws {
    let (told, real) = try db.transaction(.readOnly) { tx in
      (
        try tx.query(
          """
          select concat_ws('-', facts->>'block_hash', facts->>'log_index'), event from outbox
          where kind = 'liquidation' order by id
          """
        ).map { (try $0.get(0, String.self), try $0.get(1, String.self)) },
        Set(
          try tx.query(
            """
            select concat_ws('-', '0x' || encode(b.hash, 'hex'), l.log_index)
            from liquidation l join block b on b.number = l.block_number and b.canonical
            """
          ).map { try $0.get(0, String.self) })
      )
    }
    var last: [String: String] = [:]
    for (key, event) in told {
      #expect(last[key] != event, "\(key) is told of twice", sourceLocation: location)
      last[key] = event
    }
    let standing = Set(last.filter { $0.value == "notice" }.keys)
    #expect(standing == real, sourceLocation: location)
    #expect(!real.isEmpty, sourceLocation: location)
  }
}
