import Ethereum
import Postgres
import Quantities
import RiskCore
import Systems

// Tables `scan_market`, `candidate`, and the shared `token`, `fact` and `price`: what a book is
// made of, and what a judgement leaves behind.

extension Moolah {
  public func book(
    of deployment: Deployment, markets filter: MarketFilter, at block: BlockMark,
    for purpose: Purpose, in tx: borrowing Transaction
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
    try loadPositions(into: &book, for: purpose, in: tx)
    try loadPrices(into: &book, in: tx)
    try loadBrokers(into: &book, in: tx)
    try loadMembers(into: &book, in: tx)
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
    try loadBrokers(into: &book, touches: mirror.brokers, in: tx)
    try loadMembers(into: &book, in: tx)
    return book
  }

  /// Reads in the order of the table and orders by market here: the server would sort on disk. For
  /// debts only what does not follow from a market's totals.
  private func loadPositions(
    into book: inout MoolahBook, for purpose: Purpose, in tx: borrowing Transaction
  ) throws {
    let markets = book.markets.filter { purpose == .verdicts || $0.row.broker != nil }
    var columns = BookPositions()
    var marketOf: [Int32] = []
    let indexOf = Dictionary(
      zip(book.markets.map(\.id), Int32(0)...), uniquingKeysWith: { first, _ in first })
    try tx.forEachRow(
      """
      select id, market_id, user_address, borrow_shares, collateral from position
      where market_id = any(\(markets.map(\.id))) and borrow_shares > 0
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

  // MARK: Answers and verdicts

  public func storeAnswers(
    of book: MoolahBook, run: Int64?, in tx: borrowing Transaction
  ) throws {
    var answers = book.isPast ? [] : lasting(in: book)
    answers += book.priceInsertions(run: run)
    try tx.executeBatch(answers)
    if !book.isPast { try storeBrokers(of: book, in: tx) }
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
    _ judgement: Judgement, of book: MoolahBook, at timestamp: UInt64, isQuestion: Bool, run: Int64,
    in tx: borrowing Transaction
  ) throws {
    let found: [SQL] = judgement.markets.map { market in
      """
      insert into scan_market (run_id, market_id, block_number, block_hash, at_timestamp, price,
        healthy, liquidatable, unknown, overdue, unknown_reason, unknown_detail, shadow_price,
        shadow_liquidatable, shadow_debt, is_question)
      values (\(run), \(market.marketID), \(book.block.number), \(book.block.hash), \(timestamp),
        \(market.price), \(Int32(market.healthy)), \(Int32(market.liquidatable)),
        \(Int32(market.unknown)), \(Int32(market.overdue)), \(market.unknownReason?.code),
        \(market.unknownDetail.isEmpty ? nil : market.unknownDetail), \(market.shadow?.price),
        \((market.shadow?.liquidatable).map(Int32.init(clamping:))), \(market.shadow?.debt),
        \(isQuestion))
      """
    }
    try tx.executeBatch(found + warnings(of: judgement, at: book.block, run: run))
    try storeOverdue(judgement.overdue, of: book, at: timestamp, run: run, in: tx)
    if judgement.candidates.isEmpty { return }
    try tx.copyIn(
      "candidate",
      columns:
        """
        run_id, market_id, user_address, block_number, block_hash, at_timestamp, certainty, outcome,
        debt, capacity, collateral, price, trigger_price, user_price, contract, path, plan,
        by_seizing, seized_assets, repaid_assets, repaid_shares, interest_to_broker,
        bad_debt_assets, bad_debt_shares, incentive_wad, loan_to_value_wad, debt_usd,
        collateral_usd, first_seen_at,
        zone, guard_state
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
        try rows.append(candidate.userPrice)
        try candidate.appendControls(to: &rows)
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
      select m.market_key, p.user_address, p.collateral, p.borrow_shares, p.borrowed,
        p.trigger_price, s.price, p.as_of_block, m.loan_token, l.symbol, l.decimals,
        m.collateral_token, c.symbol, c.decimals
      from position_now p
      join market m on m.id = p.market_id and m.deployment_id = \(deployment.id)
      left join lateral (
        select price from scan_market where market_id = m.id and not is_question
        order by run_id desc limit 1
      ) s on true
      left join token l on l.chain_id = \(deployment.chainID) and l.address = m.loan_token
      left join token c on c.chain_id = \(deployment.chainID) and c.address = m.collateral_token
      where p.borrow_shares > 0 and (\(user) is null or p.user_address = \(user))
        and (\(market) is null or m.market_key = \(market))
      order by
        case when p.borrowed is not null and p.trigger_price is null then 0 else 1 end,
        p.trigger_price / nullif(s.price, 0) desc nulls last, p.position_id
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
