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
    /// The batch has too many calls, or the node takes none.
    case batchRefused
    /// The block, or its state, is not known to this node, or not any more.
    case unknownBlock
    /// The contract reverted, with this data.
    case reverted([UInt8])
    /// The call needs more gas, time or room than the node gives.
    case callTooLarge
    /// The node does not have the method.
    case unknownMethod
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
    if says(["batch"]) { return .batchRefused }
    if says(Self.unknownBlockPhrases) { return .unknownBlock }
    if method == "eth_getLogs", code == -32005 || says(Self.rangePhrases) {
      return .rangeRefused(RangeHint(text: text))
    }
    if code == -32005 { return .rateLimited }
    if method == "eth_call", says(Self.callTooLargePhrases) { return .callTooLarge }
    return kindOfCode
  }

  private var kindOfCode: Kind {
    switch code {
    case -32601, -32004: .unknownMethod
    case -32602, -32600, -32700: .invalidParameters
    case -32001: .unknownBlock
    case -32603, -32099 ... -32000: .transient
    default: .refused
    }
  }

  private static let rateLimitPhrases = [
    "rate limit", "ratelimit", "rate-limit", "rate exceeded", "too many requests",
    "request limit", "requests per second", "compute units", "capacity exceeded", "quota",
    "throughput", "request count exceeded", "credits",
  ]

  private static let unknownBlockPhrases = [
    "header not found", "block not found", "unknown block", "header for hash not found",
    "could not find block", "missing trie node", "historical state", "state not available",
    "state is not available", "state unavailable", "pruned", "not currently canonical",
    "not canonical", "current head", "beyond head", "beyond the head", "ahead of the chain",
    "after last accepted block", "greater than latest", "resource not found",
  ]

  private static let rangePhrases = [
    "range", "more than", "max results", "too many results", "too many logs", "too many blocks",
    "logs limit", "response size", "response too large", "response is too", "too big",
    "too large", "exceeds limit", "exceed limit", "limit exceeded", "query timeout",
    "query exceeds", "query took too long", "timed out", "too long", "block limit",
    "exceed maximum", "exceeds maximum", "limited to",
  ]

  private static let callTooLargePhrases = [
    "out of gas", "gas required", "gas limit", "gas cap", "gas exceed", "exceeds allowance",
    "execution timeout", "execution aborted", "timed out", "timeout", "too large", "too big",
    "response size", "calldata",
  ]
}
