import Quantities

/// The words of an encoding in which every value is static, as most events and answers are.
///
/// A view: making one copies nothing and reading allocates nothing. Each reader throws when the
/// word is not there or has bits that its type has not.
@frozen
public struct ABIWords: Sendable {
  @usableFromInline let data: [UInt8]

  /// A view of as many whole words as there are.
  @inlinable
  public init(_ data: [UInt8]) {
    self.data = data
  }

  /// A view of exactly `count` words; throws `wrongCount` for fewer, more or a broken one.
  @inlinable
  public init(_ data: [UInt8], count: Int) throws(ABIError) {
    self.data = data
    guard data.count == 32 * count else {
      throw .wrongCount(expected: count, found: data.count / 32)
    }
  }

  /// How many whole words there are.
  @inlinable
  public var count: Int { data.count / 32 }

  /// The word at `index` as it is.
  @inlinable
  public func bytes32(_ index: Int) throws(ABIError) -> Bytes32 {
    guard index >= 0, index < count else { throw .outOfBounds(offset: offset(of: index)) }
    return Bytes32(reading: data.span.bytes, at: 32 * index)
  }

  /// A `uint256`.
  @inlinable
  public func word(_ index: Int) throws(ABIError) -> U256 {
    try bytes32(index).u256
  }

  /// A `uint128`.
  @inlinable
  public func uint128(_ index: Int) throws(ABIError) -> UInt128 {
    let word = try bytes32(index)
    guard word.word0 | word.word1 == 0 else { throw .dirtyWord(offset: offset(of: index)) }
    return UInt128(word.word2) << 64 | UInt128(word.word3)
  }

  /// A `uint64`.
  @inlinable
  public func uint64(_ index: Int) throws(ABIError) -> UInt64 {
    let word = try bytes32(index)
    guard word.word0 | word.word1 | word.word2 == 0 else {
      throw .dirtyWord(offset: offset(of: index))
    }
    return word.word3
  }

  /// An `int256`.
  @inlinable
  public func int256(_ index: Int) throws(ABIError) -> I256 {
    I256(bits: try word(index))
  }

  /// An `address`.
  @inlinable
  public func address(_ index: Int) throws(ABIError) -> Address {
    try bytes32(index).address(at: offset(of: index))
  }

  /// A `bool`.
  @inlinable
  public func bool(_ index: Int) throws(ABIError) -> Bool {
    try bytes32(index).bool(at: offset(of: index))
  }

  /// Where the word at `index` starts; only for errors, so an absurd index does not trap.
  @inlinable
  func offset(of index: Int) -> Int { index &* 32 }
}
