import Chain

@testable import Plain

/// The body of an answer to `eth_getLogs`: it is refused, with a place inside it, or it is the
/// logs that a plain reader finds there, and it is refused only when that one refuses it.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let body = Array(UnsafeBufferPointer(start: start, count: count))
  let expected = PlainJSON(body[...])?.logAnswer
  do throws(JSONError) {
    let answer = try LogAnswer.decode(body: body)
    precondition(answer == expected, "The logs are those of the text.")
  } catch {
    precondition(expected == nil, "What is refused is wrong: \(error)")
    precondition((0...count).contains(error.offset), "An error has its place in the text.")
  }
  return 0
}
