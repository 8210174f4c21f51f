import Ethereum

/// The logs of one answer to `eth_getLogs`, decoded straight from its text.
public struct LogAnswer: Equatable, Sendable {
  /// The logs in the order of the answer.
  public var logs: [Log]

  /// The place in `logs` of the first one that the node calls `removed`.
  public var firstRemoved: Int?

  /// An answer with these logs, none of them removed.
  public init(logs: [Log] = [], firstRemoved: Int? = nil) {
    self.logs = logs
    self.firstRemoved = firstRemoved
  }

  /// Decodes the whole body of an answer to a single `eth_getLogs` request.
  ///
  /// Everything that ``JSONScanner`` checks is checked; each log must have each of its fields
  /// exactly once. Cost: about a nanosecond a byte and two allocations a log.
  public static func decode(body: [UInt8]) throws(JSONError) -> LogAnswer {
    // The closure of withUnsafeBufferPointer loses the error's type, so it returns it.
    let result: Result<LogAnswer, JSONError> = body.withUnsafeBufferPointer { bytes in
      var scanner = JSONScanner(bytes)
      do throws(JSONError) {
        return .success(try scanner.logAnswerBody())
      } catch {
        return .failure(error)
      }
    }
    return try result.get()
  }
}

extension JSONScanner {
  fileprivate mutating func logAnswerBody() throws(JSONError) -> LogAnswer {
    var answer: LogAnswer?
    try beginObject()
    while let key = try nextKey() {
      guard key.is("result") else {
        try skipValue()
        continue
      }
      guard answer == nil else { throw error(.duplicateKey("result")) }
      answer = try logs()
    }
    try finish()
    guard let answer else { throw error(.missingKey("result")) }
    return answer
  }

  /// An array of logs.
  mutating func logs() throws(JSONError) -> LogAnswer {
    var answer = LogAnswer()
    try beginArray()
    while try nextElement() {
      var isRemoved = false
      answer.logs.append(try log(&isRemoved))
      if isRemoved, answer.firstRemoved == nil { answer.firstRemoved = answer.logs.count - 1 }
    }
    return answer
  }

  private mutating func log(_ isRemoved: inout Bool) throws(JSONError) -> Log {
    var log = Log(
      address: .zero, topics: [], data: [], blockNumber: 0, blockHash: .zero,
      transactionHash: .zero, transactionIndex: 0, logIndex: 0)
    var seen = LogFields()
    try beginObject()
    while let key = try nextKey() {
      guard let field = LogFields(key) else {
        try skipValue()
        continue
      }
      guard seen.insert(field).inserted else { throw error(.duplicateKey(key.decoded())) }
      switch field {
      case .address: log.address = try address()
      case .topics: log.topics = try topics()
      case .data: log.data = try hexBytes()
      case .blockNumber: log.blockNumber = try quantity()
      case .blockHash: log.blockHash = try bytes32()
      case .transactionHash: log.transactionHash = try bytes32()
      case .transactionIndex: log.transactionIndex = try smallQuantity()
      case .logIndex: log.logIndex = try smallQuantity()
      default: isRemoved = try boolean()
      }
    }
    guard seen.isSuperset(of: .required) else { throw error(.missingKey(seen.firstMissing)) }
    return log
  }

  /// An array of at most four topics.
  private mutating func topics() throws(JSONError) -> [Bytes32] {
    var topics: [Bytes32] = []
    topics.reserveCapacity(4)
    try beginArray()
    while try nextElement() {
      guard topics.count < 4 else { throw error(.expected("at most four topics")) }
      topics.append(try bytes32())
    }
    return topics
  }
}

/// The keys of a log that are read; others are passed over.
private struct LogFields: OptionSet {
  let rawValue: UInt16

  static let address = LogFields(rawValue: 1)
  static let topics = LogFields(rawValue: 2)
  static let data = LogFields(rawValue: 4)
  static let blockNumber = LogFields(rawValue: 8)
  static let blockHash = LogFields(rawValue: 16)
  static let transactionHash = LogFields(rawValue: 32)
  static let transactionIndex = LogFields(rawValue: 64)
  static let logIndex = LogFields(rawValue: 128)
  static let removed = LogFields(rawValue: 256)

  static let required = LogFields(rawValue: 255)

  init(rawValue: UInt16) {
    self.rawValue = rawValue
  }

  @inline(__always)
  init?(_ key: JSONText) {
    if key.is("address") {
      self = .address
    } else if key.is("topics") {
      self = .topics
    } else if key.is("data") {
      self = .data
    } else if key.is("blockNumber") {
      self = .blockNumber
    } else if key.is("blockHash") {
      self = .blockHash
    } else if key.is("transactionHash") {
      self = .transactionHash
    } else if key.is("transactionIndex") {
      self = .transactionIndex
    } else if key.is("logIndex") {
      self = .logIndex
    } else if key.is("removed") {
      self = .removed
    } else {
      return nil
    }
  }

  /// The name of the first required key that is not in the set.
  var firstMissing: String {
    let names = [
      "address", "topics", "data", "blockNumber", "blockHash", "transactionHash",
      "transactionIndex", "logIndex",
    ]
    return names[Self.required.subtracting(self).rawValue.trailingZeroBitCount]
  }
}
