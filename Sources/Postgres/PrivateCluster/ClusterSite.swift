import Ethereum
import Glibc

/// The files of one private cluster, and the rules about who may use them.
///
/// Usually all is inside the directory asked for. When root keeps a clone where the server's user
/// cannot enter (such as under `/root`), the files are under `/var/lib/plimsoll` instead, in a
/// directory named by a secret of the clone, so that no other clone finds it.
struct ClusterSite {
  /// The directory asked for.
  let front: String
  /// Where the files are.
  let home: String
  let owner: ClusterOwner
  let socket: String

  var data: String { home + "/data" }
  var newData: String { home + "/data.new" }
  var log: String { home + "/server.log" }
  var commandLog: String { home + "/command.log" }
  var startLock: String { home + "/start.lock" }
  var usersLock: String { home + "/users.lock" }
  /// Exists while the server is to end with its last owner.
  private var keptMark: String { home + "/ends-with-owner" }
  /// Says that the directory is ours to use.
  private static let mark = "plimsoll-cluster"

  var exists: Bool { isInitialized }
  var isInitialized: Bool { FileSystem.attributes(data + "/PG_VERSION") != nil }

  /// Resolves the directory and, with `create`, makes what is missing.
  init(_ directory: String, create: Bool) throws(ClusterError) {
    guard !directory.isEmpty, !directory.unicodeScalars.contains(where: { $0.value < 32 }) else {
      throw ClusterError(.directory, "The private directory's name is empty or unprintable.")
    }
    let path = FileSystem.realPath(directory)
    if path == nil && create { try FileSystem.makeDirectory(directory) }
    guard let front = path ?? FileSystem.realPath(directory) else {
      self.init(front: directory, home: directory, owner: .current, socket: directory)
      return
    }
    if create { try Self.claim(front) }
    let (home, owner) = try Self.home(for: front, create: create)
    self.init(
      front: front, home: home, owner: owner,
      socket: try Self.socketDirectory(for: home, owner: owner, create: create))
    if create {
      try checkDataOwner()
      try makeFiles()
    }
  }

  private init(front: String, home: String, owner: ClusterOwner, socket: String) {
    self.front = front
    self.home = home
    self.owner = owner
    self.socket = socket
  }

  // MARK: - Where

  /// Takes an empty directory, or one that was taken before; never one with other files in it.
  private static func claim(_ front: String) throws(ClusterError) {
    if geteuid() != 0 { try checkOwnership(of: front, owner: .current) }
    let names = FileSystem.list(front)
    if names.contains(mark) { return }
    guard names.allSatisfy({ $0.hasPrefix(mark) }) else {
      throw ClusterError(
        .directory,
        "\(front) holds other files. Give the private server an empty directory, or remove it.")
    }
    guard access(front, W_OK) == 0 else { throw FileSystem.failure("write to", front) }
    // Two may claim it at once: the first link stays, and both then read the same secret.
    let draft = "\(front)/\(mark)-\(randomText())"
    try FileSystem.write(randomText() + "\n", to: draft)
    defer { unlink(draft) }
    guard link(draft, "\(front)/\(mark)") == 0 || errno == EEXIST else {
      throw FileSystem.failure("claim", front)
    }
  }

  private static func home(
    for front: String, create: Bool
  ) throws(ClusterError) -> (String, ClusterOwner) {
    let owner = try ClusterOwner.forCluster(in: front)
    guard geteuid() == 0 else {
      try checkOwnership(of: front, owner: owner)
      return (front, owner)
    }
    let isElsewhere = FileSystem.attributes(front + "/elsewhere") != nil
    if create && !isElsewhere { try give(front, to: owner) }
    if isElsewhere { return try elsewhere(for: front, create: create) }
    if try owner.canEnter(front) { return (front, owner) }
    return try elsewhere(for: front, create: create)
  }

