import Ethereum
import Postgres
import Quantities
import RiskCore
import Systems
import Testing

@testable import Moolah

/// What refreshes and scans leave in the tables, and what takes it away again.
@Suite struct DerivedTablesTests {
  /// A stored stream with its book, whose rates all agree with the local models.
  private func consumed(
    _ filter: MarketFilter = MarketFilter(), at later: BlockMark? = nil, in stored: StoredMirror
  ) throws -> MoolahBook {
    let number = try #require(try LogStream.named("fixture_logs_11").chain().times.keys.max())
    let time = try #require(try LogStream.named("fixture_logs_11").chain().times[number])
    let block =
      later ?? BlockMark(number: number, hash: Bytes32(U256(number)), timestamp: time)
    var book = try stored.db.transaction(.readOnly) { tx in
      try stored.moolah.book(of: stored.deployment, markets: filter, at: block, in: tx)
    }
    // The rate of a market does not matter here, only that there is one.
    for index in book.markets.indices { book.markets[index].askedRate = Wad(raw: 1_000_000_000) }
    return book
  }

  private func stored() throws -> StoredMirror {
    let stored = try StoredMirror()
    let (logs, times) = try LogStream.named("fixture_logs_11").chain()
    try stored.consume(logs, times)
    return stored
  }

  private func refresh(_ book: MoolahBook, in stored: StoredMirror) throws -> RefreshReport {
    try stored.db.transaction {
      try stored.moolah.refreshDebt(of: book, at: book.block.timestamp, in: $0)
    }
  }

  @Test func aDebtThatOverflowsLosesItsOldRow() throws {
    let stored = try stored()
    var book = try consumed(in: stored)
    #expect(try refresh(book, in: stored).unknown == 0)
    let before = try stored.count("position_debt")

    let index = try #require(book.markets.firstIndex { $0.positions.count > 1 })
    let market = book.markets[index]
    var row = market.row
    row.state.totalBorrowAssets = .max
    row.state.totalBorrowShares = .max
    row.state.lastUpdate = book.block.timestamp
    var full = BookMarket(id: market.id, key: market.key, row: row, isSetAside: false)
    full.positions = market.positions
    full.askedRate = Wad(raw: .zero)
    book.markets[index] = full
    let id = book.positions.ids[market.positions.lowerBound]
    try stored.db.transaction { tx in
      try tx.execute("update position set borrow_shares = \(UInt128.max) where id = \(id)")
    }

    let report = try refresh(book, in: stored)
    #expect(report.unknown == 1)
    #expect(report.unknownReasons == [.arithmeticOverflow])
    #expect(try stored.count("position_debt") == before - 1)
    #expect(try reason(of: id, in: stored) == "arithmetic_overflow")
  }

  @Test func aPositionThatHasChangedSinceIsUnknownUntilTheNextRefresh() throws {
    let stored = try stored()
    let book = try consumed(in: stored)
    _ = try refresh(book, in: stored)
    let before = try stored.count("position_debt")
    let id = book.positions.ids[0]
    let next = BlockMark(
      number: book.block.number + 1, hash: .zero, timestamp: book.block.timestamp)
    try stored.db.transaction { tx in
      try tx.execute("update position set as_of_block = \(next.number) where id = \(id)")
    }
    #expect(try stored.count("position_debt") == before - 1)
    #expect(try reason(of: id, in: stored) == "changed_since_refresh")
    _ = try refresh(consumed(at: next, in: stored), in: stored)
    #expect(try stored.count("position_debt") == before)
  }

  @Test func aMarketThatIsDerivedAnewHasNoDebtsUntilTheNextRefresh() throws {
    let stored = try stored()
    let book = try consumed(in: stored)
    _ = try refresh(book, in: stored)
    #expect(try stored.count("position_debt") > 0)
    let (logs, times) = try LogStream.named("fixture_logs_11").chain()
    try stored.derive(nil, from: logs, times)
    #expect(try stored.count("position_debt") == 0)
    #expect(try stored.count("position") > 0)
  }

