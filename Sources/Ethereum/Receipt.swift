/// What one transaction did, as far as its block's header binds it.
public struct Receipt: Equatable, Sendable {
  /// How the transaction ended.
  public enum Outcome: Equatable, Sendable {
    /// It was taken back, and cost its gas.
    case failed
    /// It took effect.
    case succeeded
    /// The root of the state after it: blocks before Byzantium say no more.
    case state(Bytes32)
  }

  /// The transaction's type (EIP-2718); 0 for a legacy one.
  public var type: UInt8
  /// How it ended.
  public var outcome: Outcome
  /// The gas used in the block up to and with this transaction.
  public var cumulativeGasUsed: UInt64
  /// The 256 bytes that tell which addresses and topics its logs have.
  public var bloom: [UInt8]
  /// Its logs, in their order.
  public var logs: [Log]

  /// A receipt of its fields; nothing is checked.
  public init(
    type: UInt8, outcome: Outcome, cumulativeGasUsed: UInt64, bloom: [UInt8], logs: [Log]
  ) {
    self.type = type
    self.outcome = outcome
    self.cumulativeGasUsed = cumulativeGasUsed
    self.bloom = bloom
    self.logs = logs
  }

  /// The highest type whose encoding is known: access lists, EIP-1559, blobs, set-code.
  static let lastKnownType: UInt8 = 4

  /// The bytes that stand in the block's receipt trie, or nil for an unknown type.
  ///
  /// Source: yellow paper, section 4.3.1; EIP-658 (status); EIP-2718 (types).
  public var trieValue: [UInt8]? {
    guard type <= Self.lastKnownType else { return nil }
    var members: [UInt8] = []
    switch outcome {
    case .failed: RLP.append([], to: &members)
    case .succeeded: RLP.append([1], to: &members)
    case .state(let root): RLP.append(root.bytes, to: &members)
    }
    RLP.append(cumulativeGasUsed, to: &members)
    RLP.append(bloom, to: &members)
    var entries: [UInt8] = []
    for log in logs { log.appendForReceipt(to: &entries) }
    RLP.appendList(entries, to: &members)
    return (type == 0 ? [] : [type]) + RLP.list(members)
  }
}

/// The root that a block's header has for its receipts, or nil when one is of an unknown type.
public func receiptsRoot(_ receipts: [Receipt]) -> Bytes32? {
  var values: [[UInt8]] = []
  for receipt in receipts {
    guard let value = receipt.trieValue else { return nil }
    values.append(value)
  }
  return orderedTrieRoot(values)
}

extension Log {
  /// Adds the list of address, topics and data.
  fileprivate func appendForReceipt(to output: inout [UInt8]) {
    var members = RLP.encode(address.bytes)
    var words: [UInt8] = []
    for topic in topics { RLP.append(topic.bytes, to: &words) }
    RLP.appendList(words, to: &members)
    RLP.append(data, to: &members)
    RLP.appendList(members, to: &output)
  }
}
