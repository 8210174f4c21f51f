import Ethereum
import Postgres
import Systems

// Tables `core_state_before`, `market_before` and `position_before`: rows as they were before a
// block that may still be taken back.

extension Moolah {
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
        delete from stored_debt d using gone g where d.position_id = g.id
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
    try takeBackLoans(to: ancestor, of: deployment, in: tx)
    try takeBackSettings(to: ancestor, of: deployment, in: tx)
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
    try deleteMarkets(createdAbove: ancestor, of: deployment, in: tx)
    try tx.execute(
      """
      delete from market_before b using market m
      where m.id = b.market_id and m.deployment_id = \(deployment.id)
        and b.block_number > \(ancestor)
      """)
    try checkNothingIsAbove(ancestor, of: deployment, in: tx)
  }

  /// With all that is theirs. No foreign key holds a position to its market, so a position that had
  /// no image would stay behind, in a market that is no more.
  private func deleteMarkets(
    createdAbove ancestor: UInt64, of deployment: Deployment, in tx: borrowing Transaction
  ) throws {
    try tx.execute(
      """
      with gone as (
        delete from position p using market m, market_before b
        where m.id = p.market_id and m.deployment_id = \(deployment.id) and b.market_id = m.id
          and b.block_number > \(ancestor) and not b.existed
        returning p.id
      )
      delete from stored_debt d using gone g where d.position_id = g.id
      """)
    try tx.execute(
      """
      delete from market m using market_before b
      where b.market_id = m.id and m.deployment_id = \(deployment.id)
        and b.block_number > \(ancestor) and not b.existed
      """)
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
  /// the blocks did not touch stay true: they follow from its state at the ancestor. Not so those
  /// of a broker's market: what its users owe changes without a log of the core. Rows of positions
  /// in a market without totals are not read, so few of them are rewritten.
  private func takeBackDerived(
    to ancestor: UInt64, of deployment: Deployment, in tx: borrowing Transaction
  ) throws {
    try tx.execute(
      """
      delete from stored_debt d using position p, position_before b, market m, market_now n
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
      delete from market_now n using market m
      where m.id = n.market_id and m.deployment_id = \(deployment.id) and m.broker is not null
        and n.as_of_block > \(ancestor)
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
      with core as (
        delete from core_state_before
        where deployment_id = \(deployment.id) and block_number <= \(finality)
      ), markets as (
        delete from market_before b using market m
        where m.id = b.market_id and m.deployment_id = \(deployment.id)
          and b.block_number <= \(finality)
      )
      delete from position_before b using market m
      where m.id = b.market_id and m.deployment_id = \(deployment.id)
        and b.block_number <= \(finality)
      """)
  }
}
