import Ethereum
import Quantities
import TestKit
import Testing

@Suite struct HexTests {
  @Test(arguments: [
    "", "0", "0x0", "0X00", "x00", "00", "0x0g", "0xg0", "0x 0", "0x00 ", " 0x00", "0x+1", "0x-1",
    "0x000", "0x0_", "0x/0", "0x:0", "0x@0", "0x`0", "0xG0", "0x00é0", "0x0０", "0x0000000000/00000",
    "0x000000000000000:", "0x00000000000000\u{0}0", "0xffffffff@f", "0xffffffff`f",
  ])
  func refusesTextThatIsNotData(_ text: String) {
    #expect(Hex.decode(text) == nil)
  }

  @Test func readsACharacterAsADigitOrNotAtEveryPlace() {
    for position in 0..<26 {
      for character in UInt8.min...UInt8.max {
        var text = Array("0x00000000000000000000000000".utf8)
        text[2 + position] = character
        var expected = [UInt8](repeating: 0, count: 13)
        if let value = Character(Unicode.Scalar(character)).hexDigitValue {
          expected[position / 2] = UInt8(value << (position % 2 == 0 ? 4 : 0))
          #expect(Hex.decode(ascii: text.span) == expected)
        } else {
          #expect(Hex.decode(ascii: text.span) == nil, "\(character) at \(position)")
        }
      }
    }
  }

  @Test func decodesWhatItEncodes() {
    var random = SeededGenerator()
    for length in 0..<300 {
      let bytes = random.bytes(length)
      let text = Hex.encode(bytes)
      #expect(text.utf8.count == 2 + 2 * length)
      #expect(Hex.decode(text) == bytes)
      #expect(Hex.decode("0x" + text.dropFirst(2).uppercased()) == bytes)
      #expect(Hex.decode(text[...]) == bytes)
    }
    #expect(Hex.encode([0x00, 0x0f, 0xa5, 0xff]) == "0x000fa5ff")
    #expect(Hex.encode([1, 2].lazy.map { $0 + 1 }) == "0x0203")
  }

  @Test(arguments: [
    "", "0x", "0", "1", "0x00", "0x01", "0X1", "0xg", "0x1 ", " 0x1", "0x-1", "0x+1",
    "0x0123456789abcdef", "0x10000000000000000", "0x1g345678", "0x12345678g", "0x12345678/",
  ])
  func refusesTextThatIsNotAQuantity(_ text: String) {
    #expect(Hex.parseQuantity(text) == nil)
  }

  @Test func readsTheQuantitiesItWrites() {
    var random = SeededGenerator()
    #expect(Hex.quantity(UInt64(0)) == "0x0")
    #expect(Hex.parseQuantity("0x0") == 0)
    #expect(Hex.parseQuantity("0xffffffffffffffff") == .max)
    #expect(Hex.parseQuantity("0xABCdef") == 0xabcdef)
    for _ in 0..<2_000 {
      let value = random.next() >> UInt64.random(in: 0..<64, using: &random)
      #expect(Hex.parseQuantity(Hex.quantity(value)) == value)
      #expect(Hex.parse256(Hex.quantity(value)) == U256(value))
    }
  }

  @Test func readsQuantitiesOf256Bits() {
    var random = SeededGenerator()
    #expect(Hex.parse256("0x0") == .zero)
    #expect(Hex.parse256("0x") == nil)
    #expect(Hex.parse256("0x" + String(repeating: "f", count: 64)) == .max)
    #expect(Hex.parse256("0x1" + String(repeating: "0", count: 64)) == nil)
    #expect(Hex.quantity(U256(w0: 5, w1: 0, w2: 1, w3: 0)) == "0x100000000000000000000000000000005")
    for _ in 0..<2_000 {
      let value = random.u256()
      #expect(Hex.parse256(Hex.quantity(value)) == value)
    }
  }
}
