import Foundation
import Postgres
import Schema
import TestKit
import Testing

/// What the program says and how it ends when a person, a file, a node or a database is wrong.
@Suite struct BadInputTests {
  /// One command line in one surroundings.
  struct Setup {
    var configuration: String
    var database: String?
    var arguments = ["consume-events", "--quiet"]
    /// Kept alive until the program has ended.
    var nodes: [ToyNode] = []
    var databases: [TemporaryDatabase] = []

    /// A program that would end well.
    init() throws {
      let database = try TemporaryDatabase()
      let node = try ToyNode()
      configuration = Self.configuration(endpoints: [node.url])
      self.database = try database.url
      nodes = [node]
      databases = [database]
    }

    /// Runs the program once to its end; nodes and databases live as long.
    func run(_ more: String...) throws -> Program.Result {
      try withExtendedLifetime(self) {
        try Program(configuration: configuration, database: database).run(arguments + more)
      }
    }

    static func configuration(endpoints: [String]) -> String {
      let list = endpoints.enumerated().map {
        "{ \"name\": \"node-\($0 + 1)\", \"url\": \"\($1)\" }"
      }
      return """
        {
          "chains": {
            "local": {
              "chain_id": 1,
              "endpoints": [\(list.joined(separator: ", "))],
              "request_timeout_ms": 1000, "max_head_age_seconds": 0,
            },
          },
          "deployments": {
            "markets": {
              "chain": "local", "system": "morpho-blue",
              "address": "0x8F73b65B4caAf64FBA2aF91cC5D4a2A1318E5D8C", "first_block": 5,
            },
          },
        }
        """
    }

    mutating func use(_ nodes: ToyNode...) {
      self.nodes = nodes
      configuration = Self.configuration(endpoints: nodes.map(\.url))
    }

    /// A text of the configuration, written otherwise.
    mutating func write(_ text: String, insteadOf old: String) {
      precondition(configuration.contains(old), "the configuration does not hold \(old)")
      configuration = configuration.replacingOccurrences(of: old, with: text)
    }

    mutating func use(_ database: TemporaryDatabase) throws {
      databases = [database]
      self.database = try database.url
    }
  }

  struct Case: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let exit: Int32
    /// What the error line has to name.
    let names: [String]
    let arrange: @Sendable (inout Setup) throws -> Void

