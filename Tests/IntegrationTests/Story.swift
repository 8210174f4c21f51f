import Ethereum
import Foundation
import Postgres
import Quantities
import TestKit
import Testing

/// A dev chain, a database, and the program that keeps one up with the other.
final class Story: Sendable {
  let chain: DevChain
  let database: TemporaryDatabase
  let program: Program
  private let configuration: String

  /// A new session: none stays open, so that the database can be copied.
  var db: Connection { get throws { try database.connection() } }

  init(
    seed: UInt64, shape: String, windowBlocks: Int = 2_000, reorgLimit: Int = 64,
    youngBy: UInt64? = nil
  ) throws {
    chain = try DevChain(seed: seed, shape: shape)
    // A deployment that begins a few blocks below the head has missed what came before.
    if youngBy != nil { try chain.advance(20) }
    let head = try chain.truth()["block"] as? Int ?? 0
    let firstBlock = youngBy.map { UInt64(head) - $0 } ?? chain.firstBlock
    configuration = .oneDeployment(
      "story", system: shape == "moolah" ? "moolah" : "morpho-blue", core: chain.core,
      chainID: chain.chainID, firstBlock: firstBlock, rpc: chain.rpc,
      reorgLimit: reorgLimit, windowBlocks: windowBlocks)
    database = try TemporaryDatabase()
    program = try Program(configuration: configuration, database: database.url)
  }

  func consume() throws { try program.consume() }

  /// Runs a job that may find something unknown (1) but nothing worse.
  func run(_ job: String) throws {
    let result = try program.run(job)
    #expect(result.exit == 0 || result.exit == 1, "\(job): \(result.errors)")
  }

  /// What the tables say.
  func found() throws -> FoundTables {
    try db.transaction(.readOnly) { tx in try FoundTables(in: tx) }
  }

  // MARK: A clean run

  /// The tables of one run over the chain as it is now.
  func cleanRun() throws -> TableDump { try TableDump(cleanDatabase().connection()) }

  /// A database of its own after one run over the chain as it is now.
  func cleanDatabase() throws -> TemporaryDatabase {
    let fresh = try TemporaryDatabase()
    let clean = try Program(configuration: configuration, database: fresh.url)
    let result = try clean.run("consume-events", "--window", "100000")
    #expect(result.exit == 0 || result.exit == 1, "\(result.errors)")
    return fresh
  }

  func checkAgainstACleanRun(_ location: SourceLocation = #_sourceLocation) throws {
    let clean = try cleanRun()
    let mine = try TableDump(db)
    #expect(mine == clean, "\(mine.difference(from: clean))", sourceLocation: location)
  }

  /// The same state in a database of its own.
  struct Copy {
    let database: TemporaryDatabase
    let program: Program
    var db: Connection { get throws { try database.connection() } }
  }

  func copy() throws -> Copy {
    let copy = try TemporaryDatabase(copyOf: database)
    return Copy(database: copy, program: try program(on: copy))
  }

  func program(on database: TemporaryDatabase) throws -> Program {
    try Program(configuration: configuration, database: database.url)
  }

  // MARK: The contract's word

