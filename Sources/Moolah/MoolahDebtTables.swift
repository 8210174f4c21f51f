import Ethereum
import Postgres
import Quantities
import RiskCore
import Systems

// Tables `market_now`, `market_unknown` and `stored_debt`: what the debts of positions follow from.
// View `position_now` derives them.

extension Moolah {
  public func refreshDebt(
    of book: MoolahBook, at timestamp: UInt64, in tx: borrowing Transaction
  ) throws -> RefreshReport {
    var report = RefreshReport()
    var known: [AccruedMarket] = []
    var unknown: [UnknownMarket] = []
    for market in book.markets {
      switch book.accrued(market, to: timestamp) {
      case .success(let now):
        known.append(AccruedMarket(market: market, state: now.state, rate: now.rate))
      case .failure(let reason): unknown.append(UnknownMarket(market: market, reason: reason))
      }
    }
    try count(known, unknown, into: &report, in: tx)
    let stored = storedDebts(of: known.map(\.market), in: book, at: timestamp, &report)
    report.written = try write(stored, of: book.deployment, in: tx)
    try write(unknown, of: book.deployment, in: tx)
    report.markets = try write(known, of: book, at: timestamp, in: tx)
    report.written += report.markets
    return report
  }

  // MARK: From the market's totals

  /// Counts the positions whose debt follows from their market's totals, and those of which it
  /// cannot be told.
  private func count(
    _ known: [AccruedMarket], _ unknown: [UnknownMarket], into report: inout RefreshReport,
    in tx: borrowing Transaction
  ) throws {
    let floating = known.filter { $0.market.row.broker == nil }
    let overflowing = try overflowing(among: floating, in: tx)
    let ids = floating.map(\.market.id) + unknown.map(\.market.id)
    let rows = try tx.query(
      """
      select market_id, count(*) from position
      where market_id = any(\(ids.map(Int64.init))) and borrow_shares > 0 group by market_id
      """)
    var positions: [Int32: Int] = [:]
    for row in rows { positions[try row.get(0, Int32.self)] = try row.get(1, Int.self) }
    report.positions = floating.reduce(-overflowing) { $0 + (positions[$1.market.id] ?? 0) }
    report.giveUp(overflowing, .arithmeticOverflow)
    for each in unknown { report.giveUp(positions[each.market.id] ?? 0, each.reason) }
  }

  /// Positions beyond what the contract's arithmetic can convert. Only a market with totals near
  /// the largest can have any, so that as a rule no position is read.
  private func overflowing(
    among markets: [AccruedMarket], in tx: borrowing Transaction
  ) throws -> Int {
    var ids: [Int64] = []
    var limits: [U256] = []
    for now in markets {
      let limit = try now.state.convertibleSharesMax
      if limit >= U256(UInt128.max) { continue }
      ids.append(Int64(now.market.id))
      limits.append(limit)
    }
    if ids.isEmpty { return 0 }
    return try tx.query(
      """
      select count(*) from position p
      join unnest(\(ids), \(limits)) as m(market_id, shares_max) on m.market_id = p.market_id
      where p.borrow_shares > m.shares_max
      """)[0].get(0, Int.self)
  }

  private func write(
    _ markets: [AccruedMarket], of book: MoolahBook, at timestamp: UInt64,
    in tx: borrowing Transaction
  ) throws -> Int {
    // What is unknown, or of a market that the filter leaves out, must not look known.
    try tx.execute(
      """
      delete from market_now n using market m
      where m.id = n.market_id and m.deployment_id = \(book.deployment.id)
        and m.id <> all(\(markets.map { Int64($0.market.id) }))
      """)
    let totals: [SQL] = markets.map { now in
      let market = now.market
      // Without the fee the supply shares that it makes are unknown; debt does not depend on it.
      let isFeeKnown = market.row.isFeeKnown || book.facts[.fee, market.subject] != nil
      return
        """
        insert into market_now (market_id, as_of_block, as_of_hash, as_of_timestamp,
          total_supply_assets, total_supply_shares, total_borrow_assets, total_borrow_shares,
          borrow_rate_wad)
        values (\(market.id), \(book.block.number), \(book.block.hash), \(timestamp),
          \(now.state.totalSupplyAssets), \(isFeeKnown ? now.state.totalSupplyShares : nil),
          \(now.state.totalBorrowAssets), \(now.state.totalBorrowShares), \(now.rate.raw))
        on conflict (market_id) do update set as_of_block = excluded.as_of_block,
          as_of_hash = excluded.as_of_hash, as_of_timestamp = excluded.as_of_timestamp,
          total_supply_assets = excluded.total_supply_assets,
          total_supply_shares = excluded.total_supply_shares,
          total_borrow_assets = excluded.total_borrow_assets,
          total_borrow_shares = excluded.total_borrow_shares,
          borrow_rate_wad = excluded.borrow_rate_wad
        """
    }
    try tx.executeBatch(totals)
    return totals.count
  }

