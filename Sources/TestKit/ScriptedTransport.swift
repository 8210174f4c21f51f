import HTTP

/// A transport that answers from a closure, for tests of decoding and of checks.
///
/// It keeps every request it was given. Faults of the network are tested against
/// ``LocalHTTPServer`` instead.
public final class ScriptedTransport: Transport {
  /// The requests so far, oldest first.
  public private(set) var requests: [HTTPRequest] = []

  private let answer: (HTTPRequest, Int) -> Result<HTTPResponse, TransportError>

  /// A transport that calls `answer` with each request and its number, from 0.
  public init(
    _ answer:
      @escaping (_ request: HTTPRequest, _ number: Int) -> Result<
        HTTPResponse, TransportError
      >
  ) {
    self.answer = answer
  }

  /// A transport that gives these bodies one after the other with status 200, and refuses
  /// the connection once they are used up.
  public convenience init(bodies: [String]) {
    self.init { _, number in
      guard number < bodies.count else { return .failure(.connection("script is over")) }
      return .success(HTTPResponse(status: 200, body: Array(bodies[number].utf8)))
    }
  }

  public func perform(
    _ requests: [HTTPRequest], deadline: Deadline
  ) -> [Result<HTTPResponse, TransportError>] {
    requests.map { request in
      defer { self.requests.append(request) }
      return answer(request, self.requests.count)
    }
  }
}
