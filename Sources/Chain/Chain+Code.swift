import Ethereum

/// Whether a contract stood somewhere in the past.
extension Chain {
  /// Whether there was code at an address after a block; nil when no node can tell, which most
  /// cannot of blocks that are more than a few hundred behind the head.
  ///
  /// Asks by number, so the block should be one that is not taken back any more.
  public func hasCode(at address: Address, block: UInt64) throws(ChainError) -> Bool? {
    let answers: [RPCAnswer]
    do throws(ChainError) {
      answers = try exchange([.code(of: address, block: block)])
    } catch {
      if case .unknownBlock = error { return nil }
      throw error
    }
    switch answers[0] {
    case .bytes(let code): return !code.isEmpty
    case .failure: return nil
    default: preconditionFailure("the answer to a code call is bytes")
    }
  }
}

extension RPCCall {
  fileprivate static func code(of address: Address, block: UInt64) -> RPCCall {
    RPCCall(
      method: "eth_getCode",
      parameters: "[\"\(address.lowercaseHex)\",\"\(Hex.quantity(block))\"]", expectation: .bytes)
  }
}
