import Ethereum
import Postgres
import Quantities
import Systems

// Tables `core_state`, `market`, `position` and `set_aside`: the mirror as rows.

extension Moolah {
  public func watched(
    of deployment: Deployment, in tx: borrowing Transaction
  ) throws -> Set<Address> {
    let models = try tx.query(
      """
      select distinct irm from market where deployment_id = \(deployment.id)
      union select address from broker where deployment_id = \(deployment.id)
      """
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
        and e.topic0 = \(EventSignature.createMarket.topic) and e.topic1 = any(\(waiting))
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
    touchedBy logs: [Log], after previous: consuming MoolahMirror?, of deployment: Deployment,
    in tx: borrowing Transaction
  ) throws -> MoolahMirror {
    var mirror: MoolahMirror
    if let previous {
      mirror = previous
      mirror.forgetPositions(above: Self.keptPositionsMax)
    } else {
      mirror = MoolahMirror(
        core: try coreRow(of: deployment, in: tx),
        setAside: Dictionary(
          try setAside(of: deployment, in: tx).map { ($0.market, $0) },
          uniquingKeysWith: { first, _ in first }))
      mirror.brokers = try brokerTouches(of: deployment, in: tx)
    }
    try loadMarkets(namedBy: logs, into: &mirror, of: deployment, in: tx)
    try loadPositions(touchedBy: logs, into: &mirror, in: tx)
    return mirror
  }

  /// Positions that a mirror keeps from window to window at most: 80 MB.
  static var keptPositionsMax: Int { 500_000 }

  private func loadMarkets(
    namedBy logs: [Log], into mirror: inout MoolahMirror, of deployment: Deployment,
    in tx: borrowing Transaction
  ) throws {
    var unknown: Set<Bytes32> = []
    var last: Bytes32?
    for log in logs where log.topics.count > 1 && log.topics[1] != last {
      // A market is named in the first indexed word, also of an event that cannot be decoded.
      last = log.topics[1]
      if mirror.markets[log.topics[1]] == nil { unknown.insert(log.topics[1]) }
    }
    let stored = try marketRows(unknown.sorted(), of: deployment, in: tx)
    mirror.markets.merge(stored) { known, _ in known }
  }

  /// A market that was not stored when it was met has all of its positions in the mirror; of the
  /// others those are read that are not here.
  private func loadPositions(
    touchedBy logs: [Log], into mirror: inout MoolahMirror, in tx: borrowing Transaction
  ) throws {
    let partial = mirror.markets.filter { $0.value.id != nil && !$0.value.isWhole }
    if partial.isEmpty { return }
    // Logs that cannot be decoded are met again, and answered for, when they are applied.
    let events = logs.lazy.filter { log in
      log.topics.count > 1 && partial[log.topics[1]] != nil
    }.compactMap { try? MoolahEvent($0) }
    let missing = positions(touchedBy: events, feeRecipients: recipients(in: logs, mirror.core))
      .filter { mirror.positions.place(of: $0) == nil }
    for (key, row) in try positionRows(missing, markets: partial, in: tx) {
      mirror.positions.insert(row, at: key)
    }
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
    _ keys: Set<PositionKey>, markets: [Bytes32: MarketRow], in tx: borrowing Transaction
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
}

/// Whom the fee of an accrual can go to: the stored recipient, or any that these logs set.
private func recipients(in logs: [Log], _ core: CoreRow) -> Set<Address> {
  var recipients: Set<Address> = [core.feeRecipient]
  for log in logs where EventSignature(of: log) == .setFeeRecipient {
    if case .setFeeRecipient(let recipient)? = try? MoolahEvent(log) {
      recipients.insert(recipient)
    }
  }
  return recipients
}

/// The positions that events can change.
private func positions(
  touchedBy events: some Sequence<MoolahEvent>, feeRecipients: Set<Address>
) -> Set<PositionKey> {
  var touched: Set<PositionKey> = []
  for event in events {
    guard let market = event.market else { continue }
    if case .accrueInterest(_, _, let feeShares) = event, !feeShares.isZero {
      for recipient in feeRecipients {
        touched.insert(PositionKey(market: market, user: recipient))
      }
    } else if let user = event.user(feeRecipient: .zero) {
      touched.insert(PositionKey(market: market, user: user))
    }
  }
  return touched
}
