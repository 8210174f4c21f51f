import Ethereum
import Foundation
import Postgres
import Quantities
import Synchronization
import TestKit
import Testing

/// A local server that speaks as much of the Telegram Bot API as a bot that writes needs, and that
/// may have an outage. It also takes webhooks.
final class TelegramServer: Sendable {
  /// How it takes the next messages.
  enum Mode: Sendable {
    case well
    /// Nothing is taken.
    case status(Int, retryAfter: Int? = nil, header: String? = nil)
    case silence
    case reset
    /// The message is taken, and its sender never hears so.
    case takesAndResets
  }

  struct Message: Sendable {
    let path: String
    let headers: [String: String]
    let body: [UInt8]
    let text: String
    /// Names of members, and what styles which part of the text.
    let members: Set<String>
    let entities: [Entity]
    /// The key by which a message that came twice is known.
    let key: String

    /// In UTF-16 code units.
    struct Entity: Sendable {
      let type: String
      let offset: Int
      let length: Int
    }

    init(_ request: LocalHTTPServer.Request) {
      path = request.path
      headers = request.headers
      body = request.body
      let object =
        (try? JSONSerialization.jsonObject(with: Data(request.body))) as? [String: Any] ?? [:]
      let text = object["text"] as? String ?? ""
      self.text = text
      members = Set(object.keys)
      entities = (object["entities"] as? [[String: Any]] ?? []).map {
        Entity(
          type: $0["type"] as? String ?? "", offset: $0["offset"] as? Int ?? -1,
          length: $0["length"] as? Int ?? -1)
      }
      let line = text.split(separator: "\n").first {
        $0.hasPrefix("- ID: ") || $0.hasPrefix("- Liquidation ID: ")
      }
      let shown = line?.split(separator: " ").last.map { String($0) } ?? ""
      key = object["id"] as? String ?? shown
    }
  }

  private struct State {
    var mode = Mode.well
    var taken: [Message] = []
    var refused = 0
    var onRequest: @Sendable (Int) -> Void = { _ in }
  }

  private let state = Mutex(State())
  private let server: LocalHTTPServer

  init() throws {
    let box = Box()
    server = try LocalHTTPServer { request in box.answer(request) }
    box.take = { [state = StateAccess(self)] request in state.answer(request) }
  }

  /// Breaks the circle of a server that needs its handler before it is there.
  private final class Box: @unchecked Sendable {
    var take: @Sendable (LocalHTTPServer.Request) -> LocalHTTPServer.Reply = { _ in .reset }
    func answer(_ request: LocalHTTPServer.Request) -> LocalHTTPServer.Reply { take(request) }
  }

  private struct StateAccess: Sendable {
    weak let server: TelegramServer?
    init(_ server: TelegramServer) { self.server = server }
    func answer(_ request: LocalHTTPServer.Request) -> LocalHTTPServer.Reply {
      server?.answer(request) ?? .reset
    }
  }

  deinit { server.stop() }

  var url: String { server.url }

  /// Everything that was taken, in order.
  var taken: [Message] { state.withLock { $0.taken } }

  /// Requests that were not taken.
  var refused: Int { state.withLock { $0.refused } }

  func be(_ mode: Mode) { state.withLock { $0.mode = mode } }

  /// Called with the number of each request, from 1, before it is answered.
  func onRequest(_ deed: @escaping @Sendable (Int) -> Void) {
    state.withLock { $0.onRequest = deed }
  }

