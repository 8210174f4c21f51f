import Ethereum
import Postgres
import Quantities
import Systems

// The rows that are held against the contract at the end of a run. Every statement looks for rows
// by their keys: none walks over the positions of a market, unless that market differs already.

extension Moolah {
  /// Touched and drawn markets, without those that stand still: these differ, and that is known.
  ///
  /// - Returns: the place of each market in `rows`, by its surrogate key.
  func readMarkets(
    into rows: inout AuditedRows, of deployment: Deployment, in scope: VouchScope,
    tx: borrowing Transaction
  ) throws -> [Int32: Int32] {
    let found = try tx.query(
      """
      with asked as (
        select id from market
        where deployment_id = \(deployment.id) and market_key = any(\(scope.markets))
        union (
          select id from market where deployment_id = \(deployment.id)
          order by sha256(\(scope.seed) || market_key::bytea) limit \(scope.drawnMarkets)
        )
      )
      select m.id, m.market_key, m.loan_token, m.collateral_token, m.oracle, m.irm,
        m.lltv_wad::text, m.broker, m.total_supply_assets::text, m.total_supply_shares::text,
        m.total_borrow_assets::text, m.total_borrow_shares::text, m.last_update::text,
        m.fee_wad::text, m.rate_at_target_wad::text, sums.supply_shares, sums.borrow_shares,
        null::text, null::text, false
      from asked join market m on m.id = asked.id
      left join lateral (
        select coalesce(sum(p.supply_shares), 0)::text as supply_shares,
          coalesce(sum(p.borrow_shares), 0)::text as borrow_shares
        from position p
        where p.market_id = m.id and m.market_key = any(\(scope.summed.sorted()))
        having m.market_key = any(\(scope.summed.sorted()))
      ) sums on true
      where not exists (select from set_aside a
        where a.deployment_id = m.deployment_id and a.market_key = m.market_key)
      order by m.id
      """)
    var places: [Int32: Int32] = [:]
    for row in found {
      places[try row.get(0, Int32.self)] = Int32(rows.markets.count)
      rows.markets.append(try AuditedMarket(row))
    }
    return places
  }

  /// Touched positions, whether they have a row or not, and some that are drawn.
  func readPositions(
    into rows: inout AuditedRows, ids: [Int32: Int32], of deployment: Deployment,
    in scope: VouchScope, tx: borrowing Transaction
  ) throws {
    let touched = scope.positions.filter { $0.market != nil && $0.user != nil }
    let draws = draws(in: scope, among: rows.markets.map(\.key))
    let found = try tx.query(
      """
      with chosen as (
        select m.id as market_id, t.user_address
        from unnest(\(touched.map { $0.market ?? .zero }), \(touched.map { $0.user ?? .zero }))
          as t(market_key, user_address)
        join market m on m.deployment_id = \(deployment.id) and m.market_key = t.market_key
        union
        select m.id, drawn.user_address
        from unnest(\(draws.map(\.market)), \(draws.map(\.from))) as t(market_key, user_address)
        join market m on m.deployment_id = \(deployment.id) and m.market_key = t.market_key
        cross join lateral (
          select p.user_address from position p
          where p.market_id = m.id and p.user_address >= t.user_address
          order by p.user_address limit 1
        ) drawn
      )
      select c.market_id, c.user_address, least(coalesce(p.supply_shares, 0), \(U256.max)),
        least(coalesce(p.borrow_shares, 0), \(U256.max)),
        least(coalesce(p.collateral, 0), \(U256.max))
      from chosen c left join position p
        on p.market_id = c.market_id and p.user_address = c.user_address
      order by c.market_id, c.user_address
      """)
    for row in found { try rows.append(position: row, ids: ids) }
  }

  /// Places in the order of a market's users, from which the next position is taken.
  private func draws(
    in scope: VouchScope, among markets: [Bytes32]
  ) -> [(market: Bytes32, from: Address)] {
    if markets.isEmpty { return [] }
    return (0..<scope.drawnPositions).compactMap { index in
      let draw = keccak256(scope.seed.bytes + [UInt8(truncatingIfNeeded: index)])
      let market = markets[(Int(draw.bytes[31]) + index) % markets.count]
      return Address(bytes: draw.bytes.prefix(20)).map { (market, $0) }
    }
  }
}
