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

  /// Whether a log is wanted.
  func admits(_ log: Log) -> Bool {
    addresses.contains(log.address)
      && (topics0.isEmpty || log.topics.first.map(topics0.contains) == true)
  }
}
