import Foundation
import HTTP

/// A recording of real contracts' bytecode, served as a JSON-RPC node (`devchain/recorded`).
public final class RecordedNode {
  public let rpc: String
  public let core: String
  public let chainID: UInt64
  public let firstBlock: UInt64
  /// The last block that the recording has.
  public let last: UInt64
  private let process: PythonProcess
  private let transport = CurlTransport()

  /// Serves a file of `Tests/Fixtures`.
  public init(_ fixture: String) throws {
    process = try PythonProcess(
      module: "devchain.recorded", arguments: [Fixture.url(fixture).path, "--port", "0"])
    let greeting = process.greeting
    guard let rpc = greeting["rpc"] as? String, let core = greeting["core"] as? String,
      let chainID = greeting["chain_id"] as? Int, let first = greeting["first_block"] as? Int,
      let last = greeting["last"] as? Int
    else { throw PythonError(message: "an incomplete greeting: \(greeting)") }
    self.rpc = rpc
    self.core = core
    self.chainID = UInt64(chainID)
    firstBlock = UInt64(first)
    self.last = UInt64(last)
  }

  /// Moves the head.
  public func setHead(_ block: UInt64) throws { try ask("dev_head", ["block": Int(block)]) }

  /// Calls a method of the node.
  @discardableResult
  public func ask(_ method: String, _ parameter: [String: Any]) throws -> Any {
    let body: [String: Any] = [
      "jsonrpc": "2.0", "id": 1, "method": method, "params": [parameter],
    ]
    let request = HTTPRequest(
      url: try EndpointURL(rpc), body: Array(try JSONSerialization.data(withJSONObject: body)))
    guard
      let response = try transport.perform([request], deadline: .never).first?.get(),
      let answer = try JSONSerialization.jsonObject(with: Data(response.body)) as? [String: Any],
      let result = answer["result"]
    else { throw PythonError(message: "\(method) was refused") }
    return result
  }
}
