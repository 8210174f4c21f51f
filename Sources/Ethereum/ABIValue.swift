import Quantities

/// A value in the contract ABI.
///
/// It knows its shape but not the width of its type: a `uint8` and a `uint256` are both `uint`.
public enum ABIValue: Hashable, Sendable {
  case uint(U256)
  case int(I256)
  case address(Address)
  case bool(Bool)
  /// `bytes1` to `bytes32`: 1 to 32 bytes.
  case fixedBytes([UInt8])
  case bytes([UInt8])
  case string(String)
  /// `T[]`: encoded with its length.
  case array([ABIValue])
  /// A tuple, or a `T[n]`: encoded without a length.
  case tuple([ABIValue])

  /// A `bytes32`.
  public static func bytes32(_ word: Bytes32) -> ABIValue { .fixedBytes(word.bytes) }

  /// Whether the value stands behind an offset, since its size depends on the value.
  var isDynamic: Bool {
    switch self {
    case .bytes, .string, .array: true
    case .uint, .int, .address, .bool, .fixedBytes: false
    case .tuple(let members): members.contains { $0.isDynamic }
    }
  }
}
