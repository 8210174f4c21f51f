import CCurl

/// A secret that messages to a webhook are signed with, so that the receiver knows who sent them.
///
/// Standard Webhooks 1.0, symmetric: HMAC-SHA256 over `id.timestamp.body`. Printing or dumping it
/// shows a placeholder.
public struct SigningKey: Sendable {
  /// How many bytes a key may have.
  public static let lengths = 24...64

  private let bytes: [UInt8]

  /// Takes `whsec_` and the key's bytes in padded Base64; nil for anything else, or where the
  /// library for it is not installed.
  public init?(_ text: String) {
    let prefix = "whsec_"
    guard text.hasPrefix(prefix) else { return nil }
    let encoded = Array(text.utf8.dropFirst(prefix.utf8.count))
    let padding = encoded.reversed().prefix { $0 == UInt8(ascii: "=") }.count
    guard !encoded.isEmpty, encoded.count % 4 == 0, padding <= 2,
      encoded.dropLast(padding).allSatisfy(Self.isBase64)
    else { return nil }
    var decoded = [UInt8](repeating: 0, count: encoded.count / 4 * 3)
    guard ccrypto_decode_base64(encoded, encoded.count, &decoded) == Int32(decoded.count) else {
      return nil
    }
    bytes = decoded.dropLast(padding)
    guard Self.lengths.contains(bytes.count) else { return nil }
  }

  private static func isBase64(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "+"), UInt8(ascii: "/"):
      true
    default: false
    }
  }

  /// The header lines of a signed message; nil if the library refuses.
  ///
  /// `id` stays the same when the message is sent again; `timestamp` are unix seconds of this
  /// attempt.
  public func headers(id: String, timestamp: UInt64, body: [UInt8]) -> [String]? {
    let signed = Array("\(id).\(timestamp).".utf8) + body
    var digest = [UInt8](repeating: 0, count: 32)
    guard ccrypto_hmac_sha256(bytes, bytes.count, signed, signed.count, &digest) == 32 else {
      return nil
    }
    var text = [UInt8](repeating: 0, count: 45)
    guard ccrypto_encode_base64(digest, digest.count, &text) == 44 else { return nil }
    return [
      "webhook-id: \(id)", "webhook-timestamp: \(timestamp)",
      "webhook-signature: v1,\(String(decoding: text.prefix(44), as: UTF8.self))",
    ]
  }
}

extension SigningKey: CustomStringConvertible, CustomReflectable {
  /// A placeholder.
  public var description: String { "<signing key>" }

  /// Shows no parts, so that `dump` shows none.
  public var customMirror: Mirror { Mirror(self, children: [:]) }
}
