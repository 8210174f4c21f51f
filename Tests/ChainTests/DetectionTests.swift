import Chain
import Ethereum
import Foundation
import HTTP
import TestKit
import Testing

/// How many of all lies about logs are noticed: each kind, one at a time, at every log of a small
/// chain, told always alike.
@Suite struct DetectionTests {
  private let honest = SealedNode(blocks: 16, seed: 11)
  private static let range: ClosedRange<UInt64> = 2...13

  /// What became of one lie.
  enum Outcome: CaseIterable {
    /// The true logs came.
    case repaired
    /// No logs came: an error names the endpoint.
    case refused
    /// Wrong logs came, with a doubt about them.
    case doubted
    /// Wrong logs came as if they were right.
    case unnoticed
  }

  @Test func withASecondSourceEveryLieIsNoticed() throws {
    var limits = ChainLimits()
    limits.agreeLogs = 2
    let table = try count(limits) { [honest] in [$0, honest] }
    Self.show("two endpoints that must agree", table)
    for (lie, outcomes) in table {
      #expect(outcomes[.unnoticed] == nil && outcomes[.doubted] == nil, "\(lie)")
    }
    let three = try count(limits) { [honest] in [$0, honest, honest] }
    Self.show("two of three endpoints must agree", three)
    for (lie, outcomes) in three { #expect(Set(outcomes.keys) == [.repaired], "\(lie)") }
  }

  @Test func withReceiptsNearlyEveryLieThatBloomsContradictIsRepaired() throws {
    let table = try count(ChainLimits()) { [$0] }
    Self.show("one endpoint with receipts", table)
    for (lie, outcomes) in table where Self.structural.contains(lie) {
      #expect(outcomes[.unnoticed] == nil && outcomes[.doubted] == nil, "\(lie)")
    }
    for lie in ["all logs of its block withheld", "every log withheld", "an invented topic"] {
      #expect(table[lie].map { Set($0.keys) } == [.repaired], "\(lie)")
    }
  }

  @Test func aloneAndWithoutReceiptsStructuralLiesAreRefusedAndSilenceIsDoubted() throws {
    let table = try count(ChainLimits()) { liar in
      var liar = liar
      liar.missing = ["eth_getBlockReceipts", "eth_getTransactionReceipt"]
      return [liar]
    }
    Self.show("one endpoint without receipts", table)
    for (lie, outcomes) in table where Self.structural.contains(lie) {
      #expect(outcomes[.unnoticed] == nil && outcomes[.doubted] == nil, "\(lie)")
    }
    #expect(table["all logs of its block withheld"].map { Set($0.keys) } == [.doubted])
    #expect(table["every log withheld"].map { Set($0.keys) } == [.doubted])
  }

  // MARK: Lies

  private typealias Entry = [String: Any]
  private typealias Table = [String: [Outcome: Int]]

  /// Lies that contradict the request or the headers, and so need no witness.
  private static let structural: Set<String> = [
    "doubled", "swapped with the next", "a foreign address", "a foreign event", "no topics",
    "a foreign block hash", "the next block's hash", "a number out of the range",
    "the next block's number", "removed", "an earlier log index", "a log of a sibling block",
    "null instead of logs",
  ]

  /// Each kind changes the answer given the place of one log in it.
  private static let lies: [(String, @Sendable (inout [Entry], Int) -> Void)] = [
    ("withheld", { $0.remove(at: $1) }),
    (
      "all logs of its block withheld",
      { logs, place in
        let block = logs[place]["blockNumber"] as? String
        logs.removeAll { $0["blockNumber"] as? String == block }
      }
    ),
    ("every log withheld", { logs, _ in logs = [] }),
    ("doubled", { $0.insert($0[$1], at: $1) }),
    (
      "swapped with the next",
      { if $1 + 1 < $0.count { $0.swapAt($1, $1 + 1) } else { $0.swapAt($1, $1 - 1) } }
    ),
    ("a foreign address", { $0[$1]["address"] = SealedNode.stranger.lowercaseHex }),
    (
      "the other contract's address",
      { logs, place in
        let core = SealedNode.core.lowercaseHex
        logs[place]["address"] =
          logs[place]["address"] as? String == core ? SealedNode.irm.lowercaseHex : core
      }
    ),
    ("a foreign event", { $0[$1]["topics"] = ["\(SealedNode.word(5, salt: 5))"] }),
    (
      "another event",
      { logs, place in
        var topics = logs[place]["topics"] as? [String] ?? []
        let other = SealedNode.events.map(\.description).first { $0 != topics[0] } ?? ""
        topics[0] = other
        logs[place]["topics"] = topics
      }
    ),
    ("no topics", { $0[$1]["topics"] = [String]() }),
    (
      "an invented topic",
      { logs, place in
        let topics = logs[place]["topics"] as? [String] ?? []
        logs[place]["topics"] = topics + ["\(SealedNode.word(99, salt: 9))"]
      }
    ),
    (
      "one topic less",
      { logs, place in
        let topics = logs[place]["topics"] as? [String] ?? []
        logs[place]["topics"] = topics.count > 1 ? Array(topics.dropLast()) : []
      }
    ),
    ("other data", { $0[$1]["data"] = Hex.encode([UInt8](repeating: 7, count: 32)) }),
    ("shorter data", { $0[$1]["data"] = "0x" }),
    ("a foreign block hash", { $0[$1]["blockHash"] = "\(SealedNode.word(3, salt: 3))" }),
    ("a number out of the range", { $0[$1]["blockNumber"] = "0xe" }),
    (
      "the next block's number",
      { logs, place in
        let number = (logs[place]["blockNumber"] as? String).flatMap { Hex.parseQuantity($0) } ?? 0
        logs[place]["blockNumber"] = Hex.quantity(number == 13 ? 12 : number + 1)
      }
    ),
    ("removed", { $0[$1]["removed"] = true }),
    (
      "an earlier log index",
      { logs, place in
        let same =
          place > 0
          && logs[place]["blockNumber"] as? String == logs[place - 1]["blockNumber"] as? String
        if same {
          logs[place]["logIndex"] = logs[place - 1]["logIndex"]
        } else {
          logs.insert(logs[place], at: place)
        }
      }
    ),
    (
      "a log of a sibling block",
      { logs, place in
        var log = logs[place]
        log["blockHash"] = "\(SealedNode.word(4, salt: 4))"
        logs.insert(log, at: place)
      }
    ),
    ("null instead of logs", { _, _ in }),
  ]

  /// Tells each lie about each log.
  private func count(
    _ limits: ChainLimits, _ nodes: (SealedNode) -> [SealedNode]
  ) throws -> Table {
    let truth = honest.truth(Self.range)
    var table: Table = [:]
    for (name, lie) in Self.lies {
      for log in truth {
        var liar = honest
        if name == "null instead of logs" {
          liar.lie = { method, response in
            if method == "eth_getLogs" { response["result"] = NSNull() }
          }
        } else {
          liar.tamper = { logs in
            let place = logs.firstIndex {
              $0["blockHash"] as? String == "\(log.blockHash)"
                && $0["logIndex"] as? String == Hex.quantity(UInt64(log.logIndex))
            }
            if let place { lie(&logs, place) }
          }
        }
        let outcome = try outcome(of: ScriptedChain(nodes(liar), limits: limits), truth)
        table[name, default: [:]][outcome, default: 0] += 1
      }
    }
    return table
  }

  private func outcome(of scripted: ScriptedChain, _ truth: [Log]) -> Outcome {
    let parent = honest.blocks[1].header
    guard let window = try? scripted.window(Self.range, parent: (1, parent.hash)) else {
      return .refused
    }
    if window.logs == truth { return .repaired }
    return window.doubts.isEmpty ? .unnoticed : .doubted
  }

  private static func show(_ title: String, _ table: Table) {
    print("\(title): repaired, refused, doubted, unnoticed")
    for (name, _) in lies {
      let numbers = Outcome.allCases.map { String(table[name]?[$0] ?? 0) }.joined(separator: ", ")
      print("  \(name): \(numbers)")
    }
  }
}
