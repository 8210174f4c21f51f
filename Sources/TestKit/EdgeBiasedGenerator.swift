import Quantities

/// Random integers that lean to the edges where carries and range checks go wrong.
///
/// The same seed gives the same values on every machine (SplitMix64), so a test that prints its
/// seed can be run again.
public struct EdgeBiasedGenerator: RandomNumberGenerator {
  /// What the sequence was started from.
  public let seed: UInt64
  private var state: UInt64

  /// Starts the sequence of `seed`.
  public init(seed: UInt64) {
    self.seed = seed
    state = seed
  }

  /// The next 64 even bits.
  public mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }

  /// A value below 2^`bits`: of edge words, of any length, or of full length.
  public mutating func u256(bits: Int = 256) -> U256 {
    let value =
      switch next() % 4 {
      case 0: U256(w0: edgeWord(), w1: edgeWord(), w2: edgeWord(), w3: edgeWord())
      case 1: evenBits()
      default: evenBits().shiftedRight(by: Int(next() % 256))
      }
    return value.shiftedLeft(by: 256 - bits).shiftedRight(by: 256 - bits)
  }

  /// A value below 2^`bits`, with `bits` of at most 128.
  public mutating func u128(bits: Int = 128) -> UInt128 {
    precondition(bits <= 128, "A UInt128 has 128 bits.")
    return u256(bits: bits).low
  }

  private mutating func evenBits() -> U256 {
    U256(w0: next(), w1: next(), w2: next(), w3: next())
  }

  private mutating func edgeWord() -> UInt64 {
    switch next() % 8 {
    case 0, 1: 0
    case 2, 3: .max
    case 4: 1
    case 5: 1 << 63
    case 6: .max - 1
    default: next()
    }
  }
}
