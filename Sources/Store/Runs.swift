import Postgres

/// Table `run`: one execution of a job.
public enum Runs {
  static let lockNamespace: Int32 = 0x4A4F_4221  // "JOB!"

  /// The lock that one job holds on one deployment while it runs.
  public static func lock(job: String, deployment: String) -> AdvisoryKey {
    AdvisoryKey(namespace: lockNamespace, hashOf: "\(job) \(deployment)")
  }

  /// Opens a run. Others that are still open although the caller holds their lock are marked
  /// interrupted: their process died.
  public static func begin(
    job: String, arguments: String, deployments: String, version: String, host: String, pid: Int32,
    in tx: borrowing Transaction
  ) throws -> Int64 {
    let answers = try tx.query(together: [
      """
      update run set status = 'interrupted', finished_at = now(),
        error = 'the process ended without a word'
      where job = \(job) and deployments = \(deployments) and status = 'running'
      """,
      """
      insert into run (job, arguments, deployments, version, host, pid)
      values (\(job), \(arguments), \(deployments), \(version), \(host), \(pid)) returning id
      """,
    ])
    return try answers[1].only.get(0, Int64.self)
  }

  /// Closes a run, in a transaction of its own. `counters` is a JSON object as text.
  public static func finish(
    _ id: Int64, status: String, exitCode: Int32, counters: String, error: String?,
    fromBlock: UInt64?, toBlock: UInt64?, on db: Connection
  ) throws(PostgresError) {
    try db.transaction(together: [
      """
      update run set finished_at = now(), status = \(status), exit_code = \(exitCode),
        counters = \(counters)::text::jsonb, error = \(error), from_block = \(fromBlock),
        to_block = \(toBlock)
      where id = \(id)
      """
    ])
  }

  /// The newest runs, newest first; those of a job with the runs of its parts.
  public static func newest(
    job: String?, limit: Int, in tx: borrowing Transaction
  ) throws -> [RunRow] {
    try tx.query(
      """
      select id, job, deployments, to_char(started_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS'),
        (extract(epoch from coalesce(finished_at, now()) - started_at) * 1000)::bigint, status,
        exit_code, coalesce(counters::text, '{}'), error
      from run where \(job) is null or job = \(job) or starts_with(job, \(job) || ' ')
      order by id desc limit \(Int64(limit))
      """
    ).map { row in
      RunRow(
        id: try row.get(0, Int64.self), job: try row.get(1, String.self),
        deployments: try row.get(2, String.self), startedAt: try row.get(3, String.self),
        milliseconds: try row.get(4, Int64.self), status: try row.get(5, String.self),
        exitCode: try row.get(6, Int32?.self), counters: try row.get(7, String.self),
        error: try row.get(8, String?.self))
    }
  }
}

/// A run as `plimsoll runs` shows it.
public struct RunRow: Sendable {
  public let id: Int64
  public let job: String
  public let deployments: String
  /// UTC, to the second.
  public let startedAt: String
  public let milliseconds: Int64
  public let status: String
  public let exitCode: Int32?
  /// A JSON object.
  public let counters: String
  public let error: String?
}