  private func write(
    _ markets: [UnknownMarket], of deployment: Deployment, in tx: borrowing Transaction
  ) throws {
    try tx.execute(
      """
      delete from market_unknown u using market m
      where m.id = u.market_id and m.deployment_id = \(deployment.id)
      """)
    if markets.isEmpty { return }
    try tx.execute(
      """
      insert into market_unknown (market_id, reason)
      select * from unnest(\(markets.map { Int64($0.market.id) }), \(markets.map(\.reason.code)))
      """)
  }

  // MARK: From elsewhere

  /// What the borrowers of a broker owe it at `timestamp`, in the order of the market's positions.
  func brokerDebts(
    of market: BookMarket, in book: MoolahBook, at timestamp: UInt64
  ) -> [Result<U256, UnknownReason>] {
    market.positions.map { index in
      book.brokerDebt(of: book.positions.users[index], in: market, at: timestamp)
    }
  }

  /// The debts that do not follow from their market's totals.
  private func storedDebts(
    of markets: [BookMarket], in book: MoolahBook, at timestamp: UInt64,
    _ report: inout RefreshReport
  ) -> [StoredDebt] {
    var debts: [StoredDebt] = []
    for market in markets where market.row.broker != nil {
      for (index, debt) in zip(market.positions, brokerDebts(of: market, in: book, at: timestamp)) {
        debts.append(StoredDebt(position: book.positions.ids[index], debt: debt))
        switch debt {
        case .success: report.positions += 1
        case .failure(let reason): report.giveUp(1, reason)
        }
      }
    }
    return debts
  }

  /// Writes the rows that are others than before, and takes away those that are not among them.
  private func write(
    _ debts: [StoredDebt], of deployment: Deployment, in tx: borrowing Transaction
  ) throws -> Int {
    try tx.execute(
      """
      create temporary table stored_debt_next (position_id bigint primary key, borrowed numeric,
        unknown_reason text) on commit drop
      """)
    try tx.copyIn("stored_debt_next", columns: "position_id, borrowed, unknown_reason") { rows in
      for debt in debts {
        rows.beginRow()
        try rows.append(debt.position)
        try rows.append(try? debt.debt.get())
        try rows.append(debt.reason?.code)
      }
    }
    let gone = try tx.execute(
      """
      delete from stored_debt d using position p, market m
      where p.id = d.position_id and m.id = p.market_id and m.deployment_id = \(deployment.id)
        and not exists (select from stored_debt_next n where n.position_id = d.position_id)
      """)
    return try gone
      + tx.execute(
        """
        insert into stored_debt (position_id, borrowed, unknown_reason)
        select position_id, borrowed, unknown_reason from stored_debt_next
        on conflict (position_id) do update
          set borrowed = excluded.borrowed, unknown_reason = excluded.unknown_reason
          where (stored_debt.borrowed, stored_debt.unknown_reason)
            is distinct from (excluded.borrowed, excluded.unknown_reason)
        """)
  }
}

/// A market with its totals at the second of a refresh.
private struct AccruedMarket {
  let market: BookMarket
  let state: MarketState
  let rate: Wad
}

/// A market whose totals at that second cannot be told.
private struct UnknownMarket {
  let market: BookMarket
  let reason: UnknownReason
}

/// One row of `stored_debt`.
private struct StoredDebt {
  let position: Int64
  let debt: Result<U256, UnknownReason>

  var reason: UnknownReason? {
    if case .failure(let reason) = debt { reason } else { nil }
  }
}

extension RefreshReport {
  fileprivate mutating func giveUp(_ positions: Int, _ reason: UnknownReason) {
    if positions == 0 { return }
    unknown += positions
    note(reason)
  }
}

extension MarketState {
  /// The most borrow shares that `borrowed` can convert: with more of them the contract's product
  /// and sum need more than 256 bits.
  var convertibleSharesMax: U256 {
    get throws(ArithmeticError) {
      let rounding = try U256(totalBorrowShares).adding(
        MoolahMath.virtualShares.subtracting(.one))
      let assets = try U256(totalBorrowAssets).adding(MoolahMath.virtualAssets)
      return try U256.max.subtracting(rounding).dividedDown(by: assets)
    }
  }
}
