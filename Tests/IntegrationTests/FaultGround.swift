import Foundation
import Postgres
import TestKit
import Testing

/// A dev chain that many tests read, and the tables that one clean run makes of it.
final class FaultGround: Sendable {
  let chain: DevChain
  let reference: TableDump

  /// Half of the blocks are below this limit, so that both kinds of windows are read.
  static let reorgLimit = 24

  init(seed: UInt64, steps: Int = 45) throws {
    chain = try DevChain(seed: seed)
    try chain.advance(steps)
    // Blocks without a transaction: some chains' blooms lie about those.
    try chain.mine(2, seconds: 3)
    try chain.advance(2)
    reference = try Self.cleanRun(of: chain)
  }

  /// The ground of all tests that only read.
  static let shared = Result { try FaultGround(seed: 500) }

  static func cleanRun(of chain: DevChain) throws -> TableDump {
    let database = try TemporaryDatabase()
    let program = try Program(
      configuration: configuration(of: chain, endpoints: [chain.rpc]), database: database.url)
    try program.succeed("consume-events")
    return try TableDump(database.connection())
  }

  static func configuration(
    of chain: DevChain, endpoints: [String], agree: Int? = nil, timeoutMilliseconds: Int = 400,
    windowBlocks: Int = 9
  ) -> String {
    let list = endpoints.enumerated().map {
      #"{ "name": "node-\#($0.offset)", "url": "\#($0.element)" }"#
    }
    let agreement = agree.map { #""agree_logs": \#($0), "# } ?? ""
    return """
      {
        "chains": {
          "local": {
            "chain_id": \(chain.chainID), "endpoints": [\(list.joined(separator: ", "))],
            "block_time_ms": 12000, "reorg_limit": \(reorgLimit), \(agreement)
            "max_head_age_seconds": 0,
            "window_blocks": \(windowBlocks), "request_timeout_ms": \(timeoutMilliseconds),
          },
        },
        "deployments": {
          "story": {
            "chain": "local", "system": "moolah", "address": "\(chain.core)",
            "first_block": \(chain.firstBlock),
          },
        },
      }
      """
  }
}

/// A database of its own behind doors that spoil what the node says.
struct Trial {
  let reference: TableDump
  let proxy: FaultProxy
  let database: TemporaryDatabase
  let program: Program

  /// The program asks at every door; faults may lead to the other nodes.
  init(
    _ ground: FaultGround, doors: Int = 1, agree: Int? = nil, others: [String] = [],
    proxy: FaultProxy? = nil, timeoutMilliseconds: Int = 400
  ) throws {
    let proxy = try proxy ?? FaultProxy(to: [ground.chain.rpc] + others, doors: doors)
    self.proxy = proxy
    reference = ground.reference
    database = try TemporaryDatabase()
    program = try Program(
      configuration: FaultGround.configuration(
        of: ground.chain, endpoints: Array(proxy.doors.prefix(doors)), agree: agree,
        timeoutMilliseconds: timeoutMilliseconds),
      database: database.url)
  }

  /// Runs until the plan is used up, at most so often, and then once more without faults.
  func play(_ faults: [PlannedFault], seed: UInt64 = 0, runsMax: Int = 6) throws -> Outcome {
    try proxy.plan(faults, seed: seed)
    var outcome = Outcome()
    for _ in 0..<runsMax {
      outcome.note(try program.run("consume-events", "--deadline", "20s"))
      let counts = try proxy.counts()
      // What lasts for ever is seen by two runs; what finds nothing any more is over.
      let isOver =
        faults.contains { $0.count < 0 } ? outcome.exits.count > 1 : counts.left == 0
      let isIdle = counts.injected == outcome.injected && !counts.injected.isEmpty
      outcome.injected = counts.injected
      if isOver || isIdle { break }
    }
    try proxy.plan([])
    outcome.note(try program.run("consume-events", "--deadline", "20s"))
    try outcome.judge(database, against: reference)
    return outcome
  }
}

/// What became of the tables.
struct Outcome: CustomStringConvertible {
  var injected: [String: Int] = [:]
  var exits: [Int32] = []
  var errors: [String] = []
  var openRanges = 0
  /// Nil when the tables equal those of a clean run.
  var difference: String?

  /// What the last run, in which nothing was spoilt, ended with.
  var lastExit: Int32 { exits.last ?? -1 }
  var isEqual: Bool { difference == nil }

  /// The tables differ, and nothing says so.
  var isViolation: Bool { !isEqual && lastExit == 0 && openRanges == 0 }

  mutating func note(_ result: Program.Result) {
    exits.append(result.exit)
    if result.exit != 0 {
      errors.append(Self.reason(in: result.errors))
    }
  }

  /// What the last line of the log gives as the reason.
  private static func reason(in log: String) -> String {
    let line = log.split(separator: "\n").last.map(String.init) ?? ""
    let object = try? JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
    return (object?["error"] ?? object?["reason"]) as? String ?? line
  }

  mutating func judge(_ database: TemporaryDatabase, against reference: TableDump) throws {
    let db = try database.connection()
    let dump = try TableDump(db)
    difference = dump == reference ? nil : dump.difference(from: reference)
    openRanges = try db.transaction(.readOnly) { tx in
      guard try tx.query("select to_regclass('block_range') is not null")[0].get(0) else {
        return 0
      }
      return try tx.query("select count(*) from block_range where state <> 'verified'")[0]
        .get(0, Int.self)
    }
  }

  /// One line of the report.
  var description: String {
    let word = isEqual ? "equal" : isViolation ? "VIOLATION" : "open \(openRanges)"
    let count = injected.values.reduce(0, +)
    let reasons = Set(errors.map { $0.prefix(160) }).sorted().joined(separator: " / ")
    return "injected \(count), exits \(exits), \(word)\(reasons.isEmpty ? "" : " | \(reasons)")"
  }
}
