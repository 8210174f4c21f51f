/// What the program needs to know of a block: its place in the chain and its time.
public struct BlockHeader: Hashable, Sendable {
  /// Its height above the first block.
  public var number: UInt64
  /// The name of the block itself.
  public var hash: Bytes32
  /// The hash of the block below.
  public var parentHash: Bytes32
  /// Seconds since 1970, UTC, as the chain says.
  public var timestamp: UInt64

  /// A header of its fields; nothing is checked.
  public init(number: UInt64, hash: Bytes32, parentHash: Bytes32, timestamp: UInt64) {
    self.number = number
    self.hash = hash
    self.parentHash = parentHash
    self.timestamp = timestamp
  }
}
