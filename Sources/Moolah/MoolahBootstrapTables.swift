import Ethereum
import Postgres
import Quantities
import Systems

// Tables `core_base`, `market_base` and `position_base`: the state that a deployment begins with in
// mid-chain.

extension Moolah {
  public func store(
    _ base: MoolahBase, of deployment: Deployment, at block: BlockMark,
    in tx: borrowing Transaction
  ) throws {
    try tx.execute(
      """
      insert into core_base (deployment_id, block_number, block_hash, fee_recipient,
        default_market_fee_wad)
      values (\(deployment.id), \(block.number), \(block.hash), \(base.feeRecipient),
        \(base.defaultMarketFee?.raw))
      """)
    let ids = try storeMarkets(of: base, deployment, in: tx)
    try tx.copyIn(
      "position_base",
      columns: "market_base_id, user_address, supply_shares, borrow_shares, collateral"
    ) { rows in
      for (index, state) in base.positions.states.enumerated() where !state.isEmpty {
        rows.beginRow()
        try rows.append(ids[Int(base.positions.marketOf[index])])
        try rows.append(base.positions.users[index])
        try rows.append(state.supplyShares)
        try rows.append(state.borrowShares)
        try rows.append(state.collateral)
      }
    }
    try copyBase(of: deployment, in: tx)
  }

  /// - Returns: the key of each market's base row.
  private func storeMarkets(
    of base: MoolahBase, _ deployment: Deployment, in tx: borrowing Transaction
  ) throws -> [Int32] {
    try zip(base.keys, base.markets).map { key, market in
      guard let p = market.parameters, let s = market.state,
        let row = try tx.query(
          """
          insert into market_base (deployment_id, market_key, loan_token, collateral_token, oracle,
            irm, lltv_wad, broker, total_supply_assets, total_supply_shares, total_borrow_assets,
            total_borrow_shares, last_update, fee_wad, rate_at_target_wad)
          values (\(deployment.id), \(key), \(p.loanToken), \(p.collateralToken), \(p.oracle),
            \(p.irm), \(p.lltv.raw), \(market.broker), \(s.totalSupplyAssets),
            \(s.totalSupplyShares), \(s.totalBorrowAssets), \(s.totalBorrowShares),
            \(s.lastUpdate), \(s.fee.raw), \(market.rateAtTarget?.raw))
          returning id
          """
        ).first
      else { preconditionFailure("a base is stored when everything was answered") }
      return try row.get(0, Int32.self)
    }
  }

  /// Makes the base rows the mirror.
  private func copyBase(of deployment: Deployment, in tx: borrowing Transaction) throws {
    try tx.execute(
      """
      insert into core_state (deployment_id, fee_recipient, default_market_fee_wad, as_of_block)
      select deployment_id, fee_recipient, default_market_fee_wad, block_number from core_base
      where deployment_id = \(deployment.id)
      """)
    try tx.execute(
      """
      insert into market (deployment_id, market_key, loan_token, collateral_token, oracle, irm,
        lltv_wad, broker, total_supply_assets, total_supply_shares, total_borrow_assets,
        total_borrow_shares, last_update, fee_wad, rate_at_target_wad, as_of_block)
      select b.deployment_id, market_key, loan_token, collateral_token, oracle, irm, lltv_wad,
        broker, total_supply_assets, total_supply_shares, total_borrow_assets, total_borrow_shares,
        last_update, fee_wad, rate_at_target_wad, c.block_number
      from market_base b join core_base c on c.deployment_id = b.deployment_id
      where b.deployment_id = \(deployment.id) order by market_key
      """)
    try tx.execute(
      """
      insert into position (market_id, user_address, supply_shares, borrow_shares, collateral,
        as_of_block)
      select m.id, p.user_address, p.supply_shares, p.borrow_shares, p.collateral, m.as_of_block
      from position_base p join market_base b on b.id = p.market_base_id
      join market m on m.deployment_id = b.deployment_id and m.market_key = b.market_key
      where b.deployment_id = \(deployment.id) order by m.id, p.user_address
      """)
    try tx.execute(
      """
      insert into broker (deployment_id, address)
      select distinct deployment_id, broker from market_base
      where deployment_id = \(deployment.id) and broker is not null on conflict do nothing
      """)
  }

