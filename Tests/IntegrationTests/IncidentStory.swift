import Ethereum
import Foundation
import FoundationNetworking
import Postgres
import TestKit
import Testing

/// An incident, told block by block on a dev chain, and what runs of the program made of it.
///
/// Each step changes the chain and then runs the program as cron does, once under each of the
/// settings that are compared. The first of them also tells a local server what it finds. The
/// timeline is what docs/incidents.md shows.
final class IncidentStory {
  /// A configuration that is compared with others.
  struct Setting {
    let name: String
    /// Members of `prices`; nil: there is no such object.
    var prices: String?
    /// Members of `controls`.
    var controls = ""
    /// The nodes that are asked; nil: the chain's own.
    var endpoints: [String]?
  }

  private struct Watch {
    let setting: Setting
    let database: TemporaryDatabase
    let program: Program
  }

  let chain: DevChain
  /// Of Moolah's shape; a pair on the other has its own.
  let oracle: String
  private let shape: String
  private let server: TelegramServer
  private var watches: [Watch] = []
  private var began: Int?
  private var rows: [[String]] = []
  private var told: Int64 = 0
  /// Names of markets, by key.
  private var names: [String: String] = [:]
  /// Rate models, by market.
  private(set) var models: [String: String] = [:]
  /// Addresses of tokens, by symbol.
  private(set) var tokens: [String: String] = [:]
  /// A last column, and what it says at each step.
  var aside: (name: String, text: () -> String)?

  init(seed: UInt64, shape: String = "moolah") throws {
    chain = try DevChain(seed: seed, shape: shape)
    self.shape = shape
    oracle = try chain.ask(["do": "parts"])["oracle"] as? String ?? ""
    server = try TelegramServer()
  }

  // MARK: The stage

  /// A token and, on Moolah's shape, its price in dollars with eight decimals.
  func token(_ symbol: String, decimals: Int = 18, dollars: Int = 0) throws {
    let answer = try chain.ask([
      "do": "token", "symbol": symbol, "decimals": decimals, "dollars": dollars,
    ])
    tokens[symbol] = try #require(answer["address"] as? String)
  }

  func deploy(_ contract: String, _ types: String, _ arguments: [Any]) throws -> String {
    let answer = try chain.ask([
      "do": "deploy", "contract": contract, "types": types, "arguments": arguments,
    ])
    return try #require(answer["address"] as? String)
  }

  /// A market with so many whole tokens lent; returns its key.
  func market(
    _ name: String, loan: String, collateral: String, lltv: Int, lent: String,
    rate: String = "adaptive", oracle: String? = nil
  ) throws -> String {
    var command: [String: Any] = [
      "do": "market", "loan": loan, "collateral": collateral, "lltv": lltv, "lent": lent,
      "rate": rate,
    ]
    command["oracle"] = oracle
    let answer = try chain.ask(command)
    let key = try #require(answer["market"] as? String)
    names[key] = name
    models[key] = answer["model"] as? String
    return key
  }

  /// Opens loans of (name, collateral, debt), in one block.
  func lend(
    in market: String, _ loans: [(name: String, collateral: String, debt: String)],
    after seconds: Int = 12
  ) throws {
    try chain.ask([
      "do": "loans", "market": market, "seconds": seconds,
      "loans": loans.map { [$0.name, $0.collateral, $0.debt] },
    ])
  }

  /// Calls of the owner, all in one block.
  func send(_ calls: [(to: String, signature: String, arguments: [Any])], after seconds: Int)
    throws
  {
    try chain.ask([
      "do": "calls", "seconds": seconds,
      "calls": calls.map {
        ["to": $0.to, "signature": $0.signature, "arguments": $0.arguments] as [String: Any]
      },
    ])
  }

  /// A call that gives a token of Moolah's oracle its price.
  func pricing(_ symbol: String, _ price: Int) -> (
    to: String, signature: String, arguments: [Any]
  ) {
    (oracle, "setPrice(address,uint256)", [tokens[symbol] ?? "", price])
  }

