import Foundation
import Glibc
import Postgres
import Testing

/// One directory under /tmp for each test, and what it needs to look at processes.
@Suite(.serialized) struct PrivateClusterTests {
  private static func freshPath() -> String {
    "/tmp/plimsoll-cluster-test-\(getpid())-\(UInt32.random(in: .min ... .max))"
  }

  private func attributes(_ path: String) throws -> stat {
    var info = stat()
    try #require(lstat(path, &info) == 0)
    return info
  }

  private func processID(_ directory: String) throws -> Int32 {
    guard case .running(let process, _) = try PrivateCluster.status(in: directory) else {
      throw NotRunning()
    }
    return process
  }

  private struct NotRunning: Error {}

  private func setting(_ name: String, of cluster: PrivateCluster) throws -> String {
    try Connection.open(cluster.connectionInfo).transaction {
      try $0.query("select current_setting(\(name))")[0].get(0)
    }
  }

  /// Waits for something that another process brings about.
  private func eventually(_ isTrue: () throws -> Bool) rethrows -> Bool {
    let end = ContinuousClock.now + .seconds(30)
    while ContinuousClock.now < end {
      if try isTrue() { return true }
      usleep(20_000)
    }
    return false
  }

  @Test func startsKeepsItsDataAndStops() throws {
    let path = Self.freshPath()
    #expect(try PrivateCluster.status(in: path) == .absent)
    #expect(try !PrivateCluster.stop(in: path))
    let cluster = try PrivateCluster.start(in: path)
    defer { try? FileManager.default.removeItem(atPath: path) }
    try Connection.open(cluster.connectionInfo).transaction {
      try $0.execute("create table kept as select 42::int8 as answer")
    }
    #expect(try PrivateCluster.stop(in: path))
    #expect(try PrivateCluster.status(in: path) == .stopped)
    #expect(try !PrivateCluster.stop(in: path))
    let again = try PrivateCluster.start(in: path)
    let answer = try Connection.open(again.connectionInfo).transaction {
      try $0.query("select answer from kept")[0].get(0, Int.self)
    }
    #expect(answer == 42)
    #expect(try PrivateCluster.stop(in: path))
  }

  @Test func isOursAloneDurableAndOffTheNetwork() throws {
    let path = Self.freshPath()
    let cluster = try PrivateCluster.start(in: path, lifetime: .untilOwnerEndsThenRemoved)
    defer { cluster.letGo() }
    #expect(try setting("listen_addresses", of: cluster) == "")
    for name in ["fsync", "full_page_writes", "synchronous_commit", "data_checksums"] {
      #expect(try setting(name, of: cluster) == "on", "\(name)")
    }
    let server = try attributes("/proc/\(processID(path))")
    #expect(server.st_uid != 0)
    for directory in [cluster.socketDirectory, path, path + "/data"] {
      let info = try attributes(directory)
      #expect(info.st_mode & 0o777 == 0o700, "\(directory)")
      #expect(info.st_uid == server.st_uid)
    }
  }

  @Test func manyStartersAtOnceShareOneServer() throws {
    let path = Self.freshPath()
    defer { try? FileManager.default.removeItem(atPath: path) }
    let sockets = NSMutableSet()
    let lock = NSLock()
    nonisolated(unsafe) let found = sockets
    DispatchQueue.concurrentPerform(iterations: 4) { _ in
      do {
        let cluster = try PrivateCluster.start(in: path)
        _ = try Connection.open(cluster.connectionInfo)
        lock.withLock { found.add(cluster.socketDirectory) }
      } catch {
        Issue.record(error)
      }
    }
    #expect(sockets.count == 1)
    #expect(try PrivateCluster.stop(in: path))
  }

