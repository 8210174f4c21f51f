import Quantities

extension ABI {
  /// The encoding of a list of arguments, as `abi.encode` writes it.
  ///
  /// Linear in the size of the result. A `fixedBytes` that is not 1 to 32 bytes long is a
  /// mistake of the caller.
  public static func encode(_ values: [ABIValue]) -> [UInt8] {
    var bytes: [UInt8] = []
    append(members: values, to: &bytes)
    return bytes
  }

  /// The heads of all members, then the tails of the dynamic ones. The head of a dynamic member
  /// is an offset that counts from the first head; it is filled in when its tail is reached.
  private static func append(members: [ABIValue], to bytes: inout [UInt8]) {
    let start = bytes.count
    var unfilled: [(head: Int, member: ABIValue)] = []
    for member in members {
      if member.isDynamic {
        unfilled.append((bytes.count, member))
        append(number: 0, to: &bytes)
      } else {
        append(member, to: &bytes)
      }
    }
    for (head, member) in unfilled {
      let offset = Bytes32(U256(UInt64(bytes.count - start)))
      bytes.replaceSubrange(head..<(head + 32), with: offset.bytes)
      append(member, to: &bytes)
    }
  }

  private static func append(_ value: ABIValue, to bytes: inout [UInt8]) {
    switch value {
    case .uint(let number): Bytes32(number).append(to: &bytes)
    case .int(let number): Bytes32(number.bits).append(to: &bytes)
    case .address(let address): Bytes32(address).append(to: &bytes)
    case .bool(let flag): append(number: flag ? 1 : 0, to: &bytes)
    case .fixedBytes(let content):
      precondition((1...32).contains(content.count), "Fixed bytes are 1 to 32 bytes.")
      append(padded: content, to: &bytes)
    case .bytes(let content):
      append(number: content.count, to: &bytes)
      append(padded: content, to: &bytes)
    case .string(let text):
      append(number: text.utf8.count, to: &bytes)
      append(padded: text.utf8, to: &bytes)
    case .array(let elements):
      append(number: elements.count, to: &bytes)
      append(members: elements, to: &bytes)
    case .tuple(let members): append(members: members, to: &bytes)
    }
  }

  private static func append(number: Int, to bytes: inout [UInt8]) {
    Bytes32(U256(UInt64(number))).append(to: &bytes)
  }

  /// The content and zeros up to a whole number of words.
  private static func append(padded content: some Collection<UInt8>, to bytes: inout [UInt8]) {
    bytes.append(contentsOf: content)
    bytes.append(contentsOf: repeatElement(0, count: (32 - bytes.count % 32) % 32))
  }
}
