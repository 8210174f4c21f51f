import Ethereum
import Postgres
import Quantities
import Systems

// What a window changes in the tables of the mirror: rows, the images of rows, and the history.

extension Moolah {
  public func store(
    _ mirror: inout MoolahMirror, of deployment: Deployment, in tx: borrowing Transaction
  ) throws {
    try storeCore(mirror, of: deployment, in: tx)
    try storeMarkets(&mirror, of: deployment, in: tx)
    let ids = mirror.markets.compactMapValues(\.id)
    try storePositions(&mirror, ids: ids, in: tx)
    try storeImages(mirror, ids: ids, of: deployment, in: tx)
    try storeHistory(mirror, ids: ids, of: deployment, in: tx)
    try storeFacts(mirror.facts, of: deployment, in: tx)
    try store(mirror.settings, of: deployment, in: tx)
    try store(mirror.brokers, of: deployment, in: tx)
    try storeSetAside(mirror.setAside.values.filter { $0.attempts == 1 }, of: deployment, in: tx)
    mirror.noteStored()
  }

  public func replace(
    with mirror: MoolahMirror, of deployment: Deployment, in tx: borrowing Transaction
  ) throws {
    let stored = try storedMarkets(following: mirror.following, of: deployment, in: tx)
    let ids = stored.values.map(Int64.init)
    try tx.execute("delete from market_before where market_id = any(\(ids))")
    try tx.execute("delete from position_before where market_id = any(\(ids))")
    try tx.execute("delete from user_operation where market_id = any(\(ids))")
    try tx.execute("delete from liquidation where market_id = any(\(ids))")
    try tx.execute(
      """
      delete from stored_debt d using position p
      where p.id = d.position_id and p.market_id = any(\(ids))
      """)
    // Debts follow from these totals together with the rows that are about to be others.
    try tx.execute("delete from market_now where market_id = any(\(ids))")
    try tx.execute("delete from position where market_id = any(\(ids))")
    // A market that no event creates any more is no market.
    let gone = stored.filter { mirror.markets[$0.key] == nil }.values.map(Int64.init)
    try tx.execute("delete from market where id = any(\(gone))")

    var mirror = mirror
    for (key, id) in stored { mirror.markets[key]?.id = id }
    if mirror.following == nil {
      try tx.execute("delete from core_state_before where deployment_id = \(deployment.id)")
    } else {
      mirror.core.isChanged = false
      mirror.coreImages = []
    }
    let still = mirror.setAside
    mirror.setAside = [:]
    try replaceParameters(mirror, of: stored, in: tx)
    try store(&mirror, of: deployment, in: tx)
    try resolveSetAside(mirror.following, still: still, of: deployment, in: tx)
  }

  /// No event changes them, so only a row that was damaged has others.
  private func replaceParameters(
    _ mirror: MoolahMirror, of stored: [Bytes32: Int32], in tx: borrowing Transaction
  ) throws {
    var updates: [SQL] = []
    for (key, id) in stored {
      guard let p = mirror.markets[key]?.parameters else { continue }
      updates.append(
        """
        update market set loan_token = \(p.loanToken), collateral_token = \(p.collateralToken),
          oracle = \(p.oracle), irm = \(p.irm), lltv_wad = \(p.lltv.raw)
        where id = \(id)
        """)
    }
    try tx.executeBatch(updates)
  }

  /// Surrogate keys of the markets that a mirror follows; nil: all of the deployment.
  func storedMarkets(
    following markets: Set<Bytes32>?, of deployment: Deployment, in tx: borrowing Transaction
  ) throws -> [Bytes32: Int32] {
    var ids: [Bytes32: Int32] = [:]
    let rows = try tx.query(
      "select id, market_key from market where deployment_id = \(deployment.id)")
    for row in rows {
      let key = try row.get(1, Bytes32.self)
      if markets?.contains(key) ?? true { ids[key] = try row.get(0, Int32.self) }
    }
    return ids
  }

  private func storeCore(
    _ mirror: MoolahMirror, of deployment: Deployment, in tx: borrowing Transaction
  ) throws {
    guard mirror.core.isChanged else { return }
    try tx.execute(
      """
      insert into core_state (deployment_id, fee_recipient, default_market_fee_wad, as_of_block)
      values (\(deployment.id), \(mirror.core.feeRecipient), \(mirror.core.defaultMarketFee?.raw),
        \(mirror.core.asOfBlock))
      on conflict (deployment_id) do update set fee_recipient = excluded.fee_recipient,
        default_market_fee_wad = excluded.default_market_fee_wad,
        as_of_block = excluded.as_of_block
      """)
  }

