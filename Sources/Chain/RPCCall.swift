import Ethereum

/// One JSON-RPC request and what its answer must look like.
struct RPCCall: Equatable {
  /// How the `result` is decoded.
  enum Expectation: Equatable {
    case quantity
    case bytes
    case logs
    /// A header with all that its hash is made of, or `null`.
    case sealedHeader
    /// The receipts of a block, or `null`.
    case receipts
    /// The receipt of a transaction, or `null`.
    case receipt
    /// A header; `null` counts as a failure when it must exist.
    case header(mustExist: Bool)
  }

  let method: String

  /// The JSON text of the parameters. Only hexadecimal and fixed words go into it.
  let parameters: String

  let expectation: Expectation

  /// The blocks it asks for by their numbers, if it does.
  var blocks: ClosedRange<UInt64>?

  /// Whether a node may well not have the method, so that it is no less useful without.
  var isOptional: Bool { expectation == .receipts || expectation == .receipt }

  static let chainID = RPCCall(method: "eth_chainId", parameters: "[]", expectation: .quantity)

  static let head = RPCCall(
    method: "eth_getBlockByNumber", parameters: #"["latest",false]"#,
    expectation: .header(mustExist: true))

  static func header(number: UInt64, mustExist: Bool) -> RPCCall {
    RPCCall(
      method: "eth_getBlockByNumber", parameters: "[\"\(Hex.quantity(number))\",false]",
      expectation: .header(mustExist: mustExist), blocks: number...number)
  }

  static func header(hash: Bytes32, mustExist: Bool) -> RPCCall {
    RPCCall(
      method: "eth_getBlockByHash", parameters: "[\"\(hash)\",false]",
      expectation: .header(mustExist: mustExist))
  }

  static func sealedHeader(hash: Bytes32) -> RPCCall {
    RPCCall(
      method: "eth_getBlockByHash", parameters: "[\"\(hash)\",false]", expectation: .sealedHeader)
  }

  /// By number, which every node that has the method takes.
  static func receipts(of number: UInt64) -> RPCCall {
    RPCCall(
      method: "eth_getBlockReceipts", parameters: "[\"\(Hex.quantity(number))\"]",
      expectation: .receipts)
  }

  static func receipt(of transaction: Bytes32) -> RPCCall {
    RPCCall(
      method: "eth_getTransactionReceipt", parameters: "[\"\(transaction)\"]",
      expectation: .receipt)
  }

  static func logs(_ filter: LogFilter, in range: ClosedRange<UInt64>) -> RPCCall {
    let addresses = filter.addresses.map { "\"\($0.lowercaseHex)\"" }.joined(separator: ",")
    let topics = filter.topics0.map { "\"\($0)\"" }.joined(separator: ",")
    let parameters = """
      [{"fromBlock":"\(Hex.quantity(range.lowerBound))",\
      "toBlock":"\(Hex.quantity(range.upperBound))",\
      "address":[\(addresses)],"topics":\(topics.isEmpty ? "[]" : "[[\(topics)]]")}]
      """
    return RPCCall(
      method: "eth_getLogs", parameters: parameters, expectation: .logs, blocks: range)
  }

  static func call(to address: Address, data: [UInt8], at point: BlockPoint) -> RPCCall {
    let parameters = """
      [{"to":"\(address.lowercaseHex)","data":"\(Hex.encode(data))"},\(point.json)]
      """
    return RPCCall(method: "eth_call", parameters: parameters, expectation: .bytes)
  }

  /// The body of a request with the calls; their ids count up from `firstID`. A single call
  /// is sent without the brackets of a batch.
  static func body(_ calls: [RPCCall], firstID: UInt64) -> [UInt8] {
    let texts = calls.enumerated().map { index, call in
      """
      {"jsonrpc":"2.0","id":\(firstID + UInt64(index)),"method":"\(call.method)",\
      "params":\(call.parameters)}
      """
    }
    guard texts.count != 1 else { return Array(texts[0].utf8) }
    return Array(("[" + texts.joined(separator: ",") + "]").utf8)
  }
}

/// The block whose state a call reads.
enum BlockPoint: Equatable {
  /// By hash, as EIP-1898 says; it must still be on the chain.
  case hash(Bytes32)

  /// By number, for nodes that do not know EIP-1898.
  case number(UInt64)

  fileprivate var json: String {
    switch self {
    case .hash(let hash): "{\"blockHash\":\"\(hash)\",\"requireCanonical\":true}"
    case .number(let number): "\"\(Hex.quantity(number))\""
    }
  }
}