  @Test func aLongPathGetsAShortSocketDirectory() throws {
    let root = Self.freshPath()
    defer { try? FileManager.default.removeItem(atPath: root) }
    let path = root + "/" + String(repeating: "long-name-", count: 12) + "/it's here"
    let cluster = try PrivateCluster.start(in: path, lifetime: .untilOwnerEndsThenRemoved)
    #expect(cluster.socketDirectory.utf8.count < 90)
    #expect(try attributes(cluster.socketDirectory).st_mode & 0o777 == 0o700)
    #expect(try setting("fsync", of: cluster) == "on")
    cluster.letGo()
    #expect(!FileManager.default.fileExists(atPath: cluster.socketDirectory))
    #expect(!FileManager.default.fileExists(atPath: path))
  }

  @Test func startsAfterACrashEvenWhenItsProcessNumberIsAnothersNow() throws {
    let path = Self.freshPath()
    let cluster = try PrivateCluster.start(in: path)
    defer { try? FileManager.default.removeItem(atPath: path) }
    try Connection.open(cluster.connectionInfo).transaction {
      try $0.execute("create table kept as select 42::int8 as answer")
    }
    let process = try processID(path)
    let pidFile = path + "/data/postmaster.pid"
    let text = try String(contentsOfFile: pidFile, encoding: .utf8)
    kill(process, SIGKILL)
    #expect(try eventually { try PrivateCluster.status(in: path) == .stopped })
    // This process is alive and no server: as if the number had been given out again.
    let lines = ["\(getpid())"] + text.split(separator: "\n").dropFirst().map(String.init)
    let handle = try #require(FileHandle(forWritingAtPath: pidFile))
    try handle.truncate(atOffset: 0)
    try handle.write(contentsOf: Data(lines.joined(separator: "\n").utf8))
    try handle.close()
    #expect(try PrivateCluster.status(in: path) == .stopped)
    let again = try PrivateCluster.start(in: path)
    let answer = try Connection.open(again.connectionInfo).transaction {
      try $0.query("select answer from kept")[0].get(0, Int.self)
    }
    #expect(answer == 42)
    #expect(try PrivateCluster.stop(in: path))
  }

