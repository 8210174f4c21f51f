/// The error object of a JSON-RPC answer.
struct RemoteError: Equatable {
  var code: Int
  var message: String

  /// `data` when it is not hexadecimal, as text.
  var detail: String

  /// `data` when it is hexadecimal: what a contract reverted with.
  var data: [UInt8]?

  /// What an error means for the caller.
  enum Kind: Equatable {
    /// Ask less often.
    case rateLimited
    /// The range of `eth_getLogs` is too wide, or has too many results.
    case rangeRefused(RangeHint)
    /// The batch has too many calls, or the node takes none; how many it takes if it says so.
    case batchRefused(maximum: UInt64?)
    /// The block, or its state, is not known to this node, or not any more.
    case unknownBlock
    /// The contract reverted, with this data.
    case reverted([UInt8])
    /// The call needs more gas, time or room than the node gives.
    case callTooLarge
    /// The node does not have the method.
    case unknownMethod
    /// Whoever asks may not: no key, a plan without it, an account that is closed.
    case denied
    /// The node does not accept the parameters.
    case invalidParameters
    /// Something passing inside the node.
    case transient
    /// None of these: asking again will not help.
    case refused
  }

  /// What the error means. The standard gives codes to few cases, and every provider has its
  /// own words, so the text decides before the code does.
  func kind(of method: String) -> Kind {
    let text = (message + " " + detail).lowercased()
    let says = { (phrases: [String]) in phrases.contains(where: text.contains) }
    if method == "eth_call", code == 3 || says(["revert"]) { return .reverted(data ?? []) }
    if code == 429 || says(Self.rateLimitPhrases) { return .rateLimited }
    if says(["batch"]) { return .batchRefused(maximum: RangeHint.smallestNumber(in: text)) }
    if says(Self.unknownBlockPhrases) { return .unknownBlock }
    if method == "eth_getLogs", [-32005, -32012].contains(code) || says(Self.rangePhrases) {
      return .rangeRefused(RangeHint(text: text))
    }
    if Self.rateLimitCodes.contains(code) { return .rateLimited }
    if method == "eth_call", says(Self.callTooLargePhrases) { return .callTooLarge }
    // Whoever serves only logs is of use without code.
    if method == "eth_getCode", says(Self.unknownMethodPhrases) || kindOfCode == .unknownMethod {
      return .refused
    }
    if says(Self.unknownMethodPhrases) { return .unknownMethod }
    if says(Self.deniedPhrases) { return .denied }
    return kindOfCode
  }

  /// How long a rate limit asks to wait in its own words, as `"backoff_seconds": 30` or
  /// `"try_again_in": "1.5s"`, rounded up to seconds.
  var suggestedWait: Duration? {
    for key in ["backoff_seconds", "try_again_in"] {
      guard let found = detail.firstRange(of: key) else { continue }
      let rest = detail[found.upperBound...].drop { "\\\": ".contains($0) }
      let digits = rest.prefix { $0.isASCII && $0.isNumber }
      guard let number = UInt32(digits) else { continue }
      let unit = rest.dropFirst(digits.count)
      if unit.hasPrefix("ms") { return .milliseconds(Int64(number)) }
      return .seconds(Int64(number) + (unit.hasPrefix(".") ? 1 : 0))
    }
    return nil
  }

  private var kindOfCode: Kind {
    switch code {
    case -32601, -32004: .unknownMethod
    case -32602, -32600, -32700: .invalidParameters
    case -32001, -32014, 4444: .unknownBlock
    case -32603, -32099 ... -32000: .transient
    default: .refused
    }
  }

  /// EIP-1474 has -32005; the others are in use by single providers.
  private static let rateLimitCodes: Set<Int> = [-32005, -32029, -32090]

  private static let rateLimitPhrases = [
    "rate limit", "ratelimit", "rate-limit", "rate exceeded", "too many requests",
    "request limit", "requests per second", "compute units", "capacity exceeded",
    "capacity limit", "quota", "throughput", "request count exceeded", "credits", "call limit",
    "rps limit", "usage limit", "concurrent requests", "backoff_seconds",
    "timeout on the free tier",
  ]

  private static let unknownBlockPhrases = [
    "header not found", "block not found", "unknown block", "header for hash not found",
    "could not find block", "cannot be found", "missing trie node", "missingtrienode",
    "historical state", "state not available", "no state available", "state is not available",
    "state unavailable", "pruned", "due to pruning", "state pruning", "archive", "but data before",
    "receipt not available", "not currently canonical", "not canonical", "current head",
    "beyond head", "beyond the head", "ahead of the chain", "after last accepted block",
    "greater than latest", "resource not found", "out of range",
  ]

  private static let rangePhrases = [
    "range", "more than", "max results", "too many results", "too many logs", "too many blocks",
    "logs limit", "response size", "response too large", "response is too", "too big",
    "too large", "exceeds limit", "exceed limit", "limit exceeded", "query exceeds",
    "took too long", "timed out", "timeout", "too long", "block limit", "exceed maximum",
    "exceeds maximum", "limited to", "maximum allowed", "at most", "blocks distance",
    "smaller than", "greater than", "narrow",
  ]

  private static let callTooLargePhrases = [
    "out of gas", "gas required", "gas limit", "gas cap", "gas exceed", "exceeds allowance",
    "execution timeout", "execution aborted", "timed out", "timeout", "too large", "too big",
    "response size", "calldata",
  ]

  private static let unknownMethodPhrases = [
    "method not found", "method not supported", "unsupported method", "method is not available",
    "method is disabled", "method not allowed", "does not exist/is not available",
    "not whitelisted",
  ]

  private static let deniedPhrases = [
    "unauthorized", "must be authenticated", "api key", "apikey", "project id", "access denied",
    "forbidden", "inactive", "payment required", "upgrade your", "personal token",
    "request blocked",
  ]
}
