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
    _ filter: MarketFilter = MarketFilter(), in stored: StoredMirror
  ) throws -> MoolahBook {
    let number = try #require(try LogStream.named("fixture_logs_11").chain().times.keys.max())
    let time = try #require(try LogStream.named("fixture_logs_11").chain().times[number])
    let block = BlockMark(number: number, hash: Bytes32(U256(number)), timestamp: time)
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
    book.positions.borrowShares[market.positions.lowerBound] = .max

    let report = try refresh(book, in: stored)
    #expect(report.unknown == 1)
    #expect(report.unknownReasons == [.arithmeticOverflow])
    #expect(try stored.count("position_debt") == before - 1)
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
    try stored.db.transaction { tx in
      let run = try tx.query(
        """
        insert into run (job, arguments, deployments, version, host, pid)
        values ('scan-liquidations', '', 'test', '0', 'here', 1) returning id
        """)[0].get(0, Int64.self)
      try stored.moolah.store(judgement, of: book, at: 1, run: run, in: tx)
    }
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
      try tx.execute(
        """
        update position_debt set borrowed = \(raw),
          trigger_price = 1234567890123456789012345678901234567 where position_id = \(id)
        """)
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
    #expect(try line.get(2, String.self) == "1.234567890123456789012345678901234567")
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
