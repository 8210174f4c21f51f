import Ethereum

/// Which logs are wanted: those of any of the addresses whose first topic is any of the topics.
public struct LogFilter: Hashable, Sendable {
  /// The contracts. None means no logs at all.
  public var addresses: [Address]

  /// The events. None means every event of the contracts.
  public var topics0: [Bytes32]

  /// A filter.
  public init(addresses: [Address], topics0: [Bytes32]) {
    self.addresses = addresses
    self.topics0 = topics0
  }
}

/// A checked piece of the chain: all its wanted logs, and the headers that prove their place.
public struct Window: Equatable, Sendable {
  /// The blocks it covers. It may end earlier than asked when the node refused the size.
  public var range: ClosedRange<UInt64>

  /// The wanted logs, in the order of the chain.
  public var logs: [Log]

  /// By number: every block that has logs, the last block of the range, and every block from
  /// the asked one on.
  public var headers: [BlockHeader]

  /// Blocks whose bloom says that a wanted log is there while none came. Only blooms so empty
  /// that fewer than one in 1,000 would match by chance are heard; even so, and since some
  /// chains' blooms lie, this is a suspicion and no error.
  public var suspiciousBlocks: [UInt64]

  /// A window.
  public init(
    range: ClosedRange<UInt64>, logs: [Log], headers: [BlockHeader],
    suspiciousBlocks: [UInt64] = []
  ) {
    self.range = range
    self.logs = logs
    self.headers = headers
    self.suspiciousBlocks = suspiciousBlocks
  }
}
