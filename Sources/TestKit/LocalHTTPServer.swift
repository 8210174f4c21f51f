import Glibc
import Synchronization

/// A real HTTP/1.1 server on the loopback interface, which can misbehave in stated ways.
///
/// One thread per connection; connections are kept open. The handler is called for each
/// request, on the connection's thread.
public final class LocalHTTPServer: Sendable {
  /// A request as it came.
  public struct Request: Sendable {
    /// The path with its query.
    public var path: String

    /// Header values by lower-case name.
    public var headers: [String: String]

    /// The body.
    public var body: [UInt8]

    /// The number of this request, from 0, over all connections.
    public var number: Int

    /// The number of its connection, from 0.
    public var connection: Int
  }

  /// What the server does with a request.
  public enum Reply: Sendable {
    /// A proper answer.
    case answer(
      _ body: [UInt8], status: Int = 200, headers: [String] = [])

    /// A proper answer after a wait.
    case late(_ delay: Duration, _ body: [UInt8])

    /// A proper answer in chunks.
    case chunked(_ chunks: [[UInt8]])

    /// The headers at once, then one byte of the body per interval.
    case drip(_ body: [UInt8], every: Duration)

    /// The headers promise the whole body; half of it comes, then the end.
    case half(_ body: [UInt8])

    /// That many spaces, sent without a length (chunked) or with one.
    case flood(_ byteCount: Int, declaresLength: Bool)

    /// A reset of the connection instead of an answer.
    case reset

    /// These bytes as they are, then the end of the connection.
    case raw(_ bytes: [UInt8])

    /// No answer at all, until the client goes away.
    case silence
  }

  /// Where it listens.
  public let port: UInt16

  private let listener: CInt
  private let handler: @Sendable (Request) -> Reply
  private let counts = Mutex(Counts())

  private struct Counts {
    var requests = 0
    var connections = 0
    var open: Set<CInt> = []
    var isStopped = false
  }

  /// Why no server could be started.
  public struct StartError: Error {
    /// The failed step.
    public let step: String
    /// The system's error number.
    public let code: CInt
  }

  /// Starts a server on a free port.
  public init(handler: @escaping @Sendable (Request) -> Reply) throws {
    self.handler = handler
    listener = socket(AF_INET, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
    guard listener >= 0 else { throw StartError(step: "socket", code: errno) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let listener = listener
    let failure: String? = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
        if bind(listener, address, length) != 0 { return "bind" }
        if listen(listener, 64) != 0 { return "listen" }
        return getsockname(listener, address, &length) != 0 ? "getsockname" : nil
      }
    }
    port = UInt16(bigEndian: address.sin_port)
    if let failure { throw StartError(step: failure, code: errno) }
    Self.detach { [self] in acceptConnections() }
  }

  /// `http://127.0.0.1:port`.
  public var url: String { "http://127.0.0.1:\(port)" }

  /// How many requests have come.
  public var requestCount: Int { counts.withLock { $0.requests } }

  /// How many connections have been made.
  public var connectionCount: Int { counts.withLock { $0.connections } }

  /// Closes the listening socket and every connection.
  public func stop() {
    let open: Set<CInt> = counts.withLock { counts in
      guard !counts.isStopped else { return [] }
      counts.isStopped = true
      return counts.open
    }
    shutdown(listener, CInt(SHUT_RDWR))
    for connection in open { shutdown(connection, CInt(SHUT_RDWR)) }
  }

  private func acceptConnections() {
    while true {
      let descriptor = accept(listener, nil, nil)
      guard descriptor >= 0 else {
        if errno == EINTR || errno == ECONNABORTED { continue }
        close(listener)
        return
      }
      _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
      let number: Int? = counts.withLock { counts in
        guard !counts.isStopped else { return nil }
        counts.open.insert(descriptor)
        defer { counts.connections += 1 }
        return counts.connections
      }
      guard let number else {
        close(descriptor)
        continue
      }
      Self.detach { [self] in
        serve(Connection(descriptor: descriptor), number: number)
        counts.withLock { _ = $0.open.remove(descriptor) }
        close(descriptor)
      }
    }
  }

  private func serve(_ connection: Connection, number: Int) {
    var connection = connection
    var goesOn = true
    while goesOn, var request = connection.readRequest() {
      request.connection = number
      request.number = counts.withLock { counts in
        defer { counts.requests += 1 }
        return counts.requests
      }
      goesOn = connection.perform(handler(request))
    }
  }

  /// Runs a closure on its own thread.
  private static func detach(_ body: @escaping @Sendable () -> Void) {
    final class Box: Sendable {
      let body: @Sendable () -> Void
      init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    var thread = pthread_t()
    let box = Unmanaged.passRetained(Box(body))
    let code = pthread_create(
      &thread, nil,
      { context in
        if let context { Unmanaged<Box>.fromOpaque(context).takeRetainedValue().body() }
        return nil
      }, box.toOpaque())
    precondition(code == 0, "a test needs a thread")
    pthread_detach(thread)
  }
}

/// One accepted connection: reading requests, writing replies.
private struct Connection {
  /// `POLLRDHUP` of `<poll.h>`, which the Glibc module leaves out.
  private static let peerClosed: Int16 = 0x2000

