import Glibc
import Synchronization

/// A small shell that runs the server's commands for us and outlives us by a moment.
///
/// It reads commands from a socket of ours. When the socket ends, however we ended, kill -9
/// included, it stops the server unless another process still holds it. It runs the start itself,
/// so there is no moment in which our death would leave a server without a keeper.
final class ClusterKeeper: Sendable {
  enum Command: String {
    case initialize, start, stop
    /// From now on this keeper counts as a user of the server.
    case hold
  }

  private let process: pid_t
  private let socket: Mutex<Int32>
  private let site: ClusterSite

  /// The longest that any command may take; starting after a crash replays up to 4 GB of WAL.
  private static let commandTimeoutMilliseconds: Int32 = 180_000

  init(
    _ site: ClusterSite, _ binaries: ClusterBinaries, removing: Bool
  ) throws(ClusterError) {
    self.site = site
    var ends: [Int32] = [-1, -1]
    let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
    guard socketpair(AF_UNIX, kind, 0, &ends) == 0 else {
      throw FileSystem.failure("make a socket for", site.home)
    }
    defer { close(ends[1]) }
    socket = Mutex(ends[0])
    let words =
      ["/bin/sh", "-c", Self.script, "plimsoll-keeper", site.home, binaries.directory]
      + [removing ? site.front : "", site.socket] + site.owner.prefix
    do {
      process = try ChildProcess.spawn(words, input: ends[1])
    } catch {
      close(ends[0])
      throw error
    }
  }

  /// Lets the keeper act as if we had died, without waiting for it.
  deinit {
    socket.withLock { socket in
      if socket >= 0 { close(socket) }
    }
  }

  /// Runs a command and waits for its end.
  func run(_ command: Command) throws(ClusterError) {
    let answer = socket.withLock { Self.ask(command.rawValue, on: $0) }
    guard answer == "0" else {
      let log = [site.commandLog, site.log].compactMap { FileSystem.readEnd(of: $0, limit: 1500) }
      let reason = log.joined(separator: " ").onOneLine(limit: 1500)
      throw ClusterError(
        .server,
        "The private server in \(site.home) could not \(command.rawValue)"
          + " (\(answer ?? "no answer")): \(reason)")
    }
  }

  /// Holds the server for as long as this process lives, whatever becomes of this object.
  func hold() throws(ClusterError) {
    try run(.hold)
    _ = Unmanaged.passRetained(self)
  }

  /// Ends the keeper and leaves the server running.
  func release() {
    socket.withLock { socket in
      _ = Self.ask("release", on: socket)
      close(socket)
      socket = -1
    }
    ChildProcess.waitForEnd(of: process)
  }

  /// Ends our hold, as our death would, and waits until the keeper has drawn the consequence.
  func letGo() {
    let wasHolding = socket.withLock { socket in
      defer { socket = -1 }
      return socket >= 0 && close(socket) == 0
    }
    if wasHolding { ChildProcess.waitForEnd(of: process) }
  }

  /// A line there, a line back; nil when the keeper is gone or too slow.
  private static func ask(_ word: String, on socket: Int32) -> String? {
    guard socket >= 0 else { return nil }
    let line = Array((word + "\n").utf8)
    guard send(socket, line, line.count, Int32(MSG_NOSIGNAL)) == line.count else {
      return nil
    }
    var answer: [UInt8] = []
    while answer.last != 10, answer.count < 16 {
      var wait = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
      let ready = poll(&wait, 1, commandTimeoutMilliseconds)
      if ready < 0 && errno == EINTR { continue }
      var byte: UInt8 = 0
      guard ready == 1, recv(socket, &byte, 1, 0) == 1 else { return nil }
      answer.append(byte)
    }
    return String(decoding: answer.dropLast(), as: UTF8.self)
  }

  /// Arguments: home, directory of the programs, directory to delete at the end or nothing, the
  /// socket's directory, then the words that change the user.
  ///
  /// Descriptor 3 answers. 8 and 9 are locks: 8 is the starters', 9 is shared by all holders, so
  /// that the one which gets it alone is the last. The server must inherit none of them.
  /// What is deleted anyway need not be written out first: it is stopped at once.
  private static let script = """
    home=$1 bin=$2 remove=$3 socket=$4
    shift 4
    cd /
    umask 077
    trap '' HUP INT PIPE

    initialize() {
      rm -rf -- "$home/data.new"
      "$@" "$bin/initdb" -D "$home/data.new" -U plimsoll -E UTF8 --locale=C --data-checksums \\
        --auth-local=trust --auth-host=reject --no-instructions &&
      echo "include_if_exists = 'plimsoll.conf'" >>"$home/data.new/postgresql.conf"
    }
    start() {
      "$@" "$bin/pg_ctl" -D "$home/data" -l "$home/server.log" -w -t 120 -s start
    }
    stop() {
      [ -z "$remove" ] && "$@" "$bin/pg_ctl" -D "$home/data" -w -t 30 -s -m fast stop ||
      "$@" "$bin/pg_ctl" -D "$home/data" -w -t 30 -s -m immediate stop
    }
    quietly() {
      "$@" </dev/null >"$home/command.log" 2>&1 3>&- 8>&- 9>&-
    }

    while read -r word; do
      case $word in
        initialize | start | stop) quietly "$word" "$@" ;;
        hold) exec 9<>"$home/users.lock" && flock -s 9 ;;
        release) echo 0 >&3; exit 0 ;;
      esac
      echo $? >&3
    done

    exec 8<>"$home/start.lock" 9<>"$home/users.lock"
    flock -w 120 8
    [ -e "$home/ends-with-owner" ] && flock -n -x 9 || exit 0
    [ -e "$home/data/postmaster.pid" ] && quietly stop "$@"
    if [ -n "$remove" ]; then
      rm -rf -- "$home" "$remove"
      case $socket in /tmp/plimsoll-*) rm -rf -- "$socket" ;; esac
    fi
    """
}
