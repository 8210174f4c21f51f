import Chain
import Ethereum

extension PlainJSON {
  /// What the program must make of the whole body of an answer to `eth_getLogs`.
  var logAnswer: LogAnswer? {
    guard case .object = self else { return nil }
    return member("result")?.logs
  }

  /// What it must make of the array in it.
  var logs: LogAnswer? {
    guard case .array(let elements) = self else { return nil }
    var answer = LogAnswer()
    for element in elements {
      guard let log = element.log, let isRemoved = element.isRemoved else { return nil }
      if isRemoved, answer.firstRemoved == nil { answer.firstRemoved = answer.logs.count }
      answer.logs.append(log)
    }
    return answer
  }

  private var isRemoved: Bool? {
    members("removed").isEmpty ? false : member("removed")?.boolean
  }

  private var log: Log? {
    guard let address = member("address")?.address,
      case .array(let words)? = member("topics"), words.count <= 4,
      let data = member("data")?.bytes,
      let number = member("blockNumber")?.quantity(below: 1 << 64),
      let blockHash = member("blockHash")?.bytes32,
      let transactionHash = member("transactionHash")?.bytes32,
      let transactionIndex = member("transactionIndex")?.quantity(below: 1 << 32),
      let logIndex = member("logIndex")?.quantity(below: 1 << 32)
    else { return nil }
    let topics = words.compactMap(\.bytes32)
    guard topics.count == words.count else { return nil }
    return Log(
      address: address, topics: topics, data: data, blockNumber: number, blockHash: blockHash,
      transactionHash: transactionHash, transactionIndex: UInt32(transactionIndex),
      logIndex: UInt32(logIndex))
  }
}
