import Ethereum
import Foundation
import Postgres
import Quantities
import TestKit
import Testing

/// A story whose prices, permissions and time the test moves, and scans of it under controls.
final class ControlStory: Sendable {
  let chain: DevChain
  /// Everything up to the fall of prices is consumed here; tests work on copies.
  private let base: TemporaryDatabase
  private let core: Address
  private let owner: String
  let oracle: Address

  /// Where prices stand before the fall, in dollars with 8 decimals.
  private static let start: [String: UInt64] = [
    "USDX": 100_000_000, "DAIX": 100_000_000, "WETHX": 185_000_000_000,
    "BTCX": 2_900_000_000_000, "BNBX": 24_000_000_000,
  ]
  /// What WETHX falls to.
  static let fallen: UInt64 = 95_000_000_000

  init(seed: UInt64) throws {
    chain = try DevChain(seed: seed)
    try chain.advance(120)
    core = try #require(Address(chain.core))
    base = try TemporaryDatabase()
    let answer = try Self.ask(chain, core, "owner()")
    owner = try ABIWords(answer).address(0).lowercaseHex
    let markets = try Self.markets(of: chain)
    oracle = try #require(Address(markets[0]["oracle"] as? String ?? ""))
    try calm(markets)
    try setPrice(of: "WETHX", Self.fallen)
    try Program(configuration: configuration(""), database: base.url).consume()
  }

  // MARK: The chain

  static func markets(of chain: DevChain) throws -> [[String: Any]] {
    try chain.truth()["markets"] as? [[String: Any]] ?? []
  }

  func markets() throws -> [[String: Any]] { try Self.markets(of: chain) }

  /// Every price at its start, nothing broken or paused, and every market open to all.
  private func calm(_ markets: [[String: Any]]) throws {
    if try ABIWords(ask(core, "paused()")).bool(0) { try send(core, "unpause()") }
    for token in try tokens(of: markets) {
      let symbol = try symbol(of: token)
      try send(oracle, "setBroken(address,bool)", .address(token), .bool(false))
      try setPrice(of: symbol, Self.start[symbol] ?? 100_000_000)
    }
    for market in markets {
      let id = try #require(Bytes32(market["id"] as? String ?? ""))
      let listed = try ABI.decode(
        [.array(.address)],
        ask(core, "getLiquidationWhitelist(bytes32)", .fixedBytes(id.bytes)))
      guard case .array(let accounts)? = listed.first else { continue }
      for account in accounts {
        try send(
          core, "removeLiquidationWhitelist(bytes32,address)", .fixedBytes(id.bytes), account)
      }
    }
    try send(core, "setMinLoanValue(uint256)", .uint(1_500_000_000))
  }