  func setPrice(of symbol: String, _ price: Int, after seconds: Int) throws {
    try send([pricing(symbol, price)], after: seconds)
  }

  /// Lenders take everything but so much of what is not lent.
  func withdraw(from market: String, keep: String, after seconds: Int) throws {
    try chain.ask(["do": "withdraw", "market": market, "keep": keep, "seconds": seconds])
  }

  func liquidate(_ users: some Sequence<String>, in market: String, after seconds: Int) throws {
    try chain.ask([
      "do": "liquidate", "market": market, "users": Array(users), "seconds": seconds,
    ])
  }

  /// The borrowers that the contract does not hold to be healthy.
  func unhealthy(in market: String, block: Int? = nil) throws -> Set<String> {
    var command: [String: Any] = ["do": "verdicts", "market": market]
    command["block"] = block
    let verdicts = try chain.ask(command)["verdicts"] as? [String: [String: Any]] ?? [:]
    return Set(verdicts.filter { $0.value["healthy"] as? Bool == false }.keys)
  }

  /// A rule of a token's price of Moolah's oracle.
  func rule(_ symbol: String, _ members: String) -> String {
    "\"rules\": [{ \"oracle\": \"\(oracle)\", \"token\": \"\(tokens[symbol] ?? "")\", \(members) }]"
  }

  /// How many of the contract's logs the node tells who asks for them, and how many there are.
  func logs(from block: Int) async throws -> (told: Int, real: Int) {
    let filter = ["address": chain.core, "fromBlock": "0x\(String(block, radix: 16))"]
    let real = try chain.ask(["do": "rpc", "method": "eth_getLogs", "params": [filter]])
    var request = URLRequest(url: try #require(URL(string: chain.rpc)))
    request.httpMethod = "POST"
    request.setValue("application/json", forHTTPHeaderField: "Content-Type")
    request.httpBody = try JSONSerialization.data(withJSONObject: [
      "jsonrpc": "2.0", "id": 1, "method": "eth_getLogs", "params": [filter],
    ])
    let (data, _) = try await URLSession.shared.data(for: request)
    let answer = try JSONSerialization.jsonObject(with: data) as? [String: Any]
    return (
      try #require(answer?["result"] as? [Any]).count, try #require(real["result"] as? [Any]).count
    )
  }

  /// Keeps every log of a block from whoever asks, for ever.
  func hideLogs(of block: Int) throws {
    let number = "0x\(String(block, radix: 16))"
    let logs = try chain.ask([
      "do": "rpc", "method": "eth_getLogs", "params": [["fromBlock": number, "toBlock": number]],
    ])
    for log in try #require(logs["result"] as? [[String: Any]]) {
      try chain.ask([
        "do": "fault", "count": -1,
        "hide_log": ["blockNumber": number, "logIndex": log["logIndex"]],
      ])
    }
  }

  // MARK: The runs

  /// Begins to watch, under each setting with a database of its own.
  func watch(_ settings: [Setting]) throws {
    for setting in settings {
      let database = try TemporaryDatabase()
      let program = try Program(
        configuration: configuration(setting, tells: watches.isEmpty), database: database.url)
      try AlertGround.write(AlertGround.token, to: "bot.token", of: program)
      watches.append(Watch(setting: setting, database: database, program: program))
    }
  }

