import Ethereum
import Postgres

/// Tables `alert` and `outbox`: what was found, and what is to be said of it.
///
/// Everything here belongs into the transaction that found it.
public enum Alerts {
  /// Brings the alerts of some kinds to what a run has found at the second `now`, and writes what
  /// is to be said into the outbox.
  ///
  /// `findings` are all conditions of these kinds, the most important first; no `deployment`: they
  /// concern the whole installation. `isDoubted` is as in `AlertStep`. Returns the step that was
  /// taken.
  @discardableResult
  public static func observe(
    _ findings: [Finding], of kinds: [AlertKind], deployment: Int32?, at now: UInt64,
    resolveAfter: UInt64, firingMax: Int, run: Int64?, in tx: borrowing Transaction,
    isDoubted: (FiringAlert) -> Bool = { _ in false }
  ) throws -> AlertStep {
    let step = AlertStep(
      from: try firing(kinds, of: deployment, in: tx), findings: findings, at: now,
      resolveAfter: resolveAfter, firingMax: firingMax, isDoubted: isDoubted)
    try write(step, deployment: deployment, at: now, run: run, in: tx)
    return step
  }

  /// The alerts of some kinds that fire, kept from others until the transaction ends.
  public static func firing(
    _ kinds: [AlertKind], of deployment: Int32?, in tx: borrowing Transaction
  ) throws -> [FiringAlert] {
    var firing: [FiringAlert] = []
    let rows = try tx.query(
      """
      select id, kind, subject, absent_since from alert
      where state = 'firing' and deployment_id is not distinct from \(deployment)
        and kind = any(\(kinds.map(\.rawValue))) order by id for update
      """)
    for row in rows {
      guard let kind = AlertKind(rawValue: try row.get(1, String.self)) else { continue }
      firing.append(
        FiringAlert(
          id: try row.get(0), kind: kind, subject: try row.get(2), absentSince: try row.get(3)))
    }
    return firing
  }

  /// Ends what is said of a number, without a word, once it has doubled since it was said: the next
  /// finding then says it anew.
  public static func forget(
    _ kind: AlertKind, of deployment: Int32?, outgrownBy count: Int, at now: UInt64,
    in tx: borrowing Transaction
  ) throws {
    try tx.execute(
      """
      update alert a set state = 'resolved', resolved_at = \(now)
      from outbox o
      where a.state = 'firing' and a.deployment_id is not distinct from \(deployment)
        and a.kind = \(kind.rawValue) and o.dedup_key = 'alert-' || a.id || '-fired'
        and (o.facts->>'more')::bigint * 2 <= \(Int64(count))
      """)
  }

  private static func write(
    _ step: AlertStep, deployment: Int32?, at now: UInt64, run: Int64?, in tx: borrowing Transaction
  ) throws {
    var writes: [SQL] = step.seen.map { id, finding in
      let facts = Facts(finding.facts())
      return """
        update alert set last_seen_at = greatest(last_seen_at, \(now)), absent_since = null,
          facts = jsonb_object(\(facts.names), \(facts.values))
        where id = \(id)
        """
    }
    if !step.absent.isEmpty {
      writes.append("update alert set absent_since = \(now) where id = any(\(step.absent))")
    }
    if !step.doubted.isEmpty {
      writes.append("update alert set absent_since = null where id = any(\(step.doubted))")
    }
    writes += step.fired.map { fire($0, deployment: deployment, at: now, run: run) }
    if !step.resolved.isEmpty { writes.append(resolve(step.resolved, at: now, run: run)) }
    if !writes.isEmpty { try tx.executeBatch(writes) }
  }

  private static func fire(
    _ finding: Finding, deployment: Int32?, at now: UInt64, run: Int64?
  ) -> SQL {
    let facts = Facts(finding.facts())
    return """
      with fired as (
        insert into alert (deployment_id, kind, subject, severity, facts, fired_at, last_seen_at,
          run_id)
        values (\(deployment), \(finding.kind.rawValue), \(finding.subject),
          \(finding.kind.severity.rawValue), jsonb_object(\(facts.names), \(facts.values)), \(now),
          \(now), \(run))
        on conflict do nothing returning *
      )
      insert into outbox (dedup_key, event, alert_id, deployment_id, kind, subject, severity,
        at_timestamp, facts, run_id)
      select 'alert-' || id || '-fired', 'fired', id, deployment_id, kind, subject, severity,
        fired_at, facts, run_id from fired
      """
  }

  private static func resolve(_ ids: [Int64], at now: UInt64, run: Int64?) -> SQL {
    """
    with gone as (
      update alert set state = 'resolved', resolved_at = \(now)
      where id = any(\(ids)) and state = 'firing' returning *
    )
    insert into outbox (dedup_key, event, alert_id, deployment_id, kind, subject, severity,
      at_timestamp, facts, run_id)
    select 'alert-' || id || '-resolved', 'resolved', id, deployment_id, kind, subject, severity,
      resolved_at, facts || jsonb_build_object('fired_at', fired_at::text), \(run)
    from gone order by id
    """
  }

