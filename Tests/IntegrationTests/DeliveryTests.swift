import Foundation
import Glibc
import Postgres
import Synchronization
import TestKit
import Testing

/// Messages on their way to receivers that fail, and by a program that is killed.
@Suite struct DeliveryTests {
  /// A database with messages that nobody has been told of yet.
  private static let full = Result {
    let ground = try AlertGround(seed: 700)
    let subject = try ground.subject()
    try ground.setPrice(of: subject, thousandths: 500, after: 12)
    try ground.judge()
    return (ground: ground, keys: try ground.told().map(\.key))
  }

  /// The same in a database of its own, with receivers of its own.
  private struct Trial {
    let database: TemporaryDatabase
    let server: TelegramServer
    let program: Program
    let keys: [String]
    let now = UInt64(Date().timeIntervalSince1970)

    init(webhook: Bool = false) throws {
      let (ground, keys) = try DeliveryTests.full.get()
      database = try TemporaryDatabase(copyOf: ground.database)
      server = try TelegramServer()
      program = try AlertGround.program(
        ground.chain, server, alerts: #""near_bps": 0,"#, webhook: webhook, database: database.url)
      self.keys = keys
    }

    @discardableResult
    func alert(after seconds: UInt64, _ more: String...) throws -> Program.Result {
      try program.run(["alert", "--at", String(now + seconds)] + more)
    }

    func count(_ state: String) throws -> Int {
      try database.connection().transaction(.readOnly) { tx in
        try tx.query("select count(*) from delivery where state = \(state)")[0].get(0, Int.self)
      }
    }
  }

  @Test func anOutageOfTenMinutesLosesNothing() throws {
    let trial = try Trial()
    #expect(trial.keys.count > 2)
    let modes: [TelegramServer.Mode] = [
      .status(503), .reset, .status(429, retryAfter: 7), .status(502), .status(404),
    ]
    var exits: [Int32: Int] = [:]
    for step in 0...20 {
      trial.server.be(modes[step % modes.count])
      exits[try trial.alert(after: UInt64(step) * 30).exit, default: 0] += 1
    }
    #expect(trial.server.taken.isEmpty)
    #expect(Set(exits.keys) == [0, 75], "\(exits)")
    trial.server.be(.well)
    var seconds: UInt64 = 630
    while try trial.count("delivered") < trial.keys.count, seconds < 1_800 {
      try trial.alert(after: seconds)
      seconds += 30
    }
    #expect(trial.server.taken.map(\.key) == trial.keys)
    print(
      "alerts | an outage of 10 minutes | \(trial.keys.count) messages, \(trial.server.refused)"
        + " refusals | \(trial.server.taken.count) delivered in order, the last by second"
        + " \(seconds - 30) | 0 lost, 0 doubled")
  }

  @Test func aWaitThatTheServerAsksForIsKept() throws {
    let trial = try Trial()
    trial.server.be(.status(429, retryAfter: 37, header: "5"))
    #expect(try trial.alert(after: 0).exit == 75)
    let refused = trial.server.refused
    #expect(refused == 1)
    trial.server.be(.well)
    #expect(try trial.alert(after: 30).exit == 0)
    #expect(trial.server.taken.isEmpty)
    try trial.alert(after: 45)
    #expect(trial.server.taken.map(\.key) == trial.keys)
  }

  @Test func aMessageThatIsRefusedIsGivenUpAndSaidSo() throws {
    let trial = try Trial()
    trial.server.be(.status(400))
    let result = try trial.alert(after: 0)
    #expect(result.exit == 1)
    #expect(result.output.contains("route ops: HTTP 400"))
    #expect(try trial.count("dead") == trial.keys.count)
    trial.server.be(.well)
    try trial.alert(after: 1_000)
    #expect(trial.server.taken.isEmpty)
    #expect(try trial.alert(after: 1_001, "--retry-dead").exit == 0)
    #expect(trial.server.taken.map(\.key) == trial.keys)
  }

