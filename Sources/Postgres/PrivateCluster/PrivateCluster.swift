import Glibc

/// A PostgreSQL of our own: in a directory of ours, reached only through a socket that no other
/// user can open.
///
/// For the demo, the tests, `plimsoll dev` and the configuration `"database": "private"`. It never
/// listens on the network, runs as an unprivileged user even when root starts it, and is as
/// durable as a production server: data checksums, fsync, full pages. No other cluster of the
/// machine is touched, and every directory has its own.
public struct PrivateCluster: Sendable {
  /// How long the server runs.
  public enum Lifetime: Sendable {
    /// Until `stop`. A server that was to end with its owner then stays, too.
    case untilStopped
    /// Until the last process that started it this way has ended, however it ended.
    case untilOwnerEnds
    /// The same, and then the directory is deleted.
    case untilOwnerEndsThenRemoved
  }

  /// The directory that was asked for.
  public let directory: String
  /// Where the socket is; the directory is ours alone (mode 0700).
  public let socketDirectory: String
  /// The server's log.
  public let logPath: String
  private let keeper: ClusterKeeper?

  /// The name of the database and of its owner.
  public static let databaseName = "plimsoll"

  /// How to connect to the database `plimsoll` as its owner.
  public var connectionInfo: ConnectionInfo {
    Self.connectionInfo(socketDirectory: socketDirectory)
  }

  /// How to connect to a private cluster whose socket is in this directory.
  public static func connectionInfo(socketDirectory: String) -> ConnectionInfo {
    ConnectionInfo(parameters: [
      "host": socketDirectory, "port": "5432", "user": databaseName, "dbname": databaseName,
    ])
  }

  /// Starts the server, creating it first if need be, and waits until it accepts connections.
  ///
  /// A server that runs already is used as it is. Two processes starting at once wait for each
  /// other. The first start takes about a second or two, later ones a tenth.
  public static func start(
    in directory: String, lifetime: Lifetime = .untilStopped
  ) throws(ClusterError) -> PrivateCluster {
    let site = try ClusterSite(directory, create: true)
    let binaries = try ClusterBinaries(forDataIn: site.data)
    return try site.exclusively { () throws(ClusterError) in
      let keeper = try ClusterKeeper(
        site, binaries, removing: lifetime == .untilOwnerEndsThenRemoved)
      let isKept = lifetime != .untilStopped
      let isRunning = try site.settledStatus().isRunning
      // Before the start, so that our death during it is noticed as well.
      try site.setKept(isKept, wasRunning: isRunning)
      if isKept { try keeper.hold() }
      if !isRunning { try launch(site, keeper) }
      if !isKept { keeper.release() }
      return PrivateCluster(
        directory: site.front, socketDirectory: site.socket, logPath: site.log,
        keeper: isKept ? keeper : nil)
    }
  }

  /// Stops the server, whoever started it. Gives false when none ran.
  @discardableResult
  public static func stop(in directory: String) throws(ClusterError) -> Bool {
    let site = try ClusterSite(directory, create: false)
    guard site.exists else { return false }
    let binaries = try ClusterBinaries(forDataIn: site.data)
    return try site.exclusively { () throws(ClusterError) in
      guard try site.settledStatus().isRunning else { return false }
      let keeper = try ClusterKeeper(site, binaries, removing: false)
      defer { keeper.release() }
      try keeper.run(.stop)
      return true
    }
  }

  /// Whether there is a cluster in the directory, and whether it runs.
  public static func status(in directory: String) throws(ClusterError) -> ClusterStatus {
    try ClusterSite(directory, create: false).status()
  }

  /// Ends this process's hold on a server started `untilOwnerEnds`, as the end of the process
  /// would, and waits for what follows from it.
  public func letGo() {
    keeper?.letGo()
  }

  // MARK: - Starting

  private static func launch(
    _ site: ClusterSite, _ keeper: ClusterKeeper
  ) throws(ClusterError) {
    try site.clearStaleLocks()
    if !site.isInitialized { try initialize(site, keeper) }
    try site.writeSettings()
    do {
      try keeper.run(.start)
    } catch {
      // A keeper whose owner died while it was starting may have been a moment faster.
      guard try site.settledStatus().isRunning else { throw error }
    }
    try createDatabase(site)
  }

  /// Makes the data directory under another name first, so that a half-made one is never used.
  private static func initialize(
    _ site: ClusterSite, _ keeper: ClusterKeeper
  ) throws(ClusterError) {
    try keeper.run(.initialize)
    try site.adoptNewData()
  }

  private static func createDatabase(_ site: ClusterSite) throws(ClusterError) {
    let server = connectionInfo(socketDirectory: site.socket).database("postgres")
    do {
      let connection = try Connection.open(server)
      let found = Rows(
        try connection.run("select 1 from pg_database where datname = \(databaseName)"))
      if found.isEmpty { _ = try connection.run("create database plimsoll") }
    } catch {
      throw ClusterError(.server, "The private server runs but is not usable: \(error)")
    }
  }
}

/// What is in a cluster's directory.
public enum ClusterStatus: Sendable, Equatable {
  case absent
  case stopped
  /// `isReady` is false while it starts or stops.
  case running(processID: Int32, isReady: Bool)

  var isRunning: Bool {
    if case .running = self { return true }
    return false
  }
}

/// Why there is no private server.
public struct ClusterError: Error, Sendable, CustomStringConvertible {
  public enum Kind: Sendable, Equatable {
    /// PostgreSQL's programs are not installed; the message has the line that installs them.
    case binariesMissing
    /// The directory cannot be used: its owner, its mode, what is in it.
    case directory
    /// The server did not start, stop or answer.
    case server
    /// Another process kept the directory busy for too long.
    case timedOut
  }

  public let kind: Kind
  public let description: String

  init(_ kind: Kind, _ description: String) {
    self.kind = kind
    self.description = description
  }
}
