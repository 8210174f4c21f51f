import Ethereum
import Postgres
import Quantities
import RiskCore
import Systems

// Tables `market_now`, `position_debt`, `scan_market`, `candidate`, and the shared `token`, `fact`
// and `price`: what a book is made of, and what a judgement leaves behind.

extension Moolah {
  public func book(
    of deployment: Deployment, markets filter: MarketFilter, at block: BlockMark,
    in tx: borrowing Transaction
  ) throws -> MoolahBook {
    let setAside = Set(try setAside(of: deployment, in: tx).map(\.market))
    let rows = try marketRows(
      tx.query(
        """
        select \(identifier: Self.marketColumns) from market where deployment_id = \(deployment.id)
        """))
    var markets: [BookMarket] = []
    for (key, row) in rows where filter.admits(key) {
      guard let id = row.id else { continue }
      markets.append(
        BookMarket(id: id, key: key, row: row, isSetAside: setAside.contains(key)))
    }
    markets.sort { $0.id < $1.id }
    var book = MoolahBook(
      deployment: deployment, block: block, dialect: dialect, markets: markets,
      tokens: try tokens(of: deployment, in: tx),
      facts: try facts(of: deployment, at: block, in: tx))
    try loadPositions(into: &book, in: tx)
    try loadPrices(into: &book, in: tx)
    return book
  }

  public func book(
    from mirror: MoolahMirror, of deployment: Deployment, markets filter: MarketFilter,
    at block: BlockMark, in tx: borrowing Transaction
  ) throws -> MoolahBook {
    let ids = try storedMarkets(following: nil, of: deployment, in: tx)
    var book = MoolahBook(
      deployment: deployment, block: block, dialect: dialect, markets: [],
      tokens: try tokens(of: deployment, in: tx),
      facts: try facts(of: deployment, at: block, in: tx))
    book.isPast = true
    let positions = Dictionary(grouping: mirror.positions.byKey, by: \.key.market)
    for (key, row) in mirror.markets.sorted(by: { $0.key < $1.key }) where filter.admits(key) {
      guard let id = ids[key] else { continue }
      var market = BookMarket(
        id: id, key: key, row: row, isSetAside: mirror.setAside[key] != nil)
      market.positions = book.positions.append(positions[key] ?? [])
      book.markets.append(market)
    }
    try loadPrices(into: &book, in: tx)
    return book
  }

  /// Reads in the order of the table and orders by market here: the server would sort on disk.
  private func loadPositions(
    into book: inout MoolahBook, in tx: borrowing Transaction
  ) throws {
    var columns = BookPositions()
    var marketOf: [Int32] = []
    let indexOf = Dictionary(
      zip(book.markets.map(\.id), Int32(0)...), uniquingKeysWith: { first, _ in first })
    try tx.forEachRow(
      """
      select id, market_id, user_address, borrow_shares, collateral from position
      where market_id = any(\(book.markets.map(\.id))) and borrow_shares > 0
      """
    ) { row in
      guard let market = indexOf[try row.get(1, Int32.self)] else { return }
      marketOf.append(market)
      columns.ids.append(try row.get(0, Int64.self))
      columns.users.append(try row.get(2, Address.self))
      columns.borrowShares.append(try row.get(3, UInt128.self))
      columns.collateral.append(try row.get(4, UInt128.self))
    }
    let ranges = columns.order(by: marketOf, markets: book.markets.count)
    for index in book.markets.indices { book.markets[index].positions = ranges[index] }
    book.positions = columns
  }

  func tokens(
    of deployment: Deployment, in tx: borrowing Transaction
  ) throws -> [Address: TokenLabel] {
    var tokens: [Address: TokenLabel] = [:]
    let rows = try tx.query(
      "select address, symbol, decimals from token where chain_id = \(deployment.chainID)")
    for row in rows {
      let address = try row.get(0, Address.self)
      tokens[address] = TokenLabel(
        address: address, symbol: try row.get(1, String?.self),
        decimals: Int(try row.get(2, Int16.self)))
    }
    return tokens
  }

  func facts(
    of deployment: Deployment, at block: BlockMark, in tx: borrowing Transaction
  ) throws -> Facts {
    var known: [Facts.Key: U256] = [:]
    let rows = try tx.query(
      """
      select distinct on (f.subject, f.name) f.subject, f.name, f.value from fact f
      where f.deployment_id = \(deployment.id) and f.block_number <= \(block.number)
        and not exists (select from block b
          where b.chain_id = \(deployment.chainID) and b.number = f.block_number
            and b.hash = f.block_hash and not b.canonical)
      order by f.subject, f.name, f.block_number desc, f.log_index desc
      """)
    for row in rows {
      let key = Facts.Key(
        subject: try row.get(0, [UInt8].self), name: try row.get(1, String.self))
      known[key] = try row.get(2, U256.self)
    }
    return Facts(known)
  }