  private func configuration(_ setting: Setting, tells: Bool) -> String {
    var text = String.oneDeployment(
      "story", system: shape == "moolah" ? "moolah" : "morpho-blue", core: chain.core,
      chainID: chain.chainID, firstBlock: chain.firstBlock, rpc: chain.rpc)
    if let endpoints = setting.endpoints {
      let list = endpoints.enumerated().map {
        "{ \"name\": \"node-\($0.offset)\", \"url\": \"\($0.element)\" }"
      }
      text = text.replacing(
        "[{ \"name\": \"node\", \"url\": \"\(chain.rpc)\" }]",
        with: "[\(list.joined(separator: ", "))], \"max_head_lag\": 4")
    }
    if let prices = setting.prices {
      text = text.replacing(
        "\"block_time_ms\"", with: "\"prices\": { \(prices) }, \"block_time_ms\"")
    }
    let place = "\"first_block\": \(chain.firstBlock),"
    text = text.replacing(place, with: "\(place) \"controls\": { \(setting.controls) },")
    if !tells { return text }
    return """
      \(text.dropLast()) "alerts": {
        "near_bps": 0, "top": 5,
        "routes": {
          "ops": {
            "type": "telegram", "chat_id": "42", "token_file": "bot.token",
            "base_url": "\(server.url)", "pace_ms": 0,
          },
        },
      }, }
      """
  }

  /// Something happens on the chain, and the program runs under each setting.
  @discardableResult
  func step(_ what: String, _ deed: () throws -> Void = {}) throws -> [Look] {
    try deed()
    let head = try chain.ask(["do": "mine", "count": 0])
    let block = try #require(head["head"] as? Int)
    let second = try #require(head["timestamp"] as? Int)
    began = began ?? second
    let passed = second - (began ?? second)
    let looks = try watches.map { try look($0.program) }
    let now = Int(Date().timeIntervalSince1970)
    let alert = try watches[0].program.run("alert", "--at", String(now + passed))
    try #require(alert.exit == 0 || alert.exit == 1, "\(alert.errors)")
    let news = try news()
    var row = [Self.clock(passed), String(block), what]
    row.append(looks[0].summary)
    row.append(news.isEmpty ? "–" : news.joined(separator: ", "))
    row += looks.dropFirst().map(\.summary)
    if let aside { row.append(aside.text()) }
    rows.append(row)
    return looks
  }

  private func look(_ program: Program) throws -> Look {
    let consumed = try program.run("consume-events", "--json", "--deadline", "10s")
    let scanned = try program.run(
      "scan-liquidations", "--json", "--limit", "1000", "--deadline", "10s")
    return try Look(consumed, scanned, names: names)
  }

  private static func clock(_ seconds: Int) -> String {
    func two(_ number: Int) -> String { number < 10 ? "0\(number)" : String(number) }
    return "\(seconds / 3_600):\(two(seconds / 60 % 60)):\(two(seconds % 60))"
  }

  /// What was told since the last look: so many of each kind.
  private func news() throws -> [String] {
    let rows = try watches[0].database.connection().transaction(.readOnly) { tx in
      try tx.query(
        """
        select event, kind, count(*), max(id), max(facts->>'more') from outbox
        where id > \(told) group by event, kind order by min(id)
        """
      ).map { row in
        (
          try row.get(0, String.self), try row.get(1, String.self), try row.get(2, Int.self),
          try row.get(3, Int64.self), try row.get(4, String?.self)
        )
      }
    }
    told = rows.map(\.3).max() ?? told
    return rows.map { event, kind, count, _, more in
      let number = more.map { " (\($0))" } ?? (count > 1 ? " × \(count)" : "")
      return "\(event) `\(kind)`\(number)"
    }
  }

  /// Whether a message that was delivered has these words.
  func wasTold(_ words: String) -> Bool { server.taken.contains { $0.text.contains(words) } }

  /// One number of the first setting's database.
  func count(_ sql: SQL) throws -> Int {
    try watches[0].database.connection().transaction(.readOnly) { tx in
      try tx.query(sql)[0].get(0, Int.self)
    }
  }

  // MARK: The document