  @Test func aMessageWhoseAnswerIsLostComesAgainWithTheSameKey() throws {
    let trial = try Trial(webhook: true)
    trial.server.be(.takesAndResets)
    #expect(try trial.alert(after: 0).exit == 75)
    trial.server.be(.well)
    try trial.alert(after: 10)
    for prefix in ["/bot", "/hook"] {
      let keys = trial.server.taken.filter { $0.path.hasPrefix(prefix) }.map(\.key)
      #expect(keys == [trial.keys[0]] + trial.keys)
    }
    let signed = trial.server.taken.filter { $0.path == "/hook" }
    #expect(signed.allSatisfy { $0.headers["webhook-id"] == $0.key })
    #expect(signed.allSatisfy { $0.headers["webhook-signature"]?.hasPrefix("v1,") == true })
  }

  @Test func aReceiverThatNeverAnswersDoesNotHoldTheRunBeyondItsDeadline() throws {
    let trial = try Trial()
    trial.server.be(.silence)
    let start = ContinuousClock.now
    #expect(try trial.alert(after: 0, "--deadline", "1s").exit == 75)
    // It is asked again 10 seconds after its deadline at the latest; a request alone may take ten.
    #expect(.now - start < .seconds(9))
    trial.server.be(.well)
    try trial.alert(after: 2)
    #expect(trial.server.taken.map(\.key) == trial.keys)
  }

  @Test func aDryRunTellsNobody() throws {
    let trial = try Trial()
    let result = try trial.alert(after: 0, "--dry-run", "--json")
    #expect(result.exit == 0)
    let messages = try #require(try result.json()["messages"] as? [[String: Any]])
    #expect(messages.map { $0["id"] as? String } == trial.keys)
    #expect(trial.server.taken.isEmpty && trial.server.refused == 0)
    #expect(try trial.count("due") == 0)
    try trial.alert(after: 0)
    #expect(trial.server.taken.map(\.key) == trial.keys)
  }

  @Test func aTestMessageGoesToItsRouteAlone() throws {
    let trial = try Trial(webhook: true)
    try trial.program.succeed("alert", "--test-route", "hook")
    #expect(trial.server.taken.map(\.path) == ["/hook"])
    try trial.program.succeed("alert", "--test-route", "nobody", exit: 64)
    trial.server.be(.status(401))
    try trial.program.succeed("alert", "--test-route", "ops", exit: 69)
  }

  // MARK: kill -9

  /// Dies before, or just after, the n-th message to the database.
  @Test(arguments: DatabaseProxy.Moment.allCases)
  func diesAtEveryMessageToTheDatabase(_ moment: DatabaseProxy.Moment) throws {
    var tally = (points: 0, doubled: 0)
    for step in stride(from: 1, to: 10_000, by: Length.pick(short: 11, long: 1)) {
      let trial = try Trial()
      let proxy = try DatabaseProxy()
      defer { proxy.stop() }
      let victim = Victim()
      proxy.at(.message(step), moment) {
        victim.kill(SIGKILL)
        return .cut
      }
      try run(trial, through: proxy, victim)
      guard proxy.isDone else { break }
      tally.points += 1
      tally.doubled += try finish(trial, "message \(step) \(moment)")
    }
    print(
      "alerts | kill -9 \(moment) message n to the database | \(tally.points) points |"
        + " 0 lost, \(tally.doubled) came twice with the same key")
    #expect(tally.points >= Length.pick(short: 3, long: 30))
  }

  /// Dies at the n-th request to the receiver, which has taken it or not.
  @Test(arguments: [false, true])
  func diesAtEveryRequest(taken: Bool) throws {
    let count = try Self.full.get().keys.count
    var doubled = 0
    for step in stride(from: 1, through: count, by: Length.pick(short: 3, long: 1)) {
      let trial = try Trial()
      let proxy = try DatabaseProxy()
      defer { proxy.stop() }
      let victim = Victim()
      trial.server.onRequest { [server = trial.server] number in
        guard number == step else { return }
        server.be(taken ? .takesAndResets : .reset)
        victim.kill(SIGKILL)
      }
      try run(trial, through: proxy, victim)
      trial.server.onRequest { _ in }
      trial.server.be(.well)
      doubled += try finish(trial, "request \(step)")
    }
    print(
      "alerts | kill -9 at request n, \(taken ? "taken" : "not taken") | \(count) requests |"
        + " 0 lost, \(doubled) came twice with the same key")
    #expect(taken == (doubled > 0))
  }

