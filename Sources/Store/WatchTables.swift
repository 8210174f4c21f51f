import Ethereum
import Postgres

/// What the tables themselves show that somebody should know: jobs that do not succeed, blocks that
/// are not proved, divergences, and positions near their line.
public enum Watch {
  /// How long a job that is no longer run is remembered: longer than a week, as some run weekly.
  private static let runsSeconds: Int64 = 8 * 86_400

  /// Jobs whose last `count` runs all ended with more than single items failed.
  ///
  /// A run that an operator has stopped, that found the lock taken, that is still at work, or that
  /// has moved on through blocks until its time was over counts for nothing.
  ///
  /// Cost: reads `count` runs of each job, however many there are.
  public static func failingJobs(
    inARow count: Int, except job: String, at now: UInt64, in tx: borrowing Transaction
  ) throws -> [Finding] {
    try tx.query(
      """
      with recursive \(pairs(where: "true"))
      select p.job, p.deployments,
        (array_agg(coalesce(r.exit_code::text, 'none') order by r.id desc))[1],
        (array_agg(coalesce(r.error, '') order by r.id desc))[1], max(r.id)
      from pair p cross join lateral (
        select id, exit_code, error, started_at, from_block, to_block from run
        where job = p.job and deployments = p.deployments
          and status not in ('running', 'skipped_locked')
          and coalesce(exit_code, 70) not in (130, 143)
        order by id desc limit \(Int64(count))
      ) r
      where p.job <> \(job)
      group by p.job, p.deployments
      having count(*) = \(Int64(count)) and bool_and(coalesce(r.exit_code, 70) not in (0, 1)
          and not (r.exit_code = 75 and coalesce(r.from_block < r.to_block, false)))
        and max(r.started_at) > to_timestamp(\(now)) - make_interval(secs => \(runsSeconds))
      order by p.job, p.deployments
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

  /// Those of some jobs that have not succeeded for longer than they may, on each deployment for
  /// itself. A run that found the lock taken has done nothing.
  ///
  /// Cost: reads one run of each job, however many there are.
  public static func silentJobs(
    _ within: [(job: String, seconds: UInt64)], on deployments: [String], at now: UInt64,
    in tx: borrowing Transaction
  ) throws -> [Finding] {
    if within.isEmpty { return [] }
    let successes = try tx.query(
      """
      with recursive \(pairs(where: "exit_code in (0, 1) and status <> 'skipped_locked'"))
      select p.job, string_to_array(p.deployments, ','), (
        select extract(epoch from max(finished_at))::bigint from run
        where job = p.job and deployments = p.deployments and exit_code in (0, 1)
          and status <> 'skipped_locked'
      ) from pair p
      """
    ).map {
      (
        job: try $0.get(0, String.self), deployments: Set(try $0.get(1, [String].self)),
        second: try $0.get(2, Int64?.self)
      )
    }
    return within.flatMap { job, seconds in
      deployments.compactMap { deployment in
        let last = successes.filter {
          ($0.job == job || $0.job.hasPrefix("\(job) ")) && $0.deployments.contains(deployment)
        }.compactMap(\.second).max()
        if let last, last + Int64(clamping: seconds) >= Int64(clamping: now) { return nil }
        var facts = [
          "job": job, "deployments": deployment, "within_seconds": String(seconds),
        ]
        if let last { facts["last_success"] = String(last) }
        let all = facts
        return Finding(.jobSilent, "\(job) \(deployment)") { all }
      }
    }
  }

  /// The jobs of table `run` with what they worked on, by one step through an index for each: the
  /// table itself grows for ever.
  private static func pairs(where condition: SQL) -> SQL {
    """
    pair as (
      (select job, deployments from run where \(condition) order by job, deployments limit 1)
      union all
      select n.job, n.deployments from pair p cross join lateral (
        select job, deployments from run
        where \(condition) and (job, deployments) > (p.job, p.deployments)
        order by job, deployments limit 1
      ) n
    )
    """
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
          select max(i.run_id) from market n cross join lateral (
            select run_id from scan_market q
            where q.market_id = n.id and not q.is_question order by q.run_id desc limit 1
          ) i where n.deployment_id = \(deployment)
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
      run: run, timestamp: timestamp, unknownMarkets: Set(try scan.get(3, [String].self)))
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

  /// Those of some positions, named `market/user`, that are not known to be away from their line:
  /// near it or over it at the price of a scan, or of unknown debt or price.
  public static func notAway(
    _ subjects: [String], of deployment: Int32, scan run: Int64, within basisPoints: UInt64,
    in tx: borrowing Transaction
  ) throws -> Set<String> {
    if subjects.isEmpty { return [] }
    return Set(
      try tx.query(
        """
        select a.subject from unnest(\(subjects)) as a(subject)
        join market m on m.deployment_id = \(deployment)
          and m.market_key = decode(substr(split_part(a.subject, '/', 1), 3), 'hex')
        join position_now p on p.market_id = m.id
          and p.user_address = decode(substr(split_part(a.subject, '/', 2), 3), 'hex')
        left join scan_market s on s.run_id = \(run) and s.market_id = m.id
        where p.borrow_shares > 0 and (p.borrowed is null or (p.borrowed > 0 and (
          p.trigger_price is null or s.price is null
          or p.trigger_price * 10000 >= s.price * (10000 - \(Int64(basisPoints))))))
        """
      ).map { try $0.get(0, String.self) })
  }
}

/// Positions near their line, as of a scan.
public struct NearLine: Sendable {
  /// The scan's.
  public let run: Int64
  /// The second that the scan judged.
  public let timestamp: UInt64
  /// Markets of which the scan could not tell everything, as 0x text.
  public let unknownMarkets: Set<String>
  /// The nearest first, at most `Watch.nearMax`.
  public var findings: [Finding] = []
  /// How many there are.
  public var count = 0

  init(run: Int64, timestamp: UInt64, unknownMarkets: Set<String>) {
    self.run = run
    self.timestamp = timestamp
    self.unknownMarkets = unknownMarkets
  }
}
