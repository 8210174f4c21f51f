import TestKit

/// Transactions, calls and addresses that other implementations made.
struct SigningFixture: Decodable {
  let signer: String
  let privateKey: String
  let typedTransactions: [TypedTransaction]
  let liquidateSevenCalldata: String
  let multicall3: Multicall
  let checksums: [String]

  struct TypedTransaction: Decodable {
    let raw: String
    let hash: String
    let r: String
    let s: String
    let yParity: Int
  }

  struct Multicall: Decodable {
    let calldata: String
    let returndata: String
  }

  static func load() throws -> SigningFixture {
    try Fixture.json("Ethereum/signing.json")
  }
}
