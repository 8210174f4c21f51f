import Ethereum
import Postgres

/// Table `deployment`: one contract of a system on one chain.
public enum Deployments {
  /// The key of the deployment, which is added when it is new.
  ///
  /// - Throws: `PostgresError`; a name that stands for another contract is `.nameTaken`.
  public static func register(
    name: String, chainID: UInt64, system: String, address: Address, firstBlock: UInt64,
    in tx: borrowing Transaction
  ) throws -> Int32 {
    let known = try tx.query(
      "select id from deployment where name = \(name) and chain_id = \(chainID) and system = \(system) and address = \(address)"
    )
    if let row = known.first { return try row.get(0, Int32.self) }
    let added = try tx.query(
      """
      insert into deployment (name, chain_id, system, address, first_block)
      values (\(name), \(chainID), \(system), \(address), \(firstBlock))
      on conflict do nothing returning id
      """)
    guard let row = added.first else { throw DeploymentError.taken(name: name) }
    return try row.get(0, Int32.self)
  }

  /// The key of a deployment that is already there.
  public static func find(name: String, in tx: borrowing Transaction) throws -> Int32? {
    try tx.query("select id from deployment where name = \(name)").first?.get(0, Int32.self)
  }
}

/// Why a deployment of the configuration is not the one of the database.
public enum DeploymentError: Error, Equatable, CustomStringConvertible {
  /// The name, or the contract, is registered already with other values.
  case taken(name: String)

  public var description: String {
    switch self {
    case .taken(let name):
      "deployment \"\(name)\": the database knows this name, or this contract, with other values; "
        + "use a new name for a new contract and keep the old name for the old one"
    }
  }
}
