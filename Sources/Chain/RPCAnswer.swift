import Ethereum

/// What a node said to one ``RPCCall``.
enum RPCAnswer: Equatable {
  case quantity(UInt64)
  case bytes([UInt8])
  case logs(LogAnswer)
  case header(FetchedHeader?)
  case sealedHeader(SealedHeader?)
  case receipts([FetchedReceipt]?)
  case receipt(FetchedReceipt?)
  case failure(RemoteError)
}

/// A header with what its logs may be, as far as the node says.
struct FetchedHeader: Equatable {
  var header: BlockHeader
  var bloom: Bloom?

  /// How many transactions the block has; nil when the node does not say.
  var transactionCount: Int?
}

extension RPCAnswer {
  /// The answers to `calls` in their order, from the body that came back for them.
  ///
  /// The body may give them in any order. An answer that is missing, double or unasked for is
  /// an error. An error object without an id, alone, is the answer to all.
  static func decode(
    body: [UInt8], to calls: [RPCCall], firstID: UInt64
  ) throws(JSONError) -> [RPCAnswer] {
    // The closure of withUnsafeBufferPointer loses the error's type, so it returns it.
    let result: Result<[RPCAnswer], JSONError> = body.withUnsafeBufferPointer { bytes in
      var decoder = AnswerDecoder(bytes, calls: calls, firstID: firstID)
      do throws(JSONError) {
        return .success(try decoder.decode())
      } catch {
        return .failure(error)
      }
    }
    return try result.get()
  }
}

/// Sorts the answers of one body to the calls they belong to.
private struct AnswerDecoder {
  private var scanner: JSONScanner
  private let calls: [RPCCall]
  private let firstID: UInt64
  private var answers: [RPCAnswer?]

  init(_ bytes: UnsafeBufferPointer<UInt8>, calls: [RPCCall], firstID: UInt64) {
    scanner = JSONScanner(bytes)
    self.calls = calls
    self.firstID = firstID
    answers = Array(repeating: nil, count: calls.count)
  }

  mutating func decode() throws(JSONError) -> [RPCAnswer] {
    if try scanner.kind() == .array {
      try scanner.beginArray()
      while try scanner.nextElement() { try decodeOne(isAlone: false) }
    } else {
      try decodeOne(isAlone: true)
    }
    try scanner.finish()
    var complete: [RPCAnswer] = []
    for (index, answer) in answers.enumerated() {
      guard let answer else { throw scanner.error(.missingKey("id \(firstID + UInt64(index))")) }
      complete.append(answer)
    }
    return complete
  }

  /// What one response object holds.
  private struct Response {
    var hasID = false
    /// The call it belongs to; nil while unknown, or when the id is `null`.
    var index: Int?
    var answer: RPCAnswer?
    /// The scanner at a result that came before its id, or that is null.
    var postponed: JSONScanner?
    var error: RemoteError?
    var hasResult = false
    var hasError = false
  }

  private mutating func decodeOne(isAlone: Bool) throws(JSONError) {
    // A lone answer to a lone call needs no id to be understood, only to be checked.
    var response = Response(index: isAlone && calls.count == 1 ? 0 : nil)
    try scanner.beginObject()
    while let key = try scanner.nextKey() {
      if key.is("id") {
        try decodeID(&response)
      } else if key.is("result") {
        try decodeResult(&response)
      } else if key.is("error") {
        guard !response.hasError else { throw scanner.error(.duplicateKey("error")) }
        response.hasError = true
        if try !scanner.takeNull() { response.error = try scanner.remoteError() }
      } else {
        try scanner.skipValue()
      }
    }
    try file(response, isAlone: isAlone)
  }

  private mutating func decodeID(_ response: inout Response) throws(JSONError) {
    guard !response.hasID else { throw scanner.error(.duplicateKey("id")) }
    response.hasID = true
    if try scanner.takeNull() {
      response.index = nil
      return
    }
    // Some servers send the number back as a string.
    let text = try scanner.kind() == .string ? scanner.string().raw : scanner.number()
    guard let id = UInt64(String(decoding: text, as: UTF8.self)), id >= firstID,
      id - firstID < UInt64(calls.count)
    else { throw scanner.error(.expected("an id that was sent")) }
    response.index = Int(id - firstID)
  }

  private mutating func decodeResult(_ response: inout Response) throws(JSONError) {
    guard !response.hasResult else { throw scanner.error(.duplicateKey("result")) }
    response.hasResult = true
    // Some providers give null beside an error, which may still come.
    if let index = response.index, try scanner.kind() != .null {
      response.answer = try scanner.result(of: calls[index])
    } else {
      response.postponed = scanner
      try scanner.skipValue()
    }
  }

