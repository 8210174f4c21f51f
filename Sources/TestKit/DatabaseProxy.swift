import Foundation
import Glibc
import Synchronization

/// Stands between clients and a server's socket, and does a deed at a stated point of what they say
/// to each other: kills the client, cuts the connection, or anything else.
///
/// What one read from a client gives is a message: a statement, a part of a COPY, a whole batch.
/// Messages and commits are counted over all connections.
public final class DatabaseProxy: @unchecked Sendable {
  /// Where in the conversation.
  public enum Point: Sendable {
    /// The n-th message of clients, from 1.
    case message(Int)
    /// The first message that asks for a commit in plain words.
    case commitAsked
    /// The server's n-th word that it has committed, from 1. A client never hears it when the deed
    /// cuts.
    case committed(Int)
  }

  /// On which side of the point; a commit's answer has no other side than before.
  public enum Moment: Sendable, CaseIterable {
    /// The server never sees the message.
    case before
    /// The server sees and answers it, and the client never hears.
    case after
  }

  /// What becomes of the connection after the deed.
  public enum Outcome: Sendable {
    case cut, goesOn
  }

  /// A directory to name as the host.
  public let directory: String

  private let listener: Int32
  private let state: Mutex<State>

  private struct State {
    var target: String
    var point: Point?
    var moment = Moment.before
    var deed: @Sendable () -> Outcome = { .cut }
    var messages = 0
    var commits = 0
    var open: Set<Int32> = []
  }

  public struct Failure: Error {
    public let step: String
  }

  /// A proxy in front of the server whose socket is in that directory.
  public init(to socketDirectory: String) throws {
    state = Mutex(State(target: socketDirectory))
    directory = "/tmp/plimsoll-proxy-\(getpid())-\(UInt64.random(in: .min ... .max))"
    guard mkdir(directory, 0o700) == 0 else { throw Failure(step: "mkdir") }
    listener = socket(AF_UNIX, Self.kind, 0)
    let isBound = Self.withAddress(Self.path(in: directory)) { bind(listener, $0, $1) == 0 }
    guard isBound, listen(listener, 16) == 0 else { throw Failure(step: "bind") }
    Thread.detachNewThread { [self] in
      while case let client = accept(listener, nil, nil), client >= 0 {
        _ = fcntl(client, F_SETFD, FD_CLOEXEC)
        Thread.detachNewThread { [self] in serve(client) }
      }
    }
  }

  /// In front of the server that all tests share.
  public convenience init() throws {
    try self.init(to: TestCluster.shared().socketDirectory)
  }

  /// Does the deed once, when the conversation comes to the point; counts from now on.
  public func at(
    _ point: Point, _ moment: Moment = .before, _ deed: @escaping @Sendable () -> Outcome = { .cut }
  ) {
    state.withLock { state in
      (state.point, state.moment, state.deed) = (point, moment, deed)
      (state.messages, state.commits) = (0, 0)
    }
  }

  /// Whether the point has come.
  public var isDone: Bool { state.withLock { $0.point == nil } }

  /// How many messages clients have sent since `at`.
  public var messages: Int { state.withLock { $0.messages } }

  /// Leads new connections to another server.
  public func lead(to socketDirectory: String) {
    state.withLock { $0.target = socketDirectory }
  }

  /// Ends every connection.
  public func cutAll() {
    let open = state.withLock { $0.open }
    for descriptor in open { shutdown(descriptor, Int32(SHUT_RDWR)) }
  }

  /// Ends every connection and takes no more.
  public func stop() {
    shutdown(listener, Int32(SHUT_RDWR))
    close(listener)
    cutAll()
    try? FileManager.default.removeItem(atPath: directory)
  }

  // MARK: One connection

  private func serve(_ client: Int32) {
    let target = state.withLock { $0.target }
    let server = socket(AF_UNIX, Self.kind, 0)
    let isConnected = Self.withAddress(Self.path(in: target)) { connect(server, $0, $1) == 0 }
    if isConnected {
      state.withLock { $0.open.formUnion([client, server]) }
      relay(client, server)
      state.withLock { $0.open.subtract([client, server]) }
    }
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
      guard poll(&waits, 2, 120_000) > 0 else { return }
      for (wait, other) in zip(waits, [server, client]) where wait.revents != 0 {
        let count = recv(wait.fd, &buffer, buffer.count, 0)
        guard count > 0 else { return }
        let plan = reached(buffer[..<count], fromClient: wait.fd == client)
        if let plan, plan.moment == .before, plan.deed() == .cut { return }
        guard send(other, buffer, count, Int32(MSG_NOSIGNAL)) == count else { return }
        if let plan, plan.moment == .after {
          // The server has done what the message asked for when it answers.
          var wait = pollfd(fd: server, events: Int16(POLLIN), revents: 0)
          poll(&wait, 1, 2_000)
          if plan.deed() == .cut { return }
        }
      }
    }
  }

  /// The deed, if these bytes are its point.
  private func reached(
    _ bytes: ArraySlice<UInt8>, fromClient: Bool
  ) -> (moment: Moment, deed: @Sendable () -> Outcome)? {
    state.withLock { state in
      if fromClient { state.messages += 1 }
      if !fromClient { state.commits += Self.count(of: "COMMIT\0", in: bytes) }
      let isThere =
        switch state.point {
        case nil: false
        case .message(let number): fromClient && state.messages == number
        case .commitAsked: fromClient && Self.count(of: "commit\0", in: bytes) > 0
        case .committed(let number): !fromClient && state.commits >= number
        }
      guard isThere else { return nil }
      let isAnswer = if case .committed = state.point { true } else { false }
      // The deed may hold what holds us.
      defer { (state.point, state.deed) = (nil, { .cut }) }
      return (isAnswer ? .before : state.moment, state.deed)
    }
  }

  private static func count(of text: StaticString, in bytes: ArraySlice<UInt8>) -> Int {
    text.withUTF8Buffer { text in
      var count = 0
      var rest = bytes
      while let start = rest.firstIndex(where: { $0 == text[0] }) {
        rest = rest[start...]
        if rest.starts(with: text) { count += 1 }
        rest = rest.dropFirst()
      }
      return count
    }
  }

  // MARK: Sockets

  /// Closed in children: one that inherits an end would keep a cut connection alive.
  private static let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)

  private static func path(in directory: String) -> String { directory + "/.s.PGSQL.5432" }

  private static func withAddress<Result>(
    _ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result
  ) -> Result {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8.prefix(107)) }
    return withUnsafePointer(to: address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
  }
}
