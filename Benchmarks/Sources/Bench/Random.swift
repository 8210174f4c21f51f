import Quantities

/// SplitMix64: the same operands in every run.
struct Random {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }

  /// A value of `words` random words with the top bit of the uppermost set.
  mutating func u256(words: Int) -> U256 {
    var limbs: [UInt64] = [0, 0, 0, 0]
    for index in 0..<words { limbs[index] = next() }
    limbs[words - 1] |= 1 << 63
    return U256(w0: limbs[0], w1: limbs[1], w2: limbs[2], w3: limbs[3])
  }
}