  // MARK: Debts

  public func refreshDebt(
    of book: MoolahBook, at timestamp: UInt64, in tx: borrowing Transaction
  ) throws -> RefreshReport {
    var report = RefreshReport()
    try tx.execute(
      """
      create temporary table position_debt_staged (position_id bigint, borrowed numeric,
        trigger_price numeric) on commit drop
      """)
    var unknown: [Int32] = []
    var overflowing: [Int64] = []
    try tx.copyIn("position_debt_staged", columns: "position_id, borrowed, trigger_price") { rows in
      for market in book.markets {
        let accrued: MarketState
        if market.row.broker != nil {
          giveUp(market, .brokerMarket, &unknown, &report)
          continue
        }
        switch book.accrued(market, to: timestamp) {
        case .failure(let reason):
          giveUp(market, reason, &unknown, &report)
          continue
        case .success(let state): accrued = state.state
        }
        for index in market.positions {
          let position = book.positions.state(index)
          guard let borrowed = try? accrued.borrowed(position.borrowShares) else {
            overflowing.append(book.positions.ids[index])
            continue
          }
          rows.beginRow()
          try rows.append(book.positions.ids[index])
          try rows.append(borrowed)
          try rows.append(trigger(debt: borrowed, position, market.row.parameters.lltv))
          report.positions += 1
        }
      }
    }
    report.unknown += overflowing.count
    if !overflowing.isEmpty { report.note(.arithmeticOverflow) }
    report.written = try writeStagedDebts(
      report.positions, of: book, unknown: unknown, overflowing: overflowing, in: tx)
    report.markets = try writeTotals(of: book, at: timestamp, in: tx)
    return report
  }

  private func giveUp(
    _ market: BookMarket, _ reason: UnknownReason, _ markets: inout [Int32],
    _ report: inout RefreshReport
  ) {
    markets.append(market.id)
    report.unknown += market.positions.count
    if !market.positions.isEmpty { report.note(reason) }
  }

  private func writeStagedDebts(
    _ staged: Int, of book: MoolahBook, unknown: [Int32], overflowing: [Int64],
    in tx: borrowing Transaction
  ) throws -> Int {
    // Room for a million rows to be joined without going through the disk in parts.
    try tx.execute("set local work_mem = '128MB'")
    let updated = try tx.execute(
      """
      update position_debt d set borrowed = s.borrowed, trigger_price = s.trigger_price
      from position_debt_staged s where d.position_id = s.position_id
        and (d.borrowed, d.trigger_price) is distinct from (s.borrowed, s.trigger_price)
      """)
    // Interest changes every row as a rule, and then none is new. Conflicts are met row by row: an
    // anti-join that is planned for an empty table would read all that this statement adds.
    let added =
      updated == staged
      ? 0
      : try tx.execute(
        """
        insert into position_debt (position_id, borrowed, trigger_price)
        select position_id, borrowed, trigger_price from position_debt_staged
        on conflict (position_id) do nothing
        """)
    // What is closed has no debt; what is unknown, or of a market that the filter leaves out, must
    // not look known.
    let id = book.deployment.id
    let known = book.markets.map(\.id).filter { !unknown.contains($0) }
    try tx.execute(
      """
      delete from position_debt d using position p, market m
      where p.id = d.position_id and m.id = p.market_id and m.deployment_id = \(id)
        and (p.borrow_shares = 0 or m.id <> all(\(known)) or p.id = any(\(overflowing)))
      """)
    try tx.execute(
      """
      delete from market_now n using market m
      where m.id = n.market_id and m.deployment_id = \(id) and m.id <> all(\(known))
      """)
    return updated + added
  }

