import Postgres

/// Everything that a deployment's mirror is, by natural keys: two databases whose dumps are equal
/// hold the same state, whatever way they came to it.
struct TableDump: Equatable {
  /// Table and row, sorted.
  let lines: [String]

  init(_ db: Connection) throws {
    var lines: [String] = []
    for query in Self.queries {
      let rows = try db.transaction(.readOnly) { tx in try tx.query(query) }
      for row in rows { lines.append(try row.get(0, String.self)) }
    }
    self.lines = lines.sorted()
  }

  /// What one has and the other has not, for a test's message.
  func difference(from other: TableDump) -> String {
    let mine = Set(lines)
    let theirs = Set(other.lines)
    let extra = lines.filter { !theirs.contains($0) }.prefix(5)
    let missing = other.lines.filter { !mine.contains($0) }.prefix(5)
    return "extra: \(Array(extra))\nmissing: \(Array(missing))"
  }

  private static let queries: [SQL] = [
    """
    select concat_ws(' ', 'event', e.block_number, e.log_index, e.block_hash, e.transaction_hash,
      e.address, e.topic0, e.topic1, e.topic2, e.topic3, e.data)
    from event e join block b on b.chain_id = e.chain_id and b.number = e.block_number
      and b.hash = e.block_hash and b.canonical
    """,
    """
    select concat_ws(' ', 'market', market_key, loan_token, collateral_token, oracle, irm, lltv_wad,
      coalesce(broker::text, '-'), total_supply_assets, total_supply_shares, total_borrow_assets,
      total_borrow_shares, last_update, coalesce(fee_wad::text, '-'),
      coalesce(rate_at_target_wad::text, '-'), as_of_block) from market
    """,
    """
    select concat_ws(' ', 'position', market_key, user_address, supply_shares, borrow_shares,
      collateral, p.as_of_block)
    from position p join market m on m.id = p.market_id
    """,
    """
    select concat_ws(' ', 'core', fee_recipient, coalesce(default_market_fee_wad::text, '-'),
      as_of_block) from core_state
    """,
    """
    select concat_ws(' ', 'operation', block_number, log_index, market_key, kind, user_address,
      caller, assets, coalesce(shares::text, '-'), timestamp, transaction_hash)
    from user_operation o join market m on m.id = o.market_id
    """,
    """
    select concat_ws(' ', 'liquidation', block_number, log_index, market_key, borrower, liquidator,
      repaid_assets, repaid_shares, seized_assets, bad_debt_assets, bad_debt_shares, write_down,
      timestamp, transaction_hash)
    from liquidation l join market m on m.id = l.market_id
    """,
    """
    select concat_ws(' ', 'fact', subject, name, block_number, log_index, block_hash, value)
    from fact where how = 'log'
    """,
    "select concat_ws(' ', 'aside', market_key, block_number, log_index) from set_aside",
    "select concat_ws(' ', 'cursor', job, block_number, block_hash) from cursor",
    """
    select concat_ws(' ', 'position before', market_key, user_address, block_number, existed,
      supply_shares, borrow_shares, collateral, b.as_of_block)
    from position_before b join market m on m.id = b.market_id
    """,
    """
    select concat_ws(' ', 'market before', market_key, block_number, existed, b.total_borrow_assets,
      b.total_borrow_shares, b.total_supply_assets, b.total_supply_shares, b.last_update,
      b.as_of_block)
    from market_before b join market m on m.id = b.market_id
    """,
  ]
}
