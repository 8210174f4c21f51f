/// Bytes out, bytes in: the one seam between the program and the network.
public protocol Transport: AnyObject {
  /// Sends the requests, several at once, and returns one result for each, in their order.
  ///
  /// Blocks until every request is answered or has failed, the deadline is reached, or the
  /// program is asked to stop.
  ///
  /// - Parameters:
  ///   - requests: what to send; an empty list sends nothing.
  ///   - deadline: the end of the whole run. Requests that are still under way then fail
  ///     with ``TransportError/deadlineReached``.
  /// - Returns: as many results as requests. An HTTP error status is a success here.
  func perform(
    _ requests: [HTTPRequest], deadline: Deadline
  ) -> [Result<HTTPResponse, TransportError>]

  /// The same, but nobody waits for stragglers: when one request was answered with a status of
  /// success, the others have `grace` left and then fail with ``TransportError/timeout``.
  func perform(
    _ requests: [HTTPRequest], deadline: Deadline, grace: Duration
  ) -> [Result<HTTPResponse, TransportError>]
}

extension Transport {
  /// For transports whose answers come all at once.
  public func perform(
    _ requests: [HTTPRequest], deadline: Deadline, grace: Duration
  ) -> [Result<HTTPResponse, TransportError>] {
    perform(requests, deadline: deadline)
  }
}

/// One POST of a body to an endpoint, or one GET, with its own limits.
public struct HTTPRequest: Sendable {
  /// Where to.
  public var url: EndpointURL

  /// What is sent; nothing is sent with a GET.
  public var body: [UInt8]

  /// Whether this is a GET.
  public var isGet = false

  /// The media type of `body`.
  public var contentType: String

  /// Further header lines as `Name: value`, without line ends.
  public var headers: [String]

  /// How long the whole call may take, connecting included.
  public var timeout: Duration

  /// The largest answer that is accepted, in bytes after decompression.
  public var maxResponseBytes: Int

  /// A request; the limits are the caller's to choose.
  public init(
    url: EndpointURL, body: [UInt8], contentType: String = "application/json",
    headers: [String] = [], timeout: Duration = .seconds(10), maxResponseBytes: Int = 64 << 20
  ) {
    self.url = url
    self.body = body
    precondition(
      headers.allSatisfy { $0.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7f } },
      "a header line has no line end in it")
    self.contentType = contentType
    self.headers = headers
    self.timeout = timeout
    self.maxResponseBytes = maxResponseBytes
  }

  /// A GET; the limits are the caller's to choose.
  public init(getting url: EndpointURL, timeout: Duration, maxResponseBytes: Int) {
    self.init(url: url, body: [], timeout: timeout, maxResponseBytes: maxResponseBytes)
    isGet = true
  }
}

/// An answer, whatever its status.
public struct HTTPResponse: Sendable, Equatable {
  /// The HTTP status, such as 200 or 429.
  public var status: Int

  /// What `Retry-After` asks for, in seconds or as a date; at most 999,999 seconds.
  public var retryAfter: Duration?

  /// The decompressed body.
  public var body: [UInt8]

  /// An answer.
  public init(status: Int, retryAfter: Duration? = nil, body: [UInt8]) {
    self.status = status
    self.retryAfter = retryAfter
    self.body = body
  }
}

/// Why no answer came. Never holds a URL, a header or a body.
public enum TransportError: Error, Equatable, Sendable {
  /// The call took longer than its limit, or the peer stalled.
  case timeout

  /// No connection, or it broke: the text is libcurl's, and names no host.
  case connection(String)

  /// The TLS handshake or the certificate check failed.
  case tls(String)

  /// The answer is larger than the request accepts.
  case tooLarge(limit: Int)

  /// The peer does not speak HTTP as it should: a body shorter than promised, bad
  /// compression, bad framing.
  case malformed(String)

  /// The run's deadline came first.
  case deadlineReached

  /// The program was asked to stop.
  case stopped
}

extension TransportError: CustomStringConvertible {
  /// One clause for a person, without names of hosts.
  public var description: String {
    switch self {
    case .timeout: "no answer in time"
    case .connection(let reason): "connection failed: \(reason)"
    case .tls(let reason): "TLS failed: \(reason)"
    case .tooLarge(let limit): "answer larger than \(limit) bytes"
    case .malformed(let reason): "malformed HTTP: \(reason)"
    case .deadlineReached: "deadline reached"
    case .stopped: "stopped"
    }
  }
}
