import Ethereum
import Postgres

/// What the tables themselves show that somebody should know: jobs that do not succeed, blocks that
/// are not proved, divergences, and positions near their line.
public enum Watch {
  /// How long a job that is no longer run is remembered.
  private static let runsSeconds: Int64 = 86_400

  /// Jobs whose last `count` runs in a day all ended with more than single items failed.
  ///
  /// A run that an operator has stopped, that found the lock taken, or that is still at work counts
  /// for nothing.
  public static func failingJobs(
    inARow count: Int, except job: String, at now: UInt64, in tx: borrowing Transaction
  ) throws -> [Finding] {
    try tx.query(
      """
      with last as (
        select job, deployments, id, exit_code, error,
          row_number() over (partition by job, deployments order by id desc) as place
        from run
        where status not in ('running', 'skipped_locked') and job <> \(job)
          and coalesce(exit_code, 70) not in (130, 143)
          and started_at > to_timestamp(\(now)) - make_interval(secs => \(runsSeconds))
      )
      select job, deployments,
        (array_agg(coalesce(exit_code::text, 'none') order by id desc))[1],
        (array_agg(coalesce(error, '') order by id desc))[1], max(id)
      from last where place <= \(Int64(count))
      group by job, deployments
      having count(*) = \(Int64(count)) and bool_and(coalesce(exit_code, 70) not in (0, 1))
      order by job, deployments
      """
    ).map { row in
      let job = try row.get(0, String.self)
      let deployments = try row.get(1, String.self)
      let facts = [
        "job": job, "deployments": deployments, "exit_code": try row.get(2, String.self),
        "error": try row.get(3, String.self), "runs": String(count),
        "run": String(try row.get(4, Int64.self)),
      ]
      return Finding(.jobFailing, "\(job) \(deployments)") { facts }
    }
  }

  /// Those of some jobs that have not succeeded for longer than they may.
  public static func silentJobs(
    _ within: [(job: String, seconds: UInt64)], at now: UInt64, in tx: borrowing Transaction
  ) throws -> [Finding] {
    var findings: [Finding] = []
    for (job, seconds) in within {
      let last = try tx.query(
        """
        select extract(epoch from max(finished_at))::bigint from run
        where (job = \(job) or starts_with(job, \(job) || ' ')) and exit_code in (0, 1)
        """
      ).first?.get(0, Int64?.self)
      if let last, last + Int64(clamping: seconds) >= Int64(clamping: now) { continue }
      var facts = ["job": job, "within_seconds": String(seconds)]
      if let last { facts["last_success"] = String(last) }
      let all = facts
      findings.append(Finding(.jobSilent, job) { all })
    }
    return findings
  }

  /// A deployment whose blocks up to the cursor are not all proved.
  public static func openRanges(
    of deployment: String, in tx: borrowing Transaction
  ) throws -> [Finding] {
    try tx.query(
      """
      select cursor_block, open_ranges, first_open_block, blocks_without_range from completeness
      where deployment = \(deployment) and cursor_block is not null and not is_complete
      """
    ).map { row in
      var facts = [
        "cursor_block": String(try row.get(0, Int64.self)),
        "open_ranges": String(try row.get(1, Int64.self)),
        "blocks_without_range": String(try row.get(3, Int64.self)),
      ]
      facts["first_open_block"] = try row.get(2, Int64?.self).map(String.init)
      let all = facts
      return Finding(.incomplete, deployment) { all }
    }
  }

  /// A deployment of which an audit has found something to differ that no later one found equal.
  public static func divergences(
    of deployment: Int32, named name: String, in tx: borrowing Transaction
  ) throws -> [Finding] {
    try tx.query(
      """
      select count(*), min(block_number), (array_agg(kind || ' ' || field order by id))[1]
      from divergence where deployment_id = \(deployment) and resolved_at is null
      having count(*) > 0
      """
    ).map { row in
      let facts = [
        "divergences": String(try row.get(0, Int64.self)),
        "block": String(try row.get(1, Int64.self)), "first": try row.get(2, String.self),
      ]
      return Finding(.divergence, name) { facts }
    }
  }

  // MARK: Near the line

  /// Positions that are looked at beside their line.
  public static let nearMax = 1_000

  /// Healthy positions whose trigger price, as of the last refresh, is within `basisPoints` of the
  /// price that the last scan was told; the nearest first. Nil before the first scan.
  ///
  /// Cost: reads every position with debt once.
  public static func nearLine(
    of deployment: Int32, within basisPoints: UInt64, in tx: borrowing Transaction
  ) throws -> NearLine? {
    let scan = try tx.query(
      """
      select s.run_id, max(s.at_timestamp), max(s.block_number),
        coalesce(array_agg('0x' || encode(m.market_key, 'hex'))
          filter (where s.price is null or s.unknown > 0), '{}')
      from scan_market s join market m on m.id = s.market_id
      where s.run_id = (
          select max(i.run_id) from scan_market i join market n on n.id = i.market_id
          where n.deployment_id = \(deployment)
        ) and m.deployment_id = \(deployment)
      group by s.run_id
      """
    ).first
    guard let scan else { return nil }
    let run = try scan.get(0, Int64.self)
    let timestamp = try scan.get(1, UInt64.self)
    let block = try scan.get(2, UInt64.self)
    let rows = try tx.query(
      """
      select '0x' || encode(m.market_key, 'hex'), '0x' || encode(p.user_address, 'hex'),
        p.collateral::text, x.borrowed::text, x.trigger_price::text, s.price::text,
        c.symbol, c.decimals::text, l.symbol, l.decimals::text,
        '0x' || encode(m.collateral_token, 'hex'), '0x' || encode(m.loan_token, 'hex'),
        count(*) over ()
      from scan_market s
      join market m on m.id = s.market_id and m.deployment_id = \(deployment)
      join deployment d on d.id = m.deployment_id
      join position p on p.market_id = m.id
      join position_debt x on x.position_id = p.id
      left join token c on c.chain_id = d.chain_id and c.address = m.collateral_token
      left join token l on l.chain_id = d.chain_id and l.address = m.loan_token
      where s.run_id = \(run) and s.price > 0 and p.borrow_shares > 0 and x.trigger_price <= s.price
        and x.trigger_price * 10000 >= s.price * (10000 - \(Int64(basisPoints)))
      order by x.trigger_price / s.price desc, p.id limit \(Int64(nearMax))
      """)
    var near = NearLine(
      timestamp: timestamp, unknownMarkets: Set(try scan.get(3, [String].self)))
    for row in rows {
      near.count = try row.get(12, Int.self)
      let names = [
        "market", "user", "collateral", "debt", "trigger_price", "price", "collateral_symbol",
        "collateral_decimals", "loan_symbol", "loan_decimals", "collateral_token", "loan_token",
      ]
      var facts = ["block": String(block), "timestamp": String(timestamp)]
      for (index, name) in names.enumerated() { facts[name] = try row.get(index, String?.self) }
      let all = facts
      near.findings.append(
        Finding(.nearLine, "\(all["market", default: ""])/\(all["user", default: ""])") { all })
    }
    return near
  }
}

/// Positions near their line, as of a scan.
public struct NearLine: Sendable {
  /// The second that the scan judged.
  public let timestamp: UInt64
  /// Markets of which the scan could not tell everything, as 0x text.
  public let unknownMarkets: Set<String>
  /// The nearest first, at most `Watch.nearMax`.
  public var findings: [Finding] = []
  /// How many there are.
  public var count = 0

  init(timestamp: UInt64, unknownMarkets: Set<String>) {
    self.timestamp = timestamp
    self.unknownMarkets = unknownMarkets
  }
}
