import Ethereum
import Quantities
import TestKit

extension SeededGenerator {
  /// A number of any length up to 256 bits.
  mutating func u256() -> U256 {
    let length = Int.random(in: 0...32, using: &self)
    return U256(bigEndianBytes: bytes(length)) ?? .zero
  }

  mutating func bytes32() -> Bytes32 {
    Bytes32(word0: next(), word1: next(), word2: next(), word3: next())
  }

  mutating func address() -> Address {
    Address(word0: next(), word1: next(), word2: UInt32(truncatingIfNeeded: next()))
  }
}