  private func writeTotals(
    of book: MoolahBook, at timestamp: UInt64, in tx: borrowing Transaction
  ) throws -> Int {
    var totals: [SQL] = []
    for market in book.markets {
      guard market.row.broker == nil,
        case .success(let now) = book.accrued(market, to: timestamp)
      else { continue }
      // Without the fee the supply shares that it makes are unknown; debt does not depend on it.
      let isFeeKnown =
        market.row.isFeeKnown || book.facts[.fee, market.subject] != nil
      totals.append(
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
        """)
    }
    try tx.executeBatch(totals)
    return totals.count
  }

  // MARK: Answers and verdicts

  public func storeAnswers(
    of book: MoolahBook, run: Int64?, in tx: borrowing Transaction
  ) throws {
    var answers = book.isPast ? [] : lasting(in: book)
    answers += book.priceInsertions(run: run)
    try tx.executeBatch(answers)
  }

  /// What later books need not ask again. Only what was asked at the mirror's own block lasts: the
  /// mirror takes it back with the block.
  private func lasting(in book: MoolahBook) -> [SQL] {
    var answers: [SQL] = []
    for address in book.newTokens.sorted() {
      guard let token = book.tokens[address], let decimals = token.decimals else { continue }
      answers.append(
        """
        insert into token (chain_id, address, decimals, symbol)
        values (\(book.deployment.chainID), \(address), \(Int16(decimals)), \(token.symbol))
        on conflict do nothing
        """)
    }
    for (key, value) in book.facts.new {
      answers.append(
        """
        insert into fact (deployment_id, subject, name, block_number, block_hash, value, how)
        values (\(book.deployment.id), \(key.subject), \(key.name), \(book.block.number),
          \(book.block.hash), \(value), 'call_at_block')
        on conflict do nothing
        """)
    }
    return answers
  }

  public func store(
    _ judgement: Judgement, of book: MoolahBook, at timestamp: UInt64, run: Int64,
    in tx: borrowing Transaction
  ) throws {
    let found: [SQL] = judgement.markets.map { market in
      """
      insert into scan_market (run_id, market_id, block_number, block_hash, at_timestamp, price,
        healthy, liquidatable, unknown, unknown_reason, unknown_detail, shadow_price,
        shadow_liquidatable, shadow_debt)
      values (\(run), \(market.marketID), \(book.block.number), \(book.block.hash), \(timestamp),
        \(market.price), \(Int32(market.healthy)), \(Int32(market.liquidatable)),
        \(Int32(market.unknown)), \(market.unknownReason?.code),
        \(market.unknownDetail.isEmpty ? nil : market.unknownDetail), \(market.shadow?.price),
        \((market.shadow?.liquidatable).map(Int32.init(clamping:))), \(market.shadow?.debt))
      """
    }
    try tx.executeBatch(found + warnings(of: judgement, at: book.block, run: run))
    if judgement.candidates.isEmpty { return }
    try tx.copyIn(
      "candidate",
      columns:
        """
        run_id, market_id, user_address, block_number, block_hash, at_timestamp, certainty, outcome,
        debt, capacity, collateral, price, trigger_price
        """
    ) { rows in
      for candidate in judgement.candidates {
        rows.beginRow()
        try rows.append(run)
        try rows.append(candidate.marketID)
        try rows.append(candidate.user)
        try rows.append(book.block.number)
        try rows.append(book.block.hash)
        try rows.append(timestamp)
        try rows.append(candidate.certainty.rawValue)
        try rows.append(candidate.outcome.rawValue)
        try rows.append(candidate.health.debt)
        try rows.append(candidate.health.capacity)
        try rows.append(candidate.collateral)
        try rows.append(candidate.price)
        try rows.append(candidate.triggerPrice)
      }
    }
  }

  // MARK: Reading

  public func nearest(
    of deployment: Deployment, user: Address?, market: Bytes32?, limit: Int,
    in tx: borrowing Transaction
  ) throws -> [PositionLine] {
    try tx.query(
      """
      select m.market_key, p.user_address, p.collateral, p.borrow_shares, d.borrowed,
        d.trigger_price, s.price, n.as_of_block, m.loan_token, l.symbol, l.decimals,
        m.collateral_token, c.symbol, c.decimals
      from position p
      join market m on m.id = p.market_id and m.deployment_id = \(deployment.id)
      left join market_now n on n.market_id = m.id
      left join position_debt d on d.position_id = p.id and n.market_id is not null
      left join lateral (
        select price from scan_market where market_id = m.id order by run_id desc limit 1
      ) s on true
      left join token l on l.chain_id = \(deployment.chainID) and l.address = m.loan_token
      left join token c on c.chain_id = \(deployment.chainID) and c.address = m.collateral_token
      where p.borrow_shares > 0 and (\(user) is null or p.user_address = \(user))
        and (\(market) is null or m.market_key = \(market))
      order by
        case when d.borrowed is not null and d.trigger_price is null then 0 else 1 end,
        d.trigger_price / nullif(s.price, 0) desc nulls last, p.id
      limit \(Int64(limit))
      """
    ).map { row in
      PositionLine(
        market: try row.get(0, Bytes32.self), user: try row.get(1, Address.self),
        collateral: try row.get(2, U256.self), borrowShares: try row.get(3, U256.self),
        borrowed: try row.get(4, U256?.self), triggerPrice: try row.get(5, U256?.self),
        price: try row.get(6, U256?.self), asOfBlock: try row.get(7, UInt64?.self),
        label: MarketLabel(loan: try token(row, at: 8), collateral: try token(row, at: 11)))
    }
  }

  private func token(_ row: Row, at column: Int) throws -> TokenLabel {
    TokenLabel(
      address: try row.get(column, Address.self), symbol: try row.get(column + 1, String?.self),
      decimals: try row.get(column + 2, Int16?.self).map(Int.init))
  }
}
