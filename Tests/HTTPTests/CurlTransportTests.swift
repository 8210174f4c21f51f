import Foundation
import HTTP
import Synchronization
import TestKit
import Testing

/// How the transport behaves against a real server on the loopback interface.
@Suite struct CurlTransportTests {
  @Test func aBodyGoesOutAndTheAnswerComesBack() throws {
    let server = try LocalHTTPServer { .answer(Array("echo ".utf8) + $0.body) }
    defer { server.stop() }
    let response = try CurlTransport().post("ping", to: server)
    #expect(response == HTTPResponse(status: 200, body: Array("echo ping".utf8)))
  }

  @Test func aLargeBodyIsSentWithoutAskingForLeave() throws {
    let server = try LocalHTTPServer {
      .answer(Array("\($0.body.count) \($0.headers["expect"] ?? "-")".utf8))
    }
    defer { server.stop() }
    let body = String(repeating: "x", count: 2 << 20)
    #expect(try CurlTransport().post(body, to: server).text == "\(2 << 20) -")
  }

  @Test func connectionsAreUsedAgain() throws {
    let server = try LocalHTTPServer { _ in .answer(Array("ok".utf8)) }
    defer { server.stop() }
    let transport = CurlTransport()
    for _ in 0..<5 { _ = try transport.post("x", to: server) }
    #expect(server.requestCount == 5)
    #expect(server.connectionCount == 1)
  }

  @Test func severalRequestsRunAtOnceAndKeepTheirOrder() throws {
    let server = try LocalHTTPServer { .late(.milliseconds(300), $0.body) }
    defer { server.stop() }
    let requests = try (0..<6).map { try HTTPRequest(to: server, text: "\($0)") }
    let results = CurlTransport().perform(requests, deadline: .never)
    #expect(server.connectionCount == 6)
    #expect(try results.map { try $0.get().text } == ["0", "1", "2", "3", "4", "5"])
  }

  @Test func moreRequestsThanMayRunAtOnceWaitTheirTurn() throws {
    let server = try LocalHTTPServer { .answer($0.body) }
    defer { server.stop() }
    var settings = CurlTransport.Settings()
    settings.maxConcurrent = 2
    let requests = try (0..<20).map { try HTTPRequest(to: server, text: "\($0)") }
    let results = CurlTransport(settings: settings).perform(requests, deadline: .never)
    #expect(try results.map { try $0.get().text } == (0..<20).map(String.init))
    #expect(server.connectionCount <= 2)
  }

  @Test func stragglersAreLeftBehindOnceOneHasAnswered() throws {
    let silent = try LocalHTTPServer { _ in .silence }
    let quick = try LocalHTTPServer { .answer($0.body) }
    let soon = try LocalHTTPServer { .late(.milliseconds(50), $0.body) }
    defer {
      silent.stop()
      quick.stop()
      soon.stop()
    }
    let requests = try [silent, quick, soon].map { try HTTPRequest(to: $0, text: "x") }
    let started = MonotonicInstant.now()
    let results = CurlTransport().perform(
      requests, deadline: .never, grace: .milliseconds(1000))
    let elapsed = MonotonicInstant.now().duration(since: started)
    #expect(try results[1].get().text == "x")
    #expect(try results[2].get().text == "x")
    #expect(throws: TransportError.timeout) { try results[0].get() }
    #expect((.milliseconds(1000)..<(.seconds(5))).contains(elapsed))
  }

  @Test func anErrorStatusIsNothingToHurryFor() throws {
    let refusing = try LocalHTTPServer { _ in .answer([], status: 429) }
    let slow = try LocalHTTPServer { .late(.milliseconds(400), $0.body) }
    defer {
      refusing.stop()
      slow.stop()
    }
    let requests = try [refusing, slow].map { try HTTPRequest(to: $0, text: "x") }
    let results = CurlTransport().perform(requests, deadline: .never, grace: .milliseconds(1))
    #expect(try results.map { try $0.get().status } == [429, 200])
  }

  @Test func noRequestsIsNoWork() {
    #expect(CurlTransport().perform([], deadline: .never).isEmpty)
  }

  @Test func aChunkedAnswerIsPutTogether() throws {
    let server = try LocalHTTPServer { _ in .chunked([Array("ab".utf8), Array("cde".utf8)]) }
    defer { server.stop() }
    #expect(try CurlTransport().post("", to: server).text == "abcde")
  }

