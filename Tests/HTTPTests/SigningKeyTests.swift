import HTTP
import Testing

/// Signatures of messages to webhooks.
@Suite struct SigningKeyTests {
  /// The vector that the implementations of Standard Webhooks share.
  @Test func signsAsStandardWebhooksSays() throws {
    let key = try #require(SigningKey("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
    let headers = key.headers(
      id: "msg_p5jXN8AQM9LWM0D4loKWxJek", timestamp: 1_614_265_330,
      body: Array(#"{"test": 2432232314}"#.utf8))
    #expect(
      headers == [
        "webhook-id: msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp: 1614265330",
        "webhook-signature: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
      ])
  }

  @Test(arguments: [
    "", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS",
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa==", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2Lä",
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaL===", "whsec_" + String(repeating: "AAAA", count: 22),
  ])
  func refusesWhatIsNoKey(text: String) {
    #expect(SigningKey(text) == nil)
  }

  @Test func takesKeysOfAnyAllowedLength() {
    // 24 bytes need no padding, 25 two signs of it, 26 one; 64 is the most.
    for text in [
      String(repeating: "A", count: 32), String(repeating: "A", count: 34) + "==",
      String(repeating: "A", count: 35) + "=", String(repeating: "A", count: 86) + "==",
    ] {
      #expect(SigningKey("whsec_\(text)") != nil, "\(text)")
    }
  }

  @Test func aPrintedKeyShowsNothing() throws {
    let key = try #require(SigningKey("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
    var dumped = ""
    dump(key, to: &dumped)
    #expect("\(key) \(dumped)".contains("49") == false)
    #expect("\(key)" == "<signing key>")
  }
}
