import Ethereum
import Foundation
import Testing

@testable import Chain

/// Which answer belongs to which call.
@Suite struct RPCAnswerTests {
  @Test func answersInAnyOrderFindTheirCalls() throws {
    let body = #"[{"id":9,"result":"0x3"},{"result":"0x1","id":7},{"id":"8","result":"0x2"}]"#
    #expect(try decode(body, count: 3) == [.quantity(1), .quantity(2), .quantity(3)])
  }

  @Test func aLoneAnswerNeedsNoBatchAndTakesNoneAmiss() throws {
    #expect(try decode(#"{"id":7,"result":"0x1"}"#, count: 1) == [.quantity(1)])
    #expect(try decode(#"{"result":"0x1","id":7}"#, count: 1) == [.quantity(1)])
    #expect(try decode(#"[{"id":7,"result":"0x1"}]"#, count: 1) == [.quantity(1)])
  }

  @Test func aLoneErrorWithoutAnIDIsTheAnswerToAll() throws {
    let body = #"{"jsonrpc":"2.0","id":null,"error":{"code":-32005,"message":"slow down"}}"#
    let error = RemoteError(code: -32005, message: "slow down", detail: "", data: nil)
    #expect(try decode(body, count: 2) == [.failure(error), .failure(error)])
    #expect(try decode(body, count: 1) == [.failure(error)])
  }

