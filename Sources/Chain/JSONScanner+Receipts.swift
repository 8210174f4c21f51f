import Ethereum

/// A header with everything that its hash is made of.
struct SealedHeader: Equatable {
  /// The hash that the node gives.
  var hash: Bytes32
  var fields: HeaderFields
  /// The hashes of its transactions; nil when the node does not give them.
  var transactions: [Bytes32]?
}

/// A receipt with what the node says of its place, which no root binds.
struct FetchedReceipt: Equatable {
  var receipt: Receipt
  var blockHash: Bytes32
  var transactionHash: Bytes32
}

/// Reading what proves logs. Rarely needed, so written for clearness and not for speed.
extension JSONScanner {
  mutating func sealedHeader() throws(JSONError) -> SealedHeader {
    var header = SealedHeader(hash: .zero, fields: HeaderFields())
    var seen: Set<String> = []
    try beginObject()
    while let key = try nextKey()?.decoded() {
      switch key {
      case "hash": header.hash = try once(key, &seen) ? bytes32() : .zero
      case "transactions": header.transactions = try once(key, &seen) ? hashes() : nil
      default:
        guard let field = HeaderFields.Field(jsonKey: key), try once(key, &seen) else {
          try skipValue()
          continue
        }
        if try takeNull() { continue }
        header.fields[field] = try field.isNumber ? minimalBytes() : hexBytes()
      }
    }
    guard seen.contains("hash") else { throw error(.missingKey("hash")) }
    return header
  }

  /// An array of receipts.
  mutating func receipts() throws(JSONError) -> [FetchedReceipt] {
    var receipts: [FetchedReceipt] = []
    try beginArray()
    while try nextElement() { receipts.append(try receipt()) }
    return receipts
  }

  mutating func receipt() throws(JSONError) -> FetchedReceipt {
    var blockHash = Bytes32.zero
    var transactionHash = Bytes32.zero
    var receipt = Receipt(
      type: 0, outcome: .failed, cumulativeGasUsed: 0, bloom: [], logs: [])
    var seen: Set<String> = []
    try beginObject()
    while let key = try nextKey()?.decoded() {
      guard Self.receiptKeys.contains(key), try once(key, &seen) else {
        try skipValue()
        continue
      }
      switch key {
      case "type": receipt.type = try receiptType()
      case "status", "root": receipt.outcome = try outcome(key) ?? receipt.outcome
      case "cumulativeGasUsed": receipt.cumulativeGasUsed = try quantity()
      case "logsBloom": receipt.bloom = try hexBytes()
      case "logs": receipt.logs = try logs().logs
      case "blockHash": blockHash = try bytes32()
      default: transactionHash = try bytes32()
      }
    }
    for key in ["cumulativeGasUsed", "logsBloom", "logs", "blockHash", "transactionHash"]
    where !seen.contains(key) { throw error(.missingKey(key)) }
    guard seen.contains("status") || seen.contains("root") else {
      throw error(.missingKey("status"))
    }
    return FetchedReceipt(
      receipt: receipt, blockHash: blockHash, transactionHash: transactionHash)
  }

  private static let receiptKeys: Set<String> = [
    "type", "status", "root", "cumulativeGasUsed", "logsBloom", "logs", "blockHash",
    "transactionHash",
  ]

  /// Types above 255 do not exist; whatever they are, their encoding is not known.
  private mutating func receiptType() throws(JSONError) -> UInt8 {
    if try takeNull() { return 0 }
    return UInt8(clamping: try quantity())
  }

  /// How a transaction ended. Some nodes write a root of `null` or `0x` beside the status.
  private mutating func outcome(_ key: String) throws(JSONError) -> Receipt.Outcome? {
    if try takeNull() { return nil }
    guard key == "root" else { return try quantity() == 0 ? .failed : .succeeded }
    return Bytes32(bytes: try hexBytes()).map(Receipt.Outcome.state)
  }

  /// The hashes of transactions, whole ones or not; nil when something else stands there.
  private mutating func hashes() throws(JSONError) -> [Bytes32]? {
    var hashes: [Bytes32] = []
    guard try kind() == .array else {
      try skipValue()
      return nil
    }
    try beginArray()
    while try nextElement() {
      guard try kind() == .string else { throw error(.expected("a transaction's hash")) }
      hashes.append(try bytes32())
    }
    return hashes
  }

  /// The big-endian bytes of a number, without leading zeros.
  private mutating func minimalBytes() throws(JSONError) -> [UInt8] {
    let text = try string().decoded()
    let digits = text.dropFirst(2).drop { $0 == "0" }
    guard text.hasPrefix("0x"), text.utf8.count > 2,
      let bytes = Hex.decode("0x" + (digits.utf8.count % 2 == 0 ? "" : "0") + digits)
    else { throw error(.badHex) }
    return bytes
  }
}

extension HeaderFields.Field {
  /// The field of a key of JSON-RPC.
  fileprivate init?(jsonKey key: String) {
    switch key {
    case "parentHash": self = .parentHash
    case "sha3Uncles": self = .uncles
    case "miner": self = .beneficiary
    case "stateRoot": self = .stateRoot
    case "transactionsRoot": self = .transactionsRoot
    case "receiptsRoot": self = .receiptsRoot
    case "logsBloom": self = .bloom
    case "difficulty": self = .difficulty
    case "number": self = .number
    case "gasLimit": self = .gasLimit
    case "gasUsed": self = .gasUsed
    case "timestamp": self = .timestamp
    case "extraData": self = .extraData
    case "mixHash": self = .mixHash
    case "nonce": self = .nonce
    case "baseFeePerGas": self = .baseFee
    case "withdrawalsRoot": self = .withdrawalsRoot
    case "blobGasUsed": self = .blobGasUsed
    case "excessBlobGas": self = .excessBlobGas
    case "parentBeaconBlockRoot": self = .beaconRoot
    case "requestsHash": self = .requestsHash
    default: return nil
    }
  }

  fileprivate var isNumber: Bool {
    switch self {
    case .difficulty, .number, .gasLimit, .gasUsed, .timestamp, .baseFee, .blobGasUsed,
      .excessBlobGas:
      true
    default: false
    }
  }
}
