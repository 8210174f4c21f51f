import Ethereum
import Postgres
import Quantities
import Systems

// The rows that an audit looks at: sums are made and positions are drawn by the server, so that a
// million of them stay there.

extension Moolah {
  public func claims(
    of deployment: Deployment, at block: BlockMark, in scope: AuditScope,
    in tx: borrowing Transaction
  ) throws -> Claims {
    var rows = AuditedRows(core: deployment.address, dialect: dialect)
    try readCore(into: &rows, of: deployment, in: tx)
    let ids = try readMarkets(into: &rows, of: deployment, in: tx)
    rows.facts = try facts(of: deployment, at: block, in: tx)
    rows.decimals = try tokens(of: deployment, in: tx).compactMapValues(\.decimals)
    var scope = scope
    scope.seed = scope.seed ?? block.hash
    try readPositions(into: &rows, ids: ids, of: deployment, in: scope, in: tx)
    return rows.claims(in: scope)
  }

  func readCore(
    into rows: inout AuditedRows, of deployment: Deployment, in tx: borrowing Transaction
  ) throws {
    let found = try tx.query(
      """
      select fee_recipient, default_market_fee_wad::text from core_state
      where deployment_id = \(deployment.id)
      """)
    guard let row = found.first else { return }
    rows.feeRecipient = try row.get(0, Address.self)
    rows.defaultMarketFee = try row.get(1, String?.self)
  }

  /// Every market with the sums of its positions, in one pass over them.
  ///
  /// - Returns: the place of each market in `rows`, by its surrogate key.
  private func readMarkets(
    into rows: inout AuditedRows, of deployment: Deployment, in tx: borrowing Transaction
  ) throws -> [Int32: Int32] {
    let found = try tx.query(
      """
      with mine as (select * from market where deployment_id = \(deployment.id)),
      sums as materialized (
        select market_id, sum(supply_shares) as supply_shares, sum(borrow_shares) as borrow_shares,
          sum(collateral) as collateral
        from position where market_id in (select id from mine) group by market_id
      ), held as (
        select token, sum(amount) as amount from (
          select collateral_token as token, collateral as amount
          from mine join sums on market_id = id
          union all
          select loan_token, total_supply_assets - total_borrow_assets from mine
        ) as parts group by token
      )
      select m.id, m.market_key, m.loan_token, m.collateral_token, m.oracle, m.irm,
        m.lltv_wad::text, m.broker, m.total_supply_assets::text, m.total_supply_shares::text,
        m.total_borrow_assets::text, m.total_borrow_shares::text, m.last_update::text,
        m.fee_wad::text, m.rate_at_target_wad::text, coalesce(s.supply_shares, 0)::text,
        coalesce(s.borrow_shares, 0)::text, coalesce(loan.amount, 0)::text,
        coalesce(collateral.amount, 0)::text, exists (select from set_aside a
          where a.deployment_id = m.deployment_id and a.market_key = m.market_key)
      from mine m left join sums s on s.market_id = m.id
      left join held loan on loan.token = m.loan_token
      left join held collateral on collateral.token = m.collateral_token
      order by m.id
      """)
    var places: [Int32: Int32] = [:]
    for row in found {
      places[try row.get(0, Int32.self)] = Int32(rows.markets.count)
      rows.markets.append(try AuditedMarket(row))
    }
    return places
  }

  // MARK: Positions

  /// The most that a word of an answer can say: a row with more is read as this, and is wrong.
  private static let wordMax = U256.max

  private func readPositions(
    into rows: inout AuditedRows, ids: [Int32: Int32], of deployment: Deployment,
    in scope: AuditScope, in tx: borrowing Transaction
  ) throws {
    try tx.forEachRow(
      """
      with mine as (
        select id, market_key from market where deployment_id = \(deployment.id)
          and (\(scope.markets.isEmpty) or market_key = any(\(scope.markets.sorted())))
      ), chosen as (\(choice(of: scope)) union \(again(of: scope)))
      select c.market_id, c.user_address, least(coalesce(p.supply_shares, 0), \(Self.wordMax)),
        least(coalesce(p.borrow_shares, 0), \(Self.wordMax)),
        least(coalesce(p.collateral, 0), \(Self.wordMax))
      from chosen c left join position p
        on p.market_id = c.market_id and p.user_address = c.user_address
      order by c.market_id, c.user_address
      """
    ) { row in
      try rows.append(position: row, ids: ids)
    }
  }

