import Ethereum
import Quantities

/// A call that a rule of a price needs beside the price itself.
public enum PriceQuestion: Hashable, Sendable {
  /// `latestRoundData()` of a feed.
  case round(Address)
  /// `minAnswer()` and `maxAnswer()` of a feed or its aggregator.
  case lowest(Address)
  case highest(Address)
  case rate(RateCall)
  /// A second source on the chain, by its name.
  case source(String, PriceSource)

  /// Nil for a source that is not on the chain.
  public var call: Call? {
    switch self {
    case .round(let feed), .source(_, .feed(let feed, _, _)):
      Call(to: feed, signature: "latestRoundData()", arguments: [])
    case .lowest(let feed): Call(to: feed, signature: "minAnswer()", arguments: [])
    case .highest(let feed): Call(to: feed, signature: "maxAnswer()", arguments: [])
    case .rate(let rate): Call(to: rate.contract, signature: rate.signature, arguments: [])
    case .source(_, .peek(let oracle, let token, _)):
      Call(to: oracle, signature: "peek(address)", arguments: [.address(token)])
    case .source(_, .pair(let oracle, _)):
      Call(to: oracle, signature: "price()", arguments: [])
    case .source(_, .outside): nil
    }
  }
}

/// What a feed says of its last round.
public struct FeedRound: Hashable, Sendable {
  public let answer: I256
  /// Seconds since 1970.
  public let updatedAt: UInt64

  public init(answer: I256, updatedAt: UInt64) {
    self.answer = answer
    self.updatedAt = updatedAt
  }

  /// The answer to `latestRoundData()`: round, answer, start, time of update, round of answer.
  init?(_ result: CallResult) {
    let words = ABIWords(result.data)
    guard result.succeeded, words.count >= 5, let answer = try? words.int256(1),
      let updatedAt = try? words.uint64(3)
    else { return nil }
    self.init(answer: answer, updatedAt: updatedAt)
  }
}

/// Why a call reverted, as far as its answer tells.
public enum RevertReason {
  /// Errors without text that oracles are known to revert with.
  private static let known = ["StockMarketClosed()", "EnforcedPause()", "StalePrice()"]

  /// The most bytes of a text; a longer one is cut.
  private static let textBytesMax = 120

  /// `StockMarketClosed()`, the text of `Error(string)`, or a selector; empty if nothing came.
  public static func text(_ data: [UInt8]) -> String {
    guard data.count >= 4 else { return "" }
    let selector = Array(data.prefix(4))
    if selector == ABI.selector("Error(string)"),
      case .string(let text)? = try? ABI.decode([.string], Array(data.dropFirst(4))).first
    {
      return VisibleASCII.text(text, max: textBytesMax)
    }
    return known.first { ABI.selector($0) == selector } ?? Hex.encode(selector)
  }
}

/// A stranger's text in a table or a log line.
enum VisibleASCII {
  /// With everything but printable ASCII as `?`, and cut.
  static func text(_ text: String, max: Int) -> String {
    String(
      String.UnicodeScalarView(
        text.unicodeScalars.prefix(max).map { (0x20..<0x7F).contains($0.value) ? $0 : "?" }))
  }
}
