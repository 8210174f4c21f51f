import Quantities

extension Bytes32 {
  /// The word of a number, as a contract stores it: big-endian.
  @inlinable
  public init(_ value: U256) {
    self.init(word0: value.w3, word1: value.w2, word2: value.w1, word3: value.w0)
  }

  /// The word read as an unsigned number.
  @inlinable
  public var u256: U256 {
    U256(w0: word3, w1: word2, w2: word1, w3: word0)
  }

  /// The word of an address: twelve zero bytes and the address, as a topic carries it.
  @inlinable
  public init(_ address: Address) {
    self.init(
      word0: 0, word1: address.word0 &>> 32,
      word2: address.word0 &<< 32 | address.word1 &>> 32,
      word3: address.word1 &<< 32 | UInt64(address.word2))
  }

  /// The address in the low twenty bytes, or nil when the upper twelve are not zero.
  @inlinable
  public var address: Address? {
    guard word0 == 0, word1 &>> 32 == 0 else { return nil }
    return lowAddress
  }

  /// The low twenty bytes, whatever the upper twelve are.
  @inlinable
  var lowAddress: Address {
    Address(
      word0: word1 &<< 32 | word2 &>> 32, word1: word2 &<< 32 | word3 &>> 32,
      word2: UInt32(truncatingIfNeeded: word3))
  }
}
