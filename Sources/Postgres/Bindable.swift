import Ethereum
import Quantities

/// A value that can be bound to a statement or copied into a table.
public protocol Bindable: Sendable {
  /// The type it is sent as.
  static var postgresType: PostgresType { get }
  /// Whether it is sent as NULL.
  var isNull: Bool { get }
  /// Appends the value's binary form, without its length. Throws kind `encoding` when the type
  /// has no such value.
  func encode(into wire: inout WireBuffer) throws(PostgresError)
}

extension Bindable {
  public var isNull: Bool { false }
}

extension Optional: Bindable where Wrapped: Bindable {
  public static var postgresType: PostgresType { Wrapped.postgresType }
  public var isNull: Bool { self?.isNull ?? true }

  public func encode(into wire: inout WireBuffer) throws(PostgresError) {
    if let self { try self.encode(into: &wire) }
  }
}

// MARK: - Numbers

extension Bool: Bindable {
  public static var postgresType: PostgresType { .bool }

  public func encode(into wire: inout WireBuffer) { wire.append(UInt8(self ? 1 : 0)) }
}

extension Int16: Bindable {
  public static var postgresType: PostgresType { .int2 }

  public func encode(into wire: inout WireBuffer) { wire.append(self) }
}

extension Int32: Bindable {
  public static var postgresType: PostgresType { .int4 }

  public func encode(into wire: inout WireBuffer) { wire.append(self) }
}

extension Int64: Bindable {
  public static var postgresType: PostgresType { .int8 }

  public func encode(into wire: inout WireBuffer) { wire.append(self) }
}

extension Int: Bindable {
  public static var postgresType: PostgresType { .int8 }

  public func encode(into wire: inout WireBuffer) { wire.append(Int64(self)) }
}

/// Sent as `int8`, which ends at 2^63 - 1: a larger value is an encoding error.
extension UInt64: Bindable {
  public static var postgresType: PostgresType { .int8 }

  public func encode(into wire: inout WireBuffer) throws(PostgresError) {
    guard let signed = Int64(exactly: self) else {
      throw PostgresError(.encoding, "\(self) does not fit int8.")
    }
    wire.append(signed)
  }
}

/// Sent as `int8`.
extension UInt32: Bindable {
  public static var postgresType: PostgresType { .int8 }

  public func encode(into wire: inout WireBuffer) { wire.append(Int64(self)) }
}

extension UInt128: Bindable {
  public static var postgresType: PostgresType { .numeric }

  public func encode(into wire: inout WireBuffer) {
    NumericCodec.encode(U256(self), into: &wire)
  }
}

extension U256: Bindable {
  public static var postgresType: PostgresType { .numeric }

  public func encode(into wire: inout WireBuffer) { NumericCodec.encode(self, into: &wire) }
}

// MARK: - Bytes and text

extension Address: Bindable {
  public static var postgresType: PostgresType { .bytea }

  public func encode(into wire: inout WireBuffer) { wire.append(self) }
}

extension Bytes32: Bindable {
  public static var postgresType: PostgresType { .bytea }

  public func encode(into wire: inout WireBuffer) { wire.append(self) }
}

/// UTF-8. The server's text has no NUL: one is an encoding error.
extension String: Bindable {
  public static var postgresType: PostgresType { .text }

  public func encode(into wire: inout WireBuffer) throws(PostgresError) {
    var text = self
    let isClean = text.withUTF8 { bytes in
      wire.append(bytes: UnsafeRawBufferPointer(bytes))
      return !bytes.contains(0)
    }
    if !isClean { throw PostgresError(.encoding, "A text with a NUL cannot be stored.") }
  }
}

// MARK: - Arrays

/// A value that an array of it can be bound: for `unnest`, and for `bytea` in the case of `UInt8`.
public protocol BindableElement: Sendable {
  /// The type of an array of it.
  static var postgresArrayType: PostgresType { get }
  /// Appends the binary form of a whole array.
  static func encode(array: [Self], into wire: inout WireBuffer) throws(PostgresError)
}

/// An array of values, or with `UInt8` one `bytea`.
extension Array: Bindable where Element: BindableElement {
  public static var postgresType: PostgresType { Element.postgresArrayType }

  public func encode(into wire: inout WireBuffer) throws(PostgresError) {
    try Element.encode(array: self, into: &wire)
  }
}

extension UInt8: BindableElement {
  public static var postgresArrayType: PostgresType { .bytea }

  public static func encode(array: [UInt8], into wire: inout WireBuffer) {
    array.withUnsafeBytes { wire.append(bytes: $0) }
  }
}

extension BindableElement where Self: Bindable {
  public static var postgresArrayType: PostgresType {
    guard let type = postgresType.array else {
      preconditionFailure("Arrays of \(postgresType) are not bound.")
    }
    return type
  }

  /// One dimension, counted from 1. Source: `array_recv` in PostgreSQL's `arrayfuncs.c`.
  public static func encode(array: [Self], into wire: inout WireBuffer) throws(PostgresError) {
    guard let count = Int32(exactly: array.count) else {
      throw PostgresError(.encoding, "An array of \(array.count) values is too long.")
    }
    wire.append(Int32(count == 0 ? 0 : 1))
    wire.append(Int32(array.contains { $0.isNull } ? 1 : 0))
    wire.append(postgresType.oid)
    if count == 0 { return }
    wire.append(count)
    wire.append(Int32(1))
    for element in array { try wire.append(field: element) }
  }
}

extension Bool: BindableElement {}
extension Int16: BindableElement {}
extension Int32: BindableElement {}
extension Int64: BindableElement {}
extension Int: BindableElement {}
extension UInt64: BindableElement {}
extension UInt32: BindableElement {}
extension UInt128: BindableElement {}
extension U256: BindableElement {}
extension Address: BindableElement {}
extension Bytes32: BindableElement {}
extension String: BindableElement {}
extension Array: BindableElement where Element == UInt8 {}
extension Optional: BindableElement where Wrapped: Bindable {}

extension WireBuffer {
  /// Appends a value with its length in front, or the length -1 for NULL.
  @inline(__always)
  mutating func append<Value: Bindable>(field value: Value) throws(PostgresError) {
    if value.isNull { return append(Int32(-1)) }
    let lengthAt = count
    append(Int32(0))
    try value.encode(into: &self)
    guard let length = Int32(exactly: count - lengthAt - 4) else {
      throw PostgresError(.encoding, "A value of \(count - lengthAt - 4) bytes is too long.")
    }
    overwrite(at: lengthAt, with: length)
  }
}
