import Ethereum
import Quantities
import TestKit
import Testing

@Suite struct Bytes32Tests {
  @Test func keepsItsBytesTextNumberAndOrder() {
    var random = SeededGenerator()
    var last = Bytes32.zero
    for _ in 0..<500 {
      let bytes = random.bytes(32)
      let word = Bytes32(bytes: bytes)
      #expect(word?.bytes == bytes)
      #expect(word?.description == Hex.encode(bytes))
      guard let word else { continue }
      #expect(Bytes32(word.description) == word)
      #expect(word.u256.bigEndianBytes == bytes)
      #expect(Bytes32(word.u256) == word)
      #expect((last < word) == (last.u256 < word.u256))
      last = word
    }
  }

  @Test func refusesOtherLengthsAndTexts() {
    #expect(Bytes32(bytes: [UInt8](repeating: 1, count: 31)) == nil)
    #expect(Bytes32(bytes: [UInt8](repeating: 1, count: 33)) == nil)
    let digits = String(repeating: "a", count: 64)
    #expect(Bytes32("0x" + digits) != nil)
    #expect(Bytes32(digits) == nil)
    #expect(Bytes32("0X" + digits) == nil)
    #expect(Bytes32("0x" + digits.dropLast()) == nil)
    #expect(Bytes32("0x" + digits + "a") == nil)
    #expect(Bytes32("0x" + digits.dropLast() + "g") == nil)
  }

  @Test func isAnAddressOnlyWhenTheUpperTwelveBytesAreZero() {
    for index in 0..<32 {
      var bytes = [UInt8](repeating: 0, count: 32)
      bytes[index] = 1
      #expect((Bytes32(bytes: bytes)?.address == nil) == (index < 12), "byte \(index)")
    }
  }
}
