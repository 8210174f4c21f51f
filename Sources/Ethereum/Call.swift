/// One read of a contract, to be answered without a transaction.
public struct Call: Hashable, Sendable {
  /// The contract.
  public var to: Address
  /// The selector and the encoded arguments.
  public var data: [UInt8]

  /// A call with data that is already encoded.
  public init(to: Address, data: [UInt8]) {
    self.to = to
    self.data = data
  }

  /// A call of the function with this canonical signature, as `balanceOf(address)`.
  public init(to: Address, signature: String, arguments: [ABIValue]) {
    self.init(to: to, data: ABI.selector(signature) + ABI.encode(arguments))
  }
}

/// What a contract answered to a `Call`.
public struct CallResult: Hashable, Sendable {
  /// False when the call reverted; `data` is then the reason, as the contract encoded it.
  public var succeeded: Bool
  /// The encoded return values, or the reason of the revert.
  public var data: [UInt8]

  /// An answer of its parts.
  public init(succeeded: Bool, data: [UInt8]) {
    self.succeeded = succeeded
    self.data = data
  }
}