  private func run(_ trial: Trial, through proxy: DatabaseProxy, _ victim: Victim) throws {
    let running = trial.program.start(
      ["alert", "--at", String(trial.now)], database: trial.database.url(through: proxy))
    try running.launch()
    victim.name(running.pid)
    _ = running.wait()
  }

  /// The next runs bring everything; at most the message that was under way comes twice.
  ///
  /// - Returns: how many came twice.
  private func finish(_ trial: Trial, _ what: String) throws -> Int {
    // The locks of the dead are free once the server has noticed; the lease ends by its time.
    for _ in 0..<100 {
      let result = try trial.alert(after: 200)
      #expect(result.exit == 0, "\(what): \(result.errors)")
      if !result.output.contains("skipped") { break }
      usleep(50_000)
    }
    let keys = trial.server.taken.map(\.key)
    #expect(Set(keys) == Set(trial.keys), "\(what): lost \(Set(trial.keys).subtracting(keys))")
    #expect(keys.count <= trial.keys.count + 1, "\(what): \(keys)")
    #expect(try trial.count("delivered") == trial.keys.count, "\(what)")
    return keys.count - Set(keys).count
  }

  /// A scan that is killed anywhere, and one after it: each condition is found once.
  @Test func aScanThatIsKilledTellsEachConditionOnce() throws {
    let (ground, _) = try Self.full.get()
    var expected: [String]?
    var points = 0
    // Step 0 is never reached: a clean run.
    for step in [0] + stride(from: 1, to: 10_000, by: Length.pick(short: 9, long: 1)) {
      let database = try TemporaryDatabase(copyOf: ground.database)
      let server = try TelegramServer()
      let program = try AlertGround.program(
        ground.chain, server, alerts: #""near_bps": 0,"#, database: database.url)
      let db = try database.connection()
      try db.transaction { tx in _ = try tx.execute("truncate alert, outbox, delivery") }
      let proxy = try DatabaseProxy()
      defer { proxy.stop() }
      let victim = Victim()
      proxy.at(.message(step), step % 2 == 0 ? .before : .after) {
        victim.kill(SIGKILL)
        return .cut
      }
      let running = program.start(
        ["scan-liquidations"], database: database.url(through: proxy))
      try running.launch()
      victim.name(running.pid)
      _ = running.wait()
      let isOver = !proxy.isDone
      for _ in 0..<100 {
        let result = try program.run("scan-liquidations")
        if !result.output.contains("skipped") { break }
        usleep(50_000)
      }
      let told = try db.transaction(.readOnly) { tx in
        try tx.query("select event || ' ' || subject from outbox").map {
          try $0.get(0, String.self)
        }
      }
      if step == 0 {
        expected = told.sorted()
        continue
      }
      #expect(told.sorted() == expected, "message \(step)")
      if isOver { break }
      points += 1
    }
    #expect(expected?.isEmpty == false)
    print(
      "alerts | kill -9 of a scan at message n | \(points) points |"
        + " \(expected?.count ?? 0) told once each")
    #expect(points >= Length.pick(short: 2, long: 20))
  }

  /// A follower that is killed while the chain is reorganised under it: the last word on every
  /// liquidation is the truth.
  @Test func aFollowerThatIsKilledEndsWithTheTruth() throws {
    let ground = try AlertGround(seed: 400, steps: 40)
    try ground.program.consume()
    try ground.chain.reorg(depth: 9, keep: true, delay: 1)
    try ground.chain.advance(12)
    var points = 0
    for step in stride(from: 1, to: 10_000, by: Length.pick(short: 13, long: 1)) {
      let database = try TemporaryDatabase(copyOf: ground.database)
      let program = try AlertGround.program(
        ground.chain, ground.server, alerts: "", database: database.url)
      let proxy = try DatabaseProxy()
      defer { proxy.stop() }
      let victim = Victim()
      proxy.at(.message(step), step % 2 == 0 ? .before : .after) {
        victim.kill(SIGKILL)
        return .cut
      }
      let running = program.start(["consume-events"], database: database.url(through: proxy))
      try running.launch()
      victim.name(running.pid)
      _ = running.wait()
      guard proxy.isDone else { break }
      points += 1
      try program.consume()
      try AlertGround.checkLastWords(on: database.connection())
    }
    print("alerts | kill -9 of consume-events at message n | \(points) points | 0 wrong last words")
    #expect(points >= Length.pick(short: 3, long: 30))
  }

  // MARK: Secrets

  @Test func noSecretIsSeenAnywhere() throws {
    let trial = try Trial(webhook: true)
    let secrets = [
      AlertGround.token, String(AlertGround.token.split(separator: ":")[1]), AlertGround.secret,
      String(AlertGround.secret.dropFirst(6)),
    ]
    var seen: [String] = []
    // The receiver says the URL back, token and all.
    for (seconds, mode) in [
      (0, TelegramServer.Mode.status(500)), (400, .status(400)), (900, .well),
    ] {
      trial.server.be(mode)
      for more in [["-vv"], ["-vv", "--json"], ["--log-format", "json"]] {
        let result = try trial.program.run(
          ["alert", "--at", String(trial.now + UInt64(seconds))] + more)
        seen += [result.output, result.errors]
      }
    }
    for arguments in [
      ["config", "show", "--sources"], ["runs"], ["alert", "--test-route", "ops"],
    ] {
      trial.server.be(.status(403))
      let result = try trial.program.run(arguments)
      seen += [result.output, result.errors]
    }
    // Every table of the database, whole.
    seen += try trial.database.connection().transaction(.readOnly) { tx in
      try tx.query(
        """
        select query_to_xml('select * from ' || quote_ident(table_name), true, true, '')::text
        from information_schema.tables
        where table_schema = 'public' and table_type = 'BASE TABLE'
        """
      ).map { try $0.get(0, String.self) }
    }
    #expect(seen.count > 30)
    for secret in secrets {
      #expect(!seen.contains { $0.contains(secret) }, "\(secret.prefix(4))… is seen")
    }
    // The search would have found them: the receiver has said the path back.
    #expect(seen.contains { $0.contains("HTTP 500: at ") })
    print("alerts | secrets | \(secrets.count) sought in \(seen.count) texts | 0 found")
  }

  @Test func aSecretThatOthersMayReadIsRefused() throws {
    let trial = try Trial(webhook: true)
    for (file, mode) in [("bot.token", 0o640), ("hook.key", 0o604)] {
      try AlertGround.write(AlertGround.token, to: file, of: trial.program, mode: mode)
      let result = try trial.alert(after: 0)
      #expect(result.exit == 77)
      #expect(result.errors.contains(file) && !result.errors.contains(AlertGround.token))
      try AlertGround.write(
        file == "hook.key" ? AlertGround.secret : AlertGround.token, to: file, of: trial.program)
    }
    try AlertGround.write("no token", to: "bot.token", of: trial.program)
    #expect(try trial.alert(after: 0).exit == 78)
  }

  @Test func aRouteWithoutItsKeyKeepsNoOtherFromBeingTold() throws {
    let trial = try Trial(webhook: true)
    try AlertGround.write(AlertGround.secret, to: "hook.key", of: trial.program, mode: 0o644)
    #expect(try trial.alert(after: 0).exit == 77)
    #expect(trial.server.taken.map(\.key) == trial.keys)
    #expect(!trial.server.taken.contains { $0.path.hasSuffix("/hook") })
    // What it was to be told of has waited for it.
    try AlertGround.write(AlertGround.secret, to: "hook.key", of: trial.program)
    #expect(try trial.alert(after: 1).exit == 0)
    #expect(trial.server.taken.filter { $0.path.hasSuffix("/hook") }.map(\.key) == trial.keys)
  }

  @Test func whatCannotBeLookedForKeepsNobodyFromBeingToldOfTheRest() throws {
    let trial = try Trial()
    try trial.database.connection().transaction { tx in
      try tx.execute("alter view completeness rename to completeness_gone")
    }
    let result = try trial.alert(after: 0)
    #expect(result.exit != 0 && result.errors.contains("completeness"))
    #expect(trial.server.taken.map(\.key) == trial.keys)
  }
}
