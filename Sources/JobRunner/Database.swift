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
  func open() throws -> Connection {
    let info = try connectionInfo()
    do {
      return try Connection.open(info)
    } catch {
      throw Failure(
        Failure.exit(for: error), "database: cannot connect to \(info): \(error.message)")
    }
  }

  /// Connects and refuses a schema that this binary does not know.
  func open(knowing migrations: [Migration]) throws -> Connection {
    let connection = try open()
    let needed = migrations.count
    let state = try Migrator.check(expected: needed, on: connection)
    if state.isAccepted { return connection }
    switch state {
    case .none:
      throw schemaFailure("the database has no schema: run plimsoll migrate")
    case .older(let version):
      throw schemaFailure(
        "the schema is at \(version), this binary needs \(needed): run plimsoll migrate")
    case .tooNew(let version):
      throw schemaFailure(
        "the schema is at \(version), this binary knows \(needed): install a newer plimsoll")
    case .equal, .newerByOne:
      return connection
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
  }

  private func connectionInfo() throws -> ConnectionInfo {
    switch configuration.database {
    case nil: throw Self.notConfigured
    case .privateCluster:
      return try PrivateDatabase.use(in: configuration.privateDirectory).connectionInfo
    case .url(let source):
      let text = try source.read(
        environment: surroundings.environment, place: configuration.place, field: "database")
      surroundings.console.redactor.register(databaseURL: text)
      do {
        return try ConnectionInfo(url: text)
      } catch {
        throw ConfigError(configuration.place, field: "database", remedy: error.message)
      }
    }
  }
}
