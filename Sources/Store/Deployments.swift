import Ethereum
import Postgres

/// Table `deployment`: one contract of a system on one chain.
public enum Deployments {
  /// The key of the deployment, which is added when it is new; its first block may change.
  ///
  /// - Throws: `DeploymentError.taken` if the name stands for another contract, or the contract has
  ///   another name.
  public static func register(
    name: String, chainID: UInt64, system: String, address: Address, firstBlock: UInt64,
    in tx: borrowing Transaction
  ) throws -> Int32 {
    func known() throws -> Int32? {
      let rows = try tx.query(
        """
        select id, first_block from deployment where name = \(name) and chain_id = \(chainID)
          and system = \(system) and address = \(address)
        """)
      guard let row = rows.first else { return nil }
      let id = try row.get(0, Int32.self)
      // What is complete is judged from there on (view completeness).
      if try row.get(1, UInt64.self) != firstBlock {
        try tx.execute("update deployment set first_block = \(firstBlock) where id = \(id)")
      }
      return id
    }
    if let id = try known() { return id }
    let added = try tx.query(
      """
      insert into deployment (name, chain_id, system, address, first_block)
      values (\(name), \(chainID), \(system), \(address), \(firstBlock))
      on conflict do nothing returning id
      """)
    if let row = added.first { return try row.get(0, Int32.self) }
    // Another run may have added the very same one since; the insertion has waited for it.
    guard let id = try known() else { throw DeploymentError.taken(name: name) }
    return id
  }

  /// The statement that reads all deployments, for `stored`.
  public static let all: SQL =
    "select id, name, chain_id, system, address, first_block from deployment"

  /// The deployments that `all` has read.
  public static func stored(_ rows: Rows) throws(PostgresError) -> [StoredDeployment] {
    var found: [StoredDeployment] = []
    for row in rows {
      found.append(
        StoredDeployment(
          id: try row.get(0), name: try row.get(1), chainID: try row.get(2),
          system: try row.get(3), address: try row.get(4), firstBlock: try row.get(5)))
    }
    return found
  }

  /// The key of a deployment that is already there.
  public static func find(name: String, in tx: borrowing Transaction) throws -> Int32? {
    try tx.query("select id from deployment where name = \(name)").first?.get(0, Int32.self)
  }

  /// The block whose state a deployment stands on; nil: it was read from its first block on.
  public static func bootstrapBlock(
    of id: Int32, in tx: borrowing Transaction
  ) throws -> UInt64? {
    try tx.query("select bootstrap_block from deployment where id = \(id)").first?
      .get(0, UInt64?.self)
  }

  /// Makes a deployment stand on a block's state, once and for all.
  ///
  /// - Throws: `DeploymentError.begun` if it stands on one already.
  public static func bootstrap(
    _ id: Int32, at block: UInt64, in tx: borrowing Transaction
  ) throws {
    let set = try tx.execute(
      """
      update deployment set bootstrap_block = \(block)
      where id = \(id) and bootstrap_block is null
      """)
    guard set == 1 else { throw DeploymentError.begun(id: id) }
  }
}

/// A deployment as the database knows it. Only its first block may change.
public struct StoredDeployment: Sendable, Equatable {
  public let id: Int32
  public let name: String
  public let chainID: UInt64
  public let system: String
  public let address: Address
  public let firstBlock: UInt64
}

/// Why a deployment of the configuration is not the one of the database.
public enum DeploymentError: Error, Equatable, CustomStringConvertible {
  /// The name, or the contract, is registered already with other values.
  case taken(name: String)
  /// It stands on the state of a block already.
  case begun(id: Int32)

  public var description: String {
    switch self {
    case .taken(let name):
      "deployment \"\(name)\": the database knows this name, or this contract, with other values; "
        + "use a new name for a new contract and keep the old name for the old one"
    case .begun(let id): "deployment number \(id) stands on the state of a block already"
    }
  }
}
