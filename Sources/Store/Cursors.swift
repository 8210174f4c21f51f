import Ethereum
import Postgres

/// Table `cursor`: how far a job has read a deployment.
public struct Cursor: Sendable, Equatable {
  /// The last block read; nil before the first.
  public let block: UInt64?
  /// Its hash; nil before the first.
  public let hash: Bytes32?
  /// Counts every change of the mirror; 0 before the first.
  public let revision: Int64

  /// Where nothing has been read.
  public static let start = Cursor(block: nil, hash: nil, revision: 0)

  public static func read(
    _ job: String, of deployment: Int32, in tx: borrowing Transaction
  ) throws -> Cursor {
    try decode(
      tx.query(
        """
        select block_number, block_hash, revision from cursor
        where job = \(job) and deployment_id = \(deployment) and shard = 0
        """))
  }

  /// Keeps the mirror as it was read until the transaction ends.
  ///
  /// - Throws: `CursorError.moved` if it no longer is.
  public func hold(
    _ job: String, of deployment: Int32, in tx: borrowing Transaction
  ) throws {
    try check(job, of: deployment, lock: "for share", in: tx)
  }

  /// Takes the cursor before anything is changed: jobs that all lock it first cannot deadlock, and
  /// whoever waits for it waits before its work and not after.
  ///
  /// - Throws: `CursorError.moved` if it no longer stands where it was read.
  public func lock(
    _ job: String, of deployment: Int32, in tx: borrowing Transaction
  ) throws {
    try check(job, of: deployment, lock: "for update", in: tx)
  }

  private func check(
    _ job: String, of deployment: Int32, lock: StaticString, in tx: borrowing Transaction
  ) throws {
    let now = try Self.decode(
      tx.query(
        """
        select block_number, block_hash, revision from cursor
        where job = \(job) and deployment_id = \(deployment) and shard = 0 \(identifier: lock)
        """))
    guard now == self else { throw CursorError.moved }
  }

  /// Moves the cursor from where the caller read it, or leaves it there and counts a change.
  ///
  /// - Throws: `CursorError.moved` if it no longer stands there; nothing may be committed then.
  @discardableResult
  public func move(
    _ job: String, of deployment: Int32, to block: UInt64, hash: Bytes32,
    in tx: borrowing Transaction
  ) throws -> Cursor {
    let moved: Int
    if revision > 0 {
      moved = try tx.execute(
        """
        update cursor set block_number = \(block), block_hash = \(hash), revision = revision + 1,
          moved_at = now()
        where job = \(job) and deployment_id = \(deployment) and shard = 0
          and revision = \(revision)
        """)
    } else {
      moved = try tx.execute(
        """
        insert into cursor (job, deployment_id, block_number, block_hash)
        values (\(job), \(deployment), \(block), \(hash)) on conflict do nothing
        """)
    }
    guard moved == 1 else { throw CursorError.moved }
    return Cursor(block: block, hash: hash, revision: revision + 1)
  }

  /// Back to before the first block: all that was read has been taken back.
  public func forget(
    _ job: String, of deployment: Int32, in tx: borrowing Transaction
  ) throws -> Cursor {
    let gone = try tx.execute(
      """
      delete from cursor
      where job = \(job) and deployment_id = \(deployment) and shard = 0
        and revision = \(revision)
      """)
    guard gone == 1 else { throw CursorError.moved }
    return .start
  }

  private static func decode(_ rows: Rows) throws -> Cursor {
    guard let row = rows.first else { return .start }
    return Cursor(
      block: try row.get(0, UInt64.self), hash: try row.get(1, Bytes32.self),
      revision: try row.get(2, Int64.self))
  }
}

public enum CursorError: Error, Equatable, CustomStringConvertible {
  /// Another run moved it since it was read.
  case moved

  public var description: String { "another run has changed the mirror in the meantime" }
}
