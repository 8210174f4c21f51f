import Ethereum
import Quantities

/// Texts of a provider: each reader gives nil, or what is written back as the same text but for
/// the case of its digits.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let ascii = Array(UnsafeBufferPointer(start: start, count: count))
  let lowercase = String(decoding: ascii, as: UTF8.self).lowercased()
  func check(_ text: String?) {
    precondition(text == nil || text == lowercase, "What is read is what was written.")
  }
  check(Hex.decode(ascii: ascii.span).map { Hex.encode($0) })
  check(Hex.parseQuantity(ascii: ascii.span).map { Hex.quantity($0) })
  check(Hex.parse256(ascii: ascii.span).map { Hex.quantity($0) })
  check(Bytes32(ascii: ascii.span)?.description)
  check(Address(ascii: ascii.span)?.lowercaseHex)
  return 0
}