  private func tokens(of markets: [[String: Any]]) throws -> [Address] {
    let texts = markets.flatMap { market in
      ["loan_token", "collateral_token"].compactMap { market[$0] as? String }
    }
    return try Set(texts).sorted().map { try #require(Address($0)) }
  }

  private func symbol(of token: Address) throws -> String {
    guard case .string(let text)? = try ABI.decode([.string], ask(token, "symbol()")).first else {
      throw ProgramError(message: "no symbol")
    }
    return text
  }

  func token(_ wanted: String) throws -> Address {
    for token in try tokens(of: markets()) where try symbol(of: token) == wanted { return token }
    throw ProgramError(message: "no token \(wanted)")
  }

  func setPrice(of symbol: String, _ price: UInt64) throws {
    try send(
      oracle, "setPrice(address,uint256)", .address(token(symbol)), .uint(U256(price)))
  }

  /// A call at the head.
  func ask(
    _ to: Address, _ signature: String, _ arguments: ABIValue..., from: String? = nil
  ) throws -> [UInt8] {
    try Self.ask(chain, to, signature, arguments, from: from)
  }

  private static func ask(
    _ chain: DevChain, _ to: Address, _ signature: String, _ arguments: [ABIValue] = [],
    from: String? = nil
  ) throws -> [UInt8] {
    let call = Call(to: to, signature: signature, arguments: arguments)
    var request: [String: Any] = ["to": to.lowercaseHex, "data": Hex.encode(call.data)]
    request["from"] = from
    let answer = try chain.ask(["do": "rpc", "method": "eth_call", "params": [request, "latest"]])
    return try #require(Hex.decode(answer["result"] as? String ?? "?"))
  }

  /// A transaction of the owner, or of another, in a block of its own.
  func send(
    _ to: Address, _ signature: String, _ arguments: ABIValue..., from: String? = nil
  ) throws {
    let call = Call(to: to, signature: signature, arguments: arguments)
    let request: [String: Any] = [
      "from": from ?? owner, "to": to.lowercaseHex, "data": Hex.encode(call.data),
    ]
    try chain.ask(["do": "rpc", "method": "eth_sendTransaction", "params": [request]])
    try chain.mine(1, seconds: 12)
  }

  /// A contract that answers every call with one word; nil: it reverts.
  func contract(_ tail: UInt64, answering word: UInt8?) throws -> Address {
    let address = try #require(Bytes32(U256(0xC0_0000 + tail)).address)
    // PUSH1 word PUSH1 0 MSTORE PUSH1 32 PUSH1 0 RETURN, or PUSH1 0 PUSH1 0 REVERT
    let code = word.map { [0x60, $0, 0x60, 0, 0x52, 0x60, 32, 0x60, 0, 0xf3] }
    try chain.ask([
      "do": "rpc", "method": "anvil_setCode",
      "params": [address.lowercaseHex, Hex.encode(code ?? [0x60, 0, 0x60, 0, 0xfd])],
    ])
    try chain.mine(1, seconds: 12)
    return address
  }

  var coreAddress: Address { core }

  // MARK: Scans

  private func configuration(_ controls: String) -> String {
    let text = String.oneDeployment(
      "story", system: "moolah", core: chain.core, chainID: chain.chainID,
      firstBlock: chain.firstBlock, rpc: chain.rpc)
    let place = "\"first_block\": \(chain.firstBlock),"
    return text.replacingOccurrences(of: place, with: "\(place) \"controls\": { \(controls) },")
  }

  /// A database of its own, and the program with these members of `controls`.
  func ground(_ controls: String) throws -> ControlGround {
    let database = try TemporaryDatabase(copyOf: base)
    return ControlGround(
      database: database,
      program: try Program(configuration: configuration(controls), database: database.url))
  }
}

/// One database under one set of controls.
struct ControlGround {
  let database: TemporaryDatabase
  let program: Program

  var db: Connection { get throws { try database.connection() } }

  /// Brings the mirror to the head and scans it.
  func scan(_ arguments: String..., location: SourceLocation = #_sourceLocation) throws -> Scanned {
    try program.consume()
    return try rescan(arguments, location: location)
  }

  /// Scans the mirror where it stands.
  func rescan(
    _ arguments: [String] = [], location: SourceLocation = #_sourceLocation
  ) throws -> Scanned {
    let result = try program.run(["scan-liquidations", "--json", "--limit", "1000"] + arguments)
    #expect(result.exit == 0 || result.exit == 1, "\(result.errors)", sourceLocation: location)
    let scanned = try Scanned(result.json())
    scanned.checkCounts(location)
    return scanned
  }

  func count(_ sql: SQL) throws -> Int {
    try db.transaction(.readOnly) { tx in try tx.query(sql)[0].get(0, Int.self) }
  }

  /// What the scans remember, but for the run.
  func memory() throws -> [String] {
    try db.transaction(.readOnly) { tx in
      try tx.query(
        """
        select (to_jsonb(m) - 'run_id')::text from candidate_memory m order by id
        """
      ).map { try $0.get(0, String.self) }
    }
  }
}

/// What a scan said.
struct Scanned {
  let candidates: [[String: String]]
  let counters: [String: Int]

  init(_ json: [String: Any]) throws {
    candidates = (json["candidates"] as? [[String: Any]] ?? []).map { row in
      row.compactMapValues { $0 as? String }
    }
    counters = json["counters"] as? [String: Int] ?? [:]
  }

  func of(_ certainty: String) -> [[String: String]] {
    candidates.filter { $0["certainty"] == certainty }
  }

  /// The outcomes of what is over its line.
  var outcomes: Set<String> { Set(of("verified").compactMap { $0["outcome"] }) }
  var paths: Set<String> { Set(of("verified").compactMap { $0["path"] }) }

  /// Each candidate has one outcome, and the counts say so.
  func checkCounts(_ location: SourceLocation) {
    let outcomes = counters.filter { $0.key.hasPrefix("outcome_") }.values.reduce(0, +)
    let found = (counters["liquidatable"] ?? 0) + (counters["pre_liquidatable"] ?? 0)
    #expect(outcomes == found, "\(counters)", sourceLocation: location)
    #expect(
      ["healthy", "liquidatable", "overdue", "unknown"].reduce(0) { $0 + (counters[$1] ?? 0) }
        == counters["positions"], "\(counters)", sourceLocation: location)
    let shown = candidates.count { $0["certainty"] != "actionable" }
    #expect(shown == found, sourceLocation: location)
  }
}
