import Ethereum
import Quantities

/// A value of a result as the server sent it.
public struct WireValue {
  /// The column's type.
  public let type: PostgresType
  /// The binary form, or nil for NULL. Valid while the rows live.
  public let bytes: UnsafeRawBufferPointer?

  @inlinable
  public init(type: PostgresType, bytes: UnsafeRawBufferPointer?) {
    self.type = type
    self.bytes = bytes
  }

  /// The bytes, when the value is of the type and not NULL.
  @inline(__always)
  func bytes(of type: PostgresType) throws(PostgresError) -> UnsafeRawBufferPointer {
    guard self.type == type else { throw .type(self.type) }
    return try present()
  }

  /// The bytes, when the value is not NULL.
  @inline(__always)
  func present() throws(PostgresError) -> UnsafeRawBufferPointer {
    guard let bytes else { throw PostgresError(.decoding, "is NULL") }
    return bytes
  }
}

/// A value that can be read from a column.
///
/// Reading is strict: another type, NULL, or a number that does not fit is an error of kind
/// `decoding`, never a guess. Integers widen: `int2`, `int4` and `int8` read as any integer type
/// that holds the value.
public protocol Readable {
  /// The value, or why it is none; the caller adds which column it was.
  static func read(_ value: WireValue) throws(PostgresError) -> Self
}

extension Optional: Readable where Wrapped: Readable {
  public static func read(_ value: WireValue) throws(PostgresError) -> Wrapped? {
    value.bytes == nil ? nil : try Wrapped.read(value)
  }
}

// MARK: - Numbers

extension Bool: Readable {
  public static func read(_ value: WireValue) throws(PostgresError) -> Bool {
    let bytes = try value.bytes(of: .bool)
    guard bytes.count == 1 else { throw .malformed }
    return bytes[0] != 0
  }
}

extension Int16: Readable {
  public static func read(_ value: WireValue) throws(PostgresError) -> Int16 {
    try value.narrowed()
  }
}

extension Int32: Readable {
  public static func read(_ value: WireValue) throws(PostgresError) -> Int32 {
    try value.narrowed()
  }
}

extension Int64: Readable {
  public static func read(_ value: WireValue) throws(PostgresError) -> Int64 {
    try value.integer()
  }
}

extension Int: Readable {
  public static func read(_ value: WireValue) throws(PostgresError) -> Int {
    Int(try value.integer())
  }
}

extension UInt32: Readable {
  public static func read(_ value: WireValue) throws(PostgresError) -> UInt32 {
    try value.narrowed()
  }
}

/// Also read from `numeric`, which is what `sum` of `int8` gives.
extension UInt64: Readable {
  public static func read(_ value: WireValue) throws(PostgresError) -> UInt64 {
    guard value.type == .numeric else { return try value.narrowed() }
    let wide = try U256.read(value)
    guard wide.w1 | wide.w2 | wide.w3 == 0 else { throw .outOfRange }
    return wide.w0
  }
}

extension UInt128: Readable {
  public static func read(_ value: WireValue) throws(PostgresError) -> UInt128 {
    guard let narrow = UInt128(exactly: try U256.read(value)) else { throw .outOfRange }
    return narrow
  }
}

/// Read from `numeric` and from integers. NaN, an infinity, a negative or fractional number and
/// one of 2^256 or more are errors.
extension U256: Readable {
  public static func read(_ value: WireValue) throws(PostgresError) -> U256 {
    guard value.type == .numeric else { return U256(try value.narrowed() as UInt64) }
    do {
      return try NumericCodec.decode(value.present())
    } catch let refusal as NumericCodec.Refusal {
      throw PostgresError(refusal)
    } catch let error as PostgresError {
      throw error
    } catch {
      throw .malformed
    }
  }
}

extension WireValue {
  @inline(__always)
  fileprivate func integer() throws(PostgresError) -> Int64 {
    let bytes = try present()
    switch (type, bytes.count) {
    case (.int8, 8): return bytes.bigEndian(as: Int64.self)
    case (.int4, 4): return Int64(bytes.bigEndian(as: Int32.self))
    case (.int2, 2): return Int64(bytes.bigEndian(as: Int16.self))
    case (.int8, _), (.int4, _), (.int2, _): throw .malformed
    default: throw .type(type)
    }
  }

  @inline(__always)
  fileprivate func narrowed<Value: FixedWidthInteger>() throws(PostgresError) -> Value {
    guard let narrow = Value(exactly: try integer()) else { throw .outOfRange }
    return narrow
  }
}

extension PostgresError {
  fileprivate static var malformed: PostgresError { PostgresError(.decoding, "is malformed") }
  fileprivate static func type(_ type: PostgresType) -> PostgresError {
    PostgresError(.decoding, "is of type \(type)")
  }

  fileprivate static var outOfRange: PostgresError { PostgresError(.decoding, "is out of range") }

  fileprivate init(_ refusal: NumericCodec.Refusal) {
    let reason =
      switch refusal {
      case .notANumber: "is NaN"
      case .infinite: "is infinite"
      case .negative: "is negative"
      case .fractional: "is fractional"
      case .tooLarge: "is 2^256 or more"
      case .malformed: "is malformed"
      }
    self.init(.decoding, reason)
  }
}

// MARK: - Bytes and text

