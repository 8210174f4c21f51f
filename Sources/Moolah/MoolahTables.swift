import Ethereum
import Postgres
import Quantities
import Systems

// Tables `core_state`, `market`, `position`, their images, `user_operation`, `liquidation` and
// `set_aside`: the mirror as rows.

extension Moolah {
  public func watched(
    of deployment: Deployment, in tx: borrowing Transaction
  ) throws -> Set<Address> {
    let models = try tx.query(
      "select distinct irm from market where deployment_id = \(deployment.id)"
    ).map { try $0.get(0, Address.self) }
    return try Set(models.filter { $0 != .zero } + [deployment.address])
      .union(modelsOfMarketsWithoutRow(of: deployment, in: tx))
  }

  /// Rate models of markets that were set aside before they had a row: their logs are needed when
  /// the market is derived. Reads every event, which a market that stands still is rare enough for.
  private func modelsOfMarketsWithoutRow(
    of deployment: Deployment, in tx: borrowing Transaction
  ) throws -> Set<Address> {
    let waiting = try tx.query(
      """
      select s.market_key from set_aside s
      where s.deployment_id = \(deployment.id) and not exists (select from market m
        where m.deployment_id = s.deployment_id and m.market_key = s.market_key)
      """
    ).map { try $0.get(0, Bytes32.self) }
    if waiting.isEmpty { return [] }
    let creations = try tx.query(
      """
      select e.data from event e
      join block b on b.chain_id = e.chain_id and b.number = e.block_number
        and b.hash = e.block_hash and b.canonical
      where e.chain_id = \(deployment.chainID) and e.address = \(deployment.address)
        and e.topic0 = \(MoolahEvent.createMarketTopic) and e.topic1 = any(\(waiting))
      """)
    var models: Set<Address> = []
    for row in creations {
      let irm = try? ABIWords(row.get(0, [UInt8].self)).address(3)
      if let irm, irm != .zero { models.insert(irm) }
    }
    return models
  }

  // MARK: Loading

  public func mirror(
    touchedBy logs: [Log], of deployment: Deployment, in tx: borrowing Transaction
  ) throws -> MoolahMirror {
    // Logs that cannot be decoded are met again, and answered for, when they are applied.
    let events = logs.compactMap { try? MoolahEvent($0) }
    let core = try coreRow(of: deployment, in: tx)
    // A market is named in the first indexed word, also of an event that cannot be decoded.
    let markets = try marketRows(
      Set(logs.compactMap { $0.topics.dropFirst().first }).sorted(), of: deployment, in: tx)
    return MoolahMirror(
      core: core, markets: markets,
      positions: try positionRows(
        positions(touchedBy: events, feeRecipient: core.feeRecipient), markets: markets, in: tx),
      setAside: Dictionary(
        try setAside(of: deployment, in: tx).map { ($0.market, $0) },
        uniquingKeysWith: { a, _ in a }))
  }

  private func coreRow(
    of deployment: Deployment, in tx: borrowing Transaction
  ) throws -> CoreRow {
    let rows = try tx.query(
      """
      select fee_recipient, default_market_fee_wad, as_of_block from core_state
      where deployment_id = \(deployment.id)
      """)
    guard let row = rows.first else { return CoreRow() }
    var core = CoreRow()
    core.feeRecipient = try row.get(0, Address.self)
    core.defaultMarketFee = try row.get(1, U256?.self).map(Wad.init(raw:))
    core.asOfBlock = try row.get(2, UInt64.self)
    core.isStored = true
    return core
  }

  func marketRows(
    _ keys: [Bytes32], of deployment: Deployment, in tx: borrowing Transaction
  ) throws -> [Bytes32: MarketRow] {
    if keys.isEmpty { return [:] }
    return try marketRows(
      tx.query(
        """
        select \(identifier: Self.marketColumns) from market
        where deployment_id = \(deployment.id) and market_key = any(\(keys))
        """))
  }

  /// In the order in which `marketRows(_:)` reads them.
  static let marketColumns: StaticString =
    """
    id, market_key, loan_token, collateral_token, oracle, irm, lltv_wad, broker,
    total_supply_assets, total_supply_shares, total_borrow_assets, total_borrow_shares, last_update,
    fee_wad, rate_at_target_wad, as_of_block
    """

