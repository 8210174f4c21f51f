import Ethereum
import Glibc
import Postgres
import Schema
import Synchronization

/// An empty database of its own, with the program's schema, that goes when it is released, or with the cluster.
///
/// One private cluster serves the whole test process and ends with it, by whatever way the process
/// ends. `PLIMSOLL_TEST_CLUSTER` names the socket directory of a running private cluster to use
/// instead. The schema is migrated once into a template; each database is a copy of it and takes
/// some tens of milliseconds. Safe to use from tests that run in parallel.
public final class TemporaryDatabase: Sendable {
  /// Unique in the cluster.
  public let name: String
  /// How to connect to it.
  public let info: ConnectionInfo

  /// A database with the schema, or with `isEmpty` one without any table.
  public convenience init(isEmpty: Bool = false) throws {
    try self.init(template: isEmpty ? "template0" : TestCluster.shared().template)
  }

  /// A copy of another, to which nobody may be connected.
  public convenience init(copyOf other: TemporaryDatabase) throws {
    try self.init(template: other.name)
  }

  private init(template: String) throws {
    let cluster = try TestCluster.shared()
    name = "test_\(getpid())_\(String(UInt64.random(in: .min ... .max), radix: 36))"
    info = cluster.server.database(name)
    let admin = try Connection.open(cluster.server)
    try admin.createDatabase(name, copyOf: template)
  }

  deinit {
    // Dropping waits for a checkpoint; a cluster of our own goes as a whole with the process.
    guard let cluster = try? TestCluster.shared(), !cluster.isOwn,
      let admin = try? Connection.open(cluster.server)
    else { return }
    try? admin.dropDatabase(name)
  }

  /// A new session.
  public func connection(settings: SessionSettings = .default) throws -> Connection {
    try Connection.open(info, settings: settings)
  }
}

/// The one cluster of a test process.
public struct TestCluster: Sendable {
  /// How to connect to its maintenance database.
  public let server: ConnectionInfo
  /// The socket's directory.
  public let socketDirectory: String
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
    let server = PrivateCluster.connectionInfo(socketDirectory: socket)
    return TestCluster(
      server: server, socketDirectory: socket, template: try makeTemplate(on: server),
      isOwn: given == nil)
  }

  private static func startOwn() throws -> String {
    let suffix = String(UInt64.random(in: .min ... .max), radix: 36)
    return try PrivateCluster.start(
      in: "/tmp/plimsoll-test-\(getpid())-\(suffix)", lifetime: .untilOwnerEndsThenRemoved
    ).socketDirectory
  }

  /// Named by what is in it, so that processes that share a cluster share it, and others do not.
  private static func makeTemplate(on server: ConnectionInfo) throws -> String {
    let checksums = Schema.migrations.map(\.checksum.description).joined()
    let name = "template_\(keccak256(Array(checksums.utf8)).description.dropFirst(2).prefix(16))"
    let admin = try Connection.open(server)
    try takeTurn(AdvisoryKey(namespace: 1, hashOf: name), on: admin)
    if try !admin.hasDatabase(name) {
      // Renamed when it is whole, so that a killed process leaves no half template.
      let draft = name + "_\(getpid())"
      try admin.createDatabase(draft, copyOf: "template0")
      try Migrator.apply(Schema.migrations, on: Connection.open(server.database(draft)))
      try admin.createDatabase(name, copyOf: draft)
      try admin.dropDatabase(draft)
    }
    return name
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
