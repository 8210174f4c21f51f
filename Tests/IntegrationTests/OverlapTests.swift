import Foundation
import Glibc
import Postgres
import TestKit
import Testing

/// Several runs at once: one writes, and whoever was replaced while it slept writes no more.
@Suite struct OverlapTests {
  @Test(arguments: [2, 3, 5, 8])
  func oneOfManyCopiesWrites(copies: Int) throws {
    let ground = try FaultGround(seed: UInt64(700 + copies), steps: 10)
    let trial = try Trial(ground)
    var skipped = 0
    var wrote = 0
    for _ in 0..<Length.pick(short: 2, long: 100) {
      try ground.chain.advance(15)
      let runs = (0..<copies).map { _ in trial.program.start(["consume-events", "--json"]) }
      for run in runs { try run.launch() }
      let results = runs.map { $0.wait() }
      #expect(results.allSatisfy { $0.exit == 0 }, "\(results.map(\.errors))")
      skipped += results.count { $0.output.contains("skipped") }
      wrote += results.count { !$0.output.contains("skipped") }
    }
    try trial.program.consume()
    let db = try trial.database.connection()
    // Each run that was not turned away took the epoch once, and so did the last one.
    let epoch = try db.transaction(.readOnly) { tx in
      try tx.query("select max(epoch) from writer")[0].get(0, Int.self)
    }
    print("overlap | \(copies) at once | \(wrote) wrote, \(skipped) turned away, epoch \(epoch)")
    #expect(epoch == wrote + 1)
    let (clean, dump) = (try FaultGround.cleanRun(of: ground.chain), try TableDump(db))
    #expect(dump == clean, "\(dump.difference(from: clean))")
  }

  /// A writer sleeps at its n-th message, loses its connection, and another takes over; when it
  /// wakes it changes nothing.
  @Test func aWriterThatSleptWritesNoMore() throws {
    let ground = try FaultGround.shared.get()
    var rounds = 0
    var exits: [Int32: Int] = [:]
    for step in stride(from: 1, to: 10_000, by: Length.pick(short: 50, long: 3)) {
      let trial = try Trial(ground, timeoutMilliseconds: 10_000)
      let proxy = try DatabaseProxy()
      defer { proxy.stop() }
      let (running, victim) = try sleeper(of: trial, through: proxy, at: step, then: .cut)
      guard try isAsleep(running, victim, proxy) else { break }
      rounds += 1
      try trial.program.consume()
      let taken = try TableDump(trial.database.connection())
      #expect(taken == trial.reference)
      victim.kill(SIGCONT)
      let result = running.wait()
      exits[result.exit, default: 0] += 1
      #expect([0, 69, 75].contains(result.exit), "\(result.errors)")
      let after = try TableDump(trial.database.connection())
      #expect(after == taken, "step \(step): \(after.difference(from: taken))")
    }
    print("overlap | asleep at message n, cut off, replaced | \(rounds) rounds | \(exits)")
    #expect(rounds >= Length.pick(short: 2, long: 20))
  }

  /// Another becomes the writer behind the back of one whose connection stays: only the epoch can
  /// stop it then.
  @Test func theEpochStopsAWriterThatWasReplaced() throws {
    let ground = try FaultGround.shared.get()
    var stopped = 0
    var inside = 0
    for step in stride(from: 1, to: 10_000, by: Length.pick(short: 5, long: 1)) {
      let trial = try Trial(ground, timeoutMilliseconds: 10_000)
      let proxy = try DatabaseProxy()
      defer { proxy.stop() }
      let (running, victim) = try sleeper(of: trial, through: proxy, at: step, then: .goesOn)
      guard try isAsleep(running, victim, proxy) else { break }
      let isReplaced = try replaceWriter(in: trial.database)
      let before = try TableDump(trial.database.connection())
      victim.kill(SIGCONT)
      let result = running.wait()
      guard isReplaced else {
        // It is in a writing transaction, or has not taken the epoch: nobody can come between.
        inside += 1
        continue
      }
      stopped += 1
      let after = try TableDump(trial.database.connection())
      #expect(after == before, "step \(step): \(after.difference(from: before))")
      #expect(result.exit != 0 || after == trial.reference, "step \(step): it noticed nothing")
      #expect([0, 69, 75].contains(result.exit), "\(result.exit): \(result.errors)")
    }
    print("overlap | replaced at message n | \(stopped) stopped, \(inside) not replaceable")
    #expect(stopped >= Length.pick(short: 2, long: 10))
  }

  /// Old blocks are read again while new ones come in.
  @Test func aBackfillBesideLiveRunsDoesNoHarm() throws {
    let ground = try FaultGround(seed: 720, steps: 30)
    let trial = try Trial(ground)
    try trial.program.consume()
    for _ in 0..<Length.pick(short: 3, long: 40) {
      try ground.chain.advance(10)
      let backfill = trial.program.start(
        ["consume-events", "--from-block", String(ground.chain.firstBlock), "--window", "3"])
      let live = trial.program.start(["consume-events"])
      try backfill.launch()
      try live.launch()
      let results = [backfill.wait(), live.wait()]
      #expect(results.allSatisfy { $0.exit == 0 }, "\(results.map(\.errors))")
    }
    try trial.program.consume()
    let clean = try FaultGround.cleanRun(of: ground.chain)
    let dump = try TableDump(trial.database.connection())
    #expect(dump == clean, "\(dump.difference(from: clean))")
  }

  // MARK: Sleeping

  /// A run that stops at its n-th message to the database.
  private func sleeper(
    of trial: Trial, through proxy: DatabaseProxy, at step: Int, then outcome: DatabaseProxy.Outcome
  ) throws -> (Running, Victim) {
    let victim = Victim()
    proxy.at(.message(step)) {
      victim.kill(SIGSTOP)
      return outcome
    }
    let running = trial.program.start(
      ["consume-events", "--deadline", "60s"], database: trial.database.url(through: proxy))
    try running.launch()
    victim.name(running.pid)
    return (running, victim)
  }

  /// Waits for the moment; false when the run ended before it came.
  private func isAsleep(_ running: Running, _ victim: Victim, _ proxy: DatabaseProxy) throws -> Bool
  {
    while !proxy.isDone {
      let status = try? String(contentsOfFile: "/proc/\(running.pid)/stat", encoding: .utf8)
      if status?.contains(") Z ") ?? true {
        #expect(running.wait().exit == 0)
        return false
      }
      usleep(2_000)
    }
    // What it had under way at the server ends now, one way or the other.
    usleep(50_000)
    return true
  }

  /// Raises the epoch as another writer does; false when the writer's own transaction forbids it.
  private func replaceWriter(in database: TemporaryDatabase) throws -> Bool {
    let db = try database.connection(settings: .impatient)
    do {
      return try db.transaction { tx in
        try tx.execute("update writer set epoch = epoch + 1, holder = 'another'") == 1
      }
    } catch let error as PostgresError where error.sqlState == "55P03" {
      return false
    }
  }
}

extension SessionSettings {
  /// Gives up on a lock after a moment.
  static var impatient: SessionSettings {
    var settings = SessionSettings.default
    settings.lockTimeout = .milliseconds(200)
    return settings
  }
}
