import Ethereum
import Postgres

/// Table `cursor`: how far a job has read a deployment.
public struct Cursor: Sendable, Equatable {
  /// The last block read; nil before the first.
  public let block: UInt64?
  /// Its hash; nil before the first.
  public let hash: Bytes32?

  public init(block: UInt64?, hash: Bytes32?) {
    self.block = block
    self.hash = hash
  }

  /// Where nothing has been read.
  public static let start = Cursor(block: nil, hash: nil)

  public static func read(
    _ job: String, of deployment: Int32, in tx: borrowing Transaction
  ) throws -> Cursor {
    let rows = try tx.query(
      """
      select block_number, block_hash from cursor
      where job = \(job) and deployment_id = \(deployment) and shard = 0
      """)
    guard let row = rows.first else { return .start }
    return Cursor(block: try row.get(0, UInt64.self), hash: try row.get(1, Bytes32.self))
  }

  /// Moves the cursor from where the caller read it.
  ///
  /// - Throws: `CursorError.moved` if it no longer stands there; nothing may be committed then.
  public func move(
    _ job: String, of deployment: Int32, to block: UInt64, hash: Bytes32,
    in tx: borrowing Transaction
  ) throws {
    let moved: Int
    if let from = self.block {
      moved = try tx.execute(
        """
        update cursor set block_number = \(block), block_hash = \(hash), moved_at = now()
        where job = \(job) and deployment_id = \(deployment) and shard = 0
          and block_number = \(from) and block_hash = \(self.hash)
        """)
    } else {
      moved = try tx.execute(
        """
        insert into cursor (job, deployment_id, block_number, block_hash)
        values (\(job), \(deployment), \(block), \(hash)) on conflict do nothing
        """)
    }
    guard moved == 1 else { throw CursorError.moved }
  }

  /// Back to before the first block.
  public static func forget(
    _ job: String, of deployment: Int32, in tx: borrowing Transaction
  ) throws {
    try tx.execute("delete from cursor where job = \(job) and deployment_id = \(deployment)")
  }
}

public enum CursorError: Error, Equatable, CustomStringConvertible {
  /// Another run moved it since it was read.
  case moved

  public var description: String { "another run has moved the cursor" }
}
