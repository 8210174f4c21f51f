import Foundation
import Glibc
import Postgres
import TestKit
import Testing

/// A node that lies, lags, breaks off or refuses: afterwards the tables equal those of a clean run,
/// or an open range says what is missing, or the exit code is not 0.
@Suite struct FaultTableTests {
  /// Faults of one row of the table of faults in the project's targets.
  struct Row: Sendable, CustomStringConvertible {
    let name: String
    let faults: [PlannedFault]
    /// What can be found out only by comparing nodes or by proofs: one node may lie unseen.
    var needsAgreement = false
    var description: String { name }
  }

  static let rows: [Row] = [
    Row(
      name: "R10 connections",
      faults: [
        .init("reset"), .init("refuse"), .init("hang"), .init("slow_head"), .init("slow_body"),
        .init("half_body"), .init("half_body", ["with_reset": true]),
        .init("wrong_length", ["by": -7]), .init("wrong_length", ["by": 7]),
      ]),
    Row(
      name: "R11 statuses",
      faults: [
        .init("status", ["code": 429]), .init("status", ["code": 429, "retry_after": "1"]),
        .init("status", ["code": 429, "retry_after": "in 1"]),
        .init("status", ["code": 429, "retry_after": "99999999999"]),
        .init("status", ["code": 429, "retry_after": "soon"]),
        .init("status", ["code": 500]), .init("status", ["code": 502, "body": "<html>bad</html>"]),
        .init("status", ["code": 503, "retry_after": "1"]), .init("status", ["code": 504]),
        .init("status", ["code": 403]), .init("status", ["code": 301]),
      ]),
    Row(
      name: "R11 bodies",
      faults: [
        .init("html"), .init("empty_body"), .init("truncated"), .init("deep"), .init("bad_text"),
        .init("double_keys"), .init("false_gzip"), .init("gzip_bomb"),
        .init("flood", ["mb": 100]), .init("flood", ["mb": 100, "states_length": true]),
      ]),
    Row(
      name: "R11 answers",
      faults: [
        .init("null_result"), .init("null_result", method: "eth_getLogs"), .init("no_result"),
        .init("remote_error"), .init("remote_error", ["code": -32005, "message": "rate limited"]),
        .init("wrong_id"), .init("id_as_text"), .init("no_id"), .init("batch_reordered"),
        .init("batch_partial"), .init("batch_extra"), .init("batch_bare"),
        .init("batch_refused"), .init("batch_refused", ["message": "batching is not supported"]),
      ]),
    Row(
      name: "R12 sizes",
      faults: ["geth", "infura", "alchemy", "quicknode", "ankr", "bsc"].map {
        .init("too_many", ["logs": 12, "style": .text($0)])
      }),
    Row(
      name: "R13 contradictions",
      faults: [
        .init("double_log"), .init("swap_logs"), .init("wrong_address"), .init("removed"),
        .init("out_of_range"), .init("foreign_hash"), .init("header_parent"),
        .init("header_hash"), .init("header_number"), .init("bloom_lies"),
      ]),
    Row(
      name: "R12, R13 withheld",
      faults: [
        .init("capped", ["logs": 5]), .init("drop_log"), .init("drop_block"), .init("drop_all"),
        .init("wrong_topic"), .init("wrong_data"), .init("header_time"),
      ], needsAgreement: true),
    Row(
      name: "R14 identity",
      faults: [
        .init("chain_id"), .init("other_genesis"), .init("upstream", ["to": 1]),
      ]),
    Row(
      name: "R15 heads",
      faults: [
        .init("behind", ["blocks": 1]), .init("behind", ["blocks": 5]),
        .init("behind", ["blocks": 60]), .init("unknown_block"),
      ]),
    Row(name: "R16 branches", faults: [.init("upstream", ["to": 2])]),
  ]

  /// Another chain, and the chain of the ground with its last blocks replaced.
  static let others = Result {
    let ground = try FaultGround.shared.get()
    let other = try DevChain(seed: 501, chainID: 99)
    try other.advance(60)
    let branch = try DevChain(seed: 500)
    try branch.advance(45)
    try branch.mine(2, seconds: 3)
    try branch.advance(2)
    try branch.reorg(depth: 6, keep: true, delay: 1)
    #expect(ground.chain.core == branch.core)
    return [other, branch]
  }