  /// Every market and position of the tables against the contract's views at the cursor.
  ///
  /// - Returns: how many positions the contract would let be liquidated.
  @discardableResult
  func checkAgainstTheContract(
    verdicts: Bool = true, _ location: SourceLocation = #_sourceLocation
  ) throws -> Int {
    let truth = try chain.truth()
    let found = try db.transaction(.readOnly) { tx in try FoundTables(in: tx) }
    var liquidatable = 0
    let markets = truth["markets"] as? [[String: Any]] ?? []
    #expect(found.markets.count == markets.count, sourceLocation: location)
    for market in markets {
      let id = market["id"] as? String ?? ""
      let stored = market["stored"] as? [String: String] ?? [:]
      // A market without interest accrues silently: its lastUpdate moves without a log.
      let keys = FoundTables.totals + (Self.isSilent(market) ? [] : ["last_update"]) + ["fee"]
      for key in keys where !(key == "fee" && found.markets[id]?["fee"] == nil) {
        #expect(
          found.markets[id]?[key] == stored[key], "\(key) of \(id)", sourceLocation: location)
      }
      for position in market["positions"] as? [[String: Any]] ?? [] {
        let user = position["user"] as? String ?? ""
        let words = ["supply_shares", "borrow_shares", "collateral"].map {
          position[$0] as? String ?? "?"
        }
        #expect(
          found.positions["\(id) \(user)"] ?? ["0", "0", "0"] == words, "\(user) in \(id)",
          sourceLocation: location)
        if verdicts {
          liquidatable += check(position, of: market, id: id, user: user, in: found, location)
        }
      }
      if verdicts { check(accruedOf: market, id: id, in: found, location) }
    }
    return liquidatable
  }

  private func check(
    accruedOf market: [String: Any], id: String, in found: FoundTables, _ location: SourceLocation
  ) {
    guard !Self.isBrokered(market), let accrued = market["accrued"] as? [String: String] else {
      return
    }
    for key in FoundTables.totals {
      #expect(
        found.accrued[id]?[key] == accrued[key], "accrued \(key) of \(id)",
        sourceLocation: location)
    }
  }

  private func check(
    _ position: [String: Any], of market: [String: Any], id: String, user: String,
    in found: FoundTables, _ location: SourceLocation
  ) -> Int {
    let key = "\(id) \(user)"
    guard position["borrow_shares"] as? String != "0" else {
      #expect(found.candidates[key] == nil, "no debt: \(key)", sourceLocation: location)
      return 0
    }
    if Self.isBrokered(market) || market["price"] is NSNull || market["price"] as? String == "0" {
      #expect(found.candidates[key] == nil, "unknown: \(key)", sourceLocation: location)
      return 0
    }
    #expect(
      found.borrowed[key] == position["borrowed"] as? String, "debt of \(key)",
      sourceLocation: location)
    let healthy = position["healthy"] as? Bool
    #expect(
      (found.candidates[key] == nil) == healthy, "verdict on \(key)", sourceLocation: location)
    // What is open to anyone must really go through, or fail for another reason than health.
    if found.candidates[key] == "open", let call = position["liquidation"] as? [String: Any] {
      let reason = call["error"] as? String ?? ""
      #expect(
        !["position is healthy", "not liquidation whitelist", "paused"].contains(reason),
        "\(key): \(reason)", sourceLocation: location)
    }
    return healthy == false ? 1 : 0
  }

  private static func isBrokered(_ market: [String: Any]) -> Bool {
    (market["broker"] as? String ?? zero) != zero
  }

  private static func isSilent(_ market: [String: Any]) -> Bool { market["irm"] as? String == zero }

  private static let zero = "0x0000000000000000000000000000000000000000"
}

/// The tables in the words of the dev chain's truth.
struct FoundTables {
  static let totals = [
    "total_supply_assets", "total_supply_shares", "total_borrow_assets", "total_borrow_shares",
  ]
  var markets: [String: [String: String]] = [:]
  var accrued: [String: [String: String]] = [:]
  var positions: [String: [String]] = [:]
  var borrowed: [String: String] = [:]
  /// Outcome of each verified candidate of the last scan.
  var candidates: [String: String] = [:]

  init(in tx: borrowing Transaction) throws {
    let rows = try tx.query(
      """
      select m.market_key, m.total_supply_assets, m.total_supply_shares, m.total_borrow_assets,
        m.total_borrow_shares, m.last_update, m.fee_wad, n.total_supply_assets,
        n.total_supply_shares, n.total_borrow_assets, n.total_borrow_shares
      from market m left join market_now n on n.market_id = m.id
      """)
    for row in rows {
      let id = try row.get(0, Bytes32.self).description
      var words: [String: String] = [:]
      for (index, key) in Self.totals.enumerated() {
        words[key] = try row.get(index + 1, U256.self).description
        accrued[id, default: [:]][key] = try row.get(index + 7, U256?.self)?.description
      }
      words["last_update"] = String(try row.get(5, Int64.self))
      words["fee"] = try row.get(6, U256?.self)?.description
      markets[id] = words
    }
    for row in try tx.query(
      """
      select m.market_key, p.user_address, p.supply_shares, p.borrow_shares, p.collateral,
        d.borrowed
      from position p join market m on m.id = p.market_id
      left join position_debt d on d.position_id = p.id
      """)
    {
      let key = "\(try row.get(0, Bytes32.self)) \(try row.get(1, Address.self).lowercaseHex)"
      positions[key] = try (2...4).map { try row.get($0, U256.self).description }
      borrowed[key] = try row.get(5, U256?.self)?.description
    }
    for row in try tx.query(
      """
      select m.market_key, c.user_address, c.outcome
      from candidate c join market m on m.id = c.market_id
      where c.certainty = 'verified'
        and c.run_id = (select max(id) from run where job = 'scan-liquidations')
      """)
    {
      let key = "\(try row.get(0, Bytes32.self)) \(try row.get(1, Address.self).lowercaseHex)"
      candidates[key] = try row.get(2, String.self)
    }
  }
}
