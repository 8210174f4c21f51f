/// One entry that a contract wrote into a block, with the place where it stands.
public struct Log: Hashable, Sendable {
  /// The contract that wrote it.
  public var address: Address
  /// 0 to 4 words; the first is the event's topic unless the event is anonymous.
  public var topics: [Bytes32]
  /// The arguments that are not indexed, ABI-encoded.
  public var data: [UInt8]
  /// The block that holds it.
  public var blockNumber: UInt64
  /// The hash of that block.
  public var blockHash: Bytes32
  /// The transaction that caused it.
  public var transactionHash: Bytes32
  /// The transaction's place in the block.
  public var transactionIndex: UInt32
  /// The log's place in the block, counted over all its transactions.
  public var logIndex: UInt32

  /// A log of its fields; nothing is checked.
  public init(
    address: Address, topics: [Bytes32], data: [UInt8], blockNumber: UInt64, blockHash: Bytes32,
    transactionHash: Bytes32, transactionIndex: UInt32, logIndex: UInt32
  ) {
    self.address = address
    self.topics = topics
    self.data = data
    self.blockNumber = blockNumber
    self.blockHash = blockHash
    self.transactionHash = transactionHash
    self.transactionIndex = transactionIndex
    self.logIndex = logIndex
  }
}
