import Ethereum
import Glibc
import Postgres
import Schema
import Synchronization

/// A database of a test's own, with the program's schema.
///
/// One private cluster serves the whole test process and ends with it, by whatever way the process
/// ends. `PLIMSOLL_TEST_CLUSTER` names the socket directory of a running private cluster to use
/// instead. The schema is migrated once into a template that is copied for each database; a copy is
/// some 300 files and takes a quarter of a second, so tests that do not mind each other's rows
/// better share one in a `static let`. Safe to use from tests that run in parallel.
public final class TemporaryDatabase: Sendable {
  /// The database's name, or the schema's when it was made empty.
  public let name: String
  /// How to connect to it.
  public let info: ConnectionInfo
  private let isSchema: Bool

  /// A copy of the template, gone when it is released or with the cluster. With `isEmpty` it has
  /// no table at all, and is really a schema in a shared database: that takes a millisecond.
  public convenience init(isEmpty: Bool = false) throws {
    try self.init(template: isEmpty ? nil : TestCluster.shared().template)
  }

  /// A copy of another with its rows. Nobody may be connected to that one, and it must not have
  /// been made empty.
  public convenience init(copyOf other: TemporaryDatabase) throws {
    precondition(!other.isSchema, "A database that was made empty is a schema: it has no copies.")
    try self.init(template: other.name)
  }

  /// A database of its own without any table, for what looks at the database itself.
  public static func bare() throws -> TemporaryDatabase {
    try TemporaryDatabase(template: "template0")
  }

  private init(template: String?) throws {
    let cluster = try TestCluster.shared()
    name = "test_\(getpid())_\(String(UInt64.random(in: .min ... .max), radix: 36))"
    isSchema = template == nil
    let admin = try Connection.open(cluster.maintenance)
    if let template {
      info = cluster.maintenance.database(name)
      try admin.createDatabase(name, copyOf: template)
    } else {
      info = cluster.maintenance.searching(schema: name)
      try admin.createSchema(name)
    }
  }

  /// A failure is let pass: what is left is small and goes with the cluster.
  deinit {
    guard let cluster = try? TestCluster.shared() else { return }
    if isSchema {
      try? Connection.open(cluster.maintenance).dropSchema(name)
    } else if !cluster.isOwn {
      // Dropping a database waits for a checkpoint; a cluster of our own goes as a whole.
      try? Connection.open(cluster.maintenance).dropDatabase(name)
    }
  }

  /// A new session.
  public func connection(settings: SessionSettings = .default) throws -> Connection {
    try Connection.open(info, settings: settings)
  }
}

/// The one cluster of a test process.
public struct TestCluster: Sendable {
  /// The socket's directory.
  public let socketDirectory: String
  /// Where databases and schemas are made.
  fileprivate let maintenance: ConnectionInfo
  /// The migrated database that others are copied from.
  fileprivate let template: String
  /// Whether it ends with this process.
  fileprivate let isOwn: Bool

  private static let state = Mutex<Result<TestCluster, any Error>?>(nil)

  /// Starts it at the first call, which takes a second or two.
  public static func shared() throws -> TestCluster {
    try state.withLock { state in
      if let state { return try state.get() }
      let result = Result { try start() }
      state = result
      return try result.get()
    }
  }

  private static func start() throws -> TestCluster {
    let given = getenv("PLIMSOLL_TEST_CLUSTER").map { String(cString: $0) }
    let socket = try given ?? startOwn()
    let maintenance = PrivateCluster.connectionInfo(socketDirectory: socket)
    return TestCluster(
      socketDirectory: socket, maintenance: maintenance,
      template: try makeTemplate(on: maintenance), isOwn: given == nil)
  }

  private static func startOwn() throws -> String {
    let suffix = String(UInt64.random(in: .min ... .max), radix: 36)
    return try PrivateCluster.start(
      in: "/tmp/plimsoll-test-\(getpid())-\(suffix)", lifetime: .untilOwnerEndsThenRemoved
    ).socketDirectory
  }

  /// Named by what is in it, so that processes that share a cluster share it, and others do not.
  private static func makeTemplate(on maintenance: ConnectionInfo) throws -> String {
    let checksums = Schema.migrations.map(\.checksum.description).joined()
    let name = "template_\(keccak256(Array(checksums.utf8)).description.dropFirst(2).prefix(16))"
    let admin = try Connection.open(maintenance)
    try takeTurn(AdvisoryKey(namespace: 1, hashOf: name), on: admin)
    if try !admin.hasDatabase(name) {
      // Renamed when it is whole, so that a killed process leaves no half template.
      let draft = "draft_\(getpid())"
      try admin.createDatabase(draft)
      try migrate(maintenance.database(draft))
      try admin.renameDatabase(draft, to: name)
    }
    return name
  }

  private static func migrate(_ database: ConnectionInfo) throws {
    let connection = try Connection.open(database)
    defer { connection.close() }
    try Migrator.apply(Schema.migrations, on: connection)
  }

  /// Half-seconds that another process may take to make the template.
  private static let turnAttemptsMax = 120

  private static func takeTurn(_ key: AdvisoryKey, on admin: Connection) throws {
    for _ in 0..<turnAttemptsMax {
      if try admin.tryAdvisoryLock(key) { return }
      usleep(500_000)
    }
    throw TemplateIsBusy()
  }

  private struct TemplateIsBusy: Error {}
}
