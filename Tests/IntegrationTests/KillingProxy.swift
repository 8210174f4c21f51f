import Foundation
import Glibc
import TestKit

/// Stands between the program and the server's socket, and kills the program at its n-th message.
///
/// A message is what one read from the client gives: each statement, each part of a COPY.
final class KillingProxy: @unchecked Sendable {
  enum Moment: Sendable, CaseIterable {
    /// The server never sees the message.
    case before
    /// The server sees it, the program never sees the answer.
    case after
  }

  /// As `PLIMSOLL_DATABASE` says it.
  let url: String
  /// The process to kill, once it is known; waited for before the first message passes.
  let victim = Victim()
  private let directory: String
  private let target: String
  private let listener: Int32
  private var step = 0
  private var moment = Moment.before
  private var messages = 0

  final class Victim: @unchecked Sendable {
    private let known = DispatchSemaphore(value: 0)
    private var pid: Int32 = 0
    func name(_ pid: Int32) {
      self.pid = pid
      known.signal()
    }
    func kill() {
      known.wait()
      Glibc.kill(pid, SIGKILL)
      known.signal()
    }
  }

  init(database: TemporaryDatabase) throws {
    target = try TestCluster.shared().socketDirectory + "/.s.PGSQL.5432"
    directory = "/tmp/plimsoll-kill-\(getpid())-\(UInt32.random(in: .min ... .max))"
    url = "postgresql://plimsoll@/\(database.name)?host=\(directory)"
    guard mkdir(directory, 0o700) == 0 else { throw ProgramError(message: "mkdir: \(errno)") }
    listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    let isBound = Self.withAddress(directory + "/.s.PGSQL.5432") {
      Glibc.bind(listener, $0, $1) == 0
    }
    guard isBound, listen(listener, 4) == 0 else { throw ProgramError(message: "bind: \(errno)") }
  }

  /// Serves one run of the program.
  func serve(killingAt step: Int, _ moment: Moment) {
    self.step = step
    self.moment = moment
    Thread.detachNewThread { [self] in
      while true {
        let client = accept(listener, nil, nil)
        if client < 0 { return }
        let server = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        if Self.withAddress(target, { connect(server, $0, $1) == 0 }) { relay(client, server) }
        close(client)
        close(server)
      }
    }
  }

  func stop() {
    shutdown(listener, Int32(SHUT_RDWR))
    close(listener)
    try? FileManager.default.removeItem(atPath: directory)
  }

  private func relay(_ client: Int32, _ server: Int32) {
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      var waits = [
        pollfd(fd: client, events: Int16(POLLIN), revents: 0),
        pollfd(fd: server, events: Int16(POLLIN), revents: 0),
      ]
      guard poll(&waits, 2, 30_000) > 0 else { return }
      for (wait, other) in zip(waits, [server, client]) where wait.revents != 0 {
        let count = recv(wait.fd, &buffer, buffer.count, 0)
        guard count > 0 else { return }
        if wait.fd == client { messages += 1 }
        let isTheStep = wait.fd == client && messages == step
        if isTheStep, moment == .before { return victim.kill() }
        guard send(other, buffer, count, Int32(MSG_NOSIGNAL)) == count else { return }
        if isTheStep { return killOnceAnswered(server) }
      }
    }
  }

  /// The server has done what the message asked for when it answers.
  private func killOnceAnswered(_ server: Int32) {
    var wait = pollfd(fd: server, events: Int16(POLLIN), revents: 0)
    poll(&wait, 1, 2_000)
    victim.kill()
  }

  private static func withAddress<Result>(
    _ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result
  ) -> Result {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    return withUnsafePointer(to: address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
  }
}

extension Program {
  /// Runs the program through a proxy that kills it.
  ///
  /// - Returns: whether it died; false: it ended before the step came.
  func run(
    _ arguments: [String], through proxy: KillingProxy, killingAt step: Int,
    _ moment: KillingProxy.Moment
  ) throws -> Bool {
    defer { proxy.stop() }
    proxy.serve(killingAt: step, moment)
    let running = start(arguments, database: proxy.url)
    try running.launch()
    proxy.victim.name(running.pid)
    let result = running.wait()
    guard result.exit == 0 || result.exit == 128 + SIGKILL else {
      throw ProgramError(message: "step \(step): ended \(result.exit): \(result.errors)")
    }
    return result.exit != 0
  }
}
