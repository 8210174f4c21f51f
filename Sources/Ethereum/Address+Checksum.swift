/// EIP-55: a letter among an address's digits is upper case when the digit at the same place of
/// the hash of the lower-case digits, without `0x`, is 8 or more.
extension Address {
  /// The hash whose digits decide the case.
  var checksum: Bytes32 {
    var lowercase = InlineArray<40, UInt8>(repeating: 0)
    for index in 0..<40 { lowercase[index] = Hex.character(of: digit(at: index)) }
    return keccak256(lowercase.span)
  }

  /// Whether the letters of a text of this address have the case that EIP-55 demands.
  func hasChecksum(of ascii: borrowing Span<UInt8>) -> Bool {
    let checksum = checksum
    for index in 0..<40 {
      var character = Hex.character(of: digit(at: index))
      if checksum.raisesLetter(at: index) { character = Hex.raised(character) }
      if ascii[2 + index] != character { return false }
    }
    return true
  }

  private func digit(at index: Int) -> UInt8 {
    let word = index < 16 ? word0 : index < 32 ? word1 : UInt64(word2) &<< 32
    return UInt8(truncatingIfNeeded: word &>> UInt64(60 - 4 * (index % 16))) & 15
  }
}

extension Bytes32 {
  /// Whether this hash makes the letter at `index`, below 40, upper case.
  func raisesLetter(at index: Int) -> Bool {
    let word = index < 16 ? word0 : index < 32 ? word1 : word2
    return word &>> UInt64(63 - 4 * (index % 16)) & 1 == 1
  }
}

extension HexText {
  /// Makes the letters upper case that `checksum` says.
  mutating func raiseLetters(where checksum: Bytes32) {
    for index in 0..<40 where checksum.raisesLetter(at: index) {
      replace(at: 2 + index, with: Hex.raised)
    }
  }
}

extension Hex {
  /// The lower-case character of a digit below 16.
  static func character(of digit: UInt8) -> UInt8 {
    digit < 10 ? UInt8(ascii: "0") &+ digit : UInt8(ascii: "a") &+ digit &- 10
  }

  /// A lower-case letter made upper case; a figure stays.
  static func raised(_ character: UInt8) -> UInt8 {
    character >= UInt8(ascii: "a") ? character & ~0x20 : character
  }
}
