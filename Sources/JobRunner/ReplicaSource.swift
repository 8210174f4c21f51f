import Glibc
import Postgres
import Store
import Systems

/// The way to the standby of `read_url`, opened when it is first asked for.
///
/// A standby is a relief and no source of its own: one that cannot be reached, or is none any
/// more, is left alone with a warning, and the primary is read.
final class ReplicaSource {
  private let open: () throws -> Connection
  /// Blocks that it may be behind for a verdict to wait for it; nil: as the chain's mirror.
  let lagMax: UInt64?
  private var found: Replica??

  init(lagMax: UInt64?, open: @escaping () throws -> Connection) {
    self.lagMax = lagMax
    self.open = open
  }

  /// - Throws: `Failure` with 78 if it is the standby of another server.
  func replica(of primary: Connection, log: Logger) throws -> Replica? {
    if let found { return found }
    let replica = try connect(log).map { Replica($0) }
    if let replica, try !replica.isStandby(of: primary) {
      throw Failure(
        .configuration, "read_url: the server is a standby of another one than \"database\" names")
    }
    found = .some(replica)
    return replica
  }

  /// Reads the primary from now on.
  func leave(_ error: PostgresError, log: Logger) {
    log.warning("read_url: the primary is read", ["error": error.message])
    found = .some(nil)
  }

  private func connect(_ log: Logger) throws -> Connection? {
    do {
      let connection = try open()
      if connection.isReplica { return connection }
      log.warning("read_url: the server is no standby; the primary is read")
      connection.close()
    } catch let failure as Failure where failure.exit == .unavailable {
      log.warning("the primary is read", ["error": failure.description])
    }
    return nil
  }
}

extension JobContext {
  /// Twentieths of a second that a standby is waited for.
  private static let replicaWaitsMax = 100
  /// Those of them that one further behind than it may be is given: what was committed this moment
  /// is on its way, however many blocks it is.
  private static let replicaGrace = 20

  /// Where the book of a verdict is read: the standby, once it has replayed everything that the
  /// primary has committed until now, or the primary if there is none.
  ///
  /// `cursor` names the job whose cursor the book stands on; `lag` is how many blocks the standby
  /// may be behind where the configuration does not say. One that fails is left alone.
  ///
  /// - Throws: `Failure` with 75 and `replica_behind` if the standby is, after a second, more than
  ///   `max_replica_lag` blocks behind, or does not catch up in five.
  public func bookDatabase(
    cursor job: String, _ deployment: Deployment, lag standard: UInt64
  ) throws -> Connection {
    guard let replicas, let replica = try replica() else { return database }
    let mark = try replica.mark(of: job, deployment.id, on: database)
    let lagMax = replicas.lagMax ?? standard
    do {
      for attempt in 0..<Self.replicaWaitsMax {
        let lag = try replica.lag(of: job, deployment.id, behind: mark)
        if lag.hasReplayed {
          log.debug("the standby is read", ["deployment": deployment.name, "waits": attempt])
          return replica.connection
        }
        let isTooFar = lag.blocks > lagMax && attempt >= Self.replicaGrace
        if isTooFar || isStopping() { throw behind(lag, of: deployment, lagMax, "") }
        usleep(50_000)
      }
      let lag = try replica.lag(of: job, deployment.id, behind: mark)
      throw behind(lag, of: deployment, lagMax, " and does not catch up")
    } catch let error as PostgresError {
      replicas.leave(error, log: log)
      return database
    }
  }

  /// Where a list is read: the standby with how far it is behind, or the primary.
  public func listDatabase(
    cursor job: String, _ deployment: Deployment
  ) throws -> (database: Connection, lag: ReplicaLag?) {
    guard let replica = try replica() else { return (database, nil) }
    let mark = try replica.mark(of: job, deployment.id, on: database)
    return (replica.connection, try replica.lag(of: job, deployment.id, behind: mark))
  }

  private func replica() throws -> Replica? {
    if database.isReplica { return nil }
    return try replicas?.replica(of: database, log: log)
  }

  private func behind(
    _ lag: ReplicaLag, of deployment: Deployment, _ lagMax: UInt64, _ how: String
  ) -> Failure {
    Failure(
      .retryLater,
      "replica_behind: the standby of read_url is \(lag.blocks) blocks behind the primary's mirror "
        + "of \(deployment.name)\(how) (max_replica_lag \(lagMax))")
  }
}
