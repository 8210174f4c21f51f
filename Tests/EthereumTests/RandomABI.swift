import Ethereum
import Quantities
import TestKit

extension SeededGenerator {
  /// A type nested at most `depth` levels deep.
  mutating func abiType(depth: Int) -> ABIType {
    switch Int.random(in: 0..<(depth > 0 ? 13 : 7), using: &self) {
    case 0: .uint(8 * Int.random(in: 1...32, using: &self))
    case 1: .int(8 * Int.random(in: 1...32, using: &self))
    case 2: .address
    case 3: .bool
    case 4: .fixedBytes(Int.random(in: 1...32, using: &self))
    case 5: .bytes
    case 6: .string
    case 7, 8: .array(abiType(depth: depth - 1))
    case 9, 10: .fixedArray(abiType(depth: depth - 1), Int.random(in: 1...3, using: &self))
    default: .tuple(abiTypes(1...4, depth: depth - 1))
    }
  }

  mutating func abiTypes(_ count: ClosedRange<Int>, depth: Int) -> [ABIType] {
    (0..<Int.random(in: count, using: &self)).map { _ in abiType(depth: depth) }
  }

  /// A value of the type.
  mutating func abiValue(_ type: ABIType) -> ABIValue {
    switch type {
    case .uint(let bits): .uint(word(bits: bits, fill: 0).u256)
    case .int(let bits):
      .int(I256(bits: word(bits: bits, fill: Bool.random(using: &self) ? 0xff : 0).u256))
    case .address: .address(address())
    case .bool: .bool(Bool.random(using: &self))
    case .fixedBytes(let count): .fixedBytes(bytes(count))
    case .bytes: .bytes(bytes(Int.random(in: 0...70, using: &self)))
    case .string:
      .string(String((0..<Int.random(in: 0...40, using: &self)).map { _ in character() }))
    case .array(let element):
      .array((0..<Int.random(in: 0...3, using: &self)).map { _ in abiValue(element) })
    case .fixedArray(let element, let count):
      .tuple((0..<count).map { _ in abiValue(element) })
    case .tuple(let members): .tuple(members.map { abiValue($0) })
    }
  }

  /// A word whose bytes above the type's, and the type's own highest bit, are those of `fill`.
  private mutating func word(bits: Int, fill: UInt8) -> Bytes32 {
    var content = bytes(bits / 8)
    content[0] = fill == 0 ? content[0] & 0x7f : content[0] | 0x80
    let filling = [UInt8](repeating: fill, count: 32 - content.count)
    return Bytes32(bytes: filling + content) ?? .zero
  }

  private mutating func character() -> Character {
    "azé€😀".randomElement(using: &self) ?? "a"
  }
}