  func marketRows(_ rows: Rows) throws -> [Bytes32: MarketRow] {
    var markets: [Bytes32: MarketRow] = [:]
    for row in rows {
      let fee = try row.get(13, U256?.self)
      markets[try row.get(1, Bytes32.self)] = MarketRow(
        id: try row.get(0, Int32.self),
        parameters: MarketParameters(
          loanToken: try row.get(2, Address.self), collateralToken: try row.get(3, Address.self),
          oracle: try row.get(4, Address.self), irm: try row.get(5, Address.self),
          lltv: Wad(raw: try row.get(6, U256.self))),
        broker: try row.get(7, Address?.self),
        state: MarketState(
          totalSupplyAssets: try row.get(8, UInt128.self),
          totalSupplyShares: try row.get(9, UInt128.self),
          totalBorrowAssets: try row.get(10, UInt128.self),
          totalBorrowShares: try row.get(11, UInt128.self),
          lastUpdate: try row.get(12, UInt64.self), fee: Wad(raw: fee ?? .zero)),
        isFeeKnown: fee != nil,
        rateAtTarget: try row.get(14, U256?.self).map(Wad.init(raw:)),
        asOfBlock: try row.get(15, UInt64.self))
    }
    return markets
  }

  private func positionRows(
    _ keys: [PositionKey], markets: [Bytes32: MarketRow], in tx: borrowing Transaction
  ) throws -> [PositionKey: PositionRow] {
    var ids: [Int64] = []
    var users: [Address] = []
    var keyOf: [Int32: Bytes32] = [:]
    for key in keys {
      guard let id = markets[key.market]?.id else { continue }
      ids.append(Int64(id))
      users.append(key.user)
      keyOf[id] = key.market
    }
    if ids.isEmpty { return [:] }
    var positions: [PositionKey: PositionRow] = [:]
    let rows = try tx.query(
      """
      select p.id, p.market_id, p.user_address, p.supply_shares, p.borrow_shares, p.collateral,
        p.as_of_block
      from position p
      join unnest(\(ids), \(users)) as touched(market_id, user_address)
        on p.market_id = touched.market_id and p.user_address = touched.user_address
      """)
    for row in rows {
      guard let market = keyOf[try row.get(1, Int32.self)] else { continue }
      let key = PositionKey(market: market, user: try row.get(2, Address.self))
      positions[key] = PositionRow(
        id: try row.get(0, Int64.self),
        state: PositionState(
          supplyShares: try row.get(3, U256.self), borrowShares: try row.get(4, UInt128.self),
          collateral: try row.get(5, UInt128.self)),
        asOfBlock: try row.get(6, UInt64.self))
    }
    return positions
  }

  public func setAside(
    of deployment: Deployment, in tx: borrowing Transaction
  ) throws -> [SetAside] {
    try tx.query(
      """
      select market_key, block_number, log_index, reason, attempts from set_aside
      where deployment_id = \(deployment.id) order by block_number, log_index
      """
    ).map { row in
      SetAside(
        market: try row.get(0, Bytes32.self), blockNumber: try row.get(1, UInt64.self),
        logIndex: UInt32(try row.get(2, Int32.self)), reason: try row.get(3, String.self),
        attempts: Int(try row.get(4, Int32.self)))
    }
  }

  // MARK: Storing

