import Ethereum

/// What in a node's answers contradicts itself or the request.
public enum Inconsistency: Error, Equatable, Sendable {
  /// A header has another number than the one asked for.
  case headerNumber(expected: UInt64, got: UInt64)

  /// A header has another hash than the one asked for.
  case headerHash(expected: Bytes32, got: Bytes32)

  /// A block's parent hash is not the hash of the block before it.
  case unlinked(block: UInt64)

  /// A block is not there, though the endpoint has told of a newer one.
  case missing(block: UInt64, head: UInt64)

  /// A log lies outside the range asked for.
  case logOutsideRange(block: UInt64)

  /// A log is of a contract or an event that was not asked for.
  case foreignLog(block: UInt64, logIndex: UInt32)

  /// A log is marked as taken back by a reorganisation.
  case removedLog(block: UInt64, logIndex: UInt32)

  /// A log stands before or at the place of the one before it.
  case logOrder(block: UInt64, logIndex: UInt32)

  /// A log's block hash is not the hash of the block of that number.
  case logHash(block: UInt64, logIndex: UInt32)

  /// The bloom of a log's block says that the log is not in it.
  case logOutsideBloom(block: UInt64)

  /// Parts of a range have other logs than the whole of it.
  case logCount(block: UInt64)
}

extension Inconsistency: CustomStringConvertible {
  /// One clause that names the block.
  public var description: String {
    switch self {
    case .headerNumber(let expected, let got): "asked for header \(expected), got \(got)"
    case .headerHash(let expected, let got): "asked for header \(expected), got \(got)"
    case .unlinked(let block): "block \(block) does not follow the one before it"
    case .missing(let block, let head):
      "block \(block) is not there, and the head was block \(head)"
    case .logOutsideRange(let block): "a log of block \(block), which was not asked for"
    case .foreignLog(let block, let index):
      "log \(index) of block \(block) is of a contract or event that was not asked for"
    case .removedLog(let block, let index): "log \(index) of block \(block) is marked removed"
    case .logOrder(let block, let index): "log \(index) of block \(block) is out of order"
    case .logHash(let block, let index): "log \(index) of block \(block) has a foreign block hash"
    case .logOutsideBloom(let block): "the bloom of block \(block) excludes one of its logs"
    case .logCount(let block): "the range from block \(block) and its halves have other logs"
    }
  }
}

/// The checks on one window's answers. Pure: it is given everything, and asks for nothing.
struct WindowCheck {
  let range: ClosedRange<UInt64>
  let filter: LogFilter

  /// The stored block before the window, if there is one.
  let parent: (number: UInt64, hash: Bytes32)?

  /// Checks what can be said of the logs alone: place, contract, event, order, not removed.
  func verify(_ answer: LogAnswer) throws(Inconsistency) {
    if let index = answer.firstRemoved {
      let log = answer.logs[index]
      throw .removedLog(block: log.blockNumber, logIndex: log.logIndex)
    }
    let addresses = Set(filter.addresses)
    let topics = Set(filter.topics0)
    var last: Log?
    for log in answer.logs {
      guard range.contains(log.blockNumber) else { throw .logOutsideRange(block: log.blockNumber) }
      guard addresses.contains(log.address),
        topics.isEmpty || log.topics.first.map(topics.contains) == true
      else { throw .foreignLog(block: log.blockNumber, logIndex: log.logIndex) }
      if let last {
        guard (last.blockNumber, last.logIndex) < (log.blockNumber, log.logIndex) else {
          throw .logOrder(block: log.blockNumber, logIndex: log.logIndex)
        }
      }
      last = log
    }
  }

  /// Checks the logs against the headers, and the headers against each other and the parent.
  ///
  /// The headers are by ascending number, one for each block that has logs.
  func verify(_ logs: [Log], against headers: [BlockHeader]) throws(Inconsistency) {
    try verifyLinks(of: headers)
    var next = headers.startIndex
    for log in logs {
      while next < headers.endIndex, headers[next].number < log.blockNumber { next += 1 }
      guard next < headers.endIndex, headers[next].number == log.blockNumber,
        headers[next].hash == log.blockHash
      else { throw .logHash(block: log.blockNumber, logIndex: log.logIndex) }
    }
  }

  private func verifyLinks(of headers: [BlockHeader]) throws(Inconsistency) {
    if let parent, let first = headers.first, first.number == parent.number &+ 1 {
      guard first.parentHash == parent.hash else { throw .unlinked(block: first.number) }
    }
    for (before, after) in zip(headers, headers.dropFirst())
    where after.number == before.number &+ 1 {
      guard after.parentHash == before.hash else { throw .unlinked(block: after.number) }
    }
  }

  /// Blooms that match by chance more often than once in so many blocks are no witnesses: those
  /// of busy chains have most of their bits set.
  static let bloomOdds: UInt128 = 1000

  /// The blocks, among those whose header was read, whose bloom and logs do not fit.
  func suspicions(
    _ logs: [Log], _ headers: [FetchedHeader], _ bits: BloomBits
  ) -> [Suspicion] {
    let items = filter.bloomItems
    var found: [Suspicion] = []
    var rest = logs[...]
    for fetched in headers where range.contains(fetched.header.number) {
      let number = fetched.header.number
      rest = rest.drop { $0.blockNumber < number }
      let own = rest.prefix { $0.blockNumber == number }
      guard let bloom = fetched.bloom else { continue }
      if let kind = suspicion(of: own, bloom, items, bits) {
        // A block without transactions has no logs, whatever its bloom says.
        if kind != .excluded, fetched.transactionCount == 0 { continue }
        found.append(Suspicion(block: number, kind: kind))
      }
    }
    return found
  }

  private func suspicion(
    of logs: ArraySlice<Log>, _ bloom: Bloom, _ items: LogFilter.BloomItems, _ bits: BloomBits
  ) -> Suspicion.Kind? {
    if logs.isEmpty {
      return bloom.mayMatch(items) && bloom.tells(items, odds: Self.bloomOdds) ? .missing : nil
    }
    if bloom.isEmpty { return nil }
    guard logs.allSatisfy({ bits.mayHold($0, bloom) }) else { return .excluded }
    return bloom.hintsAtTopic(of: items, notIn: logs, odds: Self.bloomOdds) ? .hint : nil
  }
}

/// A block whose bloom and logs do not fit.
struct Suspicion: Equatable {
  enum Kind: Equatable {
    /// The bloom tells of a wanted log and none came.
    case missing

    /// The bloom tells of an event that is not among the block's logs, and by chance in less than
    /// one block in `bloomOdds`: only nearly empty blocks are heard. It may be another contract's,
    /// which receipts or another endpoint clear up. Filters without topics have no hints.
    case hint

    /// The bloom excludes a log that came.
    case excluded

    /// There are exactly as many logs as the endpoint gives at most.
    case cutOff
  }

  let block: UInt64
  let kind: Kind
}