  /// The market and user of each position to ask for.
  private func choice(of scope: AuditScope) -> SQL {
    if let user = scope.user {
      return "select id as market_id, \(user) as user_address from mine"
    }
    guard let sample = scope.sample else {
      return "select market_id, user_address from position where market_id in (select id from mine)"
    }
    return """
      (
        select distinct on (p.market_id) p.market_id, p.user_address
        from position p join (
          select market_id, max(borrow_shares) as borrow_shares from position
          where market_id in (select id from mine) and borrow_shares > 0 group by market_id
        ) as largest using (market_id, borrow_shares)
        order by p.market_id, p.user_address
      ) union (
        select market_id, user_address from position where market_id in (select id from mine)
        order by as_of_block desc, market_id, user_address limit \(Self.recent(in: sample))
      ) union (
        select p.market_id, p.user_address from position p join mine m on m.id = p.market_id
        order by sha256(\(scope.seed) || m.market_key::bytea || p.user_address::bytea)
        limit \(sample)
      )
      """
  }

  /// How many of the latest changes go with a sample.
  private static func recent(in sample: Int) -> Int { max(10, sample / 10) }

  private func again(of scope: AuditScope) -> SQL {
    let positions = scope.again.filter { $0.kind == .position }
    let keys = positions.map { $0.market ?? .zero }
    let users = positions.map { $0.user ?? .zero }
    return """
      select m.id, a.user_address from unnest(\(keys), \(users)) as a(market_key, user_address)
      join mine m on m.market_key = a.market_key
      """
  }

  // MARK: Repair

  public func lostMarkets(
    of deployment: Deployment, in tx: borrowing Transaction
  ) throws -> Set<Bytes32> {
    let created = try tx.query(
      """
      select e.topic1 from event e
      join block b on b.chain_id = e.chain_id and b.number = e.block_number
        and b.hash = e.block_hash and b.canonical
      where e.chain_id = \(deployment.chainID) and e.address = \(deployment.address)
        and e.topic0 = \(EventSignature.createMarket.topic) and e.topic1 is not null
        and not exists (select from market m
          where m.deployment_id = \(deployment.id) and m.market_key = e.topic1)
      """)
    return Set(try created.map { try $0.get(0, Bytes32.self) })
  }

  public func forgetFacts(
    of markets: Set<Bytes32>?, of deployment: Deployment, in tx: borrowing Transaction
  ) throws {
    let models = try tx.query(
      """
      select market_key, irm, loan_token, collateral_token from market
      where deployment_id = \(deployment.id)
        and (\(markets == nil) or market_key = any(\((markets ?? []).sorted())))
      """)
    try forgetLoans(of: markets, deployment, in: tx)
    // The events that told it are applied again.
    var subjects: Set<[UInt8]> = [FactSubject.contract(deployment.address).bytes]
    var tokens: Set<Address> = []
    for row in models {
      let irm = try row.get(1, Address.self)
      subjects.insert(FactSubject.irm(irm).bytes)
      subjects.insert(FactSubject.market(try row.get(0, Bytes32.self), irm: irm).bytes)
      tokens.insert(try row.get(2, Address.self))
      tokens.insert(try row.get(3, Address.self))
    }
    try tx.execute(
      """
      delete from fact
      where deployment_id = \(deployment.id) and subject = any(\(Array(subjects)))
      """)
    try tx.execute(
      """
      delete from token
      where chain_id = \(deployment.chainID) and address = any(\(tokens.sorted()))
      """)
  }
}

extension AuditedRows {
  /// Takes a row of `readPositions`; `ids` are the places of the markets that were read.
  mutating func append(position row: borrowing Row, ids: [Int32: Int32]) throws {
    guard let market = ids[try row.get(0, Int32.self)] else { return }
    positions.markets.append(market)
    positions.users.append(try row.get(1, Address.self))
    positions.supplyShares.append(try row.get(2, U256.self))
    positions.borrowShares.append(try row.get(3, U256.self))
    positions.collateral.append(try row.get(4, U256.self))
  }
}

extension AuditedMarket {
  /// Takes a row of `readMarkets`.
  init(_ row: borrowing Row) throws {
    key = try row.get(1, Bytes32.self)
    loanToken = try row.get(2, Address.self)
    collateralToken = try row.get(3, Address.self)
    oracle = try row.get(4, Address.self)
    irm = try row.get(5, Address.self)
    lltv = try row.get(6, String.self)
    broker = try row.get(7, Address?.self)
    totalSupplyAssets = try row.get(8, String.self)
    totalSupplyShares = try row.get(9, String.self)
    totalBorrowAssets = try row.get(10, String.self)
    totalBorrowShares = try row.get(11, String.self)
    lastUpdate = try row.get(12, String.self)
    fee = try row.get(13, String?.self)
    rateAtTarget = try row.get(14, String?.self)
    supplySharesOfPositions = try row.get(15, String?.self)
    borrowSharesOfPositions = try row.get(16, String?.self)
    loanHeld = try row.get(17, String?.self)
    collateralHeld = try row.get(18, String?.self)
    isSetAside = try row.get(19, Bool.self)
  }
}
