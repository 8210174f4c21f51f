import Ethereum
import Foundation
import Quantities
import TestKit

@testable import Moolah

/// A stream of logs of Moolah's deployed bytecode, with the words that the contract held at its
/// end.
///
/// `Tests/Fixtures/Moolah/fixture_logs_*.json`; every second of the stream is one block.
struct LogStream: Decodable {
  struct RecordedLog: Decodable {
    let ts: UInt64
    let address: String
    let topics: [String]
    let data: String
  }
  struct RecordedMarket: Decodable {
    let id: String
    let market: [String]
    let rateAtTarget: String
    let fixedRate: String?
    let expectedNow: [String: String]
  }
  struct RecordedPosition: Decodable {
    let id: String
    let user: String
    let position: [String]
  }
  let markets: [RecordedMarket]
  let positions: [RecordedPosition]
  let logs: [RecordedLog]
  let endTimestamp: UInt64

  static let names = ["fixture_logs_11", "fixture_logs_12"]

  /// The contract whose bytecode made the streams.
  static let core: Address = unwrapped(Address("0xf820fb4680712cd7263a0d3d024d5b5aea82fd70"))

  static func named(_ name: String) throws -> LogStream {
    try JSONDecoder().decode(
      LogStream.self, from: Data(Fixture.bytes("Moolah/\(name).json")))
  }

  /// The logs as a node gives them, and the time of each block.
  func chain() -> (logs: [Log], times: [UInt64: UInt64]) {
    var logs: [Log] = []
    var times: [UInt64: UInt64] = [:]
    var block: UInt64 = 0
    var index: UInt32 = 0
    for log in self.logs {
      if times[block] != log.ts {
        block += 1
        index = 0
        times[block] = log.ts
      }
      logs.append(
        Log(
          address: unwrapped(Address(log.address)),
          topics: log.topics.map { unwrapped(Bytes32($0)) }, data: unwrapped(Hex.decode(log.data)),
          blockNumber: block, blockHash: keccak256(U256(block).bigEndianBytes),
          transactionHash: keccak256(U256(block * 1_000 + UInt64(index)).bigEndianBytes),
          transactionIndex: 0, logIndex: index))
      index += 1
    }
    return (logs, times)
  }
}

/// For words of fixtures, which are known to be well formed.
func unwrapped<Value>(_ value: Value?) -> Value {
  guard let value else { preconditionFailure("a fixture holds a malformed word") }
  return value
}

extension MarketState {
  /// The six words of `market(id)`.
  var words: [String] {
    [
      totalSupplyAssets.description, totalSupplyShares.description,
      totalBorrowAssets.description, totalBorrowShares.description, lastUpdate.description,
      fee.raw.description,
    ]
  }
}

extension PositionState {
  /// The three words of `position(id, user)`.
  var words: [String] {
    [supplyShares.description, borrowShares.description, collateral.description]
  }
}
