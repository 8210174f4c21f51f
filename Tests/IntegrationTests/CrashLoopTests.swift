import Foundation
import Glibc
import Postgres
import TestKit
import Testing

/// The n-th operation fails, n = 1 … until a run passes without: whatever was cut where, the next
/// run ends with the tables of one clean run.
@Suite struct CrashLoopTests {
  /// A mirror that has to take back a reorganisation and then to go on.
  private static let story = Result {
    let story = try Story(seed: 400, shape: "moolah", windowBlocks: 9)
    try story.chain.advance(30)
    try story.consume()
    try story.chain.reorg(depth: 6, keep: true, delay: 1)
    try story.chain.advance(12)
    return (story: story, expected: try story.cleanRun())
  }

  /// What one loop found.
  private struct Tally {
    var injected = 0
    var exits: [Int32: Int] = [:]
    mutating func note(_ exit: Int32) { exits[exit, default: 0] += 1 }
  }

  /// Every step in the long form, a few in the short one.
  private static func steps(each short: Int) -> some Sequence<Int> {
    stride(from: 1, to: 10_000, by: Length.pick(short: short, long: 1))
  }

  // MARK: The database

  /// The process dies before, or just after, the n-th message that it sends to the database.
  @Test(arguments: DatabaseProxy.Moment.allCases)
  func diesAtEveryMessageToTheDatabase(_ moment: DatabaseProxy.Moment) throws {
    let tally = try loopOverMessages(each: 17, moment) { victim in victim.kill(SIGKILL) }
    print("crash loop | kill -9 \(moment) message n | \(tally.injected) points | \(tally.exits)")
    // It may have said its last word to the database and be done before it is killed; its goodbye,
    // which is one message, is waited for by nobody.
    #expect(tally.exits.keys.allSatisfy { [0, 128 + SIGKILL].contains($0) }, "\(tally.exits)")
    if moment == .before { #expect(tally.exits[0, default: 0] <= 1, "\(tally.exits)") }
    #expect(tally.injected >= Length.pick(short: 5, long: 50))
  }

  /// The connection is cut before, or just after, the n-th message; the process lives on.
  @Test(arguments: DatabaseProxy.Moment.allCases)
  func losesTheDatabaseAtEveryMessage(_ moment: DatabaseProxy.Moment) throws {
    let tally = try loopOverMessages(each: 17, moment) { _ in }
    print("crash loop | cut \(moment) message n | \(tally.injected) points | \(tally.exits)")
    #expect(tally.exits.keys.allSatisfy { [0, 69, 75].contains($0) }, "\(tally.exits)")
    #expect(tally.injected >= Length.pick(short: 5, long: 50))
  }

  private func loopOverMessages(
    each short: Int, _ moment: DatabaseProxy.Moment, _ harm: @escaping @Sendable (Victim) -> Void
  ) throws -> Tally {
    try loop(over: Self.steps(each: short)) { step, proxy, victim in
      proxy.at(.message(step), moment) {
        harm(victim)
        return .cut
      }
    }
  }

  /// The n-th COMMIT was carried out, and the connection ends before its answer arrives: what was
  /// stored is stored once.
  @Test func neverHearsOfTheNthCommit() throws {
    let tally = try loop(over: Self.steps(each: 4)) { step, proxy, _ in
      proxy.at(.committed(step)) { .cut }
    }
    print("crash loop | answer to commit n lost | \(tally.injected) points | \(tally.exits)")
    #expect(tally.exits.keys.allSatisfy { [0, 69, 75].contains($0) }, "\(tally.exits)")
    #expect(tally.injected >= Length.pick(short: 3, long: 10))
  }

  /// Until the point is no longer reached.
  private func loop(
    over steps: some Sequence<Int>, _ arm: (Int, DatabaseProxy, Victim) -> Void
  ) throws -> Tally {
    let (story, expected) = try Self.story.get()
    var tally = Tally()
    for step in steps {
      let copy = try story.copy()
      let proxy = try DatabaseProxy()
      defer { proxy.stop() }
      let victim = Victim()
      arm(step, proxy, victim)
      let running = copy.program.start(
        ["consume-events", "--deadline", "20s"], database: copy.url(through: proxy))
      try running.launch()
      victim.name(running.pid)
      let result = running.wait()
      guard proxy.isDone else {
        #expect(result.exit == 0, "\(result.errors)")
        return tally
      }
      tally.injected += 1
      tally.note(result.exit)
      try copy.program.consume()
      let dump = try TableDump(copy.db)
      #expect(dump == expected, "step \(step): \(dump.difference(from: expected))")
    }
    return tally
  }

  // MARK: The node

  /// The n-th request is cut off, once or for the rest of the run.
  @Test(arguments: [false, true])
  func losesTheNodeAtEveryRequest(forEver: Bool) throws {
    let ground = try FaultGround.shared.get()
    var tally = Tally()
    for step in Self.steps(each: 6) {
      let trial = try Trial(ground)
      let fault = PlannedFault("reset").with(count: forEver ? -1 : 1, skip: step - 1)
      try trial.proxy.plan([fault])
      let result = try trial.program.run("consume-events", "--deadline", "20s")
      guard try trial.proxy.counts().total > 0 else { break }
      tally.injected += 1
      tally.note(result.exit)
      try trial.proxy.plan([])
      try trial.program.consume()
      let dump = try TableDump(trial.database.connection())
      #expect(dump == trial.reference, "request \(step)")
    }
    print(
      "crash loop | reset of request n\(forEver ? " and all later ones" : "") |"
        + " \(tally.injected) points | \(tally.exits)")
    #expect(tally.exits == [forEver ? 69 : 0: tally.injected])
    #expect(tally.injected >= Length.pick(short: 3, long: 12))
  }

  // MARK: Random

  /// SIGKILL at a random moment of each run, until so many have died of it, while the chain goes
  /// on and is reorganised.
  @Test func survivesRandomKills() throws {
    let wanted = Length.pick(short: 12, long: 1_000)
    var generator = SeededGenerator()
    let ground = try FaultGround(seed: 411, steps: 20)
    let trial = try Trial(ground, timeoutMilliseconds: 10_000)
    let start = ContinuousClock.now
    try trial.program.consume()
    // The time of a run that nobody disturbs, first of all that it starts.
    let whole = max(40, Int((ContinuousClock.now - start) / .milliseconds(1)))
    var deaths = 0
    var compared = 0
    for _ in 0..<(4 * wanted) where deaths < wanted {
      try ground.chain.advance(2)
      if Int.random(in: 0..<4, using: &generator) == 0 {
        try ground.chain.reorg(depth: Int.random(in: 1...8, using: &generator), keep: true)
      }
      let running = trial.program.start(["consume-events"])
      try running.launch()
      usleep(UInt32(Int.random(in: 1...whole, using: &generator)) * 1_000)
      running.kill()
      guard running.wait().exit == 128 + SIGKILL else { continue }
      deaths += 1
      if deaths % 100 == 0 || deaths == wanted {
        try trial.program.consume()
        let clean = try FaultGround.cleanRun(of: ground.chain)
        let dump = try TableDump(trial.database.connection())
        #expect(dump == clean, "after \(deaths): \(dump.difference(from: clean))")
        compared += 1
      }
    }
    print("crash loop | random SIGKILL | \(deaths) deaths, \(compared) comparisons")
    #expect(deaths == wanted)
  }

  /// Deaths, lost connections and a bad node at random, while the chain goes on and is reorganised.
  @Test func survivesARandomSchedule() throws {
    var generator = SeededGenerator()
    let ground = try FaultGround(seed: 410, steps: 20)
    let trial = try Trial(ground)
    let database = try DatabaseProxy()
    defer { database.stop() }
    var deaths = 0
    var injected = 0
    for _ in 0..<Length.pick(short: 8, long: 1_000) {
      try ground.chain.advance(3)
      if Int.random(in: 0..<4, using: &generator) == 0 {
        try ground.chain.reorg(depth: Int.random(in: 1...8, using: &generator), keep: true)
      }
      try trial.proxy.plan(
        [PlannedFault("reset"), .init("truncated"), .init("batch_partial")]
          .map { $0.with(count: 2, chance: 10) }, seed: generator.next())
      database.at(.message(Int.random(in: 1...200, using: &generator)))
      let running = trial.program.start(
        ["consume-events", "--deadline", "20s"], database: trial.database.url(through: database))
      try running.launch()
      let wait = Int.random(in: 20...400, using: &generator)
      usleep(UInt32(wait) * 1_000)
      running.kill()
      if running.wait().exit == 128 + SIGKILL { deaths += 1 }
      injected += try trial.proxy.counts().total + (database.isDone ? 1 : 0)
    }
    try trial.proxy.plan([])
    try trial.program.consume()
    let clean = try FaultGround.cleanRun(of: ground.chain)
    let dump = try TableDump(trial.database.connection())
    print("crash loop | random schedule | \(deaths) kills, \(injected) faults | \(dump == clean)")
    #expect(dump == clean, "\(dump.difference(from: clean))")
    #expect(deaths > 0)
  }
}

/// A process that is harmed once it is known; whoever harms it waits for that.
final class Victim: @unchecked Sendable {
  private let known = DispatchSemaphore(value: 0)
  private var pid: Int32 = 0

  func name(_ pid: Int32) {
    self.pid = pid
    known.signal()
  }

  func kill(_ signal: Int32) {
    known.wait()
    known.signal()
    Glibc.kill(pid, signal)
  }
}

extension TemporaryDatabase {
  /// As `PLIMSOLL_DATABASE` says it, with the proxy between.
  func url(through proxy: DatabaseProxy) -> String {
    "postgresql://plimsoll@/\(name)?host=\(proxy.directory)"
  }
}

extension Story.Copy {
  func url(through proxy: DatabaseProxy) -> String { database.url(through: proxy) }
}