  /// Puts a whole response object where it belongs.
  private mutating func file(_ response: Response, isAlone: Bool) throws(JSONError) {
    if let error = response.error, response.hasID, response.index == nil, isAlone {
      for index in answers.indices { answers[index] = .failure(error) }
      return
    }
    guard response.hasID else { throw scanner.error(.missingKey("id")) }
    guard let index = response.index else { throw scanner.error(.expected("an id that was sent")) }
    guard answers[index] == nil else {
      throw scanner.error(.duplicateKey("id \(firstID + UInt64(index))"))
    }
    if let error = response.error {
      answers[index] = .failure(error)
    } else if let answer = response.answer {
      answers[index] = answer
    } else if var postponed = response.postponed {
      answers[index] = try postponed.result(of: calls[index])
    } else {
      throw scanner.error(.missingKey("result"))
    }
  }
}

extension JSONScanner {
  fileprivate mutating func result(of call: RPCCall) throws(JSONError) -> RPCAnswer? {
    switch call.expectation {
    case .quantity: return .quantity(try quantity())
    case .bytes: return .bytes(try hexBytes())
    case .logs: return .logs(try logs())
    case .header: return .header(try takeNull() ? nil : header())
    case .sealedHeader: return .sealedHeader(try takeNull() ? nil : sealedHeader())
    case .receipts: return .receipts(try takeNull() ? nil : receipts())
    case .receipt: return .receipt(try takeNull() ? nil : receipt())
    }
  }

  private mutating func header() throws(JSONError) -> FetchedHeader {
    var header = BlockHeader(number: 0, hash: .zero, parentHash: .zero, timestamp: 0)
    var bloom: Bloom?
    var transactionCount: Int?
    var seen: Set<String> = []
    try beginObject()
    while let key = try nextKey() {
      if key.is("number") {
        header.number = try once("number", &seen) ? blockQuantity() : 0
      } else if key.is("hash") {
        header.hash = try once("hash", &seen) ? bytes32() : .zero
      } else if key.is("parentHash") {
        header.parentHash = try once("parentHash", &seen) ? bytes32() : .zero
      } else if key.is("timestamp") {
        header.timestamp = try once("timestamp", &seen) ? blockQuantity() : 0
      } else if key.is("logsBloom") {
        bloom = try once("logsBloom", &seen) ? bloomOrNull() : nil
      } else if key.is("transactions") {
        transactionCount = try once("transactions", &seen) ? elementCountOrNull() : nil
      } else {
        try skipValue()
      }
    }
    for key in ["number", "hash", "parentHash", "timestamp"] where !seen.contains(key) {
      throw error(.missingKey(key))
    }
    return FetchedHeader(header: header, bloom: bloom, transactionCount: transactionCount)
  }

  private mutating func elementCountOrNull() throws(JSONError) -> Int? {
    if try takeNull() { return nil }
    var count = 0
    try beginArray()
    while try nextElement() {
      try skipValue()
      count += 1
    }
    return count
  }

  /// True; a second time for the same key it throws.
  func once(_ key: String, _ seen: inout Set<String>) throws(JSONError) -> Bool {
    guard seen.insert(key).inserted else { throw error(.duplicateKey(key)) }
    return true
  }

  private mutating func bloomOrNull() throws(JSONError) -> Bloom? {
    if try takeNull() { return nil }
    guard let bloom = Bloom(bytes: try hexBytes()) else { throw error(.expected("256 bytes")) }
    return bloom
  }

  fileprivate mutating func remoteError() throws(JSONError) -> RemoteError {
    var remote = RemoteError(code: 0, message: "", detail: "", data: nil)
    // A few proxies give a bare text instead of an object.
    if try kind() == .string {
      remote.message = try string().shortened
      return remote
    }
    try beginObject()
    while let key = try nextKey() {
      if key.is("code"), try kind() == .number {
        remote.code = Int(String(decoding: try number(), as: UTF8.self)) ?? 0
      } else if key.is("message"), try kind() == .string {
        remote.message = try string().shortened
      } else if key.is("data") {
        try remoteErrorData(&remote)
      } else {
        try skipValue()
      }
    }
    return remote
  }

  private mutating func remoteErrorData(_ remote: inout RemoteError) throws(JSONError) {
    guard try kind() == .string else {
      let start = offset
      try skipValue()
      let raw = UnsafeBufferPointer(rebasing: bytes[start..<offset])
      remote.detail = JSONText(raw: raw, hasEscapes: false).shortened
      return
    }
    let text = try string()
    remote.data = Hex.decode(ascii: text.raw.span)
    if remote.data == nil { remote.detail = text.shortened }
  }
}

extension JSONText {
  /// At most 500 bytes of its value: no one reads more of an error, and some nodes answer with
  /// a page.
  fileprivate var shortened: String {
    let text = decoded()
    guard text.utf8.count > 500 else { return text }
    return String(decoding: text.utf8.prefix(500), as: UTF8.self) + "…"
  }
}
