import Ethereum
import Foundation
import Postgres
import Quantities
import Synchronization
import TestKit

/// A story whose oracles, feeds and outside sources the test moves by hand.
final class PricedStory {
  let chain: DevChain
  let database: TemporaryDatabase
  /// Prices tokens on Moolah's shape; pairs have oracles of their own on the other.
  let oracle: String
  /// By symbol.
  let tokens: [String: String]
  private(set) var program: Program
  private let configuration: String

  /// Where each price of the story begins, in dollars with eight decimals.
  static let start: [String: UInt64] = [
    "USDX": 100_000_000, "DAIX": 100_000_000, "WETHX": 185_000_000_000,
    "BTCX": 2_900_000_000_000, "BNBX": 24_000_000_000,
  ]

  init(seed: UInt64, shape: String = "moolah", steps: Int = 60) throws {
    chain = try DevChain(seed: seed, shape: shape)
    try chain.advance(steps)
    let parts = try chain.ask(["do": "parts"])
    oracle = parts["oracle"] as? String ?? ""
    tokens = parts["tokens"] as? [String: String] ?? [:]
    configuration = .oneDeployment(
      "story", system: shape == "moolah" ? "moolah" : "morpho-blue", core: chain.core,
      chainID: chain.chainID, firstBlock: chain.firstBlock, rpc: chain.rpc)
    database = try TemporaryDatabase()
    program = try Program(configuration: configuration, database: database.url)
    if shape == "moolah" { try calm() }
  }

  /// From now on prices are judged by these settings: the members of `prices`.
  func judge(by prices: String) throws {
    let text = configuration.replacing(
      "\"block_time_ms\"", with: "\"prices\": { \(prices) }, \"block_time_ms\"")
    program = try Program(configuration: text, database: database.url)
  }

  /// Every token at its first price and no oracle broken.
  func calm() throws {
    for symbol in tokens.keys.sorted() {
      try setPrice(of: symbol, Self.start[symbol] ?? 0)
      try send(to: oracle, "setBroken(address,bool)", [token(symbol), false])
    }
  }

  func token(_ symbol: String) -> String { tokens[symbol] ?? "" }

  func send(
    to contract: String, _ signature: String, _ arguments: [Any], seconds: Int = 12
  ) throws {
    try chain.ask([
      "do": "send", "to": contract, "signature": signature, "arguments": arguments,
      "seconds": seconds,
    ])
  }

  func setPrice(of symbol: String, _ price: UInt64, seconds: Int = 12) throws {
    try send(
      to: oracle, "setPrice(address,uint256)", [token(symbol), Int(price)], seconds: seconds)
  }

  func deploy(_ contract: String, _ types: String, _ arguments: [Any]) throws -> String {
    let answer = try chain.ask([
      "do": "deploy", "contract": contract, "types": types, "arguments": arguments,
    ])
    return answer["address"] as? String ?? ""
  }

  /// A rule of a token's price on Moolah's shape.
  func rule(_ symbol: String, _ members: String) -> String {
    "\"rules\": [{ \"oracle\": \"\(oracle)\", \"token\": \"\(token(symbol))\", \(members) }]"
  }

  // MARK: Scans

  /// What a scan found in the markets that a token is in.
  struct Found {
    var reasons: Set<String?> = []
    var details: Set<String> = []
    var healthy = 0
    var liquidatable = 0
    var unknown = 0
    var candidates = 0
    var shadow = 0
    var warnings: Set<String> = []
    /// What the run printed.
    var output = ""
    var exit: Int32 = 0
  }

  /// Consumes, scans, and tells what was found in the markets that the token is in.
  func scan(_ symbol: String, _ arguments: String...) throws -> Found {
    try program.consume()
    let result = try program.run(["scan-liquidations"] + arguments)
    guard [0, 1].contains(result.exit) else {
      throw ProgramError(message: "scan ended \(result.exit): \(result.errors)")
    }
    var found = try self.found(token(symbol))
    found.output = result.output
    found.exit = result.exit
    return found
  }

  /// What the last scan left of the markets that a token, or an oracle, is in.
  func found(_ address: String) throws -> Found {
    guard let address = Address(address) else { throw ProgramError(message: "no address") }
    let db = try database.connection()
    return try db.transaction(.readOnly) { tx in
      var found = Found()
      let rows = try tx.query(
        """
        select s.unknown_reason, s.unknown_detail, s.healthy, s.liquidatable, s.unknown,
          (select count(*) from candidate c where c.run_id = s.run_id and c.market_id = m.id),
          s.shadow_liquidatable,
          (select array_agg(w.code) from market_warning w
            where w.run_id = s.run_id and w.market_id = m.id)
        from scan_market s join market m on m.id = s.market_id
        where s.run_id = (select max(id) from run where job = 'scan-liquidations')
          and \(address) in (m.loan_token, m.collateral_token, m.oracle) and m.broker is null
        """)
      for row in rows {
        found.reasons.insert(try row.get(0, String?.self))
        if let detail = try row.get(1, String?.self) { found.details.insert(detail) }
        found.healthy += Int(try row.get(2, Int32.self))
        found.liquidatable += Int(try row.get(3, Int32.self))
        found.unknown += Int(try row.get(4, Int32.self))
        found.candidates += try row.get(5, Int.self)
        found.shadow += Int(try row.get(6, Int32?.self) ?? 0)
        found.warnings.formUnion(try row.get(7, [String]?.self) ?? [])
      }
      return found
    }
  }
}

/// A server that tells a price in JSON, which a test can change.
final class PriceServer: Sendable {
  enum Mood: Sendable {
    case tells(String)
    case status(Int)
    case text(String)
    case silent
  }

  let server: LocalHTTPServer
  private let mood: Box
  private let directory = FileManager.default.temporaryDirectory
    .appending(path: "plimsoll-\(UUID().uuidString.prefix(8))")

  private final class Box: Sendable {
    let value: Mutex<Mood>
    init(_ mood: Mood) { value = Mutex(mood) }
  }

  /// Tells `{"data": {"price": PRICE, "time": now}}`.
  init(price: String) throws {
    let box = Box(.tells(price))
    mood = box
    server = try LocalHTTPServer { _ in
      switch box.value.withLock({ $0 }) {
      case .tells(let price):
        let now = Int(Date().timeIntervalSince1970)
        return .answer(Array("{\"data\": {\"price\": \(price), \"time\": \(now)}}".utf8))
      case .status(let status): return .answer(Array("{}".utf8), status: status)
      case .text(let text): return .answer(Array(text.utf8))
      case .silent: return .silence
      }
    }
  }

  deinit { try? FileManager.default.removeItem(at: directory) }

  func become(_ mood: Mood) { self.mood.value.withLock { $0 = mood } }

  /// The members of a source of this kind. The key in the URL is a secret.
  func source(timeout: Int = 2_000) throws -> String {
    let url = "\(server.url)/v1/price?key=SECRET-KEY-0123456789"
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    let file = directory.appending(path: "dex.url")
    try Data(url.utf8).write(to: file)
    return """
      "kind": "http", "url_file": "\(file.path)", "pointer": "/data/price",
      "time_pointer": "/data/time", "max_age_seconds": 60, "timeout_ms": \(timeout)
      """
  }
}
