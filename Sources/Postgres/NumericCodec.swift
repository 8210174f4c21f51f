import Quantities

/// The binary form of `numeric`, for unsigned integers of up to 256 bits.
///
/// The server sends and takes a count of base-10000 digits, the power of 10000 of the first one
/// (weight), a sign, and the number of decimals (scale), each in two bytes, then the digits, two
/// bytes each, without zeros at either end. Source: `numeric_send` and `numeric_recv` in
/// PostgreSQL's `src/backend/utils/adt/numeric.c`.
enum NumericCodec {
  /// The most digits a 256-bit value has: 2^256 - 1 has 78 decimal digits.
  private static let digitsMax = 20

  /// Why bytes are no unsigned integer of 256 bits.
  enum Refusal: Error {
    case notANumber, infinite, negative, fractional, tooLarge, malformed
  }

  // MARK: Writing

  /// Appends the value's header and digits, 8 to 48 bytes.
  static func encode(_ value: U256, into wire: inout WireBuffer) {
    withDigits(of: value) { digits in
      var used = digits.count
      while used > 0, digits[digits.count - used] == 0 { used -= 1 }
      let first = digits.count - used
      let weight = used == 0 ? 0 : used - 1
      while used > 0, digits[first + used - 1] == 0 { used -= 1 }
      wire.append(Int16(truncatingIfNeeded: used))
      wire.append(Int16(truncatingIfNeeded: weight))
      wire.append(UInt32(0))
      for index in first..<(first + used) { wire.append(digits[index]) }
    }
  }

  /// Hands over base-10000 digits, most significant first, perhaps with zeros at either end.
  @inline(__always)
  private static func withDigits(of value: U256, _ body: (Span<UInt16>) -> Void) {
    var digits = InlineArray<20, UInt16>(repeating: 0)
    var position = digitsMax
    if value.w1 | value.w2 | value.w3 == 0 {
      split(value.w0, into: &digits, from: &position)
    } else {
      var limbs = InlineArray<8, UInt64>(repeating: 0)
      spread(value, over: &limbs)
      var top = 7
      while top >= 0 {
        while top >= 0, limbs[top] == 0 { top -= 1 }
        if top < 0 { break }
        let eight = divide(&limbs, through: top)
        position -= 2
        digits[position + 1] = UInt16(truncatingIfNeeded: eight % 10_000)
        digits[position] = UInt16(truncatingIfNeeded: eight / 10_000)
      }
    }
    body(digits.span.extracting(position..<digitsMax))
  }

  @inline(__always)
  private static func split(
    _ value: UInt64, into digits: inout InlineArray<20, UInt16>, from position: inout Int
  ) {
    var rest = value
    while rest != 0 {
      position -= 1
      digits[position] = UInt16(truncatingIfNeeded: rest % 10_000)
      rest /= 10_000
    }
  }

  /// 32-bit limbs, so that dividing by 10^8 stays within 64 bits and becomes a multiplication.
  @inline(__always)
  private static func spread(_ value: U256, over limbs: inout InlineArray<8, UInt64>) {
    limbs[0] = value.w0 & 0xffff_ffff
    limbs[1] = value.w0 >> 32
    limbs[2] = value.w1 & 0xffff_ffff
    limbs[3] = value.w1 >> 32
    limbs[4] = value.w2 & 0xffff_ffff
    limbs[5] = value.w2 >> 32
    limbs[6] = value.w3 & 0xffff_ffff
    limbs[7] = value.w3 >> 32
  }

  /// Divides the limbs by 10^8 in place and gives the remainder.
  @inline(__always)
  private static func divide(
    _ limbs: inout InlineArray<8, UInt64>, through top: Int
  ) -> UInt64 {
    var remainder: UInt64 = 0
    var index = top
    while index >= 0 {
      let part = remainder << 32 | limbs[index]
      limbs[index] = part / 100_000_000
      remainder = part % 100_000_000
      index -= 1
    }
    return remainder
  }

  // MARK: Reading

  /// The value, or why there is none. Never traps, whatever the bytes.
  static func decode(_ bytes: UnsafeRawBufferPointer) throws(Refusal) -> U256 {
    guard bytes.count >= 8 else { throw .malformed }
    let count = Int(bytes.bigEndian(at: 0, as: Int16.self))
    let weight = Int(bytes.bigEndian(at: 2, as: Int16.self))
    try checkSign(bytes.bigEndian(at: 4, as: UInt16.self))
    guard count >= 0, bytes.count == 8 + 2 * count else { throw .malformed }
    if count == 0 { return .zero }
    return try value(of: bytes, count: count, weight: weight)
  }

  @inline(__always)
  private static func checkSign(_ sign: UInt16) throws(Refusal) {
    switch sign {
    case 0x0000: return
    case 0x4000: throw .negative
    case 0xC000: throw .notANumber
    case 0xD000, 0xF000: throw .infinite
    default: throw .malformed
    }
  }

  private static func value(
    of bytes: UnsafeRawBufferPointer, count: Int, weight: Int
  ) throws(Refusal) -> U256 {
    var total = U256.zero
    // Four digits make a chunk that fits 64 bits, so the wide multiplication runs once per four.
    var chunk: UInt64 = 0
    var scale: UInt64 = 1
    for index in 0..<count {
      let digit = bytes.bigEndian(at: 8 + 2 * index, as: UInt16.self)
      guard digit < 10_000 else { throw .malformed }
      guard index <= weight else {
        if digit != 0 { throw .fractional }
        continue
      }
      chunk = chunk * 10_000 + UInt64(digit)
      scale *= 10_000
      if scale == 10_000_000_000_000_000 {
        try extend(&total, by: scale, adding: chunk)
        chunk = 0
        scale = 1
      }
    }
    try extend(&total, by: scale, adding: chunk)
    return try shifted(total, digits: weight + 1 - count)
  }

  /// The server leaves out zeros at the end: puts them back.
  private static func shifted(_ value: U256, digits: Int) throws(Refusal) -> U256 {
    guard digits > 0, !value.isZero else { return value }
    guard digits < digitsMax else { throw .tooLarge }
    var result = value
    for _ in 0..<digits { try extend(&result, by: 10_000, adding: 0) }
    return result
  }

  /// `value * scale + addend`, in place.
  @inline(__always)
  private static func extend(
    _ value: inout U256, by scale: UInt64, adding addend: UInt64
  ) throws(Refusal) {
    let wide = UInt128(scale)
    var carry = UInt128(value.w0) * wide + UInt128(addend)
    value.w0 = UInt64(truncatingIfNeeded: carry)
    carry = UInt128(value.w1) * wide + (carry >> 64)
    value.w1 = UInt64(truncatingIfNeeded: carry)
    carry = UInt128(value.w2) * wide + (carry >> 64)
    value.w2 = UInt64(truncatingIfNeeded: carry)
    carry = UInt128(value.w3) * wide + (carry >> 64)
    value.w3 = UInt64(truncatingIfNeeded: carry)
    guard carry >> 64 == 0 else { throw .tooLarge }
  }
}
