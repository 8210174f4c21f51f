import Foundation
import Postgres

/// A PostgreSQL server of a test's own, which can crash, come back, and be followed by a standby
/// that takes over. As durable as in production; it ends with the test process.
public final class TestServer: @unchecked Sendable {
  /// Where its socket is.
  public let socketDirectory: String

  private let data: String
  private var process: Process?
  private var lifeline: Pipe?

  public struct Failure: Error, CustomStringConvertible {
    public let description: String
  }

  /// A new server with an empty database `plimsoll`.
  public init() throws {
    (data, socketDirectory) = try Self.makeDirectories()
    try run("initdb", "-D", data, "-U", PrivateCluster.databaseName, "--auth=trust", "-E", "UTF8")
    try start()
    let owner = PrivateCluster.databaseName
    try run("createdb", "-h", socketDirectory, "-U", owner, owner)
  }

  /// A standby of a running server. From now on that one commits nothing that this one has not.
  public init(following primary: TestServer) throws {
    (data, socketDirectory) = try Self.makeDirectories()
    try run(
      "pg_basebackup", "-h", primary.socketDirectory, "-U", PrivateCluster.databaseName, "-D", data,
      "-R", "-X", "stream", "-c", "fast")
    try start()
    try primary.waitForStandby()
  }

  deinit {
    try? lifeline?.fileHandleForWriting.close()
    process?.waitUntilExit()
    try? FileManager.default.removeItem(atPath: data)
    try? FileManager.default.removeItem(atPath: socketDirectory)
  }

  /// How to connect to the database `plimsoll`.
  public var info: ConnectionInfo {
    PrivateCluster.connectionInfo(socketDirectory: socketDirectory)
  }

  /// Starts it, or starts it again after a crash, and waits until it takes connections.
  public func start() throws {
    let process = Process()
    let lifeline = Pipe()
    // The shell ends the server when our end of the pipe is closed, by whatever way we end.
    let script = #""$@" >/dev/null 2>&1 & server=$!; cat >/dev/null; kill -QUIT $server; wait"#
    let server =
      ["postgres", "-D", data, "-k", socketDirectory, "-c", "listen_addresses="]
      + ["-c", "shared_buffers=32MB", "-c", "fsync=on", "-c", "synchronous_commit=on"]
    process.executableURL = URL(filePath: "/bin/sh")
    process.arguments = ["-c", script, "sh"] + Self.command(server)
    process.standardInput = lifeline
    process.standardError = FileHandle.nullDevice
    try process.run()
    (self.process, self.lifeline) = (process, lifeline)
    try waitUntilReady()
  }

  /// Ends it at once, as a loss of power to the process would: it recovers at the next start.
  public func crash() throws {
    try run("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    try lifeline?.fileHandleForWriting.close()
    process?.waitUntilExit()
    (process, lifeline) = (nil, nil)
  }

  /// Ends a standby's following: it is a server of its own from now on.
  public func promote() throws {
    try run("pg_ctl", "-D", data, "-w", "promote")
  }

  /// Lets commits wait for no standby any more.
  public func commitAlone() throws {
    try set("synchronous_standby_names = ''")
  }

  /// Lets a standby replay a commit only so long after it was made, such as `1h`.
  public func delayReplay(by time: String) throws {
    try set("recovery_min_apply_delay = '\(time)'")
  }

  // MARK: Steps

  /// Tenths of a second that a start or a standby may take.
  private static let waitsMax = 600

  private func waitUntilReady() throws {
    for _ in 0..<Self.waitsMax {
      if (try? run("pg_isready", "-q", "-h", socketDirectory)) != nil { return }
      Thread.sleep(forTimeInterval: 0.1)
    }
    throw Failure(description: "the server in \(data) does not start")
  }

  /// Lets commits wait for the standby, once it is there.
  private func waitForStandby() throws {
    try set("synchronous_standby_names = '*'")
    let connection = try Connection.open(info)
    for _ in 0..<Self.waitsMax {
      let isFollowed = try connection.transaction(.readOnly) { tx in
        try tx.query("select count(*) from pg_stat_replication where sync_state = 'sync'")[0]
          .get(0, Int.self) == 1
      }
      if isFollowed { return }
      Thread.sleep(forTimeInterval: 0.1)
    }
    throw Failure(description: "the standby does not follow")
  }

  /// Adds a line to the settings, of which the last counts.
  private func set(_ line: String) throws {
    let settings = try FileHandle(forWritingTo: URL(filePath: data + "/postgresql.auto.conf"))
    try settings.seekToEnd()
    try settings.write(contentsOf: Data((line + "\n").utf8))
    try settings.close()
    try run("pg_ctl", "-D", data, "reload")
  }

  // MARK: Programs

  private func run(_ words: String...) throws {
    let process = Process()
    let output = Pipe()
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = Self.command(words)
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = FileHandle.nullDevice
    process.standardError = output
    try process.run()
    let errors = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    guard process.terminationStatus == 0 else {
      throw Failure(description: "\(words[0]): \(String(decoding: errors, as: UTF8.self))")
    }
  }

  /// A server refuses to be root, so it runs as the user that the package has made.
  private static func command(_ words: [String]) -> [String] {
    let user = "postgres"
    let prefix =
      geteuid() == 0
      ? ["setpriv", "--reuid=\(user)", "--regid=\(user)", "--clear-groups"] : []
    return prefix + ["\(programs)/\(words[0])"] + words.dropFirst()
  }

  private static let programs: String = {
    let root = "/usr/lib/postgresql"
    let versions = (try? FileManager.default.contentsOfDirectory(atPath: root)) ?? []
    let newest = versions.compactMap { Int($0) }.max() ?? 15
    return "\(root)/\(newest)/bin"
  }()

  private static func makeDirectories() throws -> (data: String, socket: String) {
    let name = "/tmp/plimsoll-server-\(getpid())-\(UInt32.random(in: .min ... .max))"
    for directory in [name, name + "-s"] {
      try FileManager.default.createDirectory(
        atPath: directory, withIntermediateDirectories: false,
        attributes: [.posixPermissions: 0o700])
      if geteuid() == 0, let user = getpwnam("postgres") {
        chown(directory, user.pointee.pw_uid, user.pointee.pw_gid)
      }
    }
    return (name, name + "-s")
  }
}
