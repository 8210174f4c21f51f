import Ethereum

@testable import Chain
@testable import Plain

/// The body that came back for one to four calls. The first line of the input names them by
/// letters: quantity, bytes, logs, header that may be missing (h) or must exist (H). The body is
/// refused, with a place inside it, or it is the answers that a plain reader finds there, and it
/// is refused only when that one refuses it.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let input = Array(UnsafeBufferPointer(start: start, count: count))
  let letters = input.prefix { $0 != UInt8(ascii: "\n") }
  let body = Array(input.dropFirst(letters.count + 1))
  let calls = letters.prefix(4).map(call)
  if calls.isEmpty { return 0 }
  let expected = PlainJSON(body[...])?.answers(to: calls, firstID: 7)
  do throws(JSONError) {
    let answers = try RPCAnswer.decode(body: body, to: calls, firstID: 7)
    precondition(answers == expected, "The answers are those of the text.")
  } catch {
    precondition(expected == nil, "What is refused is wrong: \(error)")
    precondition((0...body.count).contains(error.offset), "An error has its place in the text.")
  }
  return 0
}

private func call(_ letter: UInt8) -> RPCCall {
  switch letter {
  case UInt8(ascii: "q"): .chainID
  case UInt8(ascii: "b"): .call(to: .zero, data: [], at: .number(0))
  case UInt8(ascii: "l"): .logs(LogFilter(addresses: [], topics0: []), in: 0...0)
  case UInt8(ascii: "h"): .header(number: 0, mustExist: false)
  default: .header(number: 0, mustExist: true)
  }
}
