import Foundation
import Postgres
import TestKit

/// Waits, a bounded time, for what another session does.
enum Waiting {
  /// Polls, one each 20 ms.
  private static let pollsMax = 500

  struct InVain: Error {}

  /// The first value that is not nil.
  static func until<Value>(_ value: () throws -> Value?) throws -> Value {
    for _ in 0..<pollsMax {
      if let value = try value() { return value }
      Thread.sleep(forTimeInterval: 0.02)
    }
    throw InVain()
  }

  /// Returns as soon as a session of the database waits for a lock.
  static func untilALockIsWaitedFor(in database: TemporaryDatabase) throws {
    let observer = try database.connection()
    try until {
      let waiting = try observer.transaction(.readOnly) { tx in
        try tx.query(
          """
          select count(*) from pg_stat_activity
          where datname = current_database() and wait_event_type = 'Lock'
          """)[0].get(0, Int.self)
      }
      return waiting > 0 ? () : nil
    }
  }
}
