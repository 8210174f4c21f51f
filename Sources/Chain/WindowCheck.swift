import Ethereum

/// What in a node's answers contradicts itself or the request.
public enum Inconsistency: Error, Equatable, Sendable {
  /// A header has another number than the one asked for.
  case headerNumber(expected: UInt64, got: UInt64)

  /// A header has another hash than the one asked for.
  case headerHash(expected: Bytes32, got: Bytes32)

  /// A block's parent hash is not the hash of the block before it.
  case unlinked(block: UInt64)

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
}

extension Inconsistency: CustomStringConvertible {
  /// One clause that names the block.
  public var description: String {
    switch self {
    case .headerNumber(let expected, let got): "asked for header \(expected), got \(got)"
    case .headerHash(let expected, let got): "asked for header \(expected), got \(got)"
    case .unlinked(let block): "block \(block) does not follow the one before it"
    case .logOutsideRange(let block): "a log of block \(block), which was not asked for"
    case .foreignLog(let block, let index):
      "log \(index) of block \(block) is of a contract or event that was not asked for"
    case .removedLog(let block, let index): "log \(index) of block \(block) is marked removed"
    case .logOrder(let block, let index): "log \(index) of block \(block) is out of order"
    case .logHash(let block, let index): "log \(index) of block \(block) has a foreign block hash"
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

  /// The blocks, among those whose header was read, whose bloom tells of a log that did not come.
  func suspiciousBlocks(_ logs: [Log], _ headers: [FetchedHeader]) -> [UInt64] {
    let items = filter.bloomItems
    let withLogs = Set(logs.map(\.blockNumber))
    return headers.compactMap { fetched in
      guard range.contains(fetched.header.number), !withLogs.contains(fetched.header.number),
        let bloom = fetched.bloom, bloom.mayMatch(items), bloom.tells(items, odds: Self.bloomOdds)
      else { return nil }
      return fetched.header.number
    }
  }
}
