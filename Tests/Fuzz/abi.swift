import Ethereum
import Quantities

/// The first bytes of the input spell a list of types, the others are decoded as them. Whatever
/// they are, it ends in an error or in values that are read back the same and that take no more
/// room than the bytes had.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  var input = Array(UnsafeBufferPointer(start: start, count: count))[...]
  let types = (0..<(1 + Int(input.popFirst() ?? 0) % 3)).map { _ in type(of: &input, depth: 3) }
  let bytes = Array(input)
  readWords(bytes)
  guard let values = try? ABI.decode(types, bytes) else { return 0 }
  let canonical = ABI.encode(values)
  precondition(canonical.count <= bytes.count + 31, "The values take more room than the bytes.")
  precondition((try? ABI.decode(types, canonical)) == values, "The values are not read back.")
  return 0
}

private func type(of input: inout ArraySlice<UInt8>, depth: Int) -> ABIType {
  let byte = Int(input.popFirst() ?? 0)
  let detail = byte / 10
  switch byte % (depth > 0 ? 10 : 7) {
  case 0: return .uint(8 * (1 + detail))
  case 1: return .int(8 * (1 + detail))
  case 2: return .address
  case 3: return .bool
  case 4: return .fixedBytes(1 + detail)
  case 5: return .bytes
  case 6: return .string
  case 7: return .array(type(of: &input, depth: depth - 1))
  case 8: return .fixedArray(type(of: &input, depth: depth - 1), detail % 4)
  default: return .tuple((0..<(detail % 4)).map { _ in type(of: &input, depth: depth - 1) })
  }
}

private func readWords(_ bytes: [UInt8]) {
  let words = ABIWords(bytes)
  for index in -1...words.count {
    let word = try? words.word(index)
    precondition((word == nil) == (index < 0 || index == words.count), "A word is there or not.")
    if let flag = try? words.bool(index) {
      precondition(word == (flag ? 1 : 0), "A bool is 0 or 1.")
    }
    if let short = try? words.uint64(index) { precondition(word == U256(short), "A uint64 is it.") }
    if let long = try? words.uint128(index) { precondition(word == U256(long), "A uint128 is it.") }
    if let address = try? words.address(index) {
      precondition(word == Bytes32(address).u256, "An address is its word.")
    }
  }
}