  private func storeMarkets(
    _ mirror: inout MoolahMirror, of deployment: Deployment, in tx: borrowing Transaction
  ) throws {
    // Sorted, so that surrogate keys are the same in every run.
    let changed = mirror.markets.filter(\.value.isChanged).sorted { $0.key < $1.key }
    try tx.executeBatch(changed.compactMap { $0.value.id == nil ? nil : update($0.value) })
    for (key, market) in changed where market.id == nil {
      mirror.markets[key]?.id = try add(market, key, of: deployment, in: tx)
    }
  }

  private func add(
    _ market: MarketRow, _ key: Bytes32, of deployment: Deployment, in tx: borrowing Transaction
  ) throws -> Int32? {
    let p = market.parameters
    let s = market.state
    return try tx.query(
      """
      insert into market (deployment_id, market_key, loan_token, collateral_token, oracle, irm,
        lltv_wad, broker, total_supply_assets, total_supply_shares, total_borrow_assets,
        total_borrow_shares, last_update, fee_wad, rate_at_target_wad, as_of_block)
      values (\(deployment.id), \(key), \(p.loanToken), \(p.collateralToken), \(p.oracle),
        \(p.irm), \(p.lltv.raw), \(market.broker), \(s.totalSupplyAssets),
        \(s.totalSupplyShares), \(s.totalBorrowAssets), \(s.totalBorrowShares),
        \(s.lastUpdate), \(market.isFeeKnown ? s.fee.raw : nil), \(market.rateAtTarget?.raw),
        \(market.asOfBlock))
      returning id
      """
    ).first?.get(0, Int32.self)
  }

  private func update(_ market: MarketRow) -> SQL {
    let s = market.state
    return """
      update market set broker = \(market.broker), total_supply_assets = \(s.totalSupplyAssets),
        total_supply_shares = \(s.totalSupplyShares),
        total_borrow_assets = \(s.totalBorrowAssets),
        total_borrow_shares = \(s.totalBorrowShares), last_update = \(s.lastUpdate),
        fee_wad = \(market.isFeeKnown ? s.fee.raw : nil),
        rate_at_target_wad = \(market.rateAtTarget?.raw), as_of_block = \(market.asOfBlock)
      where id = \(market.id)
      """
  }

  private func storePositions(
    _ mirror: inout MoolahMirror, ids: [Bytes32: Int32], in tx: borrowing Transaction
  ) throws {
    let known = try addPositions(&mirror.positions, markets: ids, in: tx)
    try updatePositions(known, of: mirror.positions, in: tx)
  }

  /// Copies the new ones of the changed positions; returns the places of the others.
  private func addPositions(
    _ positions: inout PositionTable, markets: [Bytes32: Int32], in tx: borrowing Transaction
  ) throws -> [Int] {
    var new: [(market: Int32, user: Address, place: Int)] = []
    var known: [Int] = []
    for place in positions.changed {
      if positions.rows[place].id != nil {
        known.append(place)
      } else if let market = markets[positions.keys[place].market] {
        new.append((market, positions.keys[place].user, place))
      }
    }
    if new.isEmpty { return known }
    // In the order of the index, which also makes surrogate keys the same in every run.
    new.sort { ($0.market, $0.user) < ($1.market, $1.user) }
    for (id, row) in zip(try newPositionIDs(new.count, in: tx), new) {
      positions.identify(row.place, as: id)
    }
    try tx.copyIn(
      "position",
      columns: "id, market_id, user_address, supply_shares, borrow_shares, collateral, as_of_block"
    ) { rows in
      for (market, user, place) in new {
        let row = positions.rows[place]
        guard let id = row.id else { preconditionFailure("a new position has just got its id") }
        rows.beginRow()
        try rows.append(id)
        try rows.append(market)
        try rows.append(user)
        try rows.append(row.state)
        try rows.append(row.asOfBlock)
      }
    }
    return known
  }

