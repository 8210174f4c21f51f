import Synchronization

/// Takes secrets out of every line before it leaves the process.
///
/// Whoever learns a secret (a URL, a password) registers it; the console asks the redactor for
/// each line of a log and each error. Anything shorter than `lengthMin` is not a usable secret
/// and would only make lines unreadable.
public final class Redactor: Sendable {
  static let lengthMin = 4
  static let mark = "[redacted]"

  private let secrets = Mutex<[String]>([])

  public init() {}

  /// Remembers a secret.
  public func register(_ secret: String) {
    guard secret.utf8.count >= Self.lengthMin else { return }
    secrets.withLock { list in
      if list.contains(secret) { return }
      list.append(secret)
      // Longest first, so that a URL goes as a whole before the password inside it.
      list.sort { $0.utf8.count > $1.utf8.count }
    }
  }

  /// Remembers a URL: whole, without its scheme, its user and password (as written and decoded),
  /// and its path with query, where providers put their keys.
  public func register(url: String) {
    register(url)
    guard let scheme = url.firstRange(of: "://") else { return }
    let rest = url[scheme.upperBound...]
    register(String(rest))
    let authority = rest.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
    let path = rest.dropFirst(authority.count)
    if path.utf8.count > Self.lengthMin { register(String(path)) }
    for part in path.split(whereSeparator: { "/?&#=".contains($0) }) where part.utf8.count >= 16 {
      register(String(part))
    }
    guard let at = authority.lastIndex(of: "@") else { return }
    let user = authority[..<at]
    register(String(user))
    if let colon = user.firstIndex(of: ":") {
      register(password: user[user.index(after: colon)...])
    }
  }

  /// Remembers a database's URL: whole and its password. Its user, host and database are no
  /// secrets: errors name them, and `plimsoll` may well be one of them.
  public func register(databaseURL url: String) {
    register(url)
    guard let scheme = url.firstRange(of: "://") else { return }
    let rest = url[scheme.upperBound...]
    let authority = rest.prefix { $0 != "/" && $0 != "?" }
    if let at = authority.lastIndex(of: "@"), let colon = authority[..<at].firstIndex(of: ":") {
      register(String(authority[..<at]))
      register(password: authority[authority.index(after: colon)..<at])
    }
    for pair in rest.drop(while: { $0 != "?" }).dropFirst().split(separator: "&") {
      let name = Self.percentDecoded(String(pair.prefix { $0 != "=" }))
      guard name == "password" || name == "sslpassword" else { continue }
      register(password: pair.dropFirst(pair.prefix { $0 != "=" }.count + 1))
    }
  }

  private func register(password: Substring) {
    register(String(password))
    register(Self.percentDecoded(String(password)))
  }

  /// The text with every registered secret replaced.
  public func redact(_ text: String) -> String {
    let list = secrets.withLock { $0 }
    return list.reduce(text) { Self.replace($1, in: $0) }
  }

  private static func replace(_ secret: String, in text: String) -> String {
    let (bytes, pattern) = (Array(text.utf8), Array(secret.utf8))
    guard bytes.count >= pattern.count else { return text }
    var kept: [UInt8] = []
    var index = 0
    var isChanged = false
    while index < bytes.count {
      if bytes[index] == pattern[0], bytes[index...].starts(with: pattern) {
        kept += Array(mark.utf8)
        index += pattern.count
        isChanged = true
      } else {
        kept.append(bytes[index])
        index += 1
      }
    }
    return isChanged ? String(decoding: kept, as: UTF8.self) : text
  }

  static func percentDecoded(_ text: String) -> String {
    let bytes = Array(text.utf8)
    var decoded: [UInt8] = []
    var index = 0
    while index < bytes.count {
      if bytes[index] == UInt8(ascii: "%"), index + 2 < bytes.count,
        let byte = UInt8(String(decoding: bytes[index + 1...index + 2], as: UTF8.self), radix: 16)
      {
        decoded.append(byte)
        index += 3
      } else {
        decoded.append(bytes[index])
        index += 1
      }
    }
    return String(decoding: decoded, as: UTF8.self)
  }
}
