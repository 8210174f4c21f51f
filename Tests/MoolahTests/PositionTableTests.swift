import Ethereum
import Quantities
import TestKit
import Testing

@testable import Moolah

@Suite struct PositionTableTests {
  /// Few markets and users, so that keys come again; users that share all words but one.
  private func key(_ generator: inout SeededGenerator) -> PositionKey {
    let word = { (generator: inout SeededGenerator) in
      UInt64.random(in: 0..<8, using: &generator)
    }
    return PositionKey(
      market: Bytes32(
        word0: word(&generator), word1: word(&generator) / 4, word2: 0, word3: 0),
      user: Address(
        word0: word(&generator), word1: word(&generator),
        word2: UInt32(word(&generator))))
  }

  private func state(_ number: Int) -> PositionState {
    PositionState(supplyShares: U256(UInt64(number)), borrowShares: 1, collateral: 2)
  }

  @Test func isWhatADictionaryIs() {
    var generator = SeededGenerator()
    var table = PositionTable()
    var expected: [PositionKey: PositionRow] = [:]
    for number in 0..<20_000 {
      let key = key(&generator)
      let place = table.place(of: key)
      #expect((place == nil) == (expected[key] == nil))
      table.change(
        place ?? table.insert(PositionRow(), at: key), to: state(number), in: UInt64(number))
      expected[key] = PositionRow(
        state: state(number), asOfBlock: UInt64(number), isChanged: true)
    }
    #expect(table.count == expected.count)
    #expect(table.byKey == expected)
    for (key, row) in expected { #expect(table[key] == row) }
    for _ in 0..<1_000 {
      let key = key(&generator)
      #expect(table[key] == expected[key])
    }
  }

  @Test func namesWhatChangedSinceItWasStoredOnce() {
    var generator = SeededGenerator(seed: 7)
    var table = PositionTable()
    for number in 0..<100 {
      let key = key(&generator)
      if table.place(of: key) == nil { table.insert(PositionRow(asOfBlock: 1), at: key) }
      table.change(number % 5, to: state(number), in: 2)
    }
    #expect(table.changed == [0, 1, 2, 3, 4])
    table.noteStored()
    #expect(table.changed.isEmpty)
    #expect(!table.rows.contains { $0.isChanged })
    table.change(3, to: state(1), in: 3)
    table.change(3, to: state(2), in: 3)
    #expect(table.changed == [3])
  }
}
