import Ethereum

/// One contract of a system on one chain, as the database knows it.
public struct Deployment: Hashable, Sendable {
  /// Surrogate key of table `deployment`.
  public let id: Int32
  public let name: String
  public let chainID: UInt64
  public let address: Address
  /// The first block that can hold an event of this contract.
  public let firstBlock: UInt64

  public init(id: Int32, name: String, chainID: UInt64, address: Address, firstBlock: UInt64) {
    self.id = id
    self.name = name
    self.chainID = chainID
    self.address = address
    self.firstBlock = firstBlock
  }
}

/// A block that something is true at.
public struct BlockMark: Hashable, Sendable, CustomStringConvertible {
  public let number: UInt64
  public let hash: Bytes32
  /// Seconds since 1970.
  public let timestamp: UInt64

  public init(number: UInt64, hash: Bytes32, timestamp: UInt64) {
    self.number = number
    self.hash = hash
    self.timestamp = timestamp
  }

  public init(_ header: BlockHeader) {
    self.init(number: header.number, hash: header.hash, timestamp: header.timestamp)
  }

  public var description: String { "block \(number)" }
}