  @Test(arguments: [
    ("an unknown id", #"[{"id":7,"result":"0x1"},{"id":6,"result":"0x2"}]"#),
    ("an id too high", #"[{"id":7,"result":"0x1"},{"id":9,"result":"0x2"}]"#),
    ("a missing answer", #"[{"id":7,"result":"0x1"}]"#),
    ("a double answer", #"[{"id":7,"result":"0x1"},{"id":7,"result":"0x1"}]"#),
    (
      "a third answer to two calls",
      #"[{"id":7,"result":"0x1"},{"id":8,"result":"0x2"},{"id":8,"result":"0x3"}]"#
    ),
    ("an answer without id", #"[{"id":7,"result":"0x1"},{"result":"0x2"}]"#),
    ("an answer with a null id", #"[{"id":7,"result":"0x1"},{"id":null,"result":"0x2"}]"#),
    ("an error without id among others", #"[{"id":7,"result":"0x1"},{"id":null,"error":{}}]"#),
    ("neither result nor error", #"[{"id":7,"result":"0x1"},{"id":8}]"#),
    ("a null result", #"[{"id":7,"result":"0x1"},{"id":8,"result":null}]"#),
    ("two ids", #"[{"id":7,"result":"0x1"},{"id":8,"id":8,"result":"0x2"}]"#),
    ("two results", #"[{"id":7,"result":"0x1"},{"id":8,"result":"0x2","result":"0x2"}]"#),
    ("two errors", #"[{"id":7,"result":"0x1"},{"id":8,"error":{},"error":{}}]"#),
    ("a fractional id", #"[{"id":7,"result":"0x1"},{"id":8.0,"result":"0x2"}]"#),
    ("a lone answer to two calls", #"{"id":7,"result":"0x1"}"#),
    ("a page", "<html><body>502 Bad Gateway</body></html>"),
    ("nothing", ""),
  ])
  func aBodyThatDoesNotFitIsAnError(_ what: String, _ body: String) {
    #expect(throws: JSONError.self) { try decode(body, count: 2) }
  }

  @Test func anErrorOfNullIsNoError() throws {
    #expect(try decode(#"{"id":7,"error":null,"result":"0x1"}"#, count: 1) == [.quantity(1)])
  }

  /// Some providers answer so, alone and in batches.
  @Test(arguments: [
    #"{"id":7,"result":null,"error":{"code":-32005,"message":"slow down"}}"#,
    #"{"error":{"code":-32005,"message":"slow down"},"result":null,"id":7}"#,
    #"[{"jsonrpc":"2.0","id":7,"result":null,"error":{"code":-32005,"message":"slow down"}}]"#,
  ])
  func aNullResultBesideAnErrorIsTheError(body: String) throws {
    let error = RemoteError(code: -32005, message: "slow down", detail: "", data: nil)
    #expect(try decode(body, count: 1) == [.failure(error)])
  }

  @Test func anErrorKeepsItsCodeTextAndData() throws {
    let body = #"""
      {"id":7,"error":{"code":3,"message":"execution reverted: caf\u00e9","data":"0xbad0"}}
      """#
    let error = RemoteError(
      code: 3, message: "execution reverted: café", detail: "", data: [0xBA, 0xD0])
    #expect(try decode(body, count: 1) == [.failure(error)])
    #expect(error.kind(of: "eth_call") == .reverted([0xBA, 0xD0]))
  }

  @Test func anErrorsOtherDataIsKeptAsText() throws {
    let body = """
      {"id":7,"error":{"code":-32602,"message":"invalid params",
      "data":{"payload":"range 9009594 is bigger than range limit 2000"}}}
      """
    guard case .failure(let error) = try decode(body, count: 1)[0] else {
      Issue.record("no failure")
      return
    }
    #expect(error.kind(of: "eth_getLogs") == .rangeRefused(RangeHint(maximumBlocks: 2000)))
  }

  @Test func aLongErrorIsCut() throws {
    let page = String(repeating: "x", count: 100_000)
    let body = #"{"id":7,"error":{"code":1,"message":"\#(page)"}}"#
    guard case .failure(let error) = try decode(body, count: 1)[0] else {
      Issue.record("no failure")
      return
    }
    #expect(error.message.utf8.count < 600)
  }

  @Test func aHeaderIsReadWithItsBloom() throws {
    let bloom = Hex.encode([UInt8](repeating: 7, count: 256))
    let body = """
      {"id":7,"result":{"number":"0x5","hash":"\(ToyNode.hash(5))",
      "parentHash":"\(ToyNode.hash(4))","timestamp":"0x64",
      "logsBloom":"\(bloom)","transactions":[{"a":[1]}],"uncles":[]}}
      """
    let header = BlockHeader(
      number: 5, hash: ToyNode.hash(5), parentHash: ToyNode.hash(4), timestamp: 100)
    let fetched = FetchedHeader(
      header: header, bloom: Bloom(bytes: [UInt8](repeating: 7, count: 256)),
      transactionCount: 1)
    let call = RPCCall.header(number: 5, mustExist: true)
    #expect(
      try RPCAnswer.decode(body: Array(body.utf8), to: [call], firstID: 7) == [.header(fetched)])
    for key in ["number", "hash", "parentHash", "timestamp"] {
      let without = body.replacingOccurrences(of: "\"\(key)\":", with: "\"other\":")
      #expect(throws: JSONError.self) {
        try RPCAnswer.decode(body: Array(without.utf8), to: [call], firstID: 7)
      }
      let twice = body.replacingOccurrences(of: "\"uncles\":[]", with: "\"\(key)\":\"0x5\"")
      #expect(throws: JSONError.self) {
        try RPCAnswer.decode(body: Array(twice.utf8), to: [call], firstID: 7)
      }
    }
  }

  @Test func requestsAreWhatTheStandardSays() throws {
    let filter = LogFilter(addresses: [ToyNode.contract], topics0: [ToyNode.topic])
    let calls = [
      RPCCall.logs(filter, in: 16...31), .header(number: 255, mustExist: true), .chainID,
      .call(to: ToyNode.contract, data: [1, 0xAB], at: .hash(ToyNode.hash(1))),
      .call(to: ToyNode.contract, data: [], at: .number(16)),
    ]
    let body = Data(RPCCall.body(calls, firstID: 5))
    let batch = try #require(try JSONSerialization.jsonObject(with: body) as? [[String: Any]])
    #expect(batch.map { $0["id"] as? Int } == [5, 6, 7, 8, 9])
    #expect(batch.allSatisfy { $0["jsonrpc"] as? String == "2.0" })
    let parameters = try batch.map { request in
      let data = try JSONSerialization.data(
        withJSONObject: request["params"] ?? 0, options: [.sortedKeys, .withoutEscapingSlashes])
      return String(decoding: data, as: UTF8.self)
    }
    let address = "\"\(ToyNode.contract.lowercaseHex)\""
    let blocks = #""fromBlock":"0x10","toBlock":"0x1f""#
    let point = #"{"blockHash":"\#(ToyNode.hash(1))","requireCanonical":true}"#
    #expect(
      parameters == [
        #"[{"address":[\#(address)],\#(blocks),"topics":[["\#(ToyNode.topic)"]]}]"#,
        #"["0xff",false]"#, "[]",
        #"[{"data":"0x01ab","to":\#(address)},\#(point)]"#,
        #"[{"data":"0x","to":\#(address)},"0x10"]"#,
      ])
  }

  private func decode(_ body: String, count: Int) throws -> [RPCAnswer] {
    try RPCAnswer.decode(
      body: Array(body.utf8), to: Array(repeating: .chainID, count: count), firstID: 7)
  }
}