  let descriptor: CInt
  private var received: [UInt8] = []

  init(descriptor: CInt) {
    self.descriptor = descriptor
  }

  mutating func readRequest() -> LocalHTTPServer.Request? {
    let end = Array("\r\n\r\n".utf8)
    var headLength: Int?
    while headLength == nil {
      headLength = received.indices.first { received[$0...].starts(with: end) }
      if headLength == nil, !receiveMore() { return nil }
      // A TLS greeting: say in plain words that this is the wrong door.
      guard received.first != 0x16 else {
        _ = send(head(400, []))
        return nil
      }
    }
    guard let headLength else { return nil }
    let head = String(decoding: received[..<headLength], as: UTF8.self)
    received.removeFirst(headLength + end.count)
    let lines = head.split(separator: "\r\n")
    let path = lines.first?.split(separator: " ").dropFirst().first.map(String.init) ?? "/"
    var headers: [String: String] = [:]
    for line in lines.dropFirst() {
      let parts = line.split(separator: ":", maxSplits: 1)
      guard parts.count == 2 else { continue }
      headers[parts[0].lowercased()] = String(parts[1].drop { $0 == " " })
    }
    let length = headers["content-length"].flatMap { Int($0) } ?? 0
    while received.count < length { guard receiveMore() else { return nil } }
    let body = Array(received[..<length])
    received.removeFirst(length)
    return .init(path: path, headers: headers, body: body, number: 0, connection: 0)
  }

  private mutating func receiveMore() -> Bool {
    var buffer = [UInt8](repeating: 0, count: 64 << 10)
    let count = recv(descriptor, &buffer, buffer.count, 0)
    guard count > 0 else { return false }
    received += buffer[..<count]
    return true
  }

  /// Answers; false when the connection is to be closed.
  func perform(_ reply: LocalHTTPServer.Reply) -> Bool {
    switch reply {
    case .answer(let body, let status, let headers):
      return send(head(status, ["Content-Length: \(body.count)"] + headers) + body)
    case .late(let delay, let body):
      return isStillWanted(for: delay) && send(head(200, ["Content-Length: \(body.count)"]) + body)
    case .chunked(let chunks):
      let framed = chunks.filter { !$0.isEmpty }.map(frame)
      return send(head(200, ["Transfer-Encoding: chunked"]))
        && framed.allSatisfy(send) && send(frame([]))
    case .drip(let body, let interval):
      guard send(head(200, ["Content-Length: \(body.count)"])) else { return false }
      return body.allSatisfy { isStillWanted(for: interval) && send([$0]) }
    case .half(let body):
      _ = send(head(200, ["Content-Length: \(body.count)"]) + body[..<(body.count / 2)])
      return false
    case .flood(let count, let declaresLength):
      return flood(count, declaresLength: declaresLength)
    case .reset:
      var linger = linger(l_onoff: 1, l_linger: 0)
      let size = socklen_t(MemoryLayout.size(ofValue: linger))
      setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, size)
      return false
    case .raw(let bytes):
      _ = send(bytes)
      return false
    case .silence:
      while isStillWanted(for: .seconds(1)) {}
      return false
    }
  }

  private func head(_ status: Int, _ headers: [String]) -> [UInt8] {
    let lines = ["HTTP/1.1 \(status) Stated"] + headers
    return Array((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8)
  }

  private func frame(_ chunk: [UInt8]) -> [UInt8] {
    Array((String(chunk.count, radix: 16) + "\r\n").utf8) + chunk + Array("\r\n".utf8)
  }

  private func flood(_ count: Int, declaresLength: Bool) -> Bool {
    let length = declaresLength ? "Content-Length: \(count)" : "Transfer-Encoding: chunked"
    guard send(head(200, [length])) else { return false }
    let piece = [UInt8](repeating: 0x20, count: 64 << 10)
    var left = count
    while left > 0 {
      let part = Array(piece.prefix(left))
      guard send(declaresLength ? part : frame(part)) else { return false }
      left -= part.count
    }
    return declaresLength || send(frame([]))
  }

  /// Waits, and says whether the client is still there.
  private func isStillWanted(for delay: Duration) -> Bool {
    let (seconds, attoseconds) = delay.components
    var watch = pollfd(fd: descriptor, events: Self.peerClosed, revents: 0)
    let milliseconds = seconds * 1000 + attoseconds / 1_000_000_000_000_000
    return poll(&watch, 1, CInt(clamping: milliseconds)) == 0
  }

  private func send(_ bytes: [UInt8]) -> Bool {
    var sent = 0
    while sent < bytes.count {
      let count = bytes.withUnsafeBytes { buffer in
        Glibc.send(
          descriptor, buffer.baseAddress?.advanced(by: sent), bytes.count - sent,
          CInt(MSG_NOSIGNAL))
      }
      guard count > 0 else { return false }
      sent += count
    }
    return true
  }
}
