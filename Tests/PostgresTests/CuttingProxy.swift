import Foundation
import Glibc

/// Stands between a client and the server's socket, and cuts the connection at COMMIT.
final class CuttingProxy: @unchecked Sendable {
  enum Cut {
    /// The server never sees the COMMIT.
    case beforeCommit
    /// The server commits, and its answer never arrives.
    case afterCommit
  }

  /// A directory to name as the host.
  let directory: String
  private let cut: Cut
  private let target: String
  private let listener: Int32

  struct Failure: Error {}

  init(to socketDirectory: String, cut: Cut) throws {
    self.cut = cut
    target = socketDirectory + "/.s.PGSQL.5432"
    directory = "/tmp/plimsoll-proxy-\(getpid())-\(UInt32.random(in: .min ... .max))"
    guard mkdir(directory, 0o700) == 0 else { throw Failure() }
    listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    let isBound = Self.withAddress(directory + "/.s.PGSQL.5432") {
      Glibc.bind(listener, $0, $1) == 0
    }
    guard isBound, listen(listener, 4) == 0 else { throw Failure() }
    Thread.detachNewThread { [self] in serve() }
  }

  func stop() {
    close(listener)
    try? FileManager.default.removeItem(atPath: directory)
  }

  private func serve() {
    let client = accept(listener, nil, nil)
    let server = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    guard client >= 0, Self.withAddress(target, { connect(server, $0, $1) == 0 }) else { return }
    relay(client, server)
    shutdown(client, Int32(SHUT_RDWR))
    close(client)
    close(server)
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
        let isCommit = wait.fd == client && Self.contains(buffer.prefix(count), "commit\0")
        if isCommit && cut == .beforeCommit { return }
        _ = send(other, buffer, count, Int32(MSG_NOSIGNAL))
        if isCommit {
          // The answer shows that the server is through; the client never gets it.
          _ = recv(server, &buffer, buffer.count, 0)
          return
        }
      }
    }
  }

  private static func contains(_ bytes: ArraySlice<UInt8>, _ text: String) -> Bool {
    String(decoding: bytes, as: UTF8.self).contains(text)
  }

  private static func withAddress<Result>(
    _ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result
  ) -> Result {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { place in
      for (index, byte) in path.utf8.prefix(107).enumerated() { place[index] = byte }
    }
    return withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
  }
}
