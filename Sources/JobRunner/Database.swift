import Glibc
import Postgres

/// The way from a setting to an open, fitting database.
struct Database {
  let configuration: Configuration
  let surroundings: Surroundings

  static let notConfigured = Failure(
    .configuration,
    "database: not configured; set \"database\" in plimsoll.json, PLIMSOLL_DATABASE or "
      + "--database (\"private\" runs one of its own)")

  /// Connects; a private cluster is started when it does not run.
  func open() throws -> Connection { try open(asking: []).connection }

  /// A server that was restarted is given so many attempts, a tenth of a second apart.
  private static let reopeningsMax = 200

  /// Connects again after the connection was lost; a server that is starting is waited for, unless
  /// the run has to stop.
  func reopen(isStopping: () -> Bool) throws -> Connection {
    for _ in 1..<Self.reopeningsMax where !isStopping() {
      do {
        return try open()
      } catch let failure as Failure where failure.exit == .unavailable {
        usleep(100_000)
      }
    }
    return try open()
  }

  /// Connects and refuses a schema that this binary does not know.
  func open(knowing migrations: [Migration]) throws -> Connection {
    try open(knowing: migrations, asking: []).connection
  }

  /// The same, with questions that are answered in the same round trip.
  func open(
    knowing migrations: [Migration], asking questions: [SQL]
  ) throws -> (connection: Connection, answers: [Rows]) {
    func checkVersion(_ rows: Rows) throws {
      let needed = migrations.count
      try refuse(Migrator.state(at: rows.count, expected: needed), needed: needed)
    }
    let opened: (connection: Connection, answers: [Rows])
    do {
      opened = try open(asking: [Migrator.versionQuestion] + questions)
    } catch let error as PostgresError where error.sqlState == "42P01" {
      // An older schema has not all of the tables that are asked.
      try checkVersion(open(asking: [Migrator.versionQuestion]).answers[0])
      throw error
    }
    try checkVersion(opened.answers[0])
    return (opened.connection, Array(opened.answers.dropFirst()))
  }

  private func open(
    asking questions: [SQL]
  ) throws -> (connection: Connection, answers: [Rows]) {
    try open(connectionInfo(), asking: questions)
  }

  private func open(
    _ info: ConnectionInfo, field: String = "database", asking questions: [SQL]
  ) throws -> (connection: Connection, answers: [Rows]) {
    do {
      return try Connection.open(info, asking: questions)
    } catch {
      throw failure(of: error, opening: info, field: field)
    }
  }

  /// Connects to the server that `read_url` names, and refuses a schema that this binary does not
  /// know.
  func openReplica(knowing migrations: [Migration]) throws -> Connection {
    guard case .url(let source) = configuration.readURL else {
      preconditionFailure("a standby is opened only where one is configured")
    }
    let opened = try open(
      connectionInfo(source, field: "read_url"), field: "read_url",
      asking: [Migrator.versionQuestion])
    let version = opened.answers[0].count
    do {
      try refuse(
        Migrator.state(at: version, expected: migrations.count), needed: migrations.count)
    } catch let failure as Failure {
      // It comes after the primary, which has been looked at already.
      opened.connection.close()
      throw Failure(.unavailable, "read_url: \(failure.description)")
    }
    return opened.connection
  }

  private func failure(
    of error: PostgresError, opening info: ConnectionInfo, field: String
  ) -> any Error {
    let version = Migrator.versionQuestion
    switch error.kind {
    case .connection, .unsuitableServer:
      return Failure(
        Failure.exit(for: error), "\(field): cannot connect to \(info): \(error.message)")
    case .server where error.sqlState == "42P01" && error.statement == version.text:
      return schemaFailure("the database has no schema: run plimsoll migrate")
    default: return error
    }
  }

  private func refuse(_ state: SchemaState, needed: Int) throws {
    switch state {
    case .none:
      throw schemaFailure("the database has no schema: run plimsoll migrate")
    case .older(let version):
      throw schemaFailure(
        "the schema is at \(version), this binary needs \(needed): run plimsoll migrate")
    case .tooNew(let version):
      throw schemaFailure(
        "the schema is at \(version), this binary knows \(needed): install a newer plimsoll")
    case .equal, .newerByOne: return
    }
  }

  private func schemaFailure(_ text: String) -> Failure {
    Failure(.configuration, "database: \(text)")
  }

  /// Reads the setting and what it names, without connecting.
  func checkSetting() throws {
    switch configuration.database {
    case nil: throw Self.notConfigured
    case .privateCluster: return
    case .url: _ = try connectionInfo()
    }
    if case .url(let source) = configuration.readURL {
      _ = try connectionInfo(source, field: "read_url")
    }
  }

  private func connectionInfo() throws -> ConnectionInfo {
    switch configuration.database {
    case nil: throw Self.notConfigured
    case .privateCluster:
      return try PrivateDatabase.use(in: configuration.privateDirectory).connectionInfo
    case .url(let source): return try connectionInfo(source, field: "database")
    }
  }

  private func connectionInfo(_ source: SecretSource, field: String) throws -> ConnectionInfo {
    let text = try source.read(
      environment: surroundings.environment, place: configuration.place, field: field)
    surroundings.console.redactor.register(databaseURL: text)
    do {
      return try ConnectionInfo(url: text)
    } catch {
      throw ConfigError(configuration.place, field: field, remedy: error.message)
    }
  }
}
