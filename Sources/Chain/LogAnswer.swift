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
    var habit = KeyHabit()
    let start = offset
    try beginArray()
    while try nextElement() {
      var isRemoved = false
      answer.logs.append(try log(&habit, &isRemoved))
      if isRemoved, answer.firstRemoved == nil { answer.firstRemoved = answer.logs.count - 1 }
      if answer.logs.count == 1 {
        // As if all others were like the first; a limit, since other answers may follow.
        answer.logs.reserveCapacity(min((bytes.count - start) / (offset - start) + 1, 1 << 16))
      }
    }
    return answer
  }

  private mutating func log(
    _ habit: inout KeyHabit, _ isRemoved: inout Bool
  ) throws(JSONError) -> Log {
    var log = Log(
      address: .zero, topics: [], data: [], blockNumber: 0, blockHash: .zero,
      transactionHash: .zero, transactionIndex: 0, logIndex: 0)
    var seen = LogFields()
    var place = 0
    try beginObject()
    while let field = try nextField(&habit, place) {
      place += 1
      guard seen.isDisjoint(with: field) else { throw error(.duplicateKey(field.name)) }
      seen.formUnion(field)
      switch field {
      case .address: log.address = try address()
      case .topics: log.topics = try topics()
      case .data: log.data = try hexBytes()
      case .blockNumber: log.blockNumber = try quantity()
      case .blockHash: log.blockHash = try bytes32()
      case .transactionHash: log.transactionHash = try bytes32()
      case .transactionIndex: log.transactionIndex = try smallQuantity()
      case .logIndex: log.logIndex = try smallQuantity()
      case .removed: isRemoved = try boolean()
      default: try skipValue()
      }
    }
    guard seen.isSuperset(of: .required) else { throw error(.missingKey(seen.firstMissing)) }
    return log
  }

  /// The next key of a log, empty for one that is not read; nil after the last.
  ///
  /// Nodes write the keys of every log in the same order and way, so the bytes of the log before
  /// are compared first: those were checked, in an object that had as many keys before them.
  @inline(__always)
  private mutating func nextField(
    _ habit: inout KeyHabit, _ place: Int
  ) throws(JSONError) -> LogFields? {
    if place < KeyHabit.places, takeKey(like: habit.keys[place].text) {
      return habit.keys[place].field
    }
    let start = offset
    guard let key = try nextKey() else { return nil }
    let field = LogFields(key) ?? []
    if place < KeyHabit.places {
      habit.keys[place] = KeyHabit.Key(text: start..<offset, field: field)
    }
    return field
  }

  /// An array of at most four topics.
  private mutating func topics() throws(JSONError) -> [Bytes32] {
    var topics = InlineArray<4, Bytes32>(repeating: .zero)
    var count = 0
    try beginArray()
    while try nextElement() {
      guard count < 4 else { throw error(.expected("at most four topics")) }
      topics[count] = try bytes32()
      count += 1
    }
    // Unlike an array that grows, one of a known number of elements is made in one step.
    switch count {
    case 0: return []
    case 1: return [topics[0]]
    case 2: return [topics[0], topics[1]]
    case 3: return [topics[0], topics[1], topics[2]]
    default: return [topics[0], topics[1], topics[2], topics[3]]
    }
  }
}

/// Where the keys of the log before stand.
private struct KeyHabit {
  struct Key {
    /// From the end of the value before to the colon; empty while none is known.
    var text: Range<Int>
    var field: LogFields
  }

  static let places = 16

  var keys = InlineArray<16, Key>(repeating: Key(text: 0..<0, field: []))
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
    Self.required.subtracting(self).name
  }

  /// The key of the first field of the set.
  var name: String {
    let names = [
      "address", "topics", "data", "blockNumber", "blockHash", "transactionHash",
      "transactionIndex", "logIndex", "removed",
    ]
    let first = rawValue.trailingZeroBitCount
    return first < names.count ? names[first] : ""
  }
}
