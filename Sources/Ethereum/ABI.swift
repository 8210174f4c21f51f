/// The contract ABI: how calls, answers and events are written as bytes.
///
/// Source: Solidity documentation, "Contract ABI Specification". This file names functions and
/// events; `ABI+Encoding` and `ABI+Decoding` hold the two directions.
public enum ABI {
  /// The four bytes that name a function: the start of the hash of its signature.
  ///
  /// The signature is canonical: `transfer(address,uint256)`, without spaces or names and with
  /// full type names. A text that cannot be one is a mistake of the caller, because its hash
  /// would silently name nothing.
  public static func selector(_ signature: String) -> [UInt8] {
    Array(topic(signature).bytes.prefix(4))
  }

  /// The word that names an event: the hash of its signature, which is canonical as above.
  public static func topic(_ signature: String) -> Bytes32 {
    precondition(
      isCanonical(signature.utf8), "A signature is canonical, as transfer(address,uint256) is.")
    return keccak256(signature.utf8)
  }

  /// Whether the text is a name and balanced parentheses around types, without spaces and
  /// without the aliases `uint` and `int`.
  static func isCanonical(_ signature: String.UTF8View) -> Bool {
    guard let first = signature.first, first != UInt8(ascii: "(") else { return false }
    var depth = 0
    var word: [UInt8] = []
    for (index, character) in signature.enumerated() {
      switch character {
      case UInt8(ascii: "("):
        depth += 1
        guard word.isEmpty || depth == 1 else { return false }
      case UInt8(ascii: ")"), UInt8(ascii: ","), UInt8(ascii: "["):
        guard depth > 0, !isAlias(word) else { return false }
        if character == UInt8(ascii: ")") { depth -= 1 }
        if depth == 0, index != signature.count - 1 { return false }
      case UInt8(ascii: "]"):
        guard depth > 0 else { return false }
      default:
        guard isNamePart(character) else { return false }
        word.append(character)
        continue
      }
      word.removeAll(keepingCapacity: true)
    }
    return depth == 0 && word.isEmpty
  }

  private static func isAlias(_ word: [UInt8]) -> Bool {
    word == Array("uint".utf8) || word == Array("int".utf8)
  }

  private static func isNamePart(_ character: UInt8) -> Bool {
    switch character {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "$"):
      true
    default: false
    }
  }
}