extension Address: Readable {
  public static func read(_ value: WireValue) throws(PostgresError) -> Address {
    let bytes = try value.bytes(of: .bytea)
    guard bytes.count == 20 else {
      throw PostgresError(.decoding, "has \(bytes.count) bytes, not the 20 of an address")
    }
    return Address(
      word0: bytes.bigEndian(at: 0, as: UInt64.self),
      word1: bytes.bigEndian(at: 8, as: UInt64.self),
      word2: bytes.bigEndian(at: 16, as: UInt32.self))
  }
}

extension Bytes32: Readable {
  public static func read(_ value: WireValue) throws(PostgresError) -> Bytes32 {
    let bytes = try value.bytes(of: .bytea)
    guard bytes.count == 32 else {
      throw PostgresError(.decoding, "has \(bytes.count) bytes, not 32")
    }
    return Bytes32(
      word0: bytes.bigEndian(at: 0, as: UInt64.self),
      word1: bytes.bigEndian(at: 8, as: UInt64.self),
      word2: bytes.bigEndian(at: 16, as: UInt64.self),
      word3: bytes.bigEndian(at: 24, as: UInt64.self))
  }
}

/// Read from every text-like type and from `json` and `jsonb`.
extension String: Readable {
  public static func read(_ value: WireValue) throws(PostgresError) -> String {
    var bytes = try value.present()
    switch value.type {
    case .text, .varchar, .name, .bpchar, .char, .unknown, .json: break
    case .jsonb:
      // A version, always 1, and the text.
      guard bytes.first == 1 else { throw .malformed }
      bytes = UnsafeRawBufferPointer(rebasing: bytes.dropFirst())
    default: throw .type(value.type)
    }
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw PostgresError(.decoding, "is not UTF-8")
    }
    return text
  }
}

// MARK: - Arrays

/// A value that an array of it can be read: `UInt8` stands for `bytea`.
public protocol ReadableElement {
  /// The whole array, or why there is none.
  static func read(array value: WireValue) throws(PostgresError) -> [Self]
}

/// An array of one dimension, or with `UInt8` one `bytea`.
extension Array: Readable where Element: ReadableElement {
  public static func read(_ value: WireValue) throws(PostgresError) -> [Element] {
    try Element.read(array: value)
  }
}

extension UInt8: ReadableElement {
  public static func read(array value: WireValue) throws(PostgresError) -> [UInt8] {
    guard value.type == .bytea || value.type == .uuid else { throw .type(value.type) }
    return [UInt8](try value.present())
  }
}

extension ReadableElement where Self: Readable {
  /// Source of the layout: `array_send` in PostgreSQL's `arrayfuncs.c`.
  public static func read(array value: WireValue) throws(PostgresError) -> [Self] {
    var cursor = WireCursor(try value.present())
    let dimensions = try cursor.next(Int32.self)
    _ = try cursor.next(Int32.self)
    let element = PostgresType(oid: try cursor.next(UInt32.self))
    guard element.array == value.type else { throw PostgresError(.decoding, "is no array") }
    if dimensions == 0 { return [] }
    guard dimensions == 1 else {
      throw PostgresError(.decoding, "has \(dimensions) dimensions, not 1")
    }
    return try elements(of: element, from: &cursor)
  }

  private static func elements(
    of element: PostgresType, from cursor: inout WireCursor
  ) throws(PostgresError) -> [Self] {
    let count = Int(try cursor.next(Int32.self))
    _ = try cursor.next(Int32.self)
    // Each element has a length of four bytes: a count beyond that is a lie, not an allocation.
    guard count >= 0, count <= cursor.remaining / 4 else { throw .malformed }
    var values: [Self] = []
    values.reserveCapacity(count)
    for _ in 0..<count {
      values.append(try read(WireValue(type: element, bytes: try cursor.nextField())))
    }
    guard cursor.remaining == 0 else { throw .malformed }
    return values
  }
}

extension Bool: ReadableElement {}
extension Int16: ReadableElement {}
extension Int32: ReadableElement {}
extension Int64: ReadableElement {}
extension Int: ReadableElement {}
extension UInt64: ReadableElement {}
extension UInt128: ReadableElement {}
extension U256: ReadableElement {}
extension Address: ReadableElement {}
extension Bytes32: ReadableElement {}
extension String: ReadableElement {}
extension Array: ReadableElement where Element == UInt8 {}
extension Optional: ReadableElement where Wrapped: Readable {}

/// Walks over bytes from the server and throws where they end too early.
struct WireCursor {
  private let bytes: UnsafeRawBufferPointer
  private var offset = 0

  init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  var remaining: Int { bytes.count - offset }

  @inline(__always)
  mutating func next<Value: FixedWidthInteger & BitwiseCopyable>(
    _ type: Value.Type
  ) throws(PostgresError) -> Value {
    let width = MemoryLayout<Value>.size
    guard remaining >= width else { throw .malformed }
    defer { offset += width }
    return bytes.bigEndian(at: offset, as: type)
  }

  /// A length and as many bytes, or nil for the length -1.
  @inline(__always)
  mutating func nextField() throws(PostgresError) -> UnsafeRawBufferPointer? {
    let length = Int(try next(Int32.self))
    if length == -1 { return nil }
    guard length >= 0, length <= remaining else { throw .malformed }
    defer { offset += length }
    return UnsafeRawBufferPointer(rebasing: bytes[offset..<(offset + length)])
  }
}
