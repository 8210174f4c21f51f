/// Thirty-two bytes: a hash, a topic, a market id or a storage word.
///
/// Stored inline as four big-endian words, `word0` first, so comparing and hashing touch no
/// heap and the order is that of the bytes.
@frozen
public struct Bytes32: Hashable, Sendable {
  /// Bytes 0 to 7, the most significant of a number.
  public var word0: UInt64
  /// Bytes 8 to 15.
  public var word1: UInt64
  /// Bytes 16 to 23.
  public var word2: UInt64
  /// Bytes 24 to 31.
  public var word3: UInt64

  /// Thirty-two zero bytes.
  public static let zero = Bytes32(word0: 0, word1: 0, word2: 0, word3: 0)

  /// The bytes of four big-endian words.
  @inlinable
  public init(word0: UInt64, word1: UInt64, word2: UInt64, word3: UInt64) {
    self.word0 = word0
    self.word1 = word1
    self.word2 = word2
    self.word3 = word3
  }

  /// Exactly 32 bytes, or nil.
  @inlinable
  public init?(bytes: some Collection<UInt8>) {
    let contiguous = bytes.withContiguousStorageIfAvailable { Bytes32(bytes: $0.span) }
    guard let value = contiguous ?? Bytes32(bytes: Array(bytes).span) else { return nil }
    self = value
  }

  /// Exactly 32 bytes, or nil.
  @inlinable
  public init?(bytes: borrowing Span<UInt8>) {
    guard bytes.count == 32 else { return nil }
    self.init(reading: bytes.bytes, at: 0)
  }

  /// The 32 bytes from `offset`. The caller has checked that they are there.
  @inlinable
  init(reading raw: borrowing RawSpan, at offset: Int) {
    word0 = UInt64(bigEndian: raw.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self))
    word1 = UInt64(bigEndian: raw.unsafeLoadUnaligned(fromByteOffset: offset + 8, as: UInt64.self))
    word2 = UInt64(bigEndian: raw.unsafeLoadUnaligned(fromByteOffset: offset + 16, as: UInt64.self))
    word3 = UInt64(bigEndian: raw.unsafeLoadUnaligned(fromByteOffset: offset + 24, as: UInt64.self))
  }

  /// `0x` and 64 hexadecimal digits of either case, or nil.
  @inlinable
  public init?(_ hex: some StringProtocol) {
    guard let value = hex.withASCII({ Bytes32(ascii: $0) }) else { return nil }
    self = value
  }

  /// The same text as bytes, for a parser that holds no `String`.
  @inlinable @inline(__always)
  public init?(ascii: borrowing Span<UInt8>) {
    guard ascii.count == 66, Hex.hasPrefix(ascii) else { return nil }
    var digits = HexDigits()
    word0 = digits.word(ascii, at: 2)
    word1 = digits.word(ascii, at: 18)
    word2 = digits.word(ascii, at: 34)
    word3 = digits.word(ascii, at: 50)
    guard digits.areValid else { return nil }
  }

  /// The 32 bytes in an array of their own.
  public var bytes: [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(32)
    append(to: &bytes)
    return bytes
  }

  /// Adds the 32 bytes to the end of a buffer.
  public func append(to buffer: inout [UInt8]) {
    let words = (word0.bigEndian, word1.bigEndian, word2.bigEndian, word3.bigEndian)
    withUnsafeBytes(of: words) { buffer.append(contentsOf: $0) }
  }
}

extension Bytes32: Comparable {
  /// The order of the bytes, which is also that of the big-endian number.
  @inlinable
  public static func < (left: Bytes32, right: Bytes32) -> Bool {
    (left.word0, left.word1, left.word2, left.word3)
      < (right.word0, right.word1, right.word2, right.word3)
  }
}

extension Bytes32: CustomStringConvertible {
  /// `0x` and 64 lower-case digits.
  public var description: String {
    Hex.text(digits: 64) { text in
      text.append(word: word0)
      text.append(word: word1)
      text.append(word: word2)
      text.append(word: word3)
    }
  }
}
