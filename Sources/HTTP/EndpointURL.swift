/// The URL of an endpoint, kept as a secret: it often carries a key.
///
/// Printing, interpolating or dumping it shows a placeholder. Only the transport reads the
/// text.
public struct EndpointURL: Hashable, Sendable {
  /// Why a text is not accepted as a URL.
  public enum Problem: Error, Equatable, Sendable, CustomStringConvertible {
    case notHTTP
    case noHost
    case forbiddenCharacter

    /// What the URL must be, for a configuration error.
    public var description: String {
      switch self {
      case .notHTTP: "must be http or https"
      case .noHost: "must name a host"
      case .forbiddenCharacter: "must not contain spaces or control characters"
      }
    }
  }

  let text: String

  /// Accepts an absolute `http` or `https` URL with a host.
  public init(_ text: String) throws(Problem) {
    let lower = text.lowercased()
    guard let scheme = ["http://", "https://"].first(where: lower.hasPrefix) else {
      throw .notHTTP
    }
    guard text.utf8.allSatisfy({ $0 > 0x20 && $0 != 0x7F }) else { throw .forbiddenCharacter }
    let afterScheme = text.utf8.dropFirst(scheme.utf8.count)
    let authority = afterScheme.prefix { !"/?#".utf8.contains($0) }
    let host = authority.split(
      separator: UInt8(ascii: "@"), omittingEmptySubsequences: false
    ).last
    guard let first = host?.first, first != UInt8(ascii: ":") else { throw .noHost }
    self.text = text
  }

  /// `message` with every part of this URL that could be a secret replaced by `***`.
  ///
  /// Nodes echo the address they were called at, or the key, in their error messages.
  public func redacting(_ message: String) -> String {
    var result = message
    for secret in secrets { result = result.replacingAll(of: secret, by: "***") }
    return result
  }

  /// The whole URL and its longer parts, the longest first.
  private var secrets: [String] {
    let parts = text.split { "/?#&=@:".contains($0) }.map(String.init)
    let long = parts.filter { $0.utf8.count >= 6 }
    return ([text] + long).sorted { $0.utf8.count > $1.utf8.count }
  }
}

extension EndpointURL: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
  /// A placeholder.
  public var description: String { "<endpoint URL>" }

  /// A placeholder.
  public var debugDescription: String { description }

  /// Shows no parts, so that `dump` shows none.
  public var customMirror: Mirror { Mirror(self, children: [:]) }
}

extension String {
  /// Foundation has this, and would cost its start-up here.
  fileprivate func replacingAll(of pattern: String, by replacement: String) -> String {
    let text = Array(utf8)
    let sought = Array(pattern.utf8)
    guard !sought.isEmpty, text.count >= sought.count else { return self }
    var result: [UInt8] = []
    var index = 0
    while index < text.count {
      if text[index...].starts(with: sought) {
        result += replacement.utf8
        index += sought.count
      } else {
        result.append(text[index])
        index += 1
      }
    }
    return String(decoding: result, as: UTF8.self)
  }
}
