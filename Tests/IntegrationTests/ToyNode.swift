import Ethereum
import Foundation
import TestKit

/// A node with a hundred empty blocks, which can answer single methods otherwise.
final class ToyNode: Sendable {
  let server: LocalHTTPServer

  var url: String { server.url }

  /// One that says it is this chain. `answers` are JSON texts of results, by method, that it gives
  /// instead of the right ones; `latest` is the number that it gives its last block.
  init(
    chainID: UInt64 = 1, answers: [String: String] = [:], latest: UInt64 = 100,
    time: UInt64 = 100
  ) throws {
    let head = Self.header(
      "latest", number: Hex.quantity(latest), timestamp: Hex.quantity(time))
    server = try LocalHTTPServer { request in
      .answer(Array(Self.answer(to: request.body, chainID, answers, head).utf8))
    }
  }

  /// A node that does this with every request.
  init(misbehaving reply: LocalHTTPServer.Reply) throws {
    server = try LocalHTTPServer { _ in reply }
  }

  /// Where nothing listens any more.
  static func closedPort() throws -> String {
    let server = try LocalHTTPServer { _ in .reset }
    server.stop()
    return server.url
  }

  deinit { server.stop() }

  private static func answer(
    to body: [UInt8], _ chainID: UInt64, _ answers: [String: String], _ head: String
  ) -> String {
    let object = try? JSONSerialization.jsonObject(with: Data(body))
    guard let batch = object as? [[String: Any]] else {
      return one(object as? [String: Any] ?? [:], chainID, answers, head)
    }
    return "[\(batch.map { one($0, chainID, answers, head) }.joined(separator: ","))]"
  }

  private static func one(
    _ call: [String: Any], _ chainID: UInt64, _ answers: [String: String], _ head: String
  ) -> String {
    let method = call["method"] as? String ?? ""
    let parameters = call["params"] as? [Any] ?? []
    let result =
      answers[method]
      ?? {
        switch method {
        case "eth_getCode": "\"0x\""
        case "eth_chainId": "\"\(Hex.quantity(chainID))\""
        case "eth_getBlockByNumber":
          parameters.first as? String == "latest"
            ? head : header(parameters.first as? String ?? "")
        default: "[]"
        }
      }()
    return #"{"jsonrpc":"2.0","id":\#(call["id"] ?? 0),"result":\#(result)}"#
  }

  /// The JSON of a block; `latest` is 100.
  static func header(
    _ tag: String, number: String? = nil, timestamp: String = "0x64"
  ) -> String {
    let block = Hex.parseQuantity(tag) ?? 100
    if block > 100 { return "null" }
    return """
      {"number":"\(number ?? Hex.quantity(block))","hash":"\(hash(block))",\
      "parentHash":"\(hash(block &- 1))","timestamp":"\(timestamp)"}
      """
  }

  private static func hash(_ block: UInt64) -> Bytes32 { keccak256(Array("block \(block)".utf8)) }
}
