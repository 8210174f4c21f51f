import Ethereum
import Postgres
import Quantities
import Store
import TestKit

/// A database with one registered deployment, and blocks and logs to put into it.
struct Ground {
  static let chainID: UInt64 = 56
  static let core = Address(tail: 0xC0)

  let database: TemporaryDatabase
  let db: Connection
  let deployment: Int32

  init() throws {
    database = try TemporaryDatabase()
    db = try database.connection()
    deployment = try db.transaction { tx in
      try Deployments.register(
        name: "core", chainID: Self.chainID, system: "moolah", address: Self.core, firstBlock: 10,
        in: tx)
    }
  }

  /// One value of one row.
  func value<Value: Readable>(_ type: Value.Type, _ sql: SQL) throws -> Value {
    try db.transaction(.readOnly) { tx in try tx.query(sql)[0].get(0, type) }
  }
}

extension Address {
  /// An address that ends in this number.
  init(tail: UInt64) {
    guard let address = Bytes32(U256(tail)).address else {
      preconditionFailure("64 bits always fit an address")
    }
    self = address
  }
}

extension BlockHeader {
  /// A block of a named branch on top of a block of another, or the same.
  init(_ number: UInt64, _ branch: String = "a", on parent: String? = nil) {
    self.init(
      number: number, hash: Self.hash(number, branch),
      parentHash: Self.hash(number - 1, parent ?? branch), timestamp: 1_000 + number * 12)
  }

  static func hash(_ number: UInt64, _ branch: String = "a") -> Bytes32 {
    keccak256(Array("\(branch) \(number)".utf8))
  }
}

extension Log {
  /// A log of the deployment's contract in a block of a branch.
  init(
    _ block: UInt64, _ index: UInt32, branch: String = "a", of address: Address = Ground.core,
    topics: Int = 2, data: [UInt8] = [1, 2, 3], transactionIndex: UInt32 = 0
  ) {
    self.init(
      address: address, topics: (0..<topics).map { Bytes32(U256(UInt64($0 + 7))) }, data: data,
      blockNumber: block, blockHash: BlockHeader.hash(block, branch),
      transactionHash: keccak256(Array("\(branch) \(block) \(index)".utf8)),
      transactionIndex: transactionIndex, logIndex: index)
  }
}

/// Any error that ends a transaction without a trace.
struct Abandoned: Error {}