  // MARK: Loading

  public func baseMirror(
    following markets: Set<Bytes32>?, keepsHistory: Bool, of deployment: Deployment,
    in tx: borrowing Transaction
  ) throws -> MoolahMirror {
    let core = try baseCore(of: deployment, in: tx)
    let kinds = try brokerKinds(of: deployment, in: tx)
    guard let core else {
      var blank = blankMirror(following: markets, keepsHistory: keepsHistory)
      blank.brokers.kinds = kinds
      return blank
    }
    let rows = try baseMarkets(following: markets, of: deployment, in: tx)
    var mirror = MoolahMirror(
      core: core, markets: rows.mapValues(\.row),
      positions: PositionTable(
        try basePositions(of: rows, asOfBlock: core.asOfBlock, in: tx)),
      following: markets)
    mirror.keepsHistory = keepsHistory
    mirror.brokers.kinds = kinds
    return mirror
  }

  /// Rows of a base count as changed: whoever stores the mirror has deleted what was there.
  private func baseCore(
    of deployment: Deployment, in tx: borrowing Transaction
  ) throws -> CoreRow? {
    let rows = try tx.query(
      """
      select fee_recipient, default_market_fee_wad, block_number from core_base
      where deployment_id = \(deployment.id)
      """)
    guard let row = rows.first else { return nil }
    var core = CoreRow()
    core.feeRecipient = try row.get(0, Address.self)
    core.defaultMarketFee = try row.get(1, U256?.self).map(Wad.init(raw:))
    core.asOfBlock = try row.get(2, UInt64.self)
    core.isStored = true
    core.isChanged = true
    return core
  }

  private func baseMarkets(
    following markets: Set<Bytes32>?, of deployment: Deployment, in tx: borrowing Transaction
  ) throws -> [Bytes32: (id: Int32, row: MarketRow)] {
    let rows = try marketRows(
      tx.query(
        """
        select b.id, b.market_key, b.loan_token, b.collateral_token, b.oracle, b.irm, b.lltv_wad,
          b.broker, b.total_supply_assets, b.total_supply_shares, b.total_borrow_assets,
          b.total_borrow_shares, b.last_update, b.fee_wad, b.rate_at_target_wad, c.block_number
        from market_base b join core_base c on c.deployment_id = b.deployment_id
        where b.deployment_id = \(deployment.id)
        """))
    var base: [Bytes32: (id: Int32, row: MarketRow)] = [:]
    for (key, row) in rows where markets?.contains(key) ?? true {
      guard let id = row.id else { continue }
      var row = row
      row.id = nil
      row.isChanged = true
      base[key] = (id, row)
    }
    return base
  }

  private func basePositions(
    of markets: [Bytes32: (id: Int32, row: MarketRow)], asOfBlock block: UInt64,
    in tx: borrowing Transaction
  ) throws -> [PositionKey: PositionRow] {
    let keyOf = Dictionary(
      markets.map { ($0.value.id, $0.key) }, uniquingKeysWith: { first, _ in first })
    var positions: [PositionKey: PositionRow] = [:]
    try tx.forEachRow(
      """
      select market_base_id, user_address, supply_shares, borrow_shares, collateral
      from position_base where market_base_id = any(\(keyOf.keys.sorted()))
      """
    ) { row in
      guard let market = keyOf[try row.get(0, Int32.self)] else { return }
      positions[PositionKey(market: market, user: try row.get(1, Address.self))] = PositionRow(
        id: nil,
        state: PositionState(
          supplyShares: try row.get(2, U256.self), borrowShares: try row.get(3, UInt128.self),
          collateral: try row.get(4, UInt128.self)),
        asOfBlock: block, isChanged: true)
    }
    return positions
  }

  public func hasMarkets(
    of deployment: Deployment, in tx: borrowing Transaction
  ) throws -> Bool {
    try tx.query(
      "select exists (select from market where deployment_id = \(deployment.id))"
    ).first?.get(0, Bool.self) ?? false
  }
}
