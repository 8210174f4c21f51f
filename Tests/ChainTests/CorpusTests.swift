import Ethereum
import Foundation
import TestKit
import Testing

@testable import Chain

/// Each answer of the corpus from which fuzzing starts, sound or damaged: Foundation's decoders
/// read the same in it, or both refuse it.
@Suite struct CorpusTests {
  /// Where this decoder is stricter on purpose, by file. Foundation takes the last comma of a list,
  /// one of two equal keys, deeper nesting, a result of the wrong kind beside an error, and bad
  /// UTF-8 and halves of surrogate pairs in strings that nobody asks for.
  private static let stricter: Set = [
    "logs/last-comma", "logs/doubled-key", "logs/doubled-result", "logs/bad-utf8",
    "logs/half-surrogate", "logs/too-deep", "answers/two-ids", "answers/doubled-hash",
    "answers/postponed-and-error",
  ]

  private static func files(_ folder: String) -> [String] {
    let url = Fixture.url("Chain/\(folder)")
    let names = (try? FileManager.default.contentsOfDirectory(atPath: url.path)) ?? []
    return names.filter { $0.hasSuffix(".json") }.map { "\(folder)/\($0.dropLast(5))" }.sorted()
  }

  @Test func theCorpusHasBothSoundAndDamagedAnswers() throws {
    let files = Self.files("logs")
    #expect(Self.stricter.isSubset(of: files + Self.files("answers")))
    let sound = try files.filter { try ours(Fixture.bytes("Chain/\($0).json")) != nil }
    #expect(sound.count >= 20)
    #expect(files.count - sound.count >= 15)
    let answers = Self.files("answers")
    let understood = try answers.filter { try Exchange($0).ours != nil }
    #expect(understood.count >= 12)
    #expect(answers.count - understood.count >= 12)
  }

