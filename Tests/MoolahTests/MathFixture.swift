import Foundation
import Moolah
import Quantities
import Testing

/// Numbers recorded from the contracts, in `Tests/Fixtures/Moolah`.
enum MathFixture {
  static func decode<Value: Decodable>(_ type: Value.Type, _ name: String) throws -> Value {
    let url = URL(filePath: #filePath)
      .deletingLastPathComponent()
      .appending(path: "../Fixtures/Moolah/\(name).json")
      .standardizedFileURL
    return try JSONDecoder().decode(type, from: Data(contentsOf: url))
  }
}

/// The cases of a recorded file.
struct Recorded<Case: Decodable>: Decodable {
  var cases: [Case]
}

/// An integer written as decimal text or as a JSON number.
struct Number: Decodable {
  var value: I256

  init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    if let small = try? container.decode(Int64.self) {
      value = I256(small)
    } else if let big = I256(decimal: try container.decode(String.self)) {
      value = big
    } else {
      throw DecodingError.dataCorruptedError(in: container, debugDescription: "not an integer")
    }
  }

  var u256: U256 {
    get throws { try U256(narrowing: value) }
  }
  var u128: UInt128 {
    get throws { try UInt128(narrowing: U256(narrowing: value)) }
  }
  var u64: UInt64 {
    get throws { try #require(UInt64(exactly: U256(narrowing: value))) }
  }
  var wad: Wad {
    get throws { Wad(raw: try U256(narrowing: value)) }
  }
}

extension MarketState {
  /// The six words of `market(id)`.
  init(_ words: [Number]) throws {
    try #require(words.count == 6)
    self.init(
      totalSupplyAssets: try words[0].u128, totalSupplyShares: try words[1].u128,
      totalBorrowAssets: try words[2].u128, totalBorrowShares: try words[3].u128,
      lastUpdate: try words[4].u64, fee: try words[5].wad)
  }
}

extension PositionState {
  /// The three words of `position(id, user)`.
  init(_ words: [Number]) throws {
    try #require(words.count == 3)
    self.init(
      supplyShares: try words[0].u256, borrowShares: try words[1].u128,
      collateral: try words[2].u128)
  }
}
