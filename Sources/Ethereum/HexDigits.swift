/// Reads hexadecimal digits sixteen or eight at a time and remembers whether any of them was not
/// one.
///
/// Every step works on all bytes at once, without a table and without a branch; validity is asked
/// once at the end. No step carries from one byte into the next.
@usableFromInline
@frozen
struct HexDigits {
  @usableFromInline var invalid: UInt64 = 0
  @usableFromInline var lowerCase: UInt64 = 0
  @usableFromInline var upperCase: UInt64 = 0

  /// The same for the sixteen characters of ``word(_:at:)``.
  @usableFromInline var invalidWide = SIMD16<UInt8>()
  @usableFromInline var lowerCaseWide = SIMD16<UInt8>()
  @usableFromInline var upperCaseWide = SIMD16<UInt8>()

  @inlinable
  init() {}

  /// Whether every character read so far was a digit of base 16.
  @inlinable var areValid: Bool { Self.folded(invalidWide) | invalid == 0 }

  /// Whether both `a…f` and `A…F` were among them.
  @inlinable var haveMixedCase: Bool {
    Self.folded(lowerCaseWide) | lowerCase != 0 && Self.folded(upperCaseWide) | upperCase != 0
  }

  /// The value of the sixteen digits at `offset`, which must be in range.
  ///
  /// The steps are those of `value(of:)`, with a mask of all bits where that one has a letter's
  /// lowest bit: vectors multiply slowly and compare slower.
  @inlinable @inline(__always)
  mutating func word(_ ascii: borrowing Span<UInt8>, at offset: Int) -> UInt64 {
    let characters = ascii.bytes.unsafeLoadUnaligned(
      fromByteOffset: offset, as: SIMD16<UInt8>.self)
    let letters = SIMD16<UInt8>() &- (characters &>> 6 & 1)
    let caseBits = characters & letters & 0x20
    let values = (characters & 0x0f) &+ (letters & 9)
    let carries = (values &+ 6) ^ (letters & 0x10)

    invalidWide |= ((characters ^ caseBits) & 0xf0) ^ (letters & 0x70) ^ 0x30
    invalidWide |= (values | carries) & 0x10
    lowerCaseWide |= caseBits
    upperCaseWide |= (letters & 0x20) ^ caseBits

    // The lower byte of a pair is its first character. Four pairs become the lower half of a lane.
    let pairs = unsafeBitCast(values, to: SIMD8<UInt16>.self)
    var lanes = unsafeBitCast((pairs &<< 4 | pairs &>> 8) & 0xff, to: SIMD2<UInt64>.self)
    lanes = (lanes | lanes &>> 8) & 0x0000_ffff_0000_ffff
    lanes |= lanes &>> 16
    return UInt64(bigEndian: lanes.x & 0xffff_ffff | lanes.y &<< 32)
  }

  @inlinable
  static func folded(_ wide: SIMD16<UInt8>) -> UInt64 {
    let halves = unsafeBitCast(wide, to: SIMD2<UInt64>.self)
    return halves.x | halves.y
  }

  /// The value of the eight digits at `offset`, which must be in range.
  @inlinable @inline(__always)
  mutating func half(_ ascii: borrowing Span<UInt8>, at offset: Int) -> UInt32 {
    let raw = ascii.bytes
    return value(
      of: UInt64(bigEndian: raw.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self)))
  }

  /// The value of `count` digits, at most eight, from `offset`, which must be in range.
  @inlinable @inline(__always)
  mutating func short(_ ascii: borrowing Span<UInt8>, at offset: Int, count: Int) -> UInt32 {
    var characters: UInt64 = 0x3030_3030_3030_3030
    for index in offset..<(offset + count) {
      characters = characters &<< 8 | UInt64(ascii[index])
    }
    return value(of: characters)
  }

  /// The value of eight characters, the first of them in the highest byte.
  ///
  /// A letter has bit 6 set; its low four bits are 1…6, so adding nine gives 10…15. A character
  /// is a digit exactly when its high four bits are what its kind demands (3, or 4 once the case
  /// bit is dropped) and adding six to its value carries out of four bits only for a letter.
  @inlinable @inline(__always)
  mutating func value(of characters: UInt64) -> UInt32 {
    let letters = characters &>> 6 & 0x0101_0101_0101_0101
    let caseBits = characters & letters &<< 5
    let expectedHigh = 0x3030_3030_3030_3030 ^ (letters &* 0x70)
    let values = (characters & 0x0f0f_0f0f_0f0f_0f0f) &+ letters &* 9
    let carries = (values &+ 0x0606_0606_0606_0606) ^ letters &<< 4

    invalid |= ((characters ^ caseBits) & 0xf0f0_f0f0_f0f0_f0f0) ^ expectedHigh
    invalid |= (values | carries) & 0x1010_1010_1010_1010
    lowerCase |= caseBits
    upperCase |= letters &<< 5 ^ caseBits

    let pairs = (values | values &>> 4) & 0x00ff_00ff_00ff_00ff
    let quads = (pairs | pairs &>> 8) & 0x0000_ffff_0000_ffff
    return UInt32(truncatingIfNeeded: quads | quads &>> 16)
  }
}

/// Collects lower-case hexadecimal digits in room that was measured beforehand.
struct HexText: ~Copyable {
  private let buffer: UnsafeMutableBufferPointer<UInt8>
  private(set) var count = 0

  init(into buffer: UnsafeMutableBufferPointer<UInt8>) {
    self.buffer = buffer
    append(ascii: UInt8(ascii: "0"))
    append(ascii: UInt8(ascii: "x"))
  }

  mutating func append(ascii character: UInt8) {
    precondition(count < buffer.count, "A text has the digits it was measured for.")
    buffer[count] = character
    count += 1
  }

  mutating func append(digit: UInt8) {
    append(ascii: Hex.character(of: digit))
  }

  mutating func append(byte: UInt8) {
    append(digit: byte &>> 4)
    append(digit: byte & 15)
  }

  /// Changes the character at `index`, which has been written.
  mutating func replace(at index: Int, with change: (UInt8) -> UInt8) {
    precondition(index < count, "Only a written character can be changed.")
    buffer[index] = change(buffer[index])
  }

  /// Sixteen digits.
  mutating func append(word: UInt64) {
    append(half: UInt32(truncatingIfNeeded: word &>> 32))
    append(half: UInt32(truncatingIfNeeded: word))
  }

  /// Eight digits, spread over the bytes of one word; the reverse of what `HexDigits` does.
  mutating func append(half: UInt32) {
    precondition(count <= buffer.count - 8, "A text has the digits it was measured for.")
    let quads = (UInt64(half) | UInt64(half) &<< 16) & 0x0000_ffff_0000_ffff
    let pairs = (quads | quads &<< 8) & 0x00ff_00ff_00ff_00ff
    let values = (pairs | pairs &<< 4) & 0x0f0f_0f0f_0f0f_0f0f
    let letters = (values &+ 0x0606_0606_0606_0606) &>> 4 & 0x0101_0101_0101_0101
    let characters = values &+ 0x3030_3030_3030_3030 &+ letters &* 39
    UnsafeMutableRawBufferPointer(buffer).storeBytes(
      of: characters.bigEndian, toByteOffset: count, as: UInt64.self)
    count += 8
  }
}
