import Postgres

/// A standby that is read instead of the primary.
///
/// How far it is behind is counted in the primary's log and in blocks of its cursor. No clock is
/// asked: one that is cut off from an idle primary and one that is far behind look alike by time.
public struct Replica {
  public let connection: Connection

  public init(_ connection: Connection) {
    self.connection = connection
  }

  /// Whether it replays this very primary: positions in the logs of others say nothing.
  public func isStandby(of primary: Connection) throws -> Bool {
    let here = try Self.identity(of: connection)
    return try connection.isReplica && here == Self.identity(of: primary)
  }

  private static func identity(of connection: Connection) throws -> [String] {
    try connection.transaction(.readOnly) { tx in
      let row = try tx.query(
        "select system_identifier::text, current_database() from pg_control_system()")[0]
      return [try row.get(0, String.self), try row.get(1, String.self)]
    }
  }

  /// Where the primary stands: everything that is committed there now is up to this.
  public func mark(
    of job: String, _ deployment: Int32, on primary: Connection
  ) throws -> PrimaryMark {
    try primary.transaction(.readOnly) { tx in
      let cursor = try Cursor.read(job, of: deployment, in: tx)
      // Asked after the snapshot: what that shows is in the log before.
      let log = try tx.query("select pg_current_wal_flush_lsn()::text")[0].get(0, String.self)
      return PrimaryMark(cursor: cursor, log: log)
    }
  }

  /// How far the standby is behind.
  public func lag(
    of job: String, _ deployment: Int32, behind mark: PrimaryMark
  ) throws -> ReplicaLag {
    try connection.transaction(.readOnly) { tx in
      let hasReplayed = try tx.query(
        "select coalesce(pg_last_wal_replay_lsn() >= \(mark.log)::pg_lsn, false)")[0]
        .get(0, Bool.self)
      let cursor = try Cursor.read(job, of: deployment, in: tx)
      return ReplicaLag(
        hasReplayed: hasReplayed || cursor == mark.cursor,
        blocks: ReplicaLag.blocks(from: cursor.block, to: mark.cursor.block))
    }
  }
}

/// A place in the primary's history.
public struct PrimaryMark: Sendable, Equatable {
  public let cursor: Cursor
  /// A position in the write-ahead log.
  public let log: String

  public init(cursor: Cursor, log: String) {
    self.cursor = cursor
    self.log = log
  }
}

/// How far a standby is behind a place in its primary's history.
public struct ReplicaLag: Sendable, Equatable {
  /// Whether what the primary's mirror was there is on the standby.
  public let hasReplayed: Bool
  /// Blocks from the standby's cursor to the primary's.
  public let blocks: UInt64

  /// A mirror that was taken back is behind by nothing in blocks, but not replayed.
  static func blocks(from here: UInt64?, to there: UInt64?) -> UInt64 {
    guard let there else { return 0 }
    guard let here else { return there + 1 }
    return there > here ? there - here : 0
  }
}
