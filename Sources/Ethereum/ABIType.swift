/// The type of a value in the contract ABI, as far as Solidity and Vyper use it.
public indirect enum ABIType: Hashable, Sendable {
  /// `uint<bits>`; 8 to 256 bits in steps of 8.
  case uint(Int)
  /// `int<bits>`; 8 to 256 bits in steps of 8.
  case int(Int)
  case address
  case bool
  /// `bytes<count>`; 1 to 32 bytes, left-aligned in their word.
  case fixedBytes(Int)
  case bytes
  case string
  /// `T[]`, of any length.
  case array(ABIType)
  /// `T[count]`, 1 element or more. Its value is a `tuple`, which is encoded the same.
  case fixedArray(ABIType, Int)
  case tuple([ABIType])

  /// Whether a value stands behind an offset, since its size depends on the value.
  var isDynamic: Bool {
    switch self {
    case .bytes, .string, .array: true
    case .uint, .int, .address, .bool, .fixedBytes: false
    case .fixedArray(let element, _): element.isDynamic
    case .tuple(let members): members.contains { $0.isDynamic }
    }
  }
}

extension ABIType: CustomStringConvertible {
  /// The canonical name, as a signature spells it: `(address,uint256)[]`.
  public var description: String {
    switch self {
    case .uint(let bits): "uint\(bits)"
    case .int(let bits): "int\(bits)"
    case .address: "address"
    case .bool: "bool"
    case .fixedBytes(let count): "bytes\(count)"
    case .bytes: "bytes"
    case .string: "string"
    case .array(let element): "\(element)[]"
    case .fixedArray(let element, let count): "\(element)[\(count)]"
    case .tuple(let members): "(" + members.map(\.description).joined(separator: ",") + ")"
    }
  }
}
