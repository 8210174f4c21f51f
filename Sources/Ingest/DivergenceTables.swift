import Ethereum
import Postgres
import Systems

/// Table `divergence`: what audits have found, until they find it equal.
enum Divergences {
  /// One that no audit has found equal yet.
  struct Open: Sendable {
    let id: Int64
    let subject: AuditSubject
    let field: String
  }

  static func open(of deployment: Deployment, in tx: borrowing Transaction) throws -> [Open] {
    var open: [Open] = []
    let rows = try tx.query(
      """
      select id, kind, contract, market_key, user_address, field from divergence
      where deployment_id = \(deployment.id) and resolved_at is null order by id
      """)
    for row in rows {
      // A kind that this program does not know is a newer one's to resolve.
      guard let kind = AuditSubject.Kind(rawValue: try row.get(1, String.self)) else { continue }
      open.append(
        Open(
          id: try row.get(0, Int64.self),
          subject: AuditSubject(
            kind, try row.get(2, Address.self), market: try row.get(3, Bytes32?.self),
            user: try row.get(4, Address?.self)),
          field: try row.get(5, String.self)))
    }
    return open
  }

  /// Opens what is new, and brings what was open already to what was found now.
  static func record(
    _ divergences: [Divergence], of deployment: Deployment, at block: BlockMark, run: Int64,
    in tx: borrowing Transaction
  ) throws {
    try tx.executeBatch(
      divergences.map { found in
        """
        insert into divergence (deployment_id, kind, contract, market_key, user_address, field,
          relation, expected, actual, set_aside, block_number, block_hash, first_run_id, run_id)
        values (\(deployment.id), \(found.subject.kind.rawValue), \(found.subject.contract),
          \(found.subject.market), \(found.subject.user), \(found.field),
          \(found.relation.rawValue), \(found.expected), \(found.actual), \(found.isSetAside),
          \(block.number), \(block.hash), \(run), \(run))
        on conflict (deployment_id, kind, contract, market_key, user_address, field)
          where resolved_at is null
        do update set relation = excluded.relation, expected = excluded.expected,
          actual = excluded.actual, set_aside = excluded.set_aside,
          block_number = excluded.block_number, block_hash = excluded.block_hash,
          run_id = excluded.run_id
        """
      })
  }

  /// Closes what was found equal now.
  static func resolve(_ ids: [Int64], run: Int64, in tx: borrowing Transaction) throws {
    try tx.execute(
      """
      update divergence set resolved_at = now(), resolved_run_id = \(run)
      where id = any(\(ids)) and resolved_at is null
      """)
  }
}