  @Test func oneFailureLeavesTheOthersAlone() throws {
    let server = try LocalHTTPServer { $0.path == "/bad" ? .reset : .answer(Array("ok".utf8)) }
    defer { server.stop() }
    let requests = try ["/good", "/bad", "/good"].map { try HTTPRequest(to: server, path: $0) }
    let results = CurlTransport().perform(requests, deadline: .never)
    #expect(results.map { (try? $0.get().status) ?? 0 } == [200, 0, 200])
  }
}

/// What the transport makes of a peer that misbehaves.
@Suite struct TransportFaultTests {
  @Test func aServerThatStaysSilentIsATimeout() throws {
    let server = try LocalHTTPServer { _ in .silence }
    defer { server.stop() }
    let (error, elapsed) = try failure(of: server, timeout: .milliseconds(300))
    #expect(error == .timeout)
    #expect(elapsed < .seconds(5))
  }

  @Test func aBodyThatTricklesIsATimeout() throws {
    let body = [UInt8](repeating: 0x20, count: 10_000)
    let server = try LocalHTTPServer { _ in .drip(body, every: .milliseconds(20)) }
    defer { server.stop() }
    let (error, elapsed) = try failure(of: server, timeout: .milliseconds(400))
    #expect(error == .timeout)
    #expect(elapsed < .seconds(5))
  }

  @Test func aTransferBelowTheLowestSpeedIsATimeout() throws {
    let body = [UInt8](repeating: 0x20, count: 10_000)
    let server = try LocalHTTPServer { _ in .drip(body, every: .milliseconds(100)) }
    defer { server.stop() }
    var settings = CurlTransport.Settings()
    settings.lowSpeedBytesPerSecond = 1000
    settings.lowSpeedTime = .seconds(1)
    let (error, elapsed) = try failure(of: server, settings: settings, timeout: .seconds(30))
    #expect(error == .timeout)
    #expect(elapsed < .seconds(15))
  }

  @Test func halfABodyIsMalformed() throws {
    let server = try LocalHTTPServer { _ in .half([UInt8](repeating: 0x20, count: 1000)) }
    defer { server.stop() }
    let (error, _) = try failure(of: server)
    guard case .malformed = error else {
      Issue.record("got \(error)")
      return
    }
  }

  @Test(arguments: ["half a chunk", "not a chunk", "bad compression", "no HTTP at all"])
  func brokenFramingIsATypedError(_ kind: String) throws {
    let replies = [
      "half a chunk": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nabc",
      "not a chunk": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc",
      "bad compression":
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
      "no HTTP at all": "SSH-2.0-OpenSSH_9.2\r\n",
    ]
    let reply = try #require(replies[kind])
    let server = try LocalHTTPServer { _ in .raw(Array(reply.utf8)) }
    defer { server.stop() }
    let (error, _) = try failure(of: server)
    switch error {
    case .malformed, .connection: break
    default: Issue.record("got \(error)")
    }
  }

  @Test func aResetIsAConnectionError() throws {
    let server = try LocalHTTPServer { _ in .reset }
    defer { server.stop() }
    let (error, _) = try failure(of: server)
    guard case .connection = error else {
      Issue.record("got \(error)")
      return
    }
  }

  @Test func nobodyListeningIsAConnectionErrorWithoutTheAddress() throws {
    let server = try LocalHTTPServer { _ in .silence }
    let port = server.port
    server.stop()
    usleep(50_000)
    let request = HTTPRequest(
      url: try EndpointURL("http://user:sesame-key@127.0.0.1:\(port)/v3/sesame-key"), body: [])
    let result = CurlTransport().perform([request], deadline: .never)[0]
    guard case .failure(let error) = result, case .connection = error else {
      Issue.record("got \(result)")
      return
    }
    for secret in ["sesame", "127.0.0.1", "\(port)"] {
      #expect(!"\(error)".contains(secret))
      #expect(!String(reflecting: error).contains(secret))
      #expect(!"\(request)".contains(secret))
    }
  }

  @Test func aServerWithoutTLSIsATLSError() throws {
    let server = try LocalHTTPServer { _ in .answer([]) }
    defer { server.stop() }
    let url = try EndpointURL("https://127.0.0.1:\(server.port)/")
    let result = CurlTransport().perform(
      [HTTPRequest(url: url, body: [], timeout: .seconds(2))], deadline: .never)[0]
    guard case .failure(.tls) = result else {
      Issue.record("got \(result)")
      return
    }
  }