  /// Given before the rows are written, since COPY does not say which ids it gave.
  private func newPositionIDs(_ count: Int, in tx: borrowing Transaction) throws -> [Int64] {
    try tx.query(
      """
      select nextval('position_id_seq') from generate_series(1, \(count))
      """
    ).map { try $0.get(0, Int64.self) }
  }

  private func updatePositions(
    _ places: [Int], of positions: PositionTable, in tx: borrowing Transaction
  ) throws {
    if places.isEmpty { return }
    try tx.execute(
      """
      create temporary table if not exists position_staged (id bigint, supply_shares numeric,
        borrow_shares numeric, collateral numeric, as_of_block bigint) on commit delete rows
      """)
    try tx.execute("delete from position_staged")
    // In the order in which the rows lie on the server: each page is met once.
    let known = places.compactMap { place in
      positions.rows[place].id.map { (id: $0, place: place) }
    }.sorted { $0.id < $1.id }
    try tx.copyIn(
      "position_staged", columns: "id, supply_shares, borrow_shares, collateral, as_of_block"
    ) { rows in
      for (id, place) in known {
        let row = positions.rows[place]
        rows.beginRow()
        try rows.append(id)
        try rows.append(row.state)
        try rows.append(row.asOfBlock)
      }
    }
    try tx.execute(
      """
      update position p set supply_shares = s.supply_shares, borrow_shares = s.borrow_shares,
        collateral = s.collateral, as_of_block = s.as_of_block
      from position_staged s where p.id = s.id
      """)
  }

  private func storeImages(
    _ mirror: MoolahMirror, ids: [Bytes32: Int32], of deployment: Deployment,
    in tx: borrowing Transaction
  ) throws {
    for image in mirror.coreImages {
      try tx.execute(
        """
        insert into core_state_before (deployment_id, block_number, existed, fee_recipient,
          default_market_fee_wad, as_of_block)
        values (\(deployment.id), \(image.block), \(image.row != nil), \(image.row?.feeRecipient),
          \(image.row?.defaultMarketFee?.raw), \(image.row?.asOfBlock))
        """)
    }
    if !mirror.marketImages.isEmpty {
      try tx.copyIn(
        "market_before",
        columns:
          """
          market_id, block_number, existed, broker, total_supply_assets, total_supply_shares,
          total_borrow_assets, total_borrow_shares, last_update, fee_wad, rate_at_target_wad,
          as_of_block
          """
      ) { rows in
        for (key, image) in mirror.marketImages {
          guard let id = ids[key] else { continue }
          rows.beginRow()
          try rows.append(id)
          try rows.append(image.block)
          try rows.append(image.row != nil)
          try rows.append(image.row?.broker)
          try rows.append(image.row?.state.totalSupplyAssets)
          try rows.append(image.row?.state.totalSupplyShares)
          try rows.append(image.row?.state.totalBorrowAssets)
          try rows.append(image.row?.state.totalBorrowShares)
          try rows.append(image.row?.state.lastUpdate)
          try rows.append(image.row.flatMap { $0.isFeeKnown ? $0.state.fee.raw : nil })
          try rows.append(image.row?.rateAtTarget?.raw)
          try rows.append(image.row?.asOfBlock)
        }
      }
    }
    if !mirror.positionImages.isEmpty {
      try tx.copyIn(
        "position_before",
        columns:
          """
          market_id, user_address, block_number, existed, supply_shares, borrow_shares, collateral,
          as_of_block
          """
      ) { rows in
        for (key, image) in mirror.positionImages {
          guard let id = ids[key.market] else { continue }
          rows.beginRow()
          try rows.append(id)
          try rows.append(key.user)
          try rows.append(image.block)
          try rows.append(image.row != nil)
          try rows.append(image.row?.state.supplyShares)
          try rows.append(image.row?.state.borrowShares)
          try rows.append(image.row?.state.collateral)
          try rows.append(image.row?.asOfBlock)
        }
      }
    }
  }