  private func answer(_ request: LocalHTTPServer.Request) -> LocalHTTPServer.Reply {
    let deed = state.withLock { $0.onRequest }
    deed(request.number + 1)
    return state.withLock { state in
      switch state.mode {
      case .well:
        state.taken.append(Message(request))
        return .answer(Array(#"{"ok":true,"result":{"message_id":\#(state.taken.count)}}"#.utf8))
      case .takesAndResets:
        state.taken.append(Message(request))
        return .reset
      case .status(let status, let retryAfter, let header):
        state.refused += 1
        let wait = retryAfter.map { #","parameters":{"retry_after":\#($0)}"# } ?? ""
        return .answer(
          Array(
            #"{"ok":false,"error_code":\#(status),"description":"at \#(request.path)"\#(wait)}"#
              .utf8), status: status, headers: header.map { ["Retry-After: \($0)"] } ?? [])
      case .silence:
        state.refused += 1
        return .silence
      case .reset:
        state.refused += 1
        return .reset
      }
    }
  }
}

/// A dev chain, a database, the program, and somebody who is told.
final class AlertGround: Sendable {
  let chain: DevChain
  let database: TemporaryDatabase
  let program: Program
  let server: TelegramServer

  static let token = "8123456789:AAEhBOweik6ad9r_QXMENQjcrGbqCr4K-bc"
  static let secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD7gFkUY1nOpo="

  var db: Connection { get throws { try database.connection() } }

  init(
    seed: UInt64, steps: Int = 30, alerts: String = #""near_bps": 0,"#, reorgLimit: Int = 64
  ) throws {
    chain = try DevChain(seed: seed)
    if steps > 0 { try chain.advance(steps) }
    server = try TelegramServer()
    database = try TemporaryDatabase()
    program = try Self.program(
      chain, server, alerts: alerts, reorgLimit: reorgLimit, database: database.url)
  }

  /// The program with a bot's route and a webhook.
  static func program(
    _ chain: DevChain, _ server: TelegramServer, alerts: String, reorgLimit: Int = 64,
    webhook: Bool = false, database: String
  ) throws -> Program {
    let base = String.oneDeployment(
      "story", system: "moolah", core: chain.core, chainID: chain.chainID,
      firstBlock: chain.firstBlock, rpc: chain.rpc, reorgLimit: reorgLimit)
    let hook = """
      "hook": { "type": "webhook", "url": "\(server.url)/hook", "secret_file": "hook.key" },
      """
    let text = """
      \(base.dropLast()) "alerts": { \(alerts)
        "routes": {
          "ops": {
            "type": "telegram", "chat_id": "42", "token_file": "bot.token",
            "base_url": "\(server.url)", "pace_ms": 0,
          },
          \(webhook ? hook : "")
        },
      }, }
      """
    let program = try Program(configuration: text, database: database)
    try write(token, to: "bot.token", of: program)
    try write(secret, to: "hook.key", of: program)
    return program
  }

  static func write(
    _ text: String, to name: String, of program: Program, mode: Int = 0o600
  ) throws {
    let file = program.directory.appending(path: name)
    try Data("\(text)\n".utf8).write(to: file)
    try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: file.path())
  }

  // MARK: Prices

  /// A position that a price of its collateral can bring over its line and back.
  struct Subject: Sendable {
    let market: String
    let user: String
    let oracle: String
    let collateralToken: String
    /// The price of the collateral in dollars times 1e8 at which it stands on its line.
    let line: UInt64

    var name: String { "\(market)/\(user)" }
  }

  /// Consumes, refreshes and scans.
  func judge() throws {
    try program.consume()
    for job in ["refresh-debt", "scan-liquidations"] {
      let result = try program.run(job)
      guard result.exit == 0 || result.exit == 1 else {
        throw ProgramError(message: "\(job) ended \(result.exit): \(result.errors)")
      }
    }
  }

  func subject() throws -> Subject {
    try chain.ask(["do": "mine", "count": 1, "seconds": 1])
    try judge()
    let row = try db.transaction(.readOnly) { tx in
      try tx.query(
        """
        select m.market_key, p.user_address, m.oracle, m.collateral_token, d.trigger_price, s.price,
          c.value
        from position p join market m on m.id = p.market_id
        join position_debt d on d.position_id = p.id
        join scan_market s on s.market_id = m.id
          and s.run_id = (select max(run_id) from scan_market)
        join price c on c.run_id = s.run_id and c.token = m.collateral_token
        where s.price > 0 and s.unknown = 0 and d.trigger_price > 0
          and d.trigger_price < s.price and d.trigger_price * 4 > s.price
          and m.collateral_token <> m.loan_token and d.borrowed > 1000000
        order by d.trigger_price / s.price desc limit 1
        """
      ).first
    }
    let found = try #require(row, "the story has no position that will do")
    let trigger = try found.get(4, U256.self)
    let price = try found.get(5, U256.self)
    let peek = try found.get(6, U256.self)
    let line = try U256.fullMulDivDown(peek, trigger, price)
    return Subject(
      market: try found.get(0, Bytes32.self).description,
      user: try found.get(1, Address.self).lowercaseHex,
      oracle: try found.get(2, Address.self).lowercaseHex,
      collateralToken: try found.get(3, Address.self).lowercaseHex,
      line: UInt64(exactly: line) ?? 0)
  }

  /// Sets the price of a subject's collateral in thousandths of what it is at its line, in a block
  /// so many seconds after the last.
  func setPrice(of subject: Subject, thousandths: UInt64, after seconds: Int) throws {
    let price = subject.line * thousandths / 1_000
    let token = try #require(Address(subject.collateralToken))
    let call = Call(
      to: try #require(Address(subject.oracle)), signature: "setPrice(address,uint256)",
      arguments: [.address(token), .uint(U256(price))])
    try chain.ask([
      "do": "rpc", "method": "eth_sendTransaction",
      "params": [["from": subject.user, "to": subject.oracle, "data": Hex.encode(call.data)]],
    ])
    try chain.mine(1, seconds: seconds)
  }

  // MARK: What was told

  /// The rest of the outbox's story: (event, kind, subject) in order.
  func told(of kind: String? = nil) throws -> [(key: String, event: String, subject: String)] {
    try db.transaction(.readOnly) { tx in
      try tx.query(
        """
        select dedup_key, event, subject from outbox
        where \(kind) is null or kind = \(kind) order by id
        """
      ).map { (try $0.get(0), try $0.get(1), try $0.get(2)) }
    }
  }

  /// Delivers at a second, and returns the exit code.
  @discardableResult
  func alert(at second: UInt64) throws -> Int32 {
    try program.run("alert", "--at", String(second)).exit
  }
}