  /// Everything was delivered once, and the document shows this timeline.
  ///
  /// With `PLIMSOLL_TELL_INCIDENTS=1` in the environment the document is written instead.
  func finish(as name: String, _ location: SourceLocation = #_sourceLocation) throws {
    let keys = try watches[0].database.connection().transaction(.readOnly) { tx in
      try tx.query("select dedup_key from outbox order by id").map { try $0.get(0, String.self) }
    }
    #expect(server.taken.map(\.key) == keys, sourceLocation: location)
    let head =
      ["time", "block", "on the chain", watches[0].setting.name, "told"]
      + watches.dropFirst().map(\.setting.name) + (aside.map { [$0.name] } ?? [])
    let lines = [head, head.map { _ in "---" }] + rows
    let table = lines.map { "| \($0.joined(separator: " | ")) |" }.joined(separator: "\n")
    let path = #filePath.replacing(
      "Tests/IntegrationTests/IncidentStory.swift", with: "docs/incidents.md")
    let (from, to) = ("<!-- \(name) -->\n\n", "\n\n<!-- /\(name) -->")
    let text = try String(contentsOfFile: path, encoding: .utf8)
    let start = try #require(text.range(of: from), "\(name)", sourceLocation: location)
    let end = try #require(text.range(of: to), "\(name)", sourceLocation: location)
    if ProcessInfo.processInfo.environment["PLIMSOLL_TELL_INCIDENTS"] == "1" {
      try text.replacingCharacters(in: start.upperBound..<end.lowerBound, with: table)
        .write(toFile: path, atomically: true, encoding: .utf8)
    } else {
      #expect(text[start.upperBound..<end.lowerBound] == table, sourceLocation: location)
    }
  }
}

/// What one run of the program said.
struct Look: Equatable {
  let consumeExit: Int32
  let exit: Int32
  /// Of the scan; nil when it judged nothing.
  let block: Int?
  let counters: [String: Int]
  let consumed: [String: Int]
  let notes: [String]
  let consumeNotes: [String]
  /// Addresses of those over their line, in lower case.
  let listed: Set<String>

  init(_ consumed: Program.Result, _ scanned: Program.Result, names: [String: String]) throws {
    consumeExit = consumed.exit
    exit = scanned.exit
    let json = try scanned.json()
    counters = json["counters"] as? [String: Int] ?? [:]
    let facts = json["facts"] as? [String: Any] ?? [:]
    block = (facts["story block"] as? String).flatMap { Int($0) }
    let consumedJSON = try consumed.json()
    self.consumed = consumedJSON["counters"] as? [String: Int] ?? [:]
    consumeNotes = consumedJSON["notes"] as? [String] ?? []
    notes = (json["notes"] as? [String] ?? []).map { note in
      names.reduce(note.replacing("story: ", with: "")) { text, name in
        text.replacing("market \(name.key)", with: name.value)
      }
    }
    let candidates = json["candidates"] as? [[String: Any]] ?? []
    listed = Set(
      candidates.filter { $0["certainty"] as? String == "verified" }
        .compactMap { ($0["user"] as? String)?.lowercased() })
  }

  var healthy: Int { counters["healthy"] ?? 0 }
  var liquidatable: Int { counters["liquidatable"] ?? 0 }
  var unknown: Int { counters["unknown"] ?? 0 }

  func outcome(_ name: String) -> Int { counters["outcome_\(name)"] ?? 0 }

  func says(_ text: String) -> Bool { notes.contains { $0.contains(text) } }

  /// The outcomes that there are, and how many of each.
  private var outcomes: String {
    counters.filter { $0.key.hasPrefix("outcome_") && $0.value > 0 }
      .map { "\($0.value) `\($0.key.dropFirst(8))`" }.sorted().joined(separator: ", ")
  }

  var summary: String {
    var parts: [String] = []
    if consumeExit != 0 { parts.append("`consume-events` ends \(consumeExit)") }
    if exit > 1 { parts.append("`scan-liquidations` ends \(exit)") }
    if liquidatable > 0 { parts.append("**\(liquidatable) liquidatable**: \(outcomes)") }
    if healthy > 0 { parts.append("\(healthy) healthy") }
    if unknown > 0 { parts.append("\(unknown) unknown") }
    if parts.isEmpty { parts.append("no loans") }
    return (parts + notes).joined(separator: "; ")
  }
}
