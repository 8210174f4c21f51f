import Foundation

/// Random numbers that can be had again: xoshiro256**, started from one 64-bit seed.
///
/// A test makes one with `SeededGenerator()`, which prints the seed; the environment variable
/// `PLIMSOLL_TEST_SEED` sets it, so that a failed run can be repeated. The same seed gives the
/// same numbers on every machine.
///
/// Source: Blackman and Vigna, "Scrambled linear pseudorandom number generators"; the state is
/// filled by SplitMix64, as they advise.
public struct SeededGenerator: RandomNumberGenerator, Sendable {
  /// What the sequence started from.
  public let seed: UInt64
  private var state: (UInt64, UInt64, UInt64, UInt64)

  /// The sequence of `seed`.
  public init(seed: UInt64) {
    self.seed = seed
    var filler = SplitMix64(state: seed)
    state = (filler.next(), filler.next(), filler.next(), filler.next())
  }

  /// The sequence of the seed in the environment, or else of a new one; prints it.
  public init(test: String = #function) {
    let given = ProcessInfo.processInfo.environment[Self.variable].flatMap { UInt64($0) }
    self.init(seed: given ?? UInt64.random(in: 0...UInt64.max))
    print("\(test): random with \(Self.variable)=\(seed)")
  }

  /// The environment variable that sets the seed, in decimal.
  public static let variable = "PLIMSOLL_TEST_SEED"

  /// The next 64 even bits.
  public mutating func next() -> UInt64 {
    let result = rotate(state.1 &* 5, 7) &* 9
    let shifted = state.1 &<< 17
    state.2 ^= state.0
    state.3 ^= state.1
    state.1 ^= state.2
    state.0 ^= state.3
    state.2 ^= shifted
    state.3 = rotate(state.3, 45)
    return result
  }

  /// `count` even bytes.
  public mutating func bytes(_ count: Int) -> [UInt8] {
    (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) }
  }

  private func rotate(_ word: UInt64, _ bits: UInt64) -> UInt64 {
    word &<< bits | word &>> (64 &- bits)
  }
}

/// Spreads one word over many; every state has one successor, so no seed is bad.
private struct SplitMix64 {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var word = state
    word = (word ^ word &>> 30) &* 0xbf58_476d_1ce4_e5b9
    word = (word ^ word &>> 27) &* 0x94d0_49bb_1331_11eb
    return word ^ word &>> 31
  }
}
