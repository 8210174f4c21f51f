import Postgres

/// Table `writer`: who may write a deployment now.
public struct Writer: Sendable, Equatable {
  public let deployment: Int32
  public let epoch: Int64

  static let lockNamespace: Int32 = 0x5752_4954  // "WRIT"

  /// Becomes the writer of a deployment, or names the one who is.
  ///
  /// The advisory lock ends with the connection, so a writer that died is no obstacle; the epoch
  /// stops one that lost its connection but not its life.
  public static func take(
    _ deployment: Int32, holder: String, on db: Connection
  ) throws -> Taking {
    try db.transaction { tx in try take(deployment, holder: holder, in: tx) }
  }

  /// The same in a transaction, which must not be rolled back: the lock would stay.
  public static func take(
    _ deployment: Int32, holder: String, in tx: borrowing Transaction
  ) throws -> Taking {
    let key = key(of: deployment)
    let mine = try tx.query(
      """
      insert into writer (deployment_id, epoch, holder)
      select \(deployment), 1, \(holder) where pg_try_advisory_lock(\(key.namespace), \(key.hash))
      on conflict (deployment_id) do update
      set epoch = writer.epoch + 1, holder = excluded.holder, taken_at = now()
      returning epoch
      """)
    if let row = mine.first {
      return .mine(Writer(deployment: deployment, epoch: try row.get(0, Int64.self)))
    }
    return .taken(
      by: try tx.query("select holder from writer where deployment_id = \(deployment)").first?
        .get(0, String.self) ?? "another run")
  }

  private static func key(of deployment: Int32) -> AdvisoryKey {
    AdvisoryKey(namespace: lockNamespace, hashOf: "deployment \(deployment)")
  }

  /// Ends the writer's turn.
  public func release(on db: Connection) throws {
    _ = try db.unlock(Self.key(of: deployment))
  }

  /// The first statement of every writing transaction.
  ///
  /// - Throws: `WriterError.replaced` if another run has become the writer since.
  public func check(in tx: borrowing Transaction) throws {
    let rows = try tx.query(
      "select epoch from writer where deployment_id = \(deployment) for share")
    guard try rows.first?.get(0, Int64.self) == epoch else { throw WriterError.replaced }
  }

  public enum Taking: Sendable, Equatable {
    case mine(Writer)
    case taken(by: String)
  }
}

public enum WriterError: Error, Equatable, CustomStringConvertible {
  /// Another run has become the writer; nothing was written.
  case replaced

  public var description: String { "another run has become the writer of this deployment" }
}

extension Rows {
  /// The row of a statement that always gives one.
  var only: Row {
    get throws {
      guard let row = first else { throw MissingRow() }
      return row
    }
  }
}

/// A statement that always gives a row gave none.
struct MissingRow: Error {}