  @Test(arguments: files("logs")) func logsAreWhatFoundationReads(_ file: String) throws {
    let bytes = try Fixture.bytes("Chain/\(file).json")
    let theirs = Self.stricter.contains(file) ? nil : theirs(bytes)
    #expect(ours(bytes) == theirs)
    if Self.stricter.contains(file) { #expect(self.theirs(bytes) != nil, "It is not stricter.") }
  }

  @Test(arguments: files("answers")) func answersAreWhatFoundationReads(_ file: String) throws {
    let exchange = try Exchange(file)
    let theirs = Self.stricter.contains(file) ? nil : exchange.theirs
    #expect(exchange.ours == theirs)
    if Self.stricter.contains(file) { #expect(exchange.theirs != nil, "It is not stricter.") }
  }

  private func ours(_ bytes: [UInt8]) -> LogAnswer? {
    try? LogAnswer.decode(body: bytes)
  }

  private func theirs(_ bytes: [UInt8]) -> LogAnswer? {
    guard let raw = try? JSONDecoder().decode(RawAnswer.Result.self, from: Data(bytes)) else {
      return nil
    }
    return raw.result.answer
  }
}

/// A file of answers: the first line names the calls by letters, as the fuzz target does.
private struct Exchange {
  let calls: [RPCCall]
  let body: [UInt8]

  init(_ file: String) throws {
    let bytes = try Fixture.bytes("Chain/\(file).json")
    let letters = bytes.prefix { $0 != UInt8(ascii: "\n") }
    body = Array(bytes.dropFirst(letters.count + 1))
    calls = letters.map { letter in
      switch letter {
      case UInt8(ascii: "q"): .chainID
      case UInt8(ascii: "b"): .call(to: .zero, data: [], at: .number(0))
      case UInt8(ascii: "l"): .logs(LogFilter(addresses: [], topics0: []), in: 0...0)
      case let letter: .header(number: 0, mustExist: letter == UInt8(ascii: "H"))
      }
    }
  }

  var ours: [RPCAnswer]? {
    try? RPCAnswer.decode(body: body, to: calls, firstID: 7)
  }

  /// By way of Foundation's tree. What the program makes of an error's fields is repeated here.
  var theirs: [RPCAnswer]? {
    guard let tree = try? JSONSerialization.jsonObject(with: Data(body)) else { return nil }
    var answers: [RPCAnswer?] = calls.map { _ in nil }
    let isAlone = tree is [String: Any]
    for entry in (tree as? [Any] ?? [tree]) {
      guard let entry = entry as? [String: Any], let id = entry["id"] else { return nil }
      let error = entry["error"].flatMap { $0 is NSNull ? nil : RemoteError(tree: $0) }
      if id is NSNull, let error, isAlone {
        return calls.map { _ in .failure(error) }
      }
      guard let number = UInt64("\(id)"), number >= 7, number - 7 < UInt64(calls.count) else {
        return nil
      }
      let index = Int(number - 7)
      guard answers[index] == nil else { return nil }
      answers[index] = error.map(RPCAnswer.failure) ?? answer(entry["result"], to: calls[index])
    }
    let complete = answers.compactMap(\.self)
    return complete.count == calls.count ? complete : nil
  }

  private func answer(_ result: Any?, to call: RPCCall) -> RPCAnswer? {
    guard let result,
      let data = try? JSONSerialization.data(withJSONObject: result, options: .fragmentsAllowed)
    else { return nil }
    let text = result as? String ?? ""
    switch call.expectation {
    case .quantity: return Hex.parseQuantity(text).map(RPCAnswer.quantity)
    case .bytes: return Hex.decode(text).map(RPCAnswer.bytes)
    case .logs:
      return (try? JSONDecoder().decode([RawLog].self, from: data))?.answer.map(RPCAnswer.logs)
    case .header where result is NSNull: return .header(nil)
    case .header:
      return (try? JSONDecoder().decode(RawHeader.self, from: data))?.header.map(RPCAnswer.header)
    case .sealedHeader, .receipts, .receipt: return nil  // the corpus asks for none
    }
  }
}

/// A header as Foundation reads it.
private struct RawHeader: Decodable {
  var number: String
  var hash: String
  var parentHash: String
  var timestamp: String
  var logsBloom: String?
  var transactions: [Whatever]?

  /// Only how many there are counts.
  struct Whatever: Decodable {
    init(from decoder: any Decoder) {}
  }

  var header: FetchedHeader? {
    guard let number = Hex.parseQuantity(number), let hash = Bytes32(hash),
      let parentHash = Bytes32(parentHash), let timestamp = Hex.parseQuantity(timestamp),
      max(number, timestamp) <= UInt64(Int64.max)
    else { return nil }
    let header = BlockHeader(
      number: number, hash: hash, parentHash: parentHash, timestamp: timestamp)
    guard let logsBloom else {
      return FetchedHeader(header: header, transactionCount: transactions?.count)
    }
    return Hex.decode(logsBloom).flatMap(Bloom.init(bytes:)).map {
      FetchedHeader(header: header, bloom: $0, transactionCount: transactions?.count)
    }
  }
}

extension RemoteError {
  fileprivate init(tree: Any) {
    self.init(code: 0, message: tree as? String ?? "", detail: "", data: nil)
    guard let tree = tree as? [String: Any] else { return }
    code = tree["code"] as? Int ?? 0
    message = Self.shortened(tree["message"] as? String ?? "")
    switch tree["data"] {
    case nil: break
    case let text as String:
      data = Hex.decode(text)
      if data == nil { detail = text }
    case .some(let other):
      let data = try? JSONSerialization.data(
        withJSONObject: other, options: [.fragmentsAllowed, .sortedKeys])
      detail = String(decoding: data ?? Data(), as: UTF8.self)
    }
  }

  private static func shortened(_ text: String) -> String {
    text.utf8.count > 500 ? String(decoding: text.utf8.prefix(500), as: UTF8.self) + "…" : text
  }
}

extension [RawLog] {
  /// Nil when a field of any log is not what it should be.
  fileprivate var answer: LogAnswer? {
    guard let logs = try? map({ try $0.log }), allSatisfy({ $0.topics.count <= 4 }) else {
      return nil
    }
    return LogAnswer(logs: logs, firstRemoved: firstIndex { $0.removed == true })
  }
}