  @Test(arguments: [301, 302, 307, 308])
  func aRedirectIsNotFollowed(_ status: Int) throws {
    let target = try LocalHTTPServer { _ in .answer(Array("followed".utf8)) }
    let server = try LocalHTTPServer { [url = target.url] _ in
      .answer([], status: status, headers: ["Location: \(url)/"])
    }
    defer {
      server.stop()
      target.stop()
    }
    #expect(try CurlTransport().post("", to: server).status == status)
    #expect(target.requestCount == 0)
  }

  /// Headers, and the wait that they ask for.
  static let waits: [(headers: [String], wait: Duration?)] = [
    (["Retry-After: 7"], .seconds(7)),
    (["Retry-After:  7  "], .seconds(7)),
    (["Retry-After: 99999999999999999999"], nil),
    (["Retry-After: soon"], nil),
    // By the server's own clock, whatever ours says.
    (
      ["Date: Fri, 31 Dec 1999 23:59:50 GMT", "Retry-After: Sat, 01 Jan 2000 00:00:02 GMT"],
      .seconds(12)
    ),
    (["Retry-After: Fri, 31 Dec 1999 23:59:59 GMT"], nil),
    (
      ["Date: Sat, 01 Jan 2000 00:00:02 GMT", "Retry-After: Fri, 31 Dec 1999 23:59:59 GMT"], nil
    ),
    (
      ["Date: Fri, 31 Dec 1999 23:59:50 GMT", "Retry-After: Fri, 31 Dec 9999 23:59:59 GMT"],
      .seconds(999_999)
    ),
    (["Date: Fri, 31 Dec 1999 23:59:50 GMT", "Retry-After: Fri, 99 Foo 1999 99:99:99 GMT"], nil),
  ]

  @Test(arguments: waits)
  func retryAfterIsReadInSecondsAndAsADate(_ headers: [String], _ wait: Duration?) throws {
    let server = try LocalHTTPServer { _ in .answer([], status: 429, headers: headers) }
    defer { server.stop() }
    let response = try CurlTransport().post("", to: server)
    #expect(response.status == 429)
    #expect(response.retryAfter == wait)
  }

  @Test func aDateWithoutTheServersClockCountsFromOurs() throws {
    let server = try LocalHTTPServer { _ in
      .answer([], status: 429, headers: ["Retry-After: Fri, 31 Dec 9999 23:59:59 GMT"])
    }
    defer { server.stop() }
    #expect(try CurlTransport().post("", to: server).retryAfter == .seconds(999_999))
  }

  @Test func theEnvironmentsProxyIsIgnoredUnlessAskedFor() async {
    // In its own process: other threads read the environment while this one changes it.
    await #expect(processExitsWith: .success) {
      let proxy = try LocalHTTPServer { _ in .answer(Array("by proxy".utf8)) }
      let server = try LocalHTTPServer { _ in .answer(Array("direct".utf8)) }
      setenv("http_proxy", proxy.url, 1)
      #expect(try CurlTransport().post("", to: server).text == "direct")
      var settings = CurlTransport.Settings()
      settings.usesEnvironmentProxy = true
      #expect(try CurlTransport(settings: settings).post("", to: server).text == "by proxy")
    }
  }
}

/// The cap on the size of an answer.
@Suite struct ResponseSizeTests {
  @Test(arguments: [true, false])
  func twoHundredMegabytesAreCutAtTheCap(declaresLength: Bool) throws {
    let server = try LocalHTTPServer { _ in
      .flood(200 << 20, declaresLength: declaresLength)
    }
    defer { server.stop() }
    let before = residentBytes()
    let (error, _) = try failure(of: server, timeout: .seconds(20), cap: 8 << 20)
    #expect(error == .tooLarge(limit: 8 << 20))
    #expect(residentBytes() - before < 64 << 20)
  }

  @Test func anAnswerOfExactlyTheCapIsAccepted() throws {
    let server = try LocalHTTPServer { _ in .flood(1000, declaresLength: false) }
    defer { server.stop() }
    #expect(try CurlTransport().post("", to: server, cap: 1000).body.count == 1000)
    let (error, _) = try failure(of: server, cap: 999)
    #expect(error == .tooLarge(limit: 999))
  }