    init(
      _ name: String, exit: Int32, names: [String],
      _ arrange: @escaping @Sendable (inout Setup) throws -> Void
    ) {
      testDescription = name
      self.exit = exit
      self.names = names
      self.arrange = arrange
    }
  }

  // MARK: Before the run

  private static let address = "0x8F73b65B4caAf64FBA2aF91cC5D4a2A1318E5D8C"

  static let configurations: [Case] = [
    Case("an unknown key", exit: 78, names: ["plimsoll.json", "chain_idd", "chain_id"]) {
      $0.write("\"chain_idd\": 1", insteadOf: "\"chain_id\": 1")
    },
    Case("an unknown key at the top", exit: 78, names: ["plimsoll.json", "chainz", "chains"]) {
      $0.write("\"chainz\": {", insteadOf: "\"chains\": {")
    },
    Case("a key given twice", exit: 78, names: ["plimsoll.json", "chain_id", "twice"]) {
      $0.write("\"chain_id\": 1, \"chain_id\": 1", insteadOf: "\"chain_id\": 1")
    },
    Case(
      "a bad checksum", exit: 78,
      names: ["plimsoll.json", "deployments.markets.address", "0x8f73", "checksum"]
    ) { $0.write("0x8f73b65B4caAf64FBA2aF91cC5D4a2A1318E5D8C", insteadOf: address) },
    Case(
      "a short address", exit: 78,
      names: ["plimsoll.json", "deployments.markets.address", "\"0x8F73\"", "40"]
    ) { $0.write("0x8F73", insteadOf: address) },
    Case(
      "a URL of another scheme", exit: 78,
      names: ["plimsoll.json", "chains.local.endpoints[0].url", "ftp://", "http or https"]
    ) { $0.configuration = Setup.configuration(endpoints: ["ftp://example.org"]) },
    Case(
      "a chain without endpoints", exit: 78, names: ["plimsoll.json", "chains.local.endpoints"]
    ) { $0.configuration = Setup.configuration(endpoints: []) },
    Case(
      "a chain that is not there", exit: 78,
      names: ["plimsoll.json", "deployments.markets.chain", "locl", "local"]
    ) { $0.write("\"chain\": \"locl\"", insteadOf: "\"chain\": \"local\"") },
    Case(
      "an unknown system", exit: 78,
      names: ["plimsoll.json", "deployments.markets.system", "morpho", "morpho-blue"]
    ) { $0.write("\"morpho\"", insteadOf: "\"morpho-blue\"") },
    Case("a negative block", exit: 78, names: ["plimsoll.json", "first_block", "-5"]) {
      $0.write("\"first_block\": -5", insteadOf: "\"first_block\": 5")
    },
    Case("a number as text", exit: 78, names: ["plimsoll.json", "chains.local.chain_id"]) {
      $0.write("\"chain_id\": \"one\"", insteadOf: "\"chain_id\": 1")
    },
    Case("not JSON", exit: 78, names: ["plimsoll.json"]) { $0.configuration = "chains: local" },
    Case("an empty file", exit: 78, names: ["plimsoll.json"]) { $0.configuration = "" },
    Case("braces without end", exit: 78, names: ["plimsoll.json"]) {
      $0.configuration = String(repeating: "{\"a\":", count: 100_000)
    },
    Case("a file too large", exit: 78, names: ["plimsoll.json"]) {
      $0.configuration = String(repeating: " ", count: 2_000_000)
    },
    Case("no file", exit: 78, names: ["nowhere.json", "no such file"]) {
      $0.arguments += ["--config", "nowhere.json"]
    },
  ]

  /// A database without any table.
  private static func emptied() throws -> TemporaryDatabase {
    let database = try TemporaryDatabase()
    try database.connection().transaction { tx in
      try tx.execute("drop schema public cascade")
      try tx.execute("create schema public")
    }
    return database
  }

  static let databases: [Case] = [
    Case("no database", exit: 78, names: ["database", "not configured", "PLIMSOLL_DATABASE"]) {
      $0.database = nil
    },
    Case("a database that is no URL", exit: 78, names: ["PLIMSOLL_DATABASE", "postgresql://"]) {
      $0.database = "mysql"
    },
    Case("a password in the environment", exit: 78, names: ["PLIMSOLL_DATABASE", "password"]) {
      $0.database = "postgresql://me:hunter22@127.0.0.1/db"
    },
    Case("a server that is not there", exit: 69, names: ["database", "cannot connect"]) {
      $0.database = "postgresql://127.0.0.1:1/plimsoll"
    },
    Case("a database that is not there", exit: 78, names: ["\"nowhere\" does not exist"]) {
      let socket = try TestCluster.shared().socketDirectory
      $0.database = "postgresql://plimsoll@/nowhere?host=\(socket)"
    },
    Case("no schema", exit: 78, names: ["database", "no schema", "plimsoll migrate"]) {
      try $0.use(emptied())
    },
    Case("an old schema", exit: 78, names: ["database", "at 1", "plimsoll migrate"]) {
      let database = try emptied()
      try Migrator.apply([Schema.migrations[0]], on: try database.connection())
      try $0.use(database)
    },
    Case("a schema too new", exit: 78, names: ["database", "install a newer plimsoll"]) {
      let database = try TemporaryDatabase()
      let later = (1...2).map {
        Migration(version: Schema.migrations.count + $0, name: "later", sql: "select 1")
      }
      try Migrator.apply(Schema.migrations + later, on: try database.connection())
      try $0.use(database)
    },
  ]

  static let commandLines: [Case] = [
    Case("an unknown subcommand", exit: 64, names: ["\"consume-event\"", "consume-events"]) {
      $0.arguments = ["consume-event"]
    },
    Case("no subcommand", exit: 64, names: ["no subcommand", "--help"]) { $0.arguments = [] },
    Case("an unknown option", exit: 64, names: ["--from-blok", "--from-block"]) {
      $0.arguments += ["--from-blok", "5"]
    },
    Case("a word too many", exit: 64, names: ["\"now\""]) { $0.arguments += ["now"] },
    Case("a range upside down", exit: 64, names: ["--from-block 20", "--to-block 10"]) {
      $0.arguments += ["--from-block", "20", "--to-block", "10"]
    },
    Case("a block that is no number", exit: 64, names: ["--to-block", "\"head\""]) {
      $0.arguments += ["--to-block", "head"]
    },
    Case("a block beyond 64 bits", exit: 64, names: ["--to-block", "\"18446744073709551616\""]) {
      $0.arguments += ["--to-block", "18446744073709551616"]
    },
    Case("an option without its value", exit: 64, names: ["--to-block", "value"]) {
      $0.arguments += ["--to-block"]
    },
    Case("windows of no block", exit: 64, names: ["--window", "\"0\"", "from 1"]) {
      $0.arguments += ["--window", "0"]
    },
    Case("at most no block", exit: 64, names: ["--max-blocks", "\"0\"", "from 1"]) {
      $0.arguments += ["--max-blocks", "0"]
    },
    Case("an unknown deployment", exit: 64, names: ["--deployment", "\"market\"", "markets"]) {
      $0.arguments += ["--deployment", "market"]
    },
    Case("a time that is none", exit: 64, names: ["--at", "\"noon\""]) {
      $0.arguments = ["refresh-debt", "--at", "noon"]
    },
    Case("a user that is no address", exit: 64, names: ["--user", "\"0x12\"", "40"]) {
      $0.arguments = ["positions", "--user", "0x12"]
    },
    Case("control characters", exit: 64, names: ["--to-block", "\\u{1B}[31m"]) {
      $0.arguments += ["--to-block", "\u{1b}[31m5"]
    },
  ]

  @Test(arguments: configurations + databases + commandLines)
  func whatCannotBeginEndsWithOneLine(_ bad: Case) throws {
    let result = try run(bad)
    #expect(result.exit == bad.exit)
    #expect(result.output == "")
    #expect(result.errors.hasPrefix("plimsoll: "))
    expectOneLine(result, naming: bad.names)
  }

  // MARK: In the run

  private static let html = LocalHTTPServer.Reply.answer(
    Array("<html><body>502 Bad Gateway</body></html>".utf8))

  private static func answering(_ answers: [String: String])
    -> @Sendable (inout Setup) throws -> Void
  {
    { $0.use(try ToyNode(answers: answers)) }
  }

  static let nodes: [Case] = [
    Case("another chain", exit: 78, names: ["\"node-1\"", "serves chain 5, not 1"]) {
      $0.use(try ToyNode(chainID: 5))
    },
    Case("a page instead of JSON", exit: 69, names: ["\"node-1\"", "eth_chainId", "JSON"]) {
      $0.use(try ToyNode(misbehaving: html))
    },
    Case("a gateway's error page", exit: 69, names: ["\"node-1\"", "eth_chainId", "502"]) {
      $0.use(try ToyNode(misbehaving: .answer(Array("<html>".utf8), status: 502)))
    },
    Case("a key that is refused", exit: 69, names: ["\"node-1\"", "eth_chainId", "401"]) {
      $0.use(try ToyNode(misbehaving: .answer([], status: 401)))
    },
    Case("an empty answer", exit: 69, names: ["\"node-1\"", "eth_chainId", "JSON"]) {
      $0.use(try ToyNode(misbehaving: .answer([])))
    },
    Case(
      "an object instead of a number", exit: 69, names: ["\"node-1\"", "eth_chainId", "a string"],
      answering(["eth_chainId": "{\"chain\": 1}"])),
    Case(
      "a header without a hash", exit: 69, names: ["eth_getBlockByNumber", "hash"],
      answering(["eth_getBlockByNumber": "{\"number\": \"0x64\"}"])),
    Case(
      "a block number of 2^64 - 1", exit: 69, names: ["eth_getBlockByNumber", "range"],
      answering(["eth_getBlockByNumber": ToyNode.header("0x64", number: "0xffffffffffffffff")])),
    Case(
      "a second of 2^64 - 1", exit: 69, names: ["eth_getBlockByNumber", "range"],
      answering(["eth_getBlockByNumber": ToyNode.header("0x64", timestamp: "0xffffffffffffffff")])),
    Case(
      "logs that are none", exit: 69, names: ["\"node-1\"", "eth_getLogs"],
      answering(["eth_getLogs": "[{\"address\": 7}]"])),
    Case("an error in several lines", exit: 69, names: ["\"node-1\"", "\\u{1b}", "second line"]) {
      let error =
        #"{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"\u001b[2J\nsecond line"}}"#
      $0.use(try ToyNode(misbehaving: .answer(Array(error.utf8))))
    },
    Case("a connection that is reset", exit: 69, names: ["\"node-1\"", "eth_chainId"]) {
      $0.use(try ToyNode(misbehaving: .reset))
    },
    Case("half an answer", exit: 69, names: ["\"node-1\"", "eth_chainId"]) {
      $0.use(try ToyNode(misbehaving: .half([UInt8](repeating: 0x20, count: 1_000))))
    },
    Case("every node down", exit: 69, names: ["\"node-", "eth_chainId", "connect"]) {
      $0.configuration = Setup.configuration(
        endpoints: [try ToyNode.closedPort(), try ToyNode.closedPort()])
    },
    Case("an answer of 200 MB", exit: 69, names: ["\"node-1\"", "eth_chainId", "67108864 bytes"]) {
      $0.use(try ToyNode(misbehaving: .flood(200 << 20, declaresLength: true)))
    },
    Case(
      "an answer of 200 MB in chunks", exit: 69,
      names: ["\"node-1\"", "eth_chainId", "67108864 bytes"]
    ) { $0.use(try ToyNode(misbehaving: .flood(200 << 20, declaresLength: false))) },
    Case("an answer of 60 MB of nothing", exit: 69, names: ["\"node-1\"", "JSON"]) {
      $0.use(try ToyNode(misbehaving: .flood(60 << 20, declaresLength: false)))
      $0.write("\"request_timeout_ms\": 20000", insteadOf: "\"request_timeout_ms\": 1000")
    },
    Case(
      "a start that leaves a gap", exit: 64, names: ["markets", "--from-block 50", "5...49"]
    ) { $0.arguments += ["--from-block", "50"] },
  ]

  /// More than half of what the largest answer alone takes would be too much.
  private static let memoryMaxKilobytes = 300 * 1_024

  @Test(arguments: nodes)
  func whatEndsARunIsToldInOneLineAndInTheResult(_ bad: Case) throws {
    let (result, peak) = try watch(bad)
    #expect(result.exit == bad.exit)
    expectOneLine(result, naming: bad.names)
    #expect(result.errors.contains("\"level\":\"error\""))
    // The result says no more than that it failed, and why.
    let lines = result.output.split(separator: "\n")
    #expect(lines.count == 2)
    #expect(lines.first?.hasPrefix("consume-events: failed") == true)
    #expect(peak > 0 && peak < Self.memoryMaxKilobytes, "\(peak) kB")
  }

  @Test func aNodeThatHangsCostsNoMoreThanItsTimeouts() throws {
    let clock = ContinuousClock()
    let started = clock.now
    let result = try run(
      Case("silence", exit: 69, names: []) {
        $0.use(try ToyNode(misbehaving: .silence))
        $0.write("\"request_timeout_ms\": 200", insteadOf: "\"request_timeout_ms\": 1000")
      })
    #expect(result.exit == 69)
    expectOneLine(result, naming: ["\"node-1\"", "eth_chainId", "time"])
    // Six attempts and the waits between them.
    #expect(clock.now - started < .seconds(15))
  }

  @Test func aNodeThatHangsDoesNotOutliveTheDeadline() throws {
    let clock = ContinuousClock()
    let started = clock.now
    let result = try run(
      Case("silence", exit: 75, names: []) {
        $0.use(try ToyNode(misbehaving: .silence))
        $0.arguments += ["--deadline", "1s"]
      })
    #expect(result.exit == 75)
    #expect(clock.now - started < .seconds(5))
  }

  @Test func aNodeWithoutAHeadIsAskedAgainLater() throws {
    let result = try run(
      Case("no head", exit: 75, names: []) {
        $0.use(try ToyNode(answers: ["eth_getBlockByNumber": "null"]))
      })
    #expect(result.exit == 75)
    #expect(result.output.contains("eth_getBlockByNumber: block or its state not known"))
    // Nothing has failed, so the log is quiet.
    #expect(result.errors == "")
  }

  @Test func theSecondNodeTakesOverWhenTheFirstIsDown() throws {
    let good = try ToyNode()
    let bad =
      [
        try ToyNode.closedPort(), try ToyNode(misbehaving: Self.html),
        try ToyNode(misbehaving: .reset),
        try ToyNode(misbehaving: .answer([], status: 503)),
        try ToyNode(misbehaving: .answer([], status: 401)),
      ] as [Any]
    for first in bad {
      var setup = try Setup()
      let url = (first as? ToyNode)?.url ?? first as? String ?? ""
      setup.configuration = Setup.configuration(endpoints: [url, good.url])
      let result = try withExtendedLifetime((first, good)) { try setup.run() }
      #expect(result.exit == 0, "\(result.errors)")
      #expect(result.output.contains("markets cursor 100"))
    }
  }

  @Test func aRunThatWouldEndWellEndsWell() throws {
    let setup = try Setup()
    for _ in 0..<2 {
      let result = try setup.run()
      #expect(result.exit == 0)
      #expect(result.errors == "")
    }
    // To begin where it goes on, or before, leaves nothing out.
    for first in ["0", "5", "100", "101"] {
      #expect(try setup.run("--from-block", first).exit == 0)
    }
  }

  @Test func theFirstRunMayBeToldToBeginWhereItBegins() throws {
    for (first, block) in [("0", "0"), ("0", "5"), ("5", "5")] {
      var setup = try Setup()
      setup.write("\"first_block\": \(block)", insteadOf: "\"first_block\": 5")
      let result = try setup.run("--from-block", first)
      #expect(result.exit == 0, "\(result.errors)")
    }
  }

  // MARK: Running

  private func run(_ bad: Case) throws -> Program.Result {
    var setup = try Setup()
    try bad.arrange(&setup)
    return try setup.run()
  }

  /// Runs, and tells the largest memory that the process has had, in kilobytes.
  private func watch(_ bad: Case) throws -> (Program.Result, peak: Int) {
    var setup = try Setup()
    try bad.arrange(&setup)
    let program = try Program(configuration: setup.configuration, database: setup.database)
    let running = program.start(setup.arguments)
    try running.launch()
    var peak = 0
    while let memory = Self.peakMemory(of: running.pid) {
      peak = max(peak, memory)
      Thread.sleep(forTimeInterval: 0.002)
    }
    return withExtendedLifetime(setup) { (running.wait(), peak) }
  }

  /// `VmHWM` of a living process; it never falls.
  private static func peakMemory(of pid: Int32) -> Int? {
    guard let status = try? String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8) else {
      return nil
    }
    let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
    return line?.split(whereSeparator: { $0 == " " || $0 == "\t" }).dropFirst().first
      .flatMap { Int($0) }
  }

  private func expectOneLine(_ result: Program.Result, naming names: [String]) {
    let lines = result.errors.split(separator: "\n", omittingEmptySubsequences: false)
    #expect(lines.count == 2 && lines.last == "", "\(result.errors)")
    // Quotes and backslashes of a JSON line, as they were.
    let text = result.errors.replacingOccurrences(of: "\\\"", with: "\"")
      .replacingOccurrences(of: "\\\\", with: "\\")
    for name in names { #expect(text.contains(name), "\(name) in \(text)") }
    #expect(!result.errors.contains("hunter22"))
    #expect(!result.errors.unicodeScalars.contains { $0.value < 0x20 && $0 != "\n" })
    #expect(!result.errors.contains("http://127"))
  }
}
