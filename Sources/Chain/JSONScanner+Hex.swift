import Ethereum
import Glibc

/// The strings of hexadecimal digits that Ethereum's JSON-RPC is made of, read in place.
extension JSONScanner {
  /// `0x` and 64 digits.
  mutating func bytes32() throws(JSONError) -> Bytes32 {
    let text = try fixedText(66)
    guard let value = Bytes32(ascii: text.span) else { throw error(.badHex) }
    return value
  }

  /// `0x` and 40 digits, whose case must be a valid checksum if it is mixed.
  mutating func address() throws(JSONError) -> Address {
    let text = try fixedText(42)
    guard let value = Address(ascii: text.span) else { throw error(.badHex) }
    return value
  }

  /// `0x` and an even number of digits, also none.
  mutating func hexBytes() throws(JSONError) -> [UInt8] {
    let text = try openText()
    guard let value = Hex.decode(ascii: text.span) else { throw error(.badHex) }
    return value
  }

  /// `0x` and at least one digit, below 2^64. Leading zeros are accepted, as some nodes write
  /// them.
  mutating func quantity() throws(JSONError) -> UInt64 {
    guard try nextByte() == UInt8(ascii: "\"") else { throw error(.expected("a string")) }
    guard bytes.hasBytes(of: "\"0x", at: offset) else { throw error(.badHex) }
    offset += 3
    let start = offset
    var value: UInt64 = 0
    while offset < bytes.count, let digit = bytes[offset].hexadecimalDigit {
      guard value >> 60 == 0 else { throw error(.outOfRange) }
      value = value << 4 | UInt64(digit)
      offset += 1
    }
    guard offset > start, offset < bytes.count, bytes[offset] == UInt8(ascii: "\"") else {
      throw error(.badHex)
    }
    offset += 1
    return value
  }

  /// A quantity below 2^63: a block's number or second, to which others are added.
  mutating func blockQuantity() throws(JSONError) -> UInt64 {
    let value = try quantity()
    guard value <= UInt64(Int64.max) else { throw error(.outOfRange) }
    return value
  }

  /// A quantity below 2^32.
  mutating func smallQuantity() throws(JSONError) -> UInt32 {
    guard let value = UInt32(exactly: try quantity()) else { throw error(.outOfRange) }
    return value
  }

  /// A string that must be `count` bytes long; an escape in it is left to be bad hexadecimal.
  @inline(__always)
  private mutating func fixedText(_ count: Int) throws(JSONError) -> UnsafeBufferPointer<UInt8> {
    guard try nextByte() == UInt8(ascii: "\"") else { throw error(.expected("a string")) }
    guard bytes.count &- offset >= count &+ 2,
      bytes[offset &+ 1 &+ count] == UInt8(ascii: "\"")
    else { throw error(.badHex) }
    let start = offset &+ 1
    offset &+= count &+ 2
    return bytes.extracting(start..<(start &+ count))
  }

  /// A string of any length; an escape in it is left to be bad hexadecimal.
  @inline(__always)
  private mutating func openText() throws(JSONError) -> UnsafeBufferPointer<UInt8> {
    guard try nextByte() == UInt8(ascii: "\""), let base = bytes.baseAddress else {
      throw error(.expected("a string"))
    }
    let start = offset + 1
    guard let quote = memchr(base + start, 0x22, bytes.count - start) else {
      throw error(.unexpectedEnd)
    }
    let end = UnsafeRawPointer(base).distance(to: quote)
    offset = end + 1
    return UnsafeBufferPointer(rebasing: bytes[start..<end])
  }
}