  static let doors = Length.pick(short: [1, 3], long: [1, 2, 3])

  @Test(arguments: rows.filter { !$0.needsAgreement }, doors)
  func isSurvived(row: Row, doors: Int) throws {
    let ground = try FaultGround.shared.get()
    let others = try Self.others.get()
    let proxy = try FaultProxy(to: [ground.chain.rpc] + others.map(\.rpc), doors: doors)
    for fault in row.faults {
      for shape in Self.shapes(of: fault) {
        let trial = try Trial(ground, doors: doors, proxy: proxy)
        let outcome = try trial.play([shape])
        report(row, shape, doors, outcome)
        #expect(!outcome.injected.isEmpty, "\(shape) found nothing to spoil")
        #expect(outcome.isEqual, "\(shape): \(outcome) \(outcome.difference ?? "")")
        #expect(outcome.lastExit == 0, "\(shape): \(outcome) \(outcome.errors)")
        check(exits: outcome, of: shape)
      }
    }
  }

  /// How a fault is planned: a few in a row in the middle of a run, and one that stays for a while.
  static func shapes(of fault: PlannedFault) -> [PlannedFault] {
    let isOnce = ["flood", "gzip_bomb"].contains(fault.name)
    if isOnce { return [fault.with(skip: 3)] }
    var short = [fault.with(count: 2, skip: 3)]
    // A balancer between nodes of different minds, and a node that is swapped for good.
    if ["behind", "upstream"].contains(fault.name) {
      short.append(fault.with(count: 10, skip: 1, every: 2))
    }
    if ["chain_id", "upstream"].contains(fault.name) {
      short.append(fault.with(count: -1, skip: 6))
    }
    let long =
      [0, 1, 2, 5, 8].map { fault.with(count: 1, skip: $0) }
      + [fault.with(count: -1, skip: 6), fault.with(count: 40, every: 2)]
    return short + Length.pick(short: [], long: long)
  }

  /// No crash, no internal error, no mistake in the configuration but a wrong chain; 1 while a
  /// range is open.
  private func check(exits outcome: Outcome, of fault: PlannedFault) {
    let allowed: Set<Int32> = [0, 1, 65, 69, 75, 78]
    #expect(outcome.exits.allSatisfy(allowed.contains), "\(fault): \(outcome) \(outcome.errors)")
  }

  private func report(_ row: Row, _ fault: PlannedFault, _ doors: Int, _ outcome: Outcome) {
    print("fault table | \(row.name) | \(fault) | doors \(doors) | \(outcome)")
  }

  /// A node that is still far from the head meets a mirror that is in the middle of its history,
  /// where not every block is stored and nothing can be taken back.
  @Test(arguments: Length.pick(short: [4, 7, 12], long: Array(0..<22)))
  func aNodeThatIsBehindTheMirrorsHistoryTakesNothingBack(head: Int) throws {
    let ground = try FaultGround.shared.get()
    let trial = try Trial(ground)
    try trial.program.consume("--to-block", "22")
    let before = try TableDump(trial.database.connection())
    let newest = try #require(try ground.chain.truth()["block"] as? Int)
    let fault = PlannedFault("behind", ["blocks": .number(newest - head)]).with(count: -1)
    try trial.proxy.plan([fault])
    let result = try trial.program.run("consume-events", "--deadline", "20s")
    print("fault table | R15 | head \(head) below a mirror at 22 | exit \(result.exit)")
    #expect(result.exit == 0 || result.exit == 75, "\(result.errors)")
    #expect(try TableDump(trial.database.connection()) == before)
    let outcome = try trial.play([])
    #expect(outcome.isEqual && outcome.lastExit == 0, "\(outcome) \(outcome.difference ?? "")")
  }

  /// The hash of a window's end, or of the block before it, is a lie told once: no dead end.
  @Test(arguments: [0, 1])
  func aForeignHashOnceIsNoDeadEnd(place: Int) throws {
    let ground = try FaultGround.shared.get()
    let fault = PlannedFault(
      "header_hash", ["place": .number(place)], method: "eth_getLogs")
    for skip in 0..<Length.pick(short: 6, long: 12) {
      let outcome = try Trial(ground).play([fault.with(skip: skip)])
      print("fault table | R13 | \(fault), request \(skip) | \(outcome)")
      #expect(outcome.isEqual && outcome.lastExit == 0, "request \(skip): \(outcome)")
    }
  }