  private func storeHistory(
    _ mirror: MoolahMirror, ids: [Bytes32: Int32], of deployment: Deployment,
    in tx: borrowing Transaction
  ) throws {
    if !mirror.operations.isEmpty {
      try tx.copyIn(
        "user_operation",
        columns:
          """
          deployment_id, block_number, log_index, market_id, kind, user_address, caller, assets,
          shares, timestamp, transaction_hash
          """
      ) { rows in
        // Those of one block are often of one market.
        var last: (market: Bytes32, id: Int32)?
        for operation in mirror.operations {
          if last?.market != operation.market {
            last = ids[operation.market].map { (operation.market, $0) }
          }
          guard let id = last?.id else { continue }
          rows.beginRow()
          try rows.append(deployment.id)
          try rows.append(operation.at.block)
          try rows.append(Int32(bitPattern: operation.at.index))
          try rows.append(id)
          try rows.append(operation.kind.rawValue)
          try rows.append(operation.user)
          try rows.append(operation.caller)
          try rows.append(operation.assets)
          try rows.append(operation.shares)
          try rows.append(operation.at.timestamp)
          try rows.append(operation.at.transaction)
        }
      }
    }
    if !mirror.liquidations.isEmpty {
      try tx.copyIn(
        "liquidation",
        columns:
          """
          deployment_id, block_number, log_index, market_id, borrower, liquidator, repaid_assets,
          repaid_shares, seized_assets, bad_debt_assets, bad_debt_shares, write_down, timestamp,
          transaction_hash
          """
      ) { rows in
        for liquidation in mirror.liquidations {
          guard let id = ids[liquidation.market] else { continue }
          let event = liquidation.event
          rows.beginRow()
          try rows.append(deployment.id)
          try rows.append(liquidation.at.block)
          try rows.append(Int32(bitPattern: liquidation.at.index))
          try rows.append(id)
          try rows.append(event.borrower)
          try rows.append(event.caller)
          try rows.append(event.repaidAssets)
          try rows.append(event.repaidShares)
          try rows.append(event.seizedAssets)
          try rows.append(event.badDebtAssets)
          try rows.append(event.badDebtShares)
          try rows.append(liquidation.isWriteDown)
          try rows.append(liquidation.at.timestamp)
          try rows.append(liquidation.at.transaction)
        }
      }
    }
  }

  private func storeFacts(
    _ facts: [LoggedFact], of deployment: Deployment, in tx: borrowing Transaction
  ) throws {
    try tx.executeBatch(
      facts.map { fact in
        """
        insert into fact (deployment_id, subject, name, block_number, log_index, block_hash, value,
          how)
        values (\(deployment.id), \(fact.subject.bytes), \(fact.name.rawValue), \(fact.at.block),
          \(Int32(bitPattern: fact.at.index)), \(fact.at.hash), \(fact.value), 'log')
        on conflict do nothing
        """
      })
  }

  private func storeSetAside(
    _ markets: [SetAside], of deployment: Deployment, in tx: borrowing Transaction
  ) throws {
    for aside in markets {
      try tx.execute(
        """
        insert into set_aside (deployment_id, market_key, block_number, log_index, reason, attempts)
        values (\(deployment.id), \(aside.market), \(aside.blockNumber),
          \(Int32(bitPattern: aside.logIndex)), \(aside.reason), 1)
        on conflict do nothing
        """)
    }
  }

  /// After another attempt: markets that came through go on, the others have one attempt more.
  private func resolveSetAside(
    _ markets: Set<Bytes32>?, still: [Bytes32: SetAside], of deployment: Deployment,
    in tx: borrowing Transaction
  ) throws {
    let tried = try markets ?? Set(setAside(of: deployment, in: tx).map(\.market))
    let through = tried.filter { still[$0] == nil }.sorted()
    try tx.execute(
      """
      delete from set_aside
      where deployment_id = \(deployment.id) and market_key = any(\(through))
      """)
    for aside in still.values {
      try tx.execute(
        """
        insert into set_aside (deployment_id, market_key, block_number, log_index, reason, attempts)
        values (\(deployment.id), \(aside.market), \(aside.blockNumber),
          \(Int32(bitPattern: aside.logIndex)), \(aside.reason), 1)
        on conflict (deployment_id, market_key) do update set block_number = excluded.block_number,
          log_index = excluded.log_index, reason = excluded.reason,
          attempts = set_aside.attempts + 1, last_tried_at = now()
        """)
    }
  }
}

extension CopyWriter {
  fileprivate mutating func append(_ state: PositionState) throws {
    try append(state.supplyShares)
    try append(state.borrowShares)
    try append(state.collateral)
  }
}