  public func store(
    _ mirror: MoolahMirror, of deployment: Deployment, in tx: borrowing Transaction
  ) throws {
    try storeCore(mirror, of: deployment, in: tx)
    let ids = try storeMarkets(mirror, of: deployment, in: tx)
    try storePositions(mirror, ids: ids, in: tx)
    try storeImages(mirror, ids: ids, of: deployment, in: tx)
    try storeHistory(mirror, ids: ids, of: deployment, in: tx)
    try storeFacts(mirror.facts, of: deployment, in: tx)
    try storeSetAside(mirror.setAside.values.filter { $0.attempts == 1 }, of: deployment, in: tx)
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
      delete from position_debt d using position p
      where p.id = d.position_id and p.market_id = any(\(ids))
      """)
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
    try store(mirror, of: deployment, in: tx)
    try resolveSetAside(mirror.following, still: still, of: deployment, in: tx)
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

  /// Writes changed markets; returns the surrogate key of every market of the mirror.
  private func storeMarkets(
    _ mirror: MoolahMirror, of deployment: Deployment, in tx: borrowing Transaction
  ) throws -> [Bytes32: Int32] {
    var ids = mirror.markets.compactMapValues(\.id)
    // Sorted, so that surrogate keys are the same in every run.
    let changed = mirror.markets.filter(\.value.isChanged).sorted { $0.key < $1.key }
    try tx.executeBatch(changed.compactMap { $0.value.id == nil ? nil : update($0.value) })
    for (key, market) in changed where market.id == nil {
      ids[key] = try add(market, key, of: deployment, in: tx)
    }
    return ids
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
    _ mirror: MoolahMirror, ids: [Bytes32: Int32], in tx: borrowing Transaction
  ) throws {
    let changed = mirror.positions.filter { $0.value.isChanged }
    // In the order of the index, which also makes surrogate keys the same in every run.
    let new = changed.filter { $0.value.id == nil }.sorted {
      ($0.key.market, $0.key.user) < ($1.key.market, $1.key.user)
    }
    let known = changed.filter { $0.value.id != nil }
    if !new.isEmpty {
      try tx.copyIn(
        "position",
        columns: "market_id, user_address, supply_shares, borrow_shares, collateral, as_of_block"
      ) { rows in
        for (key, row) in new {
          guard let market = ids[key.market] else { continue }
          rows.beginRow()
          try rows.append(market)
          try rows.append(key.user)
          try rows.append(row.state)
          try rows.append(row.asOfBlock)
        }
      }
    }
    if known.isEmpty { return }
    try tx.execute(
      """
      create temporary table if not exists position_staged (id bigint, supply_shares numeric,
        borrow_shares numeric, collateral numeric, as_of_block bigint) on commit delete rows
      """)
    try tx.execute("truncate position_staged")
    try tx.copyIn(
      "position_staged", columns: "id, supply_shares, borrow_shares, collateral, as_of_block"
    ) { rows in
      for row in known.values {
        guard let id = row.id else { continue }
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
        for operation in mirror.operations {
          guard let id = ids[operation.market] else { continue }
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

  // MARK: Taking back

  public func takeBack(
    to ancestor: UInt64, of deployment: Deployment, in tx: borrowing Transaction
  ) throws {
    try takeBackCore(to: ancestor, of: deployment, in: tx)
    try tx.execute(
      """
      with first as (
        select distinct on (b.market_id, b.user_address) b.* from position_before b
        join market m on m.id = b.market_id and m.deployment_id = \(deployment.id)
        where b.block_number > \(ancestor)
        order by b.market_id, b.user_address, b.block_number
      ), gone as (
        delete from position p using first f
        where p.market_id = f.market_id and p.user_address = f.user_address and not f.existed
        returning p.id
      ), gone_debt as (
        delete from position_debt d using gone g where d.position_id = g.id
      )
      update position p set supply_shares = f.supply_shares, borrow_shares = f.borrow_shares,
        collateral = f.collateral, as_of_block = f.as_of_block
      from first f
      where p.market_id = f.market_id and p.user_address = f.user_address and f.existed
      """)
    try tx.execute(
      """
      with first as (
        select distinct on (b.market_id) b.* from market_before b
        join market m on m.id = b.market_id and m.deployment_id = \(deployment.id)
        where b.block_number > \(ancestor) order by b.market_id, b.block_number
      )
      update market m set broker = f.broker, total_supply_assets = f.total_supply_assets,
        total_supply_shares = f.total_supply_shares, total_borrow_assets = f.total_borrow_assets,
        total_borrow_shares = f.total_borrow_shares, last_update = f.last_update,
        fee_wad = f.fee_wad, rate_at_target_wad = f.rate_at_target_wad, as_of_block = f.as_of_block
      from first f where m.id = f.market_id and f.existed
      """)
    try takeBackDerived(to: ancestor, of: deployment, in: tx)
    try tx.execute(
      """
      delete from position_before b using market m
      where m.id = b.market_id and m.deployment_id = \(deployment.id)
        and b.block_number > \(ancestor)
      """)
    try tx.execute(
      """
      delete from user_operation
      where deployment_id = \(deployment.id) and block_number > \(ancestor)
      """)
    try tx.execute(
      """
      delete from liquidation
      where deployment_id = \(deployment.id) and block_number > \(ancestor)
      """)
    try tx.execute(
      "delete from fact where deployment_id = \(deployment.id) and block_number > \(ancestor)")
    try tx.execute(
      "delete from set_aside where deployment_id = \(deployment.id) and block_number > \(ancestor)")
    // Last, since everything of a market that was created above the ancestor goes with it.
    try tx.execute(
      """
      delete from market m using market_before b
      where b.market_id = m.id and m.deployment_id = \(deployment.id)
        and b.block_number > \(ancestor) and not b.existed
      """)
    try tx.execute(
      """
      delete from market_before b using market m
      where m.id = b.market_id and m.deployment_id = \(deployment.id)
        and b.block_number > \(ancestor)
      """)
    try checkNothingIsAbove(ancestor, of: deployment, in: tx)
  }

  /// A row that still claims a later block had no image: it was final. Reads every position, which
  /// a reorganisation is rare enough for.
  private func checkNothingIsAbove(
    _ ancestor: UInt64, of deployment: Deployment, in tx: borrowing Transaction
  ) throws {
    let isAbove = try tx.query(
      """
      select exists (select from core_state
          where deployment_id = \(deployment.id) and as_of_block > \(ancestor))
        or exists (select from market
          where deployment_id = \(deployment.id) and as_of_block > \(ancestor))
        or exists (select from position p join market m on m.id = p.market_id
          where m.deployment_id = \(deployment.id) and p.as_of_block > \(ancestor))
      """
    ).first?.get(0, Bool.self)
    if isAbove ?? true { throw TakeBackError.imagesForgotten(ancestor: ancestor) }
  }

  /// Derived numbers of what has changed would be wrong, not late, and go. Those of a market that
  /// the blocks did not touch stay true: they follow from its state at the ancestor. Rows of
  /// positions in a market without totals are not read, so few of them are rewritten.
  private func takeBackDerived(
    to ancestor: UInt64, of deployment: Deployment, in tx: borrowing Transaction
  ) throws {
    try tx.execute(
      """
      delete from position_debt d using position p, position_before b, market m, market_now n
      where p.id = d.position_id and b.market_id = p.market_id
        and b.user_address = p.user_address and m.id = b.market_id
        and m.deployment_id = \(deployment.id) and b.block_number > \(ancestor)
        and n.market_id = m.id and n.as_of_block > \(ancestor)
      """)
    try tx.execute(
      """
      delete from market_now n using market m, market_before b
      where m.id = n.market_id and b.market_id = m.id and m.deployment_id = \(deployment.id)
        and b.block_number > \(ancestor) and n.as_of_block > \(ancestor)
      """)
    try tx.execute(
      """
      update market_now n set as_of_block = b.number, as_of_hash = b.hash
      from market m, block b
      where m.id = n.market_id and m.deployment_id = \(deployment.id)
        and n.as_of_block > \(ancestor) and b.chain_id = \(deployment.chainID)
        and b.number = \(ancestor) and b.canonical
      """)
    try tx.execute(
      """
      delete from market_now n using market m
      where m.id = n.market_id and m.deployment_id = \(deployment.id)
        and n.as_of_block > \(ancestor)
      """)
  }

  private func takeBackCore(
    to ancestor: UInt64, of deployment: Deployment, in tx: borrowing Transaction
  ) throws {
    try tx.execute(
      """
      with first as (
        select * from core_state_before
        where deployment_id = \(deployment.id) and block_number > \(ancestor)
        order by block_number limit 1
      ), gone as (
        delete from core_state c using first f
        where c.deployment_id = f.deployment_id and not f.existed
      )
      update core_state c set fee_recipient = f.fee_recipient,
        default_market_fee_wad = f.default_market_fee_wad, as_of_block = f.as_of_block
      from first f where c.deployment_id = f.deployment_id and f.existed
      """)
    try tx.execute(
      """
      delete from core_state_before
      where deployment_id = \(deployment.id) and block_number > \(ancestor)
      """)
  }

  public func prune(
    finality: UInt64, of deployment: Deployment, in tx: borrowing Transaction
  ) throws {
    try tx.execute(
      """
      delete from core_state_before
      where deployment_id = \(deployment.id) and block_number <= \(finality)
      """)
    try tx.execute(
      """
      delete from market_before b using market m
      where m.id = b.market_id and m.deployment_id = \(deployment.id)
        and b.block_number <= \(finality)
      """)
    try tx.execute(
      """
      delete from position_before b using market m
      where m.id = b.market_id and m.deployment_id = \(deployment.id)
        and b.block_number <= \(finality)
      """)
  }
}

extension CopyWriter {
  fileprivate mutating func append(_ state: PositionState) throws {
    try append(state.supplyShares)
    try append(state.borrowShares)
    try append(state.collateral)
  }
}

/// The positions that events can change. The fee of an accrual goes to the recipient of that
/// moment: the stored one, or any that these events set.
private func positions(
  touchedBy events: [MoolahEvent], feeRecipient: Address
) -> [PositionKey] {
  var recipients: Set<Address> = [feeRecipient]
  for case .setFeeRecipient(let recipient) in events { recipients.insert(recipient) }
  var touched: Set<PositionKey> = []
  for event in events {
    switch event {
    case .supply(let id, _, let user, _, _), .withdraw(let id, _, let user, _, _),
      .borrow(let id, _, let user, _, _), .repay(let id, _, let user, _, _),
      .supplyCollateral(let id, _, let user, _), .withdrawCollateral(let id, _, let user, _):
      touched.insert(PositionKey(market: id, user: user))
    case .liquidate(let id, let liquidate):
      touched.insert(PositionKey(market: id, user: liquidate.borrower))
    case .accrueInterest(let id, _, let feeShares) where !feeShares.isZero:
      for recipient in recipients { touched.insert(PositionKey(market: id, user: recipient)) }
    default: break
    }
  }
  return Array(touched)
}
