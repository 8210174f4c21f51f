/// Everything that a block's hash is made of.
public struct HeaderFields: Equatable, Sendable {
  /// A field, in the order in which they are hashed.
  ///
  /// Source: yellow paper, section 4.3; EIP-1559 (base fee), EIP-4895 (withdrawals), EIP-4844
  /// (blobs), EIP-4788 (beacon root), EIP-7685 (requests).
  public enum Field: Int, CaseIterable, Sendable {
    case parentHash, uncles, beneficiary, stateRoot, transactionsRoot, receiptsRoot, bloom
    case difficulty, number, gasLimit, gasUsed, timestamp, extraData, mixHash, nonce
    case baseFee, withdrawalsRoot, blobGasUsed, excessBlobGas, beaconRoot, requestsHash

    /// Whether every block has it. The later ones came with upgrades, one after the other.
    var isAlwaysThere: Bool { rawValue <= Field.nonce.rawValue }
  }

  private var values: [[UInt8]?] = Array(repeating: nil, count: Field.allCases.count)

  /// No fields at all.
  public init() {}

  /// The bytes of a field, which for numbers have no leading zeros; nil when the block has none.
  public subscript(field: Field) -> [UInt8]? {
    get { values[field.rawValue] }
    set { values[field.rawValue] = newValue }
  }

  /// A field of 32 bytes, or nil.
  public func word(_ field: Field) -> Bytes32? {
    self[field].flatMap { Bytes32(bytes: $0) }
  }

  /// The block's hash, or nil when fields are missing in between.
  ///
  /// Chains that hash other fields than Ethereum's have another hash.
  public var hash: Bytes32? {
    var members: [UInt8] = []
    var hasEnded = false
    for field in Field.allCases {
      guard let value = self[field] else {
        if field.isAlwaysThere { return nil }
        hasEnded = true
        continue
      }
      if hasEnded { return nil }
      RLP.append(value, to: &members)
    }
    return keccak256(RLP.list(members))
  }
}