  @Test func theCapCountsDecompressedBytes() throws {
    let bomb = try #require(Data(base64Encoded: gzippedMegabyte))
    let server = try LocalHTTPServer { _ in
      .answer(Array(bomb), headers: ["Content-Encoding: gzip"])
    }
    defer { server.stop() }
    let (error, _) = try failure(of: server, cap: 100_000)
    #expect(error == .tooLarge(limit: 100_000))
    #expect(try CurlTransport().post("", to: server).body == [UInt8](repeating: 0, count: 1 << 20))
  }

  /// A megabyte of zeros, in about a kilobyte.
  private let gzippedMegabyte = """
    H4sIABnnAGsC/+3BMQEAAADCoPVPbQhfoAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
    AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
    AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
    AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
    AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
    AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
    AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
    AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
    AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
    AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
    AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
    AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
    AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
    AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
    AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
    AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAPgMc6jinAAAQAA==
    """.filter { !$0.isWhitespace }

  private func residentBytes() -> Int {
    let fields = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8)) ?? ""
    return (fields.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0) * 4096
  }
}

/// How waits end early.
@Suite struct StopTests {
  @Test func aDeadlineEndsEverythingUnderWay() throws {
    let server = try LocalHTTPServer { _ in .silence }
    defer { server.stop() }
    let requests = try (0..<20).map { _ in try HTTPRequest(to: server, text: "") }
    let started = MonotonicInstant.now()
    let results = CurlTransport().perform(requests, deadline: .after(.milliseconds(300)))
    #expect(MonotonicInstant.now().duration(since: started) < .seconds(5))
    #expect(results.allSatisfy { $0.error == .deadlineReached })
  }

  @Test func aDeadlineInThePastSendsNothing() throws {
    let server = try LocalHTTPServer { _ in .answer([]) }
    defer { server.stop() }
    let result = CurlTransport().perform(
      [try HTTPRequest(to: server, text: "")], deadline: .after(.zero))[0]
    #expect(result.error == .deadlineReached)
    #expect(server.connectionCount == 0)
  }

  @Test func aStopEndsAWaitQuickly() throws {
    let server = try LocalHTTPServer { _ in .silence }
    defer { server.stop() }
    let isStopping = Atomic(false)
    let stopper = Thread { [server] in
      while server.requestCount == 0 { usleep(1000) }
      usleep(100_000)
    }
    stopper.start()
    let started = MonotonicInstant.now()
    let transport = CurlTransport(isStopping: {
      if stopper.isFinished { isStopping.store(true, ordering: .relaxed) }
      return isStopping.load(ordering: .relaxed)
    })
    let result = transport.perform([try HTTPRequest(to: server, text: "")], deadline: .never)[0]
    #expect(result.error == .stopped)
    #expect(MonotonicInstant.now().duration(since: started) < .seconds(5))
  }

  @Test func aTransportWorksOnAfterAnAbandonedCall() throws {
    let server = try LocalHTTPServer {
      $0.number == 0 ? .silence : .answer(Array("ok".utf8))
    }
    defer { server.stop() }
    let transport = CurlTransport()
    let request = try HTTPRequest(to: server, text: "")
    #expect(
      transport.perform([request], deadline: .after(.milliseconds(200)))[0].error
        == .deadlineReached)
    #expect(try transport.post("", to: server).text == "ok")
  }
}

private func failure(
  of server: LocalHTTPServer, settings: CurlTransport.Settings = .init(),
  timeout: Duration = .seconds(5), cap: Int = 1 << 20
) throws -> (TransportError, Duration) {
  let request = HTTPRequest(
    url: try EndpointURL(server.url), body: [], timeout: timeout, maxResponseBytes: cap)
  let started = MonotonicInstant.now()
  let result = CurlTransport(settings: settings).perform([request], deadline: .never)[0]
  let elapsed = MonotonicInstant.now().duration(since: started)
  return (try #require(result.error), elapsed)
}

extension HTTPRequest {
  fileprivate init(to server: LocalHTTPServer, text: String = "", path: String = "/") throws {
    self.init(url: try EndpointURL(server.url + path), body: Array(text.utf8))
  }
}

extension CurlTransport {
  fileprivate func post(
    _ text: String, to server: LocalHTTPServer, cap: Int = 64 << 20
  ) throws -> HTTPResponse {
    var request = try HTTPRequest(to: server, text: text)
    request.maxResponseBytes = cap
    return try perform([request], deadline: .never)[0].get()
  }
}

extension HTTPResponse {
  fileprivate var text: String { String(decoding: body, as: UTF8.self) }
}

extension Result {
  fileprivate var error: Failure? {
    guard case .failure(let error) = self else { return nil }
    return error
  }
}
