extension ABIType {
  /// Bytes in the row of heads: an offset for a dynamic type, else all of the value.
  ///
  /// Only for a type that `check` has let pass, which bounds the product.
  var headSize: Int {
    switch self {
    case .uint, .int, .address, .bool, .fixedBytes, .bytes, .string, .array: 32
    case .fixedArray(let element, let count): isDynamic ? 32 : count * element.headSize
    case .tuple(let members):
      isDynamic ? 32 : members.reduce(0) { $0 + $1.headSize }
    }
  }

  /// Throws when the type does not exist in the ABI or cannot be decoded within the limits.
  ///
  /// A type without any words (an empty tuple, a `T[0]`) is refused: an array of it would have
  /// any length in no bytes.
  func check(_ limits: ABILimits, depth: Int) throws(ABIError) {
    guard depth <= limits.depth else { throw .tooDeep(limit: limits.depth) }
    var isSupported = true
    switch self {
    case .uint(let bits), .int(let bits):
      isSupported = (8...256).contains(bits) && bits % 8 == 0
    case .fixedBytes(let count): isSupported = (1...32).contains(count)
    case .address, .bool, .bytes, .string: break
    case .array(let element): try element.check(limits, depth: depth + 1)
    case .fixedArray(let element, let count):
      try element.check(limits, depth: depth + 1)
      isSupported = count >= 1 && count <= 32 * limits.values / element.headSize
    case .tuple(let members):
      for member in members { try member.check(limits, depth: depth + 1) }
      isSupported = !members.isEmpty && headSize <= 32 * limits.values
    }
    guard isSupported else { throw .unsupportedType(description) }
  }
}

extension Bytes32 {
  /// The word as a value of a one-word type; throws when it has bits that the type has not.
  func value(of type: ABIType, at offset: Int) throws(ABIError) -> ABIValue {
    switch type {
    case .uint(let bits): return .uint(try unsigned(bits: bits, at: offset))
    case .int(let bits): return .int(try signed(bits: bits, at: offset))
    case .address: return .address(try address(at: offset))
    case .bool: return .bool(try bool(at: offset))
    case .fixedBytes(let count): return .fixedBytes(try leading(count, at: offset))
    case .bytes, .string, .array, .fixedArray, .tuple:
      preconditionFailure("A type of more than one word is not read as one.")
    }
  }
}
