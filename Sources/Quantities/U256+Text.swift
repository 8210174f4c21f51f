// MARK: - Decimal text

extension U256: CustomStringConvertible {
  /// The value in decimal digits, without leading zeros.
  public var description: String {
    if w1 | w2 | w3 == 0 { return String(w0) }
    return String(unsafeUninitializedCapacity: U256.decimalDigitsMax) { buffer in
      writeDecimal(into: buffer)
    }
  }

  /// Reads decimal digits; nil for anything else: empty text, a sign, a space, a digit outside
  /// ASCII, or a value above 2^256 - 1. Leading zeros are allowed.
  ///
  /// Reads 19 digits at a time, the most that fit one word.
  public init?(decimal text: some StringProtocol) {
    // A generic collection costs a call for each byte, and nearly all text lies in one piece.
    let value =
      text.utf8.withContiguousStorageIfAvailable { U256(decimalBytes: $0) }
      ?? U256(decimalBytes: Array(text.utf8))
    guard let value else { return nil }
    self = value
  }

  private init?(decimalBytes bytes: some Collection<UInt8>) {
    var value = U256.zero
    var chunk: UInt64 = 0
    var scale: UInt64 = 1
    for byte in bytes {
      let digit = byte &- UInt8(ascii: "0")
      guard digit <= 9 else { return nil }
      chunk = chunk &* 10 &+ UInt64(digit)
      scale = scale &* 10
      if scale == U256.chunkScale {
        guard value.append(chunk: chunk, scale: scale) else { return nil }
        chunk = 0
        scale = 1
      }
    }
    guard !bytes.isEmpty, value.append(chunk: chunk, scale: scale) else { return nil }
    self = value
  }

  /// The most digits a value has.
  static var decimalDigitsMax: Int { 78 }

  /// 10^19, the largest power of ten in one word.
  static var chunkScale: UInt64 { 10_000_000_000_000_000_000 }

  /// Digits in a full chunk.
  static var chunkDigits: Int { 19 }

  /// Makes `self * scale + chunk`, or says that it does not fit.
  private mutating func append(chunk: UInt64, scale: UInt64) -> Bool {
    let (overflowed, product) = multipliedFullWidth(by: scale)
    let (sum, carry) = product.addingReportingOverflow(U256(chunk))
    self = sum
    return overflowed == 0 && !carry
  }

  /// Writes the digits from the buffer's start and gives their count.
  private func writeDecimal(into buffer: UnsafeMutableBufferPointer<UInt8>) -> Int {
    // Chunks come out lowest first, so they are written from the end and moved to the front.
    var rest = self
    var start = buffer.count
    while rest.w1 | rest.w2 | rest.w3 != 0 {
      let (quotient, chunk) = U512(rest).divided(byWord: U256.chunkScale)
      start = writeDigits(of: chunk, endingAt: start, atLeast: U256.chunkDigits, in: buffer)
      rest = quotient
    }
    start = writeDigits(of: rest.w0, endingAt: start, atLeast: 1, in: buffer)
    let count = buffer.count - start
    for index in 0..<count { buffer[index] = buffer[start + index] }
    return count
  }

  private func writeDigits(
    of word: UInt64, endingAt end: Int, atLeast digits: Int,
    in buffer: UnsafeMutableBufferPointer<UInt8>
  ) -> Int {
    var rest = word
    var position = end
    while rest != 0 || end - position < digits {
      position -= 1
      buffer[position] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10)
      rest /= 10
    }
    return position
  }
}

// MARK: - Bytes

extension U256 {
  /// Reads 0 to 32 bytes, most significant first; nil for more than 32.
  @inlinable
  public init?(bigEndianBytes bytes: some Collection<UInt8>) {
    guard bytes.count <= 32 else { return nil }
    var high: UInt128 = 0
    var low: UInt128 = 0
    for byte in bytes {
      high = high << 8 | low >> 120
      low = low << 8 | UInt128(byte)
    }
    self.init(high: high, low: low)
  }

  /// The 32 bytes, most significant first.
  public var bigEndianBytes: [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(32)
    writeBigEndian(into: &bytes)
    return bytes
  }

  /// Appends the 32 bytes, most significant first.
  @inlinable
  public func writeBigEndian(into bytes: inout [UInt8]) {
    for word in [w3, w2, w1, w0] {
      withUnsafeBytes(of: word.bigEndian) { bytes.append(contentsOf: $0) }
    }
  }
}
