import Quantities

/// Bounds of one decoding, against bytes that are made to exhaust the program.
public struct ABILimits: Hashable, Sendable {
  /// How deep types may be nested.
  public var depth: Int
  /// How many values may come out, containers included.
  public var values: Int

  /// Bounds of the caller's choice.
  public init(depth: Int, values: Int) {
    self.depth = depth
    self.values = values
  }

  /// 16 levels and 2^20 values, that is 32 MB of words.
  public static let standard = ABILimits(depth: 16, values: 1 << 20)
}

extension ABI {
  /// The values of an encoded list of arguments, answers or event fields.
  ///
  /// Stricter than a contract, since no compiler writes otherwise: tails stand in the order of
  /// their heads and never overlap, and unused bits of a word are zero (or the sign). So each
  /// byte is read once, and the memory is a small multiple of the input whatever it says.
  /// As in a contract, bytes may follow the last value, and the padding of `bytes` and `string`
  /// is not looked at and may be missing at the very end.
  ///
  /// The value of a `fixedArray` is a `.tuple`.
  public static func decode(
    _ types: [ABIType], _ bytes: [UInt8], limits: ABILimits = .standard
  ) throws(ABIError) -> [ABIValue] {
    for type in types { try type.check(limits, depth: 1) }
    var decoder = ABIDecoder(bytes: bytes, limits: limits)
    return try decoder.members(types, at: 0)
  }
}

/// One walk over encoded bytes.
private struct ABIDecoder {
  private let bytes: [UInt8]
  private let limits: ABILimits
  /// Everything before this has been read; no later value may start before it.
  private var consumed = 0
  private var valueCount = 0

  init(bytes: [UInt8], limits: ABILimits) {
    self.bytes = bytes
    self.limits = limits
  }

  /// The members whose row of heads starts at `start`; offsets count from there.
  mutating func members(
    _ types: some RandomAccessCollection<ABIType>, at start: Int
  ) throws(ABIError) -> [ABIValue] {
    var headsSize = 0
    for type in types { headsSize += type.headSize }
    try claim(headsSize, at: start)
    return try members(types, heads: start)
  }

  /// The members whose row of heads is claimed. A static member stands in its head.
  private mutating func members(
    _ types: some RandomAccessCollection<ABIType>, heads start: Int
  ) throws(ABIError) -> [ABIValue] {
    try count(types.count)
    var values: [ABIValue] = []
    values.reserveCapacity(types.count)
    var head = start
    for type in types {
      if type.isDynamic {
        let offset = try size(at: head, within: bytes.count - start)
        values.append(try dynamicValue(type, at: start + offset))
      } else {
        values.append(try staticValue(type, at: head))
      }
      head += type.headSize
    }
    return values
  }

  private mutating func staticValue(
    _ type: ABIType, at offset: Int
  ) throws(ABIError) -> ABIValue {
    switch type {
    case .fixedArray(let element, let count):
      .tuple(try members(repeatElement(element, count: count), heads: offset))
    case .tuple(let types): .tuple(try members(types, heads: offset))
    default: try word(at: offset).value(of: type, at: offset)
    }
  }

  private mutating func dynamicValue(
    _ type: ABIType, at offset: Int
  ) throws(ABIError) -> ABIValue {
    switch type {
    case .bytes: return .bytes(Array(try content(at: offset)))
    case .string:
      guard let text = String(validating: try content(at: offset), as: UTF8.self) else {
        throw .invalidText(offset: offset)
      }
      return .string(text)
    case .array(let element): return .array(try elements(element, at: offset))
    case .fixedArray(let element, let count):
      return .tuple(try members(repeatElement(element, count: count), at: offset))
    case .tuple(let types): return .tuple(try members(types, at: offset))
    case .uint, .int, .address, .bool, .fixedBytes:
      preconditionFailure("A type of one word is never behind an offset.")
    }
  }

  /// The length and the elements of a `T[]`. A length is believed only when the heads of that
  /// many elements are there.
  private mutating func elements(
    _ element: ABIType, at offset: Int
  ) throws(ABIError) -> [ABIValue] {
    try claim(32, at: offset)
    let start = offset + 32
    let count = try size(at: offset, within: (bytes.count - start) / element.headSize)
    try claim(count * element.headSize, at: start)
    return try members(repeatElement(element, count: count), heads: start)
  }

  /// The length and the bytes of a `bytes` or `string`.
  private mutating func content(at offset: Int) throws(ABIError) -> ArraySlice<UInt8> {
    try claim(32, at: offset)
    let start = offset + 32
    let count = try size(at: offset, within: bytes.count - start)
    try claim(count, at: start)
    return bytes[start..<(start + count)]
  }

  /// A word that is an offset or a length of at most `limit`.
  private func size(at offset: Int, within limit: Int) throws(ABIError) -> Int {
    guard let size = UInt64(exactly: word(at: offset).u256), size <= UInt64(limit) else {
      throw .outOfBounds(offset: offset)
    }
    return Int(size)
  }

  /// The word at `offset`, which has been claimed.
  private func word(at offset: Int) -> Bytes32 {
    Bytes32(reading: bytes.span.bytes, at: offset)
  }

  /// Marks bytes as read, or throws when they are not there or have been read.
  private mutating func claim(_ size: Int, at offset: Int) throws(ABIError) {
    guard offset >= consumed else { throw .overlap(offset: offset) }
    guard size <= bytes.count - offset else { throw .outOfBounds(offset: offset) }
    consumed = offset + size
  }

  private mutating func count(_ values: Int) throws(ABIError) {
    valueCount += values
    guard valueCount <= limits.values else { throw .tooManyValues(limit: limits.values) }
  }
}