  private static func elsewhere(
    for front: String, create: Bool
  ) throws(ClusterError) -> (String, ClusterOwner) {
    // The inode tells a copied clone, secret and all, from the original.
    let secret = FileSystem.read(front + "/" + mark, limit: 64) ?? ""
    let inode = FileSystem.attributes(front)?.inode ?? 0
    let key = keccak256(Array("\(secret)\(inode)".utf8)).description.dropFirst(2).prefix(24)
    let root = (FileSystem.realPath("/var/lib") ?? "/var/lib") + "/plimsoll"
    let home = "\(root)/\(key)"
    guard create else { return (home, try ClusterOwner.forCluster(in: home)) }
    try FileSystem.makeDirectory(root, mode: 0o755)
    try checkOwnership(of: root, owner: .current)
    try FileSystem.makeDirectory(home)
    let homeOwner = try ClusterOwner.forCluster(in: home)
    try give(home, to: homeOwner)
    guard try homeOwner.canEnter(home) else {
      throw ClusterError(.directory, "The server's user can enter neither \(front) nor \(home).")
    }
    try FileSystem.write(home + "\n", to: front + "/elsewhere")
    try FileSystem.write(front + "\n", to: home + "/belongs-to")
    return (home, homeOwner)
  }

  /// Inside the home, or in a short directory under `/tmp` when the path is longer than a socket
  /// address holds (107 bytes with the socket's own name).
  private static func socketDirectory(
    for home: String, owner: ClusterOwner, create: Bool
  ) throws(ClusterError) -> String {
    let inside = home + "/socket"
    let key = keccak256(Array(home.utf8)).description.dropFirst(2).prefix(16)
    let path = inside.utf8.count < 85 ? inside : "/tmp/plimsoll-\(key)"
    if create {
      try FileSystem.makeDirectory(path)
      try give(path, to: owner)
    }
    return path
  }

  /// Makes the directory the owner's alone. Refuses one that is someone else's.
  private static func give(_ path: String, to owner: ClusterOwner) throws(ClusterError) {
    try checkOwnership(of: path, owner: owner)
    guard chmod(path, 0o700) == 0 else { throw FileSystem.failure("protect", path) }
    if geteuid() == 0, chown(path, owner.user, owner.group) != 0 {
      throw FileSystem.failure("give away", path)
    }
  }

  private static func checkOwnership(
    of path: String, owner: ClusterOwner
  ) throws(ClusterError) {
    guard let attributes = FileSystem.attributes(path), attributes.isDirectory else {
      throw ClusterError(.directory, "\(path) is no directory.")
    }
    guard attributes.owner.user == owner.user || attributes.owner.user == geteuid() else {
      throw ClusterError(
        .directory,
        "\(path) belongs to user \(attributes.owner.user). Run as that user or as root, or give "
          + "the private server another directory.")
    }
  }

  /// Makes the files that root and the server's user both write, so that they are the latter's.
  private func makeFiles() throws(ClusterError) {
    for path in [startLock, usersLock, commandLog] {
      let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
      guard file >= 0 else { throw FileSystem.failure("open", path) }
      defer { close(file) }
      if geteuid() == 0, fchown(file, owner.user, owner.group) != 0 {
        throw FileSystem.failure("give away", path)
      }
    }
  }

  private func checkDataOwner() throws(ClusterError) {
    guard let attributes = FileSystem.attributes(data) else { return }
    guard attributes.isDirectory, attributes.owner.user == owner.user else {
      throw ClusterError(.directory, "\(data) belongs to user \(attributes.owner.user).")
    }
  }

  private static func randomText() -> String {
    var generator = SystemRandomNumberGenerator()
    return String(generator.next(), radix: 16) + String(generator.next(), radix: 16)
  }

  // MARK: - One at a time

  /// The longest wait for another process that starts or stops the same cluster.
  private static let lockTimeout = Duration.seconds(90)

