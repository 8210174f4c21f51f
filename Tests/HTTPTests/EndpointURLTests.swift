import HTTP
import Testing

@Suite struct EndpointURLTests {
  @Test(arguments: ["http://127.0.0.1:8545", "https://node.example/v3/key?x=1", "HTTP://[::1]/"])
  func httpAndHTTPSAreAccepted(_ text: String) throws {
    _ = try EndpointURL(text)
  }

  @Test(arguments: [
    ("ftp://x", EndpointURL.Problem.notHTTP), ("file:///etc/passwd", .notHTTP), ("", .notHTTP),
    ("localhost:8545", .notHTTP), ("http://", .noHost), ("http:///path", .noHost),
    ("http://:80", .noHost), ("http://user:key@", .noHost),
    ("http://a b", .forbiddenCharacter), ("http://a\r\nHost: b", .forbiddenCharacter),
  ])
  func anythingElseIsRefusedWithItsReason(_ text: String, _ problem: EndpointURL.Problem) {
    #expect(throws: problem) { try EndpointURL(text) }
  }

  @Test func noWayOfPrintingShowsIt() throws {
    let url = try EndpointURL("https://user:open-sesame@node.example/v3/open-sesame")
    var dumped = ""
    dump(url, to: &dumped)
    for text in ["\(url)", String(reflecting: url), String(describing: [url]), dumped] {
      #expect(!text.contains("sesame"))
      #expect(!text.contains("example"))
    }
  }

  @Test func aMessageThatEchoesTheKeyLosesIt() throws {
    let url = try EndpointURL("https://me:passphrase@rpc.node.example:8545/v3/0123abcdef?k=zyxwvu")
    let message =
      "bad key 0123abcdef (zyxwvu) for passphrase at https://me:passphrase@rpc.node.example:8545"
    let shown = url.redacting(message)
    for secret in ["0123abcdef", "zyxwvu", "passphrase", "rpc.node.example"] {
      #expect(!shown.contains(secret), "\(shown)")
    }
    #expect(shown.contains("bad key ***"))
  }
}

@Suite struct DeadlineTests {
  @Test func aDeadlineIsReachedAtItsInstant() {
    let start = MonotonicInstant(nanoseconds: 1_000)
    let deadline = Deadline.after(.nanoseconds(500), from: start)
    #expect(!deadline.isReached(at: MonotonicInstant(nanoseconds: 1_499)))
    #expect(deadline.isReached(at: MonotonicInstant(nanoseconds: 1_500)))
    #expect(deadline.remaining(at: start) == .nanoseconds(500))
    #expect(deadline.remaining(at: MonotonicInstant(nanoseconds: 9_000)) == .zero)
  }

  @Test func arithmeticStopsAtTheEndOfTheClock() {
    let late = MonotonicInstant(nanoseconds: .max - 1)
    #expect(late.advanced(by: .seconds(Int64.max)) == Deadline.never.instant)
    #expect(Duration.seconds(Int64.max).wholeNanoseconds == .max)
    #expect(Duration.seconds(-1).wholeNanoseconds == 0)
    #expect(Duration.nanoseconds(1).wholeMilliseconds == 1)
    #expect(!Deadline.never.isReached(at: .now()))
  }
}
