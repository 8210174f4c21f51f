import Ethereum
import TestKit
import Testing

@Suite struct AddressTests {
  @Test func writesTheChecksumOfEIP55() throws {
    for text in try SigningFixture.load().checksums {
      let address = try #require(Address(text))
      #expect(address.description == text)
      #expect(address.lowercaseHex == text.lowercased())
      #expect(Address(text.lowercased()) == address)
      #expect(Address("0x" + text.dropFirst(2).uppercased()) == address)
    }
  }

  @Test func refusesAWrongChecksum() throws {
    let text = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
    #expect(Address(text) != nil)
    for (index, character) in text.enumerated() where index >= 2 && character.isLetter {
      var changed = Array(text)
      let other = character.isUppercase ? character.lowercased() : character.uppercased()
      changed[index] = Character(other)
      #expect(Address(String(changed)) == nil)
    }
  }

  @Test(arguments: [
    "", "0x", "5aaeb6053f3e94c9b9a09f33669435e7ef1beaed",
    "0X5aaeb6053f3e94c9b9a09f33669435e7ef1beaed",
    "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beae", "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed0",
    "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaeg", "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beae ",
  ])
  func refusesTextThatIsNotAnAddress(_ text: String) {
    #expect(Address(text) == nil)
  }

  @Test func keepsItsBytesAndTheirOrder() {
    var random = SeededGenerator()
    var last = Address.zero
    for _ in 0..<500 {
      let bytes = random.bytes(20)
      guard let address = Address(bytes: bytes) else { return #expect(Bool(false)) }
      #expect(address.bytes == bytes)
      #expect(Address(address.description) == address)
      #expect(Address(bytes: bytes.lazy.map { $0 }) == address)
      #expect((last < address) == last.bytes.lexicographicallyPrecedes(address.bytes))
      #expect(Bytes32(address).address == address)
      #expect(Bytes32(address).bytes == [UInt8](repeating: 0, count: 12) + bytes)
      last = address
    }
    #expect(Address(bytes: [UInt8](repeating: 0, count: 19)) == nil)
    #expect(Address(bytes: [UInt8](repeating: 0, count: 21)) == nil)
    #expect(Address.zero.description == "0x0000000000000000000000000000000000000000")
  }

  @Test func isInline() {
    #expect(MemoryLayout<Address>.size == 20)
    #expect(MemoryLayout<Bytes32>.size == 32)
  }
}
