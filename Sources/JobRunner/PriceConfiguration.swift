import Systems

/// How the prices of a chain are judged, and where opinions from outside the chain come from.
public struct PriceConfiguration: Equatable, Sendable {
  public var settings = PriceSettings()
  public var outside: [OutsidePriceSource] = []

  public init() {}
}

/// A price that an HTTP server tells in JSON.
public struct OutsidePriceSource: Equatable, Sendable {
  public let name: String
  /// It may hold a key.
  public let url: SecretSource
  /// Where the number stands in the answer.
  public let pointer: JSONPointer
  /// By how many decimals the number is scaled; 0: it is the price itself.
  public let decimals: Int
  /// Where its time stands, in seconds or milliseconds since 1970.
  public let timePointer: JSONPointer?
  /// By the wall clock; an older price is none.
  public let maxAgeSeconds: UInt64?
  public let maxResponseBytes: Int
  public let timeoutMilliseconds: UInt64
}

/// A path into a JSON document, as RFC 6901 writes it: `/data/0/price`.
public struct JSONPointer: Equatable, Sendable, CustomStringConvertible {
  public let description: String
  let tokens: [String]

  /// Deeper than any answer that a price stands in.
  static let tokensMax = 32

  /// Nil if the text does not begin with `/`, escapes badly or is too deep.
  public init?(_ text: String) {
    guard text.hasPrefix("/") else { return nil }
    var tokens: [String] = []
    for part in text.dropFirst().split(separator: "/", omittingEmptySubsequences: false) {
      guard let token = Self.unescaped(part) else { return nil }
      tokens.append(token)
    }
    guard tokens.count <= Self.tokensMax else { return nil }
    self.tokens = tokens
    description = text
  }

  /// `~1` stands for `/`, `~0` for `~`.
  private static func unescaped(_ part: Substring) -> String? {
    var text = ""
    var rest = part
    while let character = rest.popFirst() {
      guard character == "~" else {
        text.append(character)
        continue
      }
      switch rest.popFirst() {
      case "0": text.append("~")
      case "1": text.append("/")
      default: return nil
      }
    }
    return text
  }

  /// The number or text at the place; nil if there is none.
  func number(in document: JSONSource) -> String? {
    var value = document
    for token in tokens {
      switch value.value {
      case .object(let members):
        guard let member = members.first(where: { $0.name == token }) else { return nil }
        value = member.value
      case .array(let items):
        guard let index = Int(token), items.indices.contains(index) else { return nil }
        value = items[index]
      default: return nil
      }
    }
    switch value.value {
    case .number(let text), .string(let text): return text
    default: return nil
    }
  }
}
