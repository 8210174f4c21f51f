import Ethereum

@testable import Chain

extension PlainJSON {
  /// What the program must make of a body that answers `calls`, whose ids count up from
  /// `firstID`.
  func answers(to calls: [RPCCall], firstID: UInt64) -> [RPCAnswer]? {
    var answers: [RPCAnswer?] = Array(repeating: nil, count: calls.count)
    if case .array(let elements) = self {
      for element in elements {
        guard let response = PlainResponse(element, calls, firstID: firstID, isAlone: false),
          let index = response.index, answers[index] == nil
        else { return nil }
        answers[index] = response.answer
      }
    } else {
      guard let response = PlainResponse(self, calls, firstID: firstID, isAlone: true) else {
        return nil
      }
      if let index = response.index {
        answers[index] = response.answer
      } else if case .failure = response.answer {
        answers = Array(repeating: response.answer, count: calls.count)
      }
    }
    let complete = answers.compactMap(\.self)
    return complete.count == calls.count ? complete : nil
  }

  /// What this result means to a call.
  fileprivate func answer(to call: RPCCall) -> RPCAnswer? {
    switch call.expectation {
    case .quantity: quantity(below: 1 << 64).map(RPCAnswer.quantity)
    case .bytes: bytes.map(RPCAnswer.bytes)
    case .logs: logs.map(RPCAnswer.logs)
    case .header: isNull ? .header(nil) : header.map(RPCAnswer.header)
    case .sealedHeader, .receipts, .receipt: nil  // the target asks for none
    }
  }

  private var header: FetchedHeader? {
    guard let number = member("number")?.quantity(below: 1 << 63),
      let hash = member("hash")?.bytes32, let parentHash = member("parentHash")?.bytes32,
      let timestamp = member("timestamp")?.quantity(below: 1 << 63)
    else { return nil }
    let header = BlockHeader(
      number: number, hash: hash, parentHash: parentHash, timestamp: timestamp)
    guard let transactionCount else { return nil }
    func fetched(_ bloom: Bloom?) -> FetchedHeader {
      FetchedHeader(header: header, bloom: bloom, transactionCount: transactionCount.value)
    }
    if members("logsBloom").isEmpty { return fetched(nil) }
    guard let field = member("logsBloom") else { return nil }
    if field.isNull { return fetched(nil) }
    return field.bytes.flatMap(Bloom.init(bytes:)).map(fetched)
  }

  /// How many transactions there are, a nil value where the key is absent or null; nil when it is
  /// there twice or is no array.
  private var transactionCount: (value: Int?, Void)? {
    if members("transactions").isEmpty { return (nil, ()) }
    switch member("transactions") {
    case .null?: return (nil, ())
    case .array(let elements)?: return (elements.count, ())
    default: return nil
    }
  }

  /// An error; the last of two equal keys counts.
  fileprivate var remoteError: RemoteError? {
    var remote = RemoteError(code: 0, message: "", detail: "", data: nil)
    if case .string(let bare) = self {
      remote.message = bare.value.shortened
      return remote
    }
    guard case .object(let members) = self else { return nil }
    for member in members {
      switch (member.key.value, member.value) {
      case ("code", .number(let number)): remote.code = Int(number) ?? 0
      case ("message", .string(let string)): remote.message = string.value.shortened
      case ("data", .string(let string)):
        remote.data = member.value.bytes
        if remote.data == nil { remote.detail = string.value.shortened }
      case ("data", _): remote.detail = String(decoding: member.text, as: UTF8.self).shortened
      default: break
      }
    }
    return remote
  }
}

/// One response object: the call that it names, and what it says to it.
private struct PlainResponse {
  /// Nil when the id is `null`.
  var index: Int?

  var answer: RPCAnswer?

  /// Nil when the object cannot be an answer to any of the calls.
  ///
  /// A result is held against its call where the call is known from what stands before it, and
  /// otherwise only when there is no error. Null beside an error is none.
  init?(_ value: PlainJSON, _ calls: [RPCCall], firstID: UInt64, isAlone: Bool) {
    guard case .object(let members) = value, let id = value.member("id"),
      value.members("result").count <= 1, value.members("error").count <= 1
    else { return nil }
    if !id.isNull {
      guard let number = id.identifier, number >= firstID, number - firstID < UInt64(calls.count)
      else { return nil }
      index = Int(number - firstID)
    }
    if let result = value.member("result") {
      let comesFirst = members.first { $0.key.says("id") || $0.key.says("result") }
      let isEarly = comesFirst.map { $0.key.says("result") } ?? false
      let known = isEarly ? (isAlone && calls.count == 1 ? 0 : nil) : index
      let isMoot = value.member("error").map { !$0.isNull } ?? false
      if let place = known ?? (isMoot ? nil : index), !(isMoot && result.isNull) {
        answer = result.answer(to: calls[place])
        if answer == nil { return nil }
      }
    }
    if let error = value.member("error"), !error.isNull {
      guard let remote = error.remoteError else { return nil }
      answer = .failure(remote)
    }
    if answer == nil { return nil }
  }
}

extension PlainJSON {
  fileprivate var identifier: UInt64? {
    switch self {
    case .string(let string): UInt64(String(decoding: string.raw, as: UTF8.self))
    case .number(let number): UInt64(number)
    default: nil
    }
  }
}

extension String {
  /// The first 500 bytes, with a mark when there are more.
  fileprivate var shortened: String {
    utf8.count > 500 ? String(decoding: utf8.prefix(500), as: UTF8.self) + "…" : self
  }
}
