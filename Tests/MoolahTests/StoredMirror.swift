import Ethereum
import Postgres
import Quantities
import Systems
import TestKit

@testable import Moolah

/// The mirror of one deployment in a database of its own.
struct StoredMirror {
  let moolah = Moolah(.moolah)
  let database: TemporaryDatabase
  let db: Connection
  let deployment: Deployment

  init() throws {
    database = try TemporaryDatabase()
    db = try database.connection()
    let core = LogStream.core
    let id = try db.transaction { tx in
      try tx.query(
        """
        insert into deployment (chain_id, system, address, name, first_block)
        values (1, 'moolah', \(core), 'test', 0) returning id
        """)[0].get(0, Int32.self)
    }
    deployment = Deployment(id: id, name: "test", chainID: 1, address: core, firstBlock: 0)
  }

  /// Applies and stores the logs of one window, as a follower does.
  @discardableResult
  func consume(
    _ logs: [Log], _ times: BlockTimes, finality: UInt64 = 0
  ) throws -> ApplyReport {
    try db.transaction { tx in
      var mirror = try moolah.mirror(touchedBy: logs, of: deployment, in: tx)
      let report = try moolah.apply(
        logs, of: deployment, times: times, finality: finality, to: &mirror)
      try moolah.store(mirror, of: deployment, in: tx)
      try moolah.prune(finality: finality, of: deployment, in: tx)
      return report
    }
  }

  /// The same with the mirror of the window before, which becomes this window's.
  @discardableResult
  func consume(
    _ logs: [Log], _ times: BlockTimes, finality: UInt64 = 0, keeping kept: inout MoolahMirror?
  ) throws -> ApplyReport {
    var previous = kept.take()
    var stored: MoolahMirror?
    let report = try db.transaction { tx in
      var mirror = try moolah.mirror(
        touchedBy: logs, after: previous.take(), of: deployment, in: tx)
      let report = try moolah.apply(
        logs, of: deployment, times: times, finality: finality, to: &mirror)
      try moolah.store(&mirror, of: deployment, in: tx)
      try moolah.prune(finality: finality, of: deployment, in: tx)
      stored = mirror
      return report
    }
    kept = stored
    return report
  }

  /// Derives markets (nil: all) from these logs, as a follower does from the stored ones.
  func derive(
    _ markets: Set<Bytes32>?, from logs: [Log], _ times: BlockTimes, finality: UInt64 = 0
  ) throws {
    try db.transaction { tx in
      var mirror = moolah.blankMirror(following: markets)
      for log in logs {
        _ = try moolah.apply(
          [log], of: deployment, times: times, finality: finality, to: &mirror)
      }
      try moolah.replace(with: mirror, of: deployment, in: tx)
    }
  }

  func takeBack(to ancestor: UInt64) throws {
    try db.transaction { try moolah.takeBack(to: ancestor, of: deployment, in: $0) }
  }

  func setAside() throws -> [SetAside] {
    try db.transaction(.readOnly) { try moolah.setAside(of: deployment, in: $0) }
  }

  /// The rows of a table.
  func count(_ table: StaticString) throws -> Int {
    try db.transaction(.readOnly) { tx in
      try tx.query("select count(*) from \(identifier: table)")[0].get(0, Int.self)
    }
  }

  // MARK: Comparing

  /// Every row of the mirror, by its natural key instead of its surrogate key.
  func dump() throws -> MirrorDump {
    try db.transaction(.readOnly) { try MirrorDump(in: $0) }
  }

  /// What the tables are after taking back to a block; nothing is kept.
  func dump(afterTakingBackTo ancestor: UInt64) throws -> MirrorDump {
    var found = MirrorDump()
    do {
      try db.transaction { tx in
        try moolah.takeBack(to: ancestor, of: deployment, in: tx)
        found = try MirrorDump(in: tx)
        throw Abandoned()
      }
    } catch is Abandoned {}
    return found
  }

  private struct Abandoned: Error {}
}

/// The rows of each table as text, sorted.
struct MirrorDump: Equatable {
  var tables: [String: [String]] = [:]

  init() {}

  init(in tx: borrowing Transaction) throws {
    for (table, sql) in Self.queries {
      tables[table] = try tx.query(sql).map { try $0.get(0, String.self) }.sorted()
    }
  }

  func count(_ table: String) -> Int { tables[table]?.count ?? 0 }

  var isEmpty: Bool { tables.values.allSatisfy(\.isEmpty) }

  /// Without these tables.
  func without(_ names: String...) -> MirrorDump {
    var rest = self
    for name in names { rest.tables[name] = nil }
    return rest
  }

  /// The tables that differ, each with the first row that only one has: for messages.
  func difference(from other: MirrorDump) -> [String] {
    Self.queries.compactMap { table, _ in
      let (ours, theirs) = (Set(tables[table] ?? []), Set(other.tables[table] ?? []))
      guard ours != theirs else { return nil }
      return "\(table): \(ours.subtracting(theirs).min() ?? "-") and not "
        + "\(theirs.subtracting(ours).min() ?? "-")"
    }
  }

  private static let queries: [(table: String, sql: SQL)] = [
    (
      "core_state",
      "select (fee_recipient, default_market_fee_wad, as_of_block)::text from core_state"
    ),
    (
      "core_state_before",
      """
      select (block_number, existed, fee_recipient, default_market_fee_wad, as_of_block)::text
      from core_state_before
      """
    ),
    (
      "market",
      """
      select (market_key, loan_token, collateral_token, oracle, irm, lltv_wad, broker,
        total_supply_assets, total_supply_shares, total_borrow_assets, total_borrow_shares,
        last_update, fee_wad, rate_at_target_wad, as_of_block)::text from market
      """
    ),
    (
      "market_before",
      """
      select (m.market_key, b.block_number, b.existed, b.broker, b.total_supply_assets,
        b.total_supply_shares, b.total_borrow_assets, b.total_borrow_shares, b.last_update,
        b.fee_wad, b.rate_at_target_wad, b.as_of_block)::text
      from market_before b join market m on m.id = b.market_id
      """
    ),
    (
      "position",
      """
      select (m.market_key, p.user_address, p.supply_shares, p.borrow_shares, p.collateral,
        p.as_of_block)::text from position p join market m on m.id = p.market_id
      """
    ),
    (
      "position_before",
      """
      select (m.market_key, b.user_address, b.block_number, b.existed, b.supply_shares,
        b.borrow_shares, b.collateral, b.as_of_block)::text
      from position_before b join market m on m.id = b.market_id
      """
    ),
    (
      "user_operation",
      """
      select (o.block_number, o.log_index, m.market_key, o.kind, o.user_address, o.caller, o.assets,
        o.shares, o.timestamp, o.transaction_hash)::text
      from user_operation o join market m on m.id = o.market_id
      """
    ),
    (
      "liquidation",
      """
      select (l.block_number, l.log_index, m.market_key, l.borrower, l.liquidator, l.repaid_assets,
        l.repaid_shares, l.seized_assets, l.bad_debt_assets, l.bad_debt_shares, l.write_down,
        l.timestamp, l.transaction_hash)::text
      from liquidation l join market m on m.id = l.market_id
      """
    ),
    (
      "fact",
      "select (subject, name, block_number, log_index, block_hash, value, how)::text from fact"
    ),
    (
      "set_aside",
      "select (market_key, block_number, log_index, reason, attempts)::text from set_aside"
    ),
  ]
}
