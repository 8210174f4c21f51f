/// Recursive length prefixes, the encoding behind block hashes and tries.
///
/// Source: Ethereum yellow paper, appendix B. Only writing: nothing is read in this form.
public enum RLP {
  /// A string of bytes.
  public static func encode(_ bytes: some Collection<UInt8>) -> [UInt8] {
    var output: [UInt8] = []
    append(bytes, to: &output)
    return output
  }

  /// A list whose members are encoded already and stand one after the other in `members`.
  public static func list(_ members: [UInt8]) -> [UInt8] {
    var output: [UInt8] = []
    output.reserveCapacity(members.count + 9)
    appendList(members, to: &output)
    return output
  }

  /// Adds a string of bytes.
  public static func append(_ bytes: some Collection<UInt8>, to output: inout [UInt8]) {
    if bytes.count == 1, let byte = bytes.first, byte < 0x80 {
      output.append(byte)
      return
    }
    appendPrefix(0x80, length: bytes.count, to: &output)
    output.append(contentsOf: bytes)
  }

  /// Adds a number: its big-endian bytes without leading zeros.
  public static func append(_ number: UInt64, to output: inout [UInt8]) {
    append(minimalBytes(number), to: &output)
  }

  /// Adds a list of encoded members.
  public static func appendList(_ members: [UInt8], to output: inout [UInt8]) {
    appendPrefix(0xC0, length: members.count, to: &output)
    output.append(contentsOf: members)
  }

  /// The big-endian bytes of a number without leading zeros; none for zero.
  static func minimalBytes(_ number: UInt64) -> [UInt8] {
    let count = (64 - number.leadingZeroBitCount + 7) / 8
    return (0..<count).reversed().map { UInt8(truncatingIfNeeded: number >> UInt64(8 * $0)) }
  }

  private static func appendPrefix(_ base: UInt8, length: Int, to output: inout [UInt8]) {
    guard length > 55 else {
      output.append(base + UInt8(length))
      return
    }
    let digits = minimalBytes(UInt64(length))
    output.append(base + 55 + UInt8(digits.count))
    output.append(contentsOf: digits)
  }
}