  /// Writes an event that is told once; a key that was told before is left alone.
  ///
  /// `key` begins with the kind and names the event for ever; with `block` it is taken back when
  /// the chain leaves that block.
  public static func notice(
    _ finding: Finding, key: String, deployment: Int32?, at second: UInt64, block: UInt64?,
    run: Int64?, in tx: borrowing Transaction
  ) throws {
    let facts = Facts(finding.facts())
    try tx.execute(
      """
      insert into outbox (dedup_key, event, deployment_id, kind, subject, severity, at_timestamp,
        block_number, facts, run_id)
      values (\(key), 'notice', \(deployment), \(finding.kind.rawValue), \(finding.subject),
        \(finding.kind.severity.rawValue), \(second), \(block),
        jsonb_object(\(facts.names), \(facts.values)), \(run))
      on conflict (dedup_key) do nothing
      """)
  }

  // MARK: Liquidations

  /// Tells of the liquidations in some blocks, each once.
  ///
  /// A block that was taken back and has come again is told of again: its correction was, too.
  public static func noticeLiquidations(
    in blocks: ClosedRange<UInt64>, of deployment: Int32, chainID: UInt64,
    in tx: borrowing Transaction
  ) throws {
    try tx.execute(
      """
      with found as (
        select l.*, m.market_key, b.hash as block_hash, m.loan_token, m.collateral_token,
          'liquidation-' || \(chainID)::text || '-' || encode(b.hash, 'hex') || '-' || l.log_index
            as key
        from liquidation l
        join market m on m.id = l.market_id
        join block b on b.chain_id = \(chainID) and b.number = l.block_number and b.canonical
        where l.deployment_id = \(deployment)
          and l.block_number between \(blocks.lowerBound) and \(blocks.upperBound)
      )
      insert into outbox (dedup_key, event, deployment_id, kind, subject, severity, at_timestamp,
        block_number, facts)
      select f.key || '-' || (
          select count(*) from outbox o where o.deployment_id = \(deployment)
            and o.block_number = f.block_number and o.event = 'taken_back'
            and starts_with(o.dedup_key, f.key || '-')
        ), 'notice', \(deployment), 'liquidation',
        '0x' || encode(f.market_key, 'hex') || '/0x' || encode(f.borrower, 'hex'), 'info',
        f.timestamp, f.block_number, jsonb_strip_nulls(jsonb_build_object(
          'market', '0x' || encode(f.market_key, 'hex'),
          'user', '0x' || encode(f.borrower, 'hex'),
          'liquidator', '0x' || encode(f.liquidator, 'hex'),
          'repaid_assets', f.repaid_assets::text, 'seized_assets', f.seized_assets::text,
          'bad_debt_assets', f.bad_debt_assets::text, 'write_down', f.write_down::text,
          'transaction_hash', '0x' || encode(f.transaction_hash, 'hex'),
          'log_index', f.log_index::text, 'block', f.block_number::text,
          'block_hash', '0x' || encode(f.block_hash, 'hex'), 'timestamp', f.timestamp::text,
          'loan_token', '0x' || encode(f.loan_token, 'hex'), 'loan_symbol', l.symbol,
          'loan_decimals', l.decimals::text,
          'collateral_token', '0x' || encode(f.collateral_token, 'hex'),
          'collateral_symbol', c.symbol, 'collateral_decimals', c.decimals::text))
      from found f
      left join token l on l.chain_id = \(chainID) and l.address = f.loan_token
      left join token c on c.chain_id = \(chainID) and c.address = f.collateral_token
      order by f.block_number, f.log_index
      on conflict (dedup_key) do nothing
      """)
  }

  // MARK: Upgrades

  /// Tells of the contracts that were replaced in some blocks, each once, as of liquidations.
  public static func noticeUpgrades(
    in blocks: ClosedRange<UInt64>, of deployment: Int32, chainID: UInt64,
    in tx: borrowing Transaction
  ) throws {
    try tx.execute(
      """
      with found as (
        select u.*, b.timestamp,
          'upgraded-' || \(chainID)::text || '-' || encode(b.hash, 'hex') || '-' || u.log_index
            as key
        from upgrade u
        join block b on b.chain_id = \(chainID) and b.number = u.block_number
          and b.hash = u.block_hash and b.canonical
        where u.deployment_id = \(deployment)
          and u.block_number between \(blocks.lowerBound) and \(blocks.upperBound)
      )
      insert into outbox (dedup_key, event, deployment_id, kind, subject, severity, at_timestamp,
        block_number, facts)
      select f.key || '-' || (
          select count(*) from outbox o where o.deployment_id = \(deployment)
            and o.block_number = f.block_number and o.event = 'taken_back'
            and starts_with(o.dedup_key, f.key || '-')
        ), 'notice', \(deployment), 'upgraded', '0x' || encode(f.contract, 'hex'), 'critical',
        f.timestamp, f.block_number, jsonb_build_object(
          'contract', '0x' || encode(f.contract, 'hex'),
          'implementation', '0x' || encode(f.implementation, 'hex'),
          'transaction_hash', '0x' || encode(f.transaction_hash, 'hex'),
          'log_index', f.log_index::text, 'block', f.block_number::text,
          'block_hash', '0x' || encode(f.block_hash, 'hex'), 'timestamp', f.timestamp::text)
      from found f order by f.block_number, f.log_index
      on conflict (dedup_key) do nothing
      """)
  }