  // MARK: What only other nodes or proofs can tell

  /// One of the nodes lies, and the window's logs must be told alike by two.
  @Test(arguments: rows.filter(\.needsAgreement), [2, 3])
  func aLiarIsOutvoted(row: Row, doors: Int) throws {
    let ground = try FaultGround.shared.get()
    for fault in row.faults {
      for count in Length.pick(short: [-1], long: [1, 2, 5, -1]) {
        let trial = try Trial(ground, doors: doors, agree: 2)
        let shape = fault.with(count: count, door: 0)
        let outcome = try trial.play([shape])
        report(row, shape, doors, outcome)
        #expect(!outcome.injected.isEmpty, "\(shape) found nothing to spoil")
        #expect(outcome.isEqual, "\(shape): \(outcome) \(outcome.difference ?? "")")
        // Two that do not agree stop the run; with a third the truth is known.
        if doors == 3 { #expect(outcome.exits.allSatisfy { $0 == 0 }, "\(shape): \(outcome)") }
      }
    }
  }

  /// One node only: what it withheld is proved, or a range stays open, or an audit finds it.
  @Test(arguments: rows.filter(\.needsAgreement))
  func oneLiarAloneIsFoundOut(row: Row) throws {
    let ground = try FaultGround.shared.get()
    for fault in row.faults {
      for skip in Length.pick(short: [5], long: Array(0..<10)) {
        let trial = try Trial(ground)
        let shape = fault.with(count: 1, skip: skip)
        let outcome = try trial.play([shape])
        let audit = try trial.program.run("audit", "--all")
        report(row, shape, 1, outcome)
        print("fault table | audit after \(shape): \(audit.exit)")
        // A wrong time or event of no market shows in no number of a contract.
        let isFoundOut = !outcome.isViolation || audit.exit == 1
        #expect(isFoundOut, "\(shape): \(outcome) \(outcome.difference ?? "") \(audit.errors)")
      }
    }
  }

  /// k of n nodes must agree, m lie and tell the same lie.
  @Test(arguments: [(2, 3, 1), (3, 3, 1), (3, 3, 2), (2, 2, 1), (3, 4, 1), (3, 4, 2), (3, 5, 2)])
  func liarsBelowTheThresholdNeverWin(agree: Int, nodes: Int, liars: Int) throws {
    let ground = try FaultGround.shared.get()
    for fault in [PlannedFault("drop_log", ["place": 0]), .init("drop_all"), .init("capped")] {
      let trial = try Trial(ground, doors: nodes, agree: agree)
      let faults = (0..<liars).map { fault.with(count: -1, door: $0) }
      try trial.proxy.plan(faults)
      let result = try trial.program.run("consume-events", "--deadline", "20s")
      let counts = try trial.proxy.counts()
      print(
        "fault table | R17 | \(fault) | \(agree) of \(nodes), \(liars) lie | exit \(result.exit)")
      #expect(counts.total > 0, "nobody lied")
      // What was written is a part of the truth, whether the run could go on or not.
      let written = try TableDump(trial.database.connection())
      if nodes - liars >= agree {
        #expect(result.exit == 0, "\(result.errors)")
        #expect(written == ground.reference, "\(written.difference(from: ground.reference))")
      } else {
        #expect(result.exit != 0, "it guessed")
      }
      try trial.proxy.plan([])
      try trial.program.consume()
      #expect(try TableDump(trial.database.connection()) == ground.reference)
    }
  }

  /// A node that should speak TLS and does not is passed over, and alone it is an outage.
  @Test func aNodeWithoutTLSIsPassedOver() throws {
    let ground = try FaultGround.shared.get()
    let proxy = try FaultProxy(to: [ground.chain.rpc], doors: 2)
    let broken = proxy.doors[0].replacing("http:", with: "https:")
    let database = try TemporaryDatabase()
    for (endpoints, exit) in [([broken], Int32(69)), ([broken, proxy.doors[1]], 0)] {
      let configuration = FaultGround.configuration(of: ground.chain, endpoints: endpoints)
      let program = try Program(configuration: configuration, database: database.url)
      try program.succeed("consume-events", exit: exit)
    }
    #expect(try TableDump(database.connection()) == ground.reference)
  }

  // MARK: Bounds

  /// Whatever hangs, a run ends a second after its deadline at the latest.
  @Test(arguments: ["hang", "slow_head", "slow_body", "reset", "status", "batch_partial", "behind"])
  func aRunEndsAtItsDeadline(fault: String) throws {
    let trial = try Trial(FaultGround.shared.get(), doors: 2, timeoutMilliseconds: 10_000)
    try trial.proxy.plan([PlannedFault(fault).with(count: -1, skip: 2)])
    let start = ContinuousClock.now
    let result = try trial.program.run("consume-events", "--deadline", "2s")
    let elapsed = ContinuousClock.now - start
    print("fault table | R10 | \(fault) for ever | deadline 2 s, ended \(elapsed), \(result.exit)")
    #expect(elapsed < .seconds(3), "\(result.errors)")
    #expect(fault == "behind" || result.exit == 69 || result.exit == 75, "\(result.exit)")
  }

  /// A gigabyte is not read to its end, and never in memory.
  @Test(arguments: ["flood", "gzip_bomb"])
  func aHugeAnswerTakesNoMemory(fault: String) throws {
    let trial = try Trial(FaultGround.shared.get(), timeoutMilliseconds: 10_000)
    try trial.proxy.plan([PlannedFault(fault, ["mb": 1024]).with(count: 3, skip: 2)])
    let running = trial.program.start(["consume-events", "--deadline", "20s"])
    try running.launch()
    let peak = Self.peakMemory(of: running.pid)
    let result = running.wait()
    print("fault table | R11 | \(fault) of 1 GB | peak \(peak) kB, exit \(result.exit)")
    #expect(try trial.proxy.counts().total > 0)
    #expect(peak > 0 && peak < 300_000)
    try trial.proxy.plan([])
    try trial.program.consume()
    #expect(try TableDump(trial.database.connection()) == trial.reference)
  }

  /// The most memory that a process has held, in kB, watched until it ends.
  private static func peakMemory(of pid: Int32) -> Int {
    var peak = 0
    while let status = try? String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8),
      let line = status.split(separator: "\n").first(where: { $0.hasPrefix("VmHWM") })
    {
      peak = line.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Int($0) } ?? 0
      usleep(5_000)
    }
    return peak
  }

  // MARK: All at once

  /// Any faults that no node can hide, at random, while the chain goes on and is reorganised.
  @Test(arguments: 1...Length.pick(short: UInt64(2), long: 100))
  func survivesRandomMixes(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let pool = Self.rows.filter { !$0.needsAgreement }.flatMap(\.faults)
      .filter { !["flood", "gzip_bomb", "upstream", "hang"].contains($0.name) }
    let ground = try FaultGround(seed: 600 + seed, steps: 20)
    let trial = try Trial(ground, doors: Int.random(in: 1...3, using: &generator))
    var injected = 0
    for round in 0..<Length.pick(short: 3, long: 8) {
      let faults = (0..<8).compactMap { _ in pool.randomElement(using: &generator) }.map {
        $0.with(
          count: Int.random(in: 1...4, using: &generator),
          skip: Int.random(in: 0...12, using: &generator), chance: 40)
      }
      try trial.proxy.plan(faults, seed: seed &+ UInt64(round))
      let running = trial.program.start(["consume-events", "--deadline", "20s"])
      try running.launch()
      Thread.sleep(forTimeInterval: 0.1)
      if Bool.random(using: &generator) {
        try ground.chain.reorg(depth: Int.random(in: 1...12, using: &generator), keep: true)
      }
      try ground.chain.advance(10)
      let result = running.wait()
      injected += try trial.proxy.counts().total
      #expect([0, 1, 65, 69, 75, 78].contains(result.exit), "\(seed): \(result.errors)")
    }
    try trial.proxy.plan([])
    try trial.program.consume()
    let clean = try FaultGround.cleanRun(of: ground.chain)
    let dump = try TableDump(trial.database.connection())
    print("fault table | random mix \(seed) | injected \(injected) | equal \(dump == clean)")
    #expect(dump == clean, "seed \(seed): \(dump.difference(from: clean))")
  }
}
