import Ethereum

/// The strings of hexadecimal digits, read the plain way. An escape is no digit.
extension PlainJSON {
  /// `0x` and digits, as the digits' values.
  private var digits: [UInt8]? {
    guard case .string(let string) = self, string.raw.starts(with: "0x".utf8) else { return nil }
    var digits: [UInt8] = []
    for byte in string.raw.dropFirst(2) {
      switch byte {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): digits.append(byte - UInt8(ascii: "0"))
      case UInt8(ascii: "a")...UInt8(ascii: "f"): digits.append(byte - UInt8(ascii: "a") + 10)
      case UInt8(ascii: "A")...UInt8(ascii: "F"): digits.append(byte - UInt8(ascii: "A") + 10)
      default: return nil
      }
    }
    return digits
  }

  var bytes: [UInt8]? {
    guard let digits, digits.count % 2 == 0 else { return nil }
    return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
  }

  var bytes32: Bytes32? {
    bytes.flatMap { $0.count == 32 ? Bytes32(bytes: $0) : nil }
  }

  var address: Address? {
    guard case .string(let string) = self, let bytes, bytes.count == 20,
      let address = Address(bytes: bytes)
    else { return nil }
    let isMixed =
      string.value.contains(where: { ("A"..."F").contains($0) })
      && string.value.contains(where: { ("a"..."f").contains($0) })
    return isMixed && address.description != string.value ? nil : address
  }

  func quantity(below limit: UInt128) -> UInt64? {
    guard let digits, !digits.isEmpty else { return nil }
    var value: UInt128 = 0
    for digit in digits {
      value = value << 4 | UInt128(digit)
      if value >= limit { return nil }
    }
    return UInt64(value)
  }

  var boolean: Bool? {
    if case .boolean(let value) = self { value } else { nil }
  }

  var isNull: Bool {
    if case .null = self { true } else { false }
  }

  /// The members with that key, in their order.
  func members(_ key: String) -> [PlainJSON] {
    guard case .object(let members) = self else { return [] }
    return members.filter { $0.key.says(key) }.map(\.value)
  }

  /// The one member with that key; none and two are nil.
  func member(_ key: String) -> PlainJSON? {
    let members = members(key)
    return members.count == 1 ? members[0] : nil
  }
}
