import Ethereum
import Quantities
import TestKit

/// One line of `abi.json`: types, values, and the bytes that another implementation wrote.
struct GoldenABI: Decodable {
  let signature: String
  let types: [ABIType]
  let values: [ABIValue]
  let encoded: [UInt8]

  static func load() throws -> [GoldenABI] { try Fixture.json("Ethereum/abi.json") }

  private enum Key: String, CodingKey { case signature, types, values, encoded }

  init(from decoder: any Decoder) throws {
    let line = try decoder.container(keyedBy: Key.self)
    signature = try line.decode(String.self, forKey: .signature)
    types = try line.decode([TypeText].self, forKey: .types).map(\.type)
    values = try line.decode([ValueText].self, forKey: .values).map(\.value)
    encoded = try bytes(line.decode(String.self, forKey: .encoded))
  }
}

private struct Malformed: Error {
  let text: String
}

private func bytes(_ text: String) throws -> [UInt8] {
  guard let bytes = Hex.decode(text) else { throw Malformed(text: text) }
  return bytes
}

/// `["uint", 256]`, `["array", element]`, `["fixedArray", [element, count]]`, …
private struct TypeText: Decodable {
  let type: ABIType

  init(from decoder: any Decoder) throws {
    var pair = try decoder.unkeyedContainer()
    let tag = try pair.decode(String.self)
    switch tag {
    case "uint": type = .uint(try pair.decode(Int.self))
    case "int": type = .int(try pair.decode(Int.self))
    case "address": type = .address
    case "bool": type = .bool
    case "fixedBytes": type = .fixedBytes(try pair.decode(Int.self))
    case "bytes": type = .bytes
    case "string": type = .string
    case "array": type = .array(try pair.decode(TypeText.self).type)
    case "fixedArray":
      var detail = try pair.nestedUnkeyedContainer()
      let element = try detail.decode(TypeText.self).type
      type = .fixedArray(element, try detail.decode(Int.self))
    case "tuple": type = .tuple(try pair.decode([TypeText].self).map(\.type))
    default: throw Malformed(text: tag)
    }
  }
}

/// `["uint", "12"]`, `["bytes", "0x…"]`, `["array", [values]]`, …
private struct ValueText: Decodable {
  let value: ABIValue

  init(from decoder: any Decoder) throws {
    var pair = try decoder.unkeyedContainer()
    let tag = try pair.decode(String.self)
    switch tag {
    case "bool": value = .bool(try pair.decode(Bool.self))
    case "array": value = .array(try pair.decode([ValueText].self).map(\.value))
    case "tuple": value = .tuple(try pair.decode([ValueText].self).map(\.value))
    default: value = try ValueText.leaf(tag, try pair.decode(String.self))
    }
  }

  private static func leaf(_ tag: String, _ text: String) throws -> ABIValue {
    switch tag {
    case "uint":
      if let number = U256(decimal: text) { return .uint(number) }
    case "int":
      let isNegative = text.hasPrefix("-")
      if let magnitude = U256(decimal: isNegative ? text.dropFirst() : text[...]) {
        return .int(try I256(magnitude: magnitude, isNegative: isNegative))
      }
    case "address":
      if let address = Address(text) { return .address(address) }
    case "fixedBytes": return .fixedBytes(try bytes(text))
    case "bytes": return .bytes(try bytes(text))
    case "string": return .string(text)
    default: break
    }
    throw Malformed(text: "\(tag) \(text)")
  }
}
