/// The twenty bytes that name an account or a contract.
///
/// Stored inline as three big-endian words, so comparing and hashing touch no heap and the order
/// is that of the bytes.
@frozen
public struct Address: Hashable, Sendable {
  /// Bytes 0 to 7.
  public var word0: UInt64
  /// Bytes 8 to 15.
  public var word1: UInt64
  /// Bytes 16 to 19.
  public var word2: UInt32

  /// Twenty zero bytes.
  public static let zero = Address(word0: 0, word1: 0, word2: 0)

  /// The address of its big-endian words.
  @inlinable
  public init(word0: UInt64, word1: UInt64, word2: UInt32) {
    self.word0 = word0
    self.word1 = word1
    self.word2 = word2
  }

  /// Exactly 20 bytes, or nil.
  @inlinable
  public init?(bytes: some Collection<UInt8>) {
    let contiguous = bytes.withContiguousStorageIfAvailable { Address(bytes: $0.span) }
    guard let value = contiguous ?? Address(bytes: Array(bytes).span) else { return nil }
    self = value
  }

  /// Exactly 20 bytes, or nil.
  @inlinable
  public init?(bytes: borrowing Span<UInt8>) {
    guard bytes.count == 20 else { return nil }
    let raw = bytes.bytes
    word0 = UInt64(bigEndian: raw.unsafeLoadUnaligned(fromByteOffset: 0, as: UInt64.self))
    word1 = UInt64(bigEndian: raw.unsafeLoadUnaligned(fromByteOffset: 8, as: UInt64.self))
    word2 = UInt32(bigEndian: raw.unsafeLoadUnaligned(fromByteOffset: 16, as: UInt32.self))
  }

  /// `0x` and 40 hexadecimal digits, or nil. Digits of mixed case must carry a valid EIP-55
  /// checksum; digits of one case carry none.
  @inlinable
  public init?(_ hex: some StringProtocol) {
    guard let value = hex.withASCII({ Address(ascii: $0) }) else { return nil }
    self = value
  }

  /// The same text as bytes, for a parser that holds no `String`.
  public init?(ascii: borrowing Span<UInt8>) {
    guard ascii.count == 42, Hex.hasPrefix(ascii) else { return nil }
    var digits = HexDigits()
    word0 = digits.word(ascii, at: 2)
    word1 = digits.word(ascii, at: 18)
    word2 = digits.half(ascii, at: 34)
    guard digits.areValid else { return nil }
    if digits.haveMixedCase, !hasChecksum(of: ascii) { return nil }
  }

  /// The 20 bytes in an array of their own.
  public var bytes: [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(20)
    append(to: &bytes)
    return bytes
  }

  /// Adds the 20 bytes to the end of a buffer.
  public func append(to buffer: inout [UInt8]) {
    let words = (word0.bigEndian, word1.bigEndian, word2.bigEndian)
    withUnsafeBytes(of: words) { buffer.append(contentsOf: $0) }
  }
}

extension Address: Comparable {
  /// The order of the bytes.
  @inlinable
  public static func < (left: Address, right: Address) -> Bool {
    (left.word0, left.word1, left.word2) < (right.word0, right.word1, right.word2)
  }
}

extension Address: CustomStringConvertible {
  /// `0x` and 40 digits with the EIP-55 checksum in their case. Costs one Keccak-256.
  public var description: String {
    Hex.text(digits: 40) { text in
      write(to: &text)
      text.raiseLetters(where: checksum)
    }
  }

  /// `0x` and 40 lower-case digits, as JSON-RPC writes and takes them.
  public var lowercaseHex: String {
    Hex.text(digits: 40) { write(to: &$0) }
  }

  private func write(to text: inout HexText) {
    text.append(word: word0)
    text.append(word: word1)
    text.append(half: word2)
  }
}