  /// Runs `body` while no other process starts or stops this cluster.
  func exclusively<Result>(
    _ body: () throws(ClusterError) -> Result
  ) throws(ClusterError) -> Result {
    let file = open(startLock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard file >= 0 else { throw FileSystem.failure("lock", startLock) }
    // Closing gives the lock back; so does the end of the process.
    defer { close(file) }
    try waitUntil(Self.lockTimeout, "another process starts or stops it") {
      flock(file, LOCK_EX | LOCK_NB) == 0
    }
    return try body()
  }

  /// Asks again and again, at most for `limit`.
  private func waitUntil(
    _ limit: Duration, _ reason: String, _ isDone: () throws(ClusterError) -> Bool
  ) throws(ClusterError) {
    let end = ContinuousClock.now + limit
    while try !isDone() {
      guard ContinuousClock.now < end else {
        throw ClusterError(.timedOut, "The private server in \(home) is busy: \(reason).")
      }
      usleep(20_000)
    }
  }

  // MARK: - Running or not

  /// What `postmaster.pid` says, checked against the process itself: after a crash or a reboot
  /// the number may be another program's.
  func status() -> ClusterStatus {
    guard isInitialized else { return .absent }
    guard let (process, isReady) = postmaster(), isServer(process) else { return .stopped }
    return .running(processID: process, isReady: isReady)
  }

  /// The status once the server is neither starting nor stopping.
  func settledStatus() throws(ClusterError) -> ClusterStatus {
    try waitUntil(.seconds(60), "it is starting or stopping") { () throws(ClusterError) in
      if case .running(_, isReady: false) = status() { return false }
      return true
    }
    return status()
  }

  /// The first line is the process, the eighth the state. Source: `src/include/utils/pidfile.h`.
  private func postmaster() -> (process: Int32, isReady: Bool)? {
    guard let text = FileSystem.read(data + "/postmaster.pid", limit: 4096) else { return nil }
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    guard let first = lines.first, let process = Int32(first), process > 1 else { return nil }
    return (process, lines.count > 7 && lines[7].hasPrefix("ready"))
  }

  /// A server works in its data directory. A process that we may not look at counts as one.
  private func isServer(_ process: Int32) -> Bool {
    guard kill(process, 0) == 0 || errno == EPERM else { return false }
    guard let place = FileSystem.destination(ofLink: "/proc/\(process)/cwd") else {
      return errno == EACCES || errno == EPERM
    }
    return place == data
  }

  /// Removes what a dead server left, after the last of its processes has ended. The server itself
  /// would refuse to start when another program now has its old number.
  func clearStaleLocks() throws(ClusterError) {
    try waitUntil(.seconds(30), "processes of a server that died are still ending") {
      FileSystem.list("/proc").allSatisfy { name in
        guard Int32(name) != nil else { return true }
        return FileSystem.destination(ofLink: "/proc/\(name)/cwd") != data
      }
    }
    for path in ["\(data)/postmaster.pid", "\(socket)/.s.PGSQL.5432.lock"] {
      guard unlink(path) == 0 || errno == ENOENT else { throw FileSystem.failure("remove", path) }
    }
  }

  // MARK: - Contents

  /// Gives a finished new data directory its name.
  func adoptNewData() throws(ClusterError) {
    guard rename(newData, data) == 0 else { throw FileSystem.failure("rename", newData) }
  }

  /// Whether the server ends with its owners. A starter that wants it to stay takes the mark
  /// away; one that finds it staying does not change that.
  func setKept(_ isKept: Bool, wasRunning: Bool) throws(ClusterError) {
    if isKept {
      if !wasRunning { try FileSystem.write("", to: keptMark) }
    } else {
      guard unlink(keptMark) == 0 || errno == ENOENT else {
        throw FileSystem.failure("remove", keptMark)
      }
    }
  }

  /// Writes the settings anew at each start, so that they are this program's.
  func writeSettings() throws(ClusterError) {
    rotateLog()
    for (name, text) in [
      ("plimsoll.conf", ClusterSettings.server(socket: socket)),
      ("pg_hba.conf", ClusterSettings.access),
    ] {
      let path = "\(data)/\(name)"
      try FileSystem.write(text, to: path)
      if geteuid() == 0, chown(path, owner.user, owner.group) != 0 {
        throw FileSystem.failure("give away", path)
      }
    }
  }

  private static let logBytesMax = 10 << 20

  private func rotateLog() {
    guard let attributes = FileSystem.attributes(log), attributes.size > Self.logBytesMax else {
      return
    }
    rename(log, log + ".old")
  }
}

extension ClusterOwner {
  /// Asks the system itself, as that user: modes alone do not tell on every file system.
  fileprivate func canEnter(_ directory: String) throws(ClusterError) -> Bool {
    if prefix.isEmpty { return access(directory, W_OK | X_OK) == 0 }
    return try ChildProcess.run(prefix + ["/usr/bin/test", "-w", directory, "-a", "-x", directory])
      == 0
  }
}