  /// Corrects what was told of blocks above `ancestor`: the chain has left them.
  public static func takeBackNotices(
    above ancestor: UInt64, of deployment: Int32, in tx: borrowing Transaction
  ) throws {
    try tx.execute(
      """
      insert into outbox (dedup_key, event, deployment_id, kind, subject, severity, at_timestamp,
        block_number, facts)
      select dedup_key || '-taken-back', 'taken_back', deployment_id, kind, subject, severity,
        at_timestamp, block_number, facts
      from outbox
      where deployment_id = \(deployment) and event = 'notice' and block_number > \(ancestor)
      order by id on conflict (dedup_key) do nothing
      """)
  }

  /// Corrects what was told of liquidations that are not, or not so, in the tables any more.
  ///
  /// Those of a market that stands still are left alone: its later events are not looked at yet.
  /// Cost: looks each liquidation that was told of up by its key.
  public static func takeBackFalseNotices(
    of deployment: Int32, chainID: UInt64, in tx: borrowing Transaction
  ) throws {
    try tx.execute(
      """
      insert into outbox (dedup_key, event, deployment_id, kind, subject, severity, at_timestamp,
        block_number, facts)
      select o.dedup_key || '-taken-back', 'taken_back', o.deployment_id, o.kind, o.subject,
        o.severity, o.at_timestamp, o.block_number, o.facts
      from outbox o
      where o.deployment_id = \(deployment) and o.event = 'notice' and o.kind = 'liquidation'
        and not exists (
          select from set_aside s where s.deployment_id = \(deployment)
            and '0x' || encode(s.market_key, 'hex') = o.facts->>'market')
        and not exists (
          select from liquidation l
          join market m on m.id = l.market_id
          join block b on b.chain_id = \(chainID) and b.number = l.block_number and b.canonical
          where l.deployment_id = \(deployment) and l.block_number = o.block_number
            and l.log_index = (o.facts->>'log_index')::int
            and o.facts @> jsonb_build_object(
              'market', '0x' || encode(m.market_key, 'hex'),
              'user', '0x' || encode(l.borrower, 'hex'),
              'liquidator', '0x' || encode(l.liquidator, 'hex'),
              'repaid_assets', l.repaid_assets::text, 'seized_assets', l.seized_assets::text,
              'bad_debt_assets', l.bad_debt_assets::text, 'write_down', l.write_down::text,
              'transaction_hash', '0x' || encode(l.transaction_hash, 'hex'),
              'block_hash', '0x' || encode(b.hash, 'hex')))
      order by o.id on conflict (dedup_key) do nothing
      """)
  }

  // MARK: Prices

  /// What a run was told of the tokens of each market in US dollars, with eight decimals; only
  /// where its oracle prices tokens one by one.
  public static func dollarPrices(
    of deployment: Int32, run: Int64, in tx: borrowing Transaction
  ) throws -> [Bytes32: DollarPrices] {
    var prices: [Bytes32: DollarPrices] = [:]
    let rows = try tx.query(
      """
      select m.market_key, c.value::text, l.value::text
      from market m join deployment d on d.id = m.deployment_id
      left join price c on c.run_id = \(run) and c.chain_id = d.chain_id and c.oracle = m.oracle
        and c.token = m.collateral_token
      left join price l on l.run_id = \(run) and l.chain_id = d.chain_id and l.oracle = m.oracle
        and l.token = m.loan_token
      where m.deployment_id = \(deployment) and (c.value is not null or l.value is not null)
      """)
    for row in rows {
      prices[try row.get(0)] = DollarPrices(collateral: try row.get(1), loan: try row.get(2))
    }
    return prices
  }
}

/// Decimal digits of two prices in US dollars times 1e8.
public struct DollarPrices: Sendable {
  public let collateral: String?
  public let loan: String?
}

/// Facts in the form of a `jsonb_object`. The server's text has no NUL.
private struct Facts {
  let names: [String]
  let values: [String]

  init(_ facts: [String: String]) {
    let sorted = facts.sorted { $0.key < $1.key }
    names = sorted.map(\.key)
    values = sorted.map { $0.value.filter { $0 != "\0" } }
  }
}
