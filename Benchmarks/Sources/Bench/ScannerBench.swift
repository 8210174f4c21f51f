import Chain
import Foundation
import Glibc

/// Decodes a large answer to `eth_getLogs`, as nodes write it, into logs; all values are gigabytes
/// of text a second, where a gigabyte is 10^9 bytes.
///
/// The references run on the same bytes in the same rounds: looking at each byte once (`memchr`),
/// copying them (`memcpy`), and Foundation's parser, which makes a tree and no logs.
enum ScannerBench {
  static let megabytes = 50

  static func run() {
    let text = answer(bytes: megabytes * 1_000_000)
    let body = text.bytes
    guard let decoded = try? LogAnswer.decode(body: body), decoded.logs.count == text.logs else {
      fatalError("The answer has other logs than were written into it.")
    }
    var target = [UInt8](repeating: 0, count: body.count)
    let size = "\(body.count / 1_000_000) MB, \(text.logs) logs of \(body.count / text.logs) bytes"
    Measurement.header("an answer of \(size)", unit: "GB/s")
    Measurement.compareThroughput(
      bytes: body.count,
      [
        ("LogAnswer.decode", { UInt64((try? LogAnswer.decode(body: body))?.logs.count ?? 0) }),
        ("memchr for a byte that is not there", { body.lacks(0) ? 1 : 0 }),
        ("memcpy", { target.copy(body) }),
        ("JSONSerialization", { treeSize(body) }),
      ])
  }

  private static func treeSize(_ body: [UInt8]) -> UInt64 {
    let tree = try? JSONSerialization.jsonObject(with: Data(body)) as? [String: Any]
    return UInt64((tree?["result"] as? [Any])?.count ?? 0)
  }

  /// Logs of lending events: three or four topics, one to four words of data, all distinct.
  private static func answer(bytes: Int) -> (bytes: [UInt8], logs: Int) {
    var random = Random(state: 7)
    var body = Array(#"{"jsonrpc":"2.0","id":1,"result":["#.utf8)
    body.reserveCapacity(bytes + 2000)
    var logs = 0
    while body.count < bytes {
      let topics = (0..<(3 + logs % 2)).map { _ in "\"0x\(hex(32, &random))\"" }
      let block = 44_000_000 + logs / 20
      let line = """
        {"address":"0x\(hex(20, &random))","topics":[\(topics.joined(separator: ","))],\
        "data":"0x\(hex(32 * (1 + logs % 4), &random))","blockNumber":"0x\(digits(block))",\
        "transactionHash":"0x\(hex(32, &random))","transactionIndex":"0x\(digits(logs % 211))",\
        "blockHash":"0x\(hex(32, &random))","blockTimestamp":"0x\(digits(block * 3))",\
        "logIndex":"0x\(digits(logs % 500))","removed":false},
        """
      body.append(contentsOf: line.utf8)
      logs += 1
    }
    body.removeLast()
    body.append(contentsOf: "]}".utf8)
    return (body, logs)
  }

  private static func digits(_ value: Int) -> String {
    String(value, radix: 16)
  }

  private static func hex(_ count: Int, _ random: inout Random) -> String {
    let words = (0..<((count + 7) / 8)).map { _ in
      let text = String(random.next(), radix: 16)
      return String(repeating: "0", count: 16 - text.count) + text
    }
    return String(words.joined().prefix(2 * count))
  }
}

extension [UInt8] {
  fileprivate func lacks(_ byte: UInt8) -> Bool {
    withUnsafeBytes { bytes in
      guard let start = bytes.baseAddress else { return true }
      return memchr(start, Int32(byte), bytes.count) == nil
    }
  }

  fileprivate mutating func copy(_ source: [UInt8]) -> UInt64 {
    withUnsafeMutableBytes { $0.copyBytes(from: source) }
    return UInt64(self[count / 2])
  }
}