  @Test func refusesADirectoryWithOtherFiles() throws {
    let path = Self.freshPath()
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: path) }
    try "precious".write(toFile: path + "/notes", atomically: true, encoding: .utf8)
    let before = try attributes(path)
    let error = #expect(throws: ClusterError.self) { try PrivateCluster.start(in: path) }
    #expect(error?.kind == .directory)
    #expect(try attributes(path).st_mode == before.st_mode)
    #expect(try attributes(path).st_uid == before.st_uid)
    #expect(try FileManager.default.contentsOfDirectory(atPath: path) == ["notes"])
  }

  @Test func endsWhenTheLastOfItsHoldersLetsGo() throws {
    let path = Self.freshPath()
    let first = try PrivateCluster.start(in: path, lifetime: .untilOwnerEnds)
    let second = try PrivateCluster.start(in: path, lifetime: .untilOwnerEnds)
    defer { try? FileManager.default.removeItem(atPath: path) }
    first.letGo()
    #expect(try setting("fsync", of: second) == "on")
    second.letGo()
    #expect(try PrivateCluster.status(in: path) == .stopped)
  }

  @Test func staysWhenItWasStartedToStay() throws {
    let path = Self.freshPath()
    let holder = try PrivateCluster.start(in: path, lifetime: .untilOwnerEnds)
    defer { try? FileManager.default.removeItem(atPath: path) }
    let stayer = try PrivateCluster.start(in: path)
    holder.letGo()
    #expect(try setting("fsync", of: stayer) == "on")
    #expect(try PrivateCluster.stop(in: path))
  }

  @Test(.enabled(if: geteuid() == 0))
  func rootMayKeepItWhereTheServersUserCannotEnter() throws {
    let closed = Self.freshPath()
    try #require(mkdir(closed, 0o700) == 0)
    defer { try? FileManager.default.removeItem(atPath: closed) }
    let original = try PrivateCluster.start(
      in: closed + "/clone/.plimsoll", lifetime: .untilOwnerEndsThenRemoved)
    let copying = Process()
    copying.executableURL = URL(filePath: "/bin/cp")
    copying.arguments = ["-a", closed + "/clone", closed + "/copy"]
    try copying.run()
    copying.waitUntilExit()
    let copy = try PrivateCluster.start(
      in: closed + "/copy/.plimsoll", lifetime: .untilOwnerEndsThenRemoved)
    #expect(original.socketDirectory != copy.socketDirectory)
    let again = try PrivateCluster.start(in: closed + "/clone/.plimsoll", lifetime: .untilOwnerEnds)
    #expect(again.socketDirectory == original.socketDirectory)
    for cluster in [original, copy] { #expect(try setting("fsync", of: cluster) == "on") }
    for cluster in [again, original, copy] { cluster.letGo() }
    #expect(!FileManager.default.fileExists(atPath: original.logPath))
    #expect(!FileManager.default.fileExists(atPath: copy.logPath))
  }

  // MARK: - Owners that are killed

  private static let ownerVariable = "PLIMSOLL_TEST_OWNER_OF"

  /// No test: the body of a process that the tests below start and kill.
  @Test(.enabled(if: getenv(ownerVariable) != nil))
  func ownerThatWaitsToBeKilled() throws {
    let path = try #require(ProcessInfo.processInfo.environment[Self.ownerVariable])
    _ = try PrivateCluster.start(in: path, lifetime: .untilOwnerEndsThenRemoved)
    sleep(60)
  }

  private func startOwner(of path: String) throws -> Process {
    let owner = Process()
    owner.executableURL = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath()
    owner.arguments =
      CommandLine.arguments.dropFirst().filter { $0.hasSuffix(".xctest") } + [
        "--testing-library", "swift-testing", "--filter", "ownerThatWaitsToBeKilled",
      ]
    owner.environment = ProcessInfo.processInfo.environment.merging([Self.ownerVariable: path]) {
      $1
    }
    owner.standardOutput = FileHandle.nullDevice
    owner.standardError = FileHandle.nullDevice
    try owner.run()
    return owner
  }

  @Test(.enabled(if: getenv(ownerVariable) == nil))
  func nothingIsLeftAfterItsOwnerIsKilled() throws {
    let path = Self.freshPath()
    let owner = try startOwner(of: path)
    let isUp = try eventually {
      if case .running(_, isReady: true) = try PrivateCluster.status(in: path) { return true }
      return false
    }
    try #require(isUp)
    let server = try processID(path)
    kill(owner.processIdentifier, SIGKILL)
    owner.waitUntilExit()
    #expect(eventually { kill(server, 0) != 0 })
    #expect(eventually { !FileManager.default.fileExists(atPath: path) })
  }

  /// At any moment of the start: while the directories are made, during initdb, while the server
  /// starts, and while the database is made.
  @Test(.enabled(if: getenv(ownerVariable) == nil), arguments: [50, 200, 500, 900, 1400])
  func nothingRunsAfterItsOwnerIsKilledDuringTheStart(milliseconds: UInt32) throws {
    let path = Self.freshPath()
    let owner = try startOwner(of: path)
    usleep(milliseconds * 1000)
    kill(owner.processIdentifier, SIGKILL)
    owner.waitUntilExit()
    #expect(eventually { !Self.isAnyProcessInside(path) })
    try? FileManager.default.removeItem(atPath: path)
  }

  /// Whether a process works in the directory or names it in its command line.
  private static func isAnyProcessInside(_ path: String) -> Bool {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
    return names.contains { name in
      guard Int32(name) != nil else { return false }
      let place = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(name)/cwd"))
      let command = FileManager.default.contents(atPath: "/proc/\(name)/cmdline") ?? Data()
      return place?.hasPrefix(path) == true
        || String(decoding: command, as: UTF8.self).contains(path)
    }
  }
}
