import CLibPQ
import Glibc

/// Starting programs without a shell, in a session of their own and with none of our files open.
enum ChildProcess {
  /// Runs a short command to its end, output dropped, and gives its exit code (128 + n for
  /// signal n).
  static func run(_ command: [String]) throws(ClusterError) -> Int32 {
    waitForEnd(of: try spawn(command, input: nil))
  }

  /// Starts a command. `input` becomes its descriptors 0 and 3; 1 and 2 go nowhere.
  ///
  /// The own session keeps Ctrl-C in our terminal away from it.
  static func spawn(_ command: [String], input: Int32?) throws(ClusterError) -> pid_t {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    if let input {
      posix_spawn_file_actions_adddup2(&actions, input, 0)
      posix_spawn_file_actions_adddup2(&actions, input, 3)
    } else {
      posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    }
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
    posix_spawn_file_actions_addclosefrom_np(&actions, input == nil ? 3 : 4)

    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var signals = sigset_t()
    sigemptyset(&signals)
    posix_spawnattr_setsigmask(&attributes, &signals)
    sigfillset(&signals)
    posix_spawnattr_setsigdefault(&attributes, &signals)
    posix_spawnattr_setflags(
      &attributes,
      Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF) | plimsoll_spawn_set_session())
    return try spawn(command, &actions, &attributes)
  }

  /// Nothing of our own environment: it may hold secrets, and PG variables of another cluster.
  private static let environment = [
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C",
  ]

  private static func spawn(
    _ command: [String], _ actions: inout posix_spawn_file_actions_t,
    _ attributes: inout posix_spawnattr_t
  ) throws(ClusterError) -> pid_t {
    var process: pid_t = 0
    let arguments = command.map { strdup($0) } + [nil]
    let variables = environment.map { strdup($0) } + [nil]
    defer { (arguments + variables).forEach { free($0) } }
    let code = posix_spawn(
      &process, command[0], &actions, &attributes, arguments, variables)
    guard code == 0 else {
      throw ClusterError(
        .server, "Cannot run \(command[0]): \(String(cString: strerror(code)))")
    }
    return process
  }

  /// Waits for a child of ours and gives its exit code (128 + n for signal n).
  @discardableResult
  static func waitForEnd(of process: pid_t) -> Int32 {
    var status: Int32 = 0
    while waitpid(process, &status, 0) < 0 {
      if errno != EINTR { return -1 }
    }
    let signal = status & 0x7f
    return signal == 0 ? (status >> 8) & 0xff : 128 + signal
  }
}
