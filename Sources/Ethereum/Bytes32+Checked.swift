import Quantities

/// A word read as a type that is narrower than it, where the rest must be as the ABI demands.
/// `offset` is only what the error says.
extension Bytes32 {
  @inlinable
  func unsigned(bits: Int, at offset: Int) throws(ABIError) -> U256 {
    guard u256.bitWidth <= bits else { throw .dirtyWord(offset: offset) }
    return u256
  }

  /// All bits above the type's must equal its sign.
  @inlinable
  func signed(bits: Int, at offset: Int) throws(ABIError) -> I256 {
    let sign = UInt64(bitPattern: Int64(bitPattern: word0) >> 63)
    let magnitudeBits = Bytes32(
      word0: word0 ^ sign, word1: word1 ^ sign, word2: word2 ^ sign, word3: word3 ^ sign)
    guard magnitudeBits.u256.bitWidth < bits else { throw .dirtyWord(offset: offset) }
    return I256(bits: u256)
  }

  @inlinable
  func address(at offset: Int) throws(ABIError) -> Address {
    guard let address else { throw .dirtyWord(offset: offset) }
    return address
  }

  @inlinable
  func bool(at offset: Int) throws(ABIError) -> Bool {
    guard word0 | word1 | word2 == 0, word3 <= 1 else { throw .invalidBool(offset: offset) }
    return word3 == 1
  }

  /// The first `count` bytes; the others must be zero.
  func leading(_ count: Int, at offset: Int) throws(ABIError) -> [UInt8] {
    let bytes = bytes
    guard bytes[count...].allSatisfy({ $0 == 0 }) else { throw .dirtyWord(offset: offset) }
    return Array(bytes[..<count])
  }
}
