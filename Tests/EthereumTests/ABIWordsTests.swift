import Ethereum
import Quantities
import TestKit
import Testing

@Suite struct ABIWordsTests {
  @Test func readsWhatTheGeneralDecoderReads() throws {
    var random = SeededGenerator()
    for _ in 0..<500 {
      let values = (address: random.address(), word: random.bytes32(), short: random.next())
      let wide = UInt128(random.next()) << 64 | UInt128(random.next())
      let data = ABI.encode([
        .address(values.address), .bytes32(values.word), .uint(U256(values.short)),
        .uint(U256(wide)), .bool(true), .bool(false),
      ])
      let words = try ABIWords(data, count: 6)
      #expect(words.count == 6)
      #expect(try words.address(0) == values.address)
      #expect(try words.bytes32(1) == values.word)
      #expect(try words.word(1) == values.word.u256)
      #expect(try words.int256(1) == I256(bits: values.word.u256))
      #expect(try words.uint64(2) == values.short)
      #expect(try words.uint128(3) == wide)
      #expect(try words.bool(4))
      #expect(try words.bool(5) == false)
    }
  }

  @Test func refusesBitsOutsideTheType() {
    let words = ABIWords([UInt8](repeating: 0x02, count: 32) + U256(2).bigEndianBytes)
    #expect(throws: ABIError.dirtyWord(offset: 0)) { try words.address(0) }
    #expect(throws: ABIError.dirtyWord(offset: 0)) { try words.uint128(0) }
    #expect(throws: ABIError.dirtyWord(offset: 0)) { try words.uint64(0) }
    #expect(throws: ABIError.invalidBool(offset: 0)) { try words.bool(0) }
    #expect(throws: ABIError.invalidBool(offset: 32)) { try words.bool(1) }
  }

  @Test func refusesEachBitAboveTheType() throws {
    for bit in 0..<256 {
      let word = U256.one.shiftedLeft(by: bit)
      let words = ABIWords(word.bigEndianBytes)
      #expect(((try? words.uint64(0)) != nil) == (bit < 64))
      #expect(((try? words.uint128(0)) != nil) == (bit < 128))
      #expect(((try? words.address(0)) != nil) == (bit < 160))
      #expect(((try? words.bool(0)) != nil) == (bit < 1))
    }
  }

  @Test func refusesWordsThatAreNotThere() {
    let words = ABIWords([UInt8](repeating: 0, count: 63))
    #expect(words.count == 1)
    #expect(throws: Never.self) { try words.word(0) }
    for index in [1, 2, -1, Int.max, Int.min] {
      #expect(throws: ABIError.outOfBounds(offset: index &* 32)) { try words.word(index) }
    }
    #expect(throws: ABIError.wrongCount(expected: 2, found: 1)) {
      try ABIWords([UInt8](repeating: 0, count: 63), count: 2)
    }
    #expect(throws: ABIError.wrongCount(expected: 1, found: 2)) {
      try ABIWords([UInt8](repeating: 0, count: 64), count: 1)
    }
  }
}