  @Test func aMarketWhoseRateIsUnknownSaysSo() throws {
    let stored = try stored()
    var book = try consumed(in: stored)
    let index = try #require(
      book.markets.firstIndex {
        !$0.positions.isEmpty && $0.row.parameters.irm != .zero
          && $0.row.state.lastUpdate < book.block.timestamp
      })
    book.markets[index].askedRate = nil
    let report = try refresh(book, in: stored)
    #expect(report.unknown == book.markets[index].positions.count)
    #expect(report.unknownReasons == [.unknownRate])
    let id = book.positions.ids[book.markets[index].positions.lowerBound]
    #expect(try reason(of: id, in: stored) == "unknown_rate")
    _ = try refresh(consumed(in: stored), in: stored)
    #expect(try reason(of: id, in: stored) == nil)
  }

  @Test func aPositionThatWasNeverRefreshedSaysSo() throws {
    let stored = try stored()
    let id = try consumed(in: stored).positions.ids[0]
    #expect(try reason(of: id, in: stored) == "not_refreshed")
  }

  private func reason(of id: Int64, in stored: StoredMirror) throws -> String? {
    try stored.db.transaction(.readOnly) { tx in
      try tx.query("select unknown_reason from position_now where position_id = \(id)")[0]
        .get(0, String?.self)
    }
  }

  // MARK: Brokers

  @Test func theDebtOfABrokersMarketIsUnknownUntilItIsAsked() throws {
    let stored = try stored()
    let book = try consumed(in: stored)
    let market = try #require(book.markets.first { !$0.positions.isEmpty })
    let id = book.positions.ids[market.positions.lowerBound]
    _ = try refresh(book, in: stored)
    #expect(try reason(of: id, in: stored) == nil)
    try setBroker(.zero, of: market, in: stored)
    #expect(try reason(of: id, in: stored) == "broker_market")
    let report = try refresh(consumed(in: stored), in: stored)
    #expect(report.unknown == market.positions.count)
    #expect(report.unknownReasons == [.brokerMarket])
    #expect(try stored.count("stored_debt") == market.positions.count)
    try setBroker(nil, of: market, in: stored)
    #expect(try reason(of: id, in: stored) == nil)
    _ = try refresh(consumed(in: stored), in: stored)
    #expect(try stored.count("stored_debt") == 0)
  }

  @Test func theDebtsOfABrokerGoWithTheirBlock() throws {
    let stored = try stored()
    let ancestor = try consumed(in: stored).block
    let book = try consumed(
      at: BlockMark(
        number: ancestor.number + 1, hash: .zero, timestamp: ancestor.timestamp + 12), in: stored)
    let market = try #require(book.markets.first { !$0.positions.isEmpty })
    let id = book.positions.ids[market.positions.lowerBound]
    _ = try refresh(book, in: stored)
    try setBroker(.zero, of: market, in: stored)
    try setDebt(1, of: id, in: stored)
    try insert(ancestor, in: stored)
    #expect(try reason(of: id, in: stored) == nil)
    // No log of the core has changed the market above the ancestor, only its broker's debts.
    try stored.takeBack(to: ancestor.number)
    #expect(try reason(of: id, in: stored) == "not_refreshed")
    #expect(try stored.count("market_now") == book.markets.count - 1)
  }

  /// Zero is owed on dust shares; users of credit brokers are never liquidated by price.
  @Test func theNearOnesAreThoseThatAPriceLiquidates() throws {
    let stored = try stored()
    let book = try consumed(in: stored)
    let market = try #require(book.markets.first { !$0.positions.isEmpty })
    let id = book.positions.ids[market.positions.lowerBound]
    _ = try refresh(book, in: stored)
    try setBroker(.zero, of: market, in: stored)
    try insert(book.block, in: stored)
    var judgement = Judgement()
    judgement.markets = [MarketJudgement(marketID: market.id, market: market.key, price: 1)]
    try scan(judgement, of: book, in: stored)
    try setDebt(0, of: id, in: stored)
    #expect(try stored.count("moolah_close_to_liquidate") == 0)
    try setDebt(1, of: id, in: stored)
    #expect(try stored.count("moolah_close_to_liquidate") == 1)
    for (block, kind) in [(1, 1), (2, 2)] as [(UInt64, U256)] {
      try stored.db.transaction { tx in
        try tx.execute(
          """
          insert into fact (deployment_id, subject, name, block_number, log_index, block_hash,
            value, how)
          values (\(stored.deployment.id), \(Address.zero.bytes), 'broker_kind', \(block), -1,
            \(Bytes32.zero), \(kind), 'call_at_block')
          """)
      }
      #expect(try stored.count("moolah_close_to_liquidate") == (kind == 1 ? 1 : 0))
    }
  }

  private func setDebt(_ debt: U256, of position: Int64, in stored: StoredMirror) throws {
    try stored.db.transaction { tx in
      try tx.execute(
        """
        insert into stored_debt (position_id, borrowed) values (\(position), \(debt))
        on conflict (position_id) do update set borrowed = excluded.borrowed
        """)
    }
  }

  private func insert(_ block: BlockMark, in stored: StoredMirror) throws {
    try stored.db.transaction { tx in
      try tx.execute(
        """
        insert into block (chain_id, number, hash, parent_hash, timestamp)
        values (1, \(block.number), \(block.hash), \(block.hash), \(block.timestamp))
        """)
    }
  }

  private func scan(_ judgement: Judgement, of book: MoolahBook, in stored: StoredMirror) throws {
    try stored.db.transaction { tx in
      let run = try tx.query(
        """
        insert into run (job, arguments, deployments, version, host, pid)
        values ('scan-liquidations', '', 'test', '0', 'here', 1) returning id
        """)[0].get(0, Int64.self)
      try stored.moolah.store(judgement, of: book, at: 1, isQuestion: false, run: run, in: tx)
    }
  }

  private func setBroker(
    _ broker: Address?, of market: BookMarket, in stored: StoredMirror
  ) throws {
    try stored.db.transaction { tx in
      try tx.execute("update market set broker = \(broker) where id = \(market.id)")
    }
  }

  @Test func aMarketThatTheFilterLeavesOutLosesItsDerivedRows() throws {
    let stored = try stored()
    let book = try consumed(in: stored)
    _ = try refresh(book, in: stored)
    #expect(try stored.count("market_now") == book.markets.count)
    let left = try #require(book.markets.first { !$0.positions.isEmpty })
    let rest = try consumed(MarketFilter(exclude: [left.key]), in: stored)
    let report = try refresh(rest, in: stored)
    #expect(try stored.count("market_now") == book.markets.count - 1)
    #expect(try stored.count("position_debt") == report.positions)
    #expect(report.positions == book.positions.ids.count - left.positions.count)
  }

  @Test func whatAScanFoundOutlivesItsMarket() throws {
    let stored = try stored()
    let book = try consumed(in: stored)
    var judgement = Judgement()
    var found = MarketJudgement(marketID: book.markets[0].id, market: .zero, price: 1)
    found.liquidatable = 1
    judgement.markets = [found]
    judgement.candidates = [
      Candidate(
        marketID: book.markets[0].id, market: .zero, user: .zero, certainty: .verified,
        outcome: .open, health: Health(capacity: 1, debt: 2), collateral: 1, price: 1,
        triggerPrice: 2)
    ]
    try scan(judgement, of: book, in: stored)
    try stored.takeBack(to: 0)
    #expect(try stored.count("market") == 0)
    #expect(try stored.count("liquidation") == 0)
    #expect(try stored.count("scan_market") == 1)
    #expect(try stored.count("candidate") == 1)
  }

  // MARK: The view

  @Test func theViewScalesAmountsWithoutRounding() throws {
    let stored = try stored()
    let book = try consumed(in: stored)
    _ = try refresh(book, in: stored)
    let id = book.positions.ids[0]
    let lines = try stored.db.transaction { tx in
      for market in book.markets {
        for token in [market.row.parameters.loanToken, market.row.parameters.collateralToken] {
          try tx.execute(
            """
            insert into token (chain_id, address, decimals) values (1, \(token), 18)
            on conflict do nothing
            """)
        }
      }
      let raw: U256 = 1_234_567_890_123_456_789_012
      try tx.execute("update position set collateral = \(raw) where id = \(id)")
      try tx.execute("update market set broker = \(Address.zero), lltv_wad = 860000000000000000")
      try tx.execute("insert into stored_debt (position_id, borrowed) values (\(id), \(raw))")
      return try tx.query(
        """
        select v."collateralAmount"::text, v."borrowedAmount"::text,
          v."liquidationPriceRatio"::text
        from moolah_user_position v
        join position p on p.user_address = v."userAddress"
        join market m on m.id = p.market_id and m.market_key = v."marketId"
        where p.id = \(id)
        """)
    }
    let line = try #require(lines.first)
    #expect(try line.get(0, String.self) == "1234.567890123456789012")
    #expect(try line.get(1, String.self) == "1234.567890123456789012")
    // ceil(ceil(raw / 0.86) * 1e36 / raw)
    #expect(try line.get(2, String.self) == "1.162790697674418604651294651163977442")
  }

  @Test func withoutDebtThereIsNoLiquidationPrice() throws {
    let stored = try stored()
    let book = try consumed(in: stored)
    _ = try refresh(book, in: stored)
    let prices = try stored.db.transaction { tx in
      try tx.execute("update position set borrow_shares = 0")
      return try tx.query(
        """
        select count("liquidationPriceRatio"), count(*) from moolah_user_position
        """)
    }
    #expect(try prices[0].get(0, Int.self) == 0)
    #expect(try prices[0].get(1, Int.self) > 0)
  }

  // MARK: Rate models

  @Test func theModelOfAMarketSetAsideBeforeItHasARowIsWatched() throws {
    let stored = try StoredMirror()
    let (logs, _) = try LogStream.named("fixture_logs_11").chain()
    let creation = try #require(logs.first { (try? MoolahEvent($0))?.parameters != nil })
    let irm = try #require(try MoolahEvent(creation)?.parameters?.irm)
    try stored.db.transaction { tx in
      try tx.execute(
        """
        insert into block (chain_id, number, hash, parent_hash, timestamp)
        values (1, \(creation.blockNumber), \(creation.blockHash), \(creation.blockHash), 1)
        """)
      try tx.execute(
        """
        insert into event (chain_id, block_number, log_index, block_hash, transaction_hash,
          transaction_index, address, topic0, topic1, data)
        values (1, \(creation.blockNumber), 0, \(creation.blockHash), \(creation.blockHash), 0,
          \(creation.address), \(creation.topics[0]), \(creation.topics[1]), \(creation.data))
        """)
      try tx.execute(
        """
        insert into set_aside (deployment_id, market_key, block_number, log_index, reason, attempts)
        values (\(stored.deployment.id), \(creation.topics[1]), 1, 0, 'its market was unknown', 1)
        """)
    }
    let watched = try stored.db.transaction(.readOnly) {
      try stored.moolah.watched(of: stored.deployment, in: $0)
    }
    #expect(watched == [LogStream.core, irm])
  }
}

extension MoolahEvent {
  fileprivate var parameters: MarketParameters? {
    if case .createMarket(_, let parameters) = self { parameters } else { nil }
  }
}
