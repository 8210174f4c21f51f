import Ethereum

/// Clearing up what blooms say against logs: by receipts, by other endpoints, or not at all.
extension Chain {
  /// Blocks of one window that are proved by their receipts, at most.
  static let proofsMax = 64

  /// The window of a reading, with its doubts. `isAgreed` says that other endpoints have said the
  /// same already.
  ///
  /// Throws `inconsistent` when a log stands outside its block's bloom and nothing speaks for it.
  func settle(
    _ reading: WindowReading, of request: WindowRequest, isAgreed: Bool
  ) throws(ChainError) -> Window {
    guard !reading.suspicions.isEmpty else { return Window(reading) }
    var settlement = Settlement(reading: reading)
    try prove(&settlement, request)
    let isCaught = settlement.isRepaired
    if isCaught, endpointName == reading.endpoint { failOver() }
    if !settlement.open.isEmpty || isCaught, !isAgreed {
      if try compareElsewhere(&settlement, request) { return Window(settlement.reading) }
    }
    if isCaught { return try windowOfCaught(settlement, request) }
    if isAgreed { settlement.open = [] }
    if let forged = settlement.open.first(where: { $0.kind == .excluded }) {
      throw .inconsistent(
        endpoint: reading.endpoint, .logOutsideBloom(block: forged.block))
    }
    return Window(
      settlement.reading,
      doubts: settlement.open.map {
        Doubt(
          blocks: $0.block...$0.block, reason: $0.kind == .cutOff ? .cutOff : .bloom,
          endpoint: reading.endpoint)
      } + settlement.disagreements)
  }

  // MARK: Receipts

  /// Proves the logs of the suspicious blocks, as far as receipts can be had.
  private func prove(
    _ settlement: inout Settlement, _ request: WindowRequest
  ) throws(ChainError) {
    for suspicion in settlement.reading.suspicions.prefix(Self.proofsMax) {
      guard let header = settlement.header(of: suspicion.block),
        let proved = try provedLogsAnywhere(of: header)
      else { continue }
      settlement.open.removeAll { $0.block == suspicion.block }
      replace(suspicion.block, by: proved, in: &settlement, request.filter)
    }
  }

  private func replace(
    _ block: UInt64, by proved: ProvedLogs, in settlement: inout Settlement, _ filter: LogFilter
  ) {
    let logs = proved.logs.filter(filter.admits)
    let told = settlement.reading.logs.filter { $0.blockNumber == block }
    guard logs != told else { return }
    note(
      logs.count > told.count ? .withheld : .contradiction, settlement.reading.endpoint,
      "block \(block) has \(logs.count) wanted logs, as its receipts prove; it gave \(told.count)")
    settlement.replaceLogs(of: block, by: logs)
  }

  /// The logs of a block, proved by the receipts of any endpoint.
  private func provedLogsAnywhere(of header: BlockHeader) throws(ChainError) -> ProvedLogs? {
    for index in witnesses where endpoints[index].receiptSource != .none {
      let proved = try testimony(index) { (alone) throws(ChainError) in
        try alone.provedLogs(of: header)
      }
      if let proved = proved ?? nil { return proved }
    }
    return nil
  }

  // MARK: Other endpoints

  /// Reads the whole window at the other endpoints, until one confirms it or knows better.
  ///
  /// - Returns: whether that settles everything.
  private func compareElsewhere(
    _ settlement: inout Settlement, _ request: WindowRequest
  ) throws(ChainError) -> Bool {
    let range = settlement.reading.range
    var others: [WindowReading] = []
    for index in witnesses where endpoints[index].endpoint.name != settlement.reading.endpoint {
      let found = try testimony(index) { (alone) throws(ChainError) in
        try alone.readWhole(request, range)
      }
      guard let other = found, other.isOfSameChain(as: settlement.reading) else { continue }
      if other.logs == settlement.reading.logs { return true }
      // Nothing speaks for logs that their own block's bloom excludes.
      if settlement.isForged, !other.suspicions.contains(where: { $0.kind != .hint }) {
        tell(settlement.reading, isOutdoneBy: other)
        settlement.reading = other
        return true
      }
      if let twin = others.first(where: { $0.logs == other.logs }) {
        tell(settlement.reading, isOutdoneBy: twin)
        settlement.reading = twin
        return true
      }
      if try isBetter(other, than: settlement.reading) {
        tell(settlement.reading, isOutdoneBy: other)
        settlement.reading = other
        return true
      }
      tell(other, isOutdoneBy: settlement.reading)
      settlement.disagreements.append(
        Doubt(
          blocks: other.difference(from: settlement.reading) ?? range, reason: .disagreement,
          endpoint: other.endpoint))
      others.append(other)
    }
    return false
  }

  /// Whether a reading has all that another has, and the rest of it is in the blocks that the
  /// other's endpoint knows, and in their blooms.
  private func isBetter(
    _ other: WindowReading, than reading: WindowReading
  ) throws(ChainError) -> Bool {
    let known = Set(reading.logs)
    let extra = other.logs.filter { !known.contains($0) }
    guard !extra.isEmpty, extra.count + known.count == other.logs.count else { return false }
    let numbers = Set(extra.map(\.blockNumber)).sorted()
    guard let index = endpoints.firstIndex(where: { $0.endpoint.name == reading.endpoint }),
      let headers = try testimony(
        index,
        { (alone) throws(ChainError) in
          try alone.fetchedHeaders(numbers)
        })
    else { return false }
    return extra.allSatisfy { log in
      headers.contains { fetched in
        fetched.header.hash == log.blockHash
          && fetched.bloom.map { bloomBits.mayHold(log, $0) } == true
      }
    }
  }

  private func fetchedHeaders(_ numbers: [UInt64]) throws(ChainError) -> [FetchedHeader] {
    try rereading { () throws(ReadingFailure) in try self.fetchHeaders(numbers) }
  }

  /// Names the endpoint of a reading that another one has shown to be wrong, and leaves it.
  private func tell(_ reading: WindowReading, isOutdoneBy other: WindowReading) {
    let withholds =
      reading.logs.count < other.logs.count && Set(reading.logs).isSubset(of: other.logs)
    note(
      withholds ? .withheld : .contradiction, reading.endpoint,
      """
      gave \(reading.logs.count) logs of blocks \(reading.range.lowerBound) to \
      \(reading.range.upperBound); \(other.logs.count) are known
      """)
    if endpointName == reading.endpoint { failOver() }
  }

  // MARK: Caught

  /// The window of an endpoint that was caught withholding, when no other confirms the rest: proved
  /// block by block if it is small, or doubted as a whole.
  private func windowOfCaught(
    _ settlement: Settlement, _ request: WindowRequest
  ) throws(ChainError) -> Window {
    var settlement = settlement
    let range = settlement.reading.range
    let doubt = Doubt(blocks: range, reason: .withheld, endpoint: settlement.reading.endpoint)
    // The width of the widest range does not fit an Int.
    guard range.upperBound - range.lowerBound < UInt64(Self.proofsMax) else {
      return Window(settlement.reading, doubts: [doubt])
    }
    for fetched in try headers(of: settlement.reading, request) {
      guard let proved = try provedLogsAnywhere(of: fetched.header) else {
        return Window(settlement.reading, doubts: [doubt])
      }
      replace(fetched.header.number, by: proved, in: &settlement, request.filter)
      settlement.add(fetched)
    }
    return Window(settlement.reading)
  }

  /// Every header of a reading's range, linked and of the same blocks as the reading.
  ///
  /// Logs are proved against these headers, and they may come from another endpoint than the
  /// reading: one on another fork would prove logs of other blocks.
  private func headers(
    of reading: WindowReading, _ request: WindowRequest
  ) throws(ChainError) -> [FetchedHeader] {
    let check = WindowCheck(
      range: reading.range, filter: request.filter, parent: request.parent)
    return try rereading { () throws(ReadingFailure) in
      let fetched = try self.fetchHeaders(Array(reading.range))
      try self.checking { () throws(Inconsistency) in
        try check.verify(reading.logs, against: fetched.map(\.header))
        try reading.verifySameBlocks(as: fetched)
      }
      return fetched
    }
  }
}

/// A reading on its way to a window.
private struct Settlement {
  var reading: WindowReading

  /// What has not been cleared up.
  var open: [Suspicion]

  var disagreements: [Doubt] = []

  /// Whether a log stands outside its block's bloom, and no receipt has spoken for it.
  var isForged: Bool { open.contains { $0.kind == .excluded } }

  /// Whether receipts have shown that the endpoint's logs were wrong.
  private(set) var isRepaired = false

  init(reading: WindowReading) {
    self.reading = reading
    open = reading.suspicions
  }

  func header(of block: UInt64) -> BlockHeader? {
    reading.headers.first { $0.header.number == block }?.header
  }

  mutating func replaceLogs(of block: UInt64, by logs: [Log]) {
    let place = reading.logs.firstIndex { $0.blockNumber >= block } ?? reading.logs.endIndex
    reading.logs.removeAll { $0.blockNumber == block }
    reading.logs.insert(contentsOf: logs, at: place)
    isRepaired = true
  }

  /// Adds a header that the window needs because logs of its block were found.
  mutating func add(_ fetched: FetchedHeader) {
    let number = fetched.header.number
    guard header(of: number) == nil, reading.logs.contains(where: { $0.blockNumber == number })
    else { return }
    let place = reading.headers.firstIndex { $0.header.number > number }
    reading.headers.insert(fetched, at: place ?? reading.headers.endIndex)
  }
}

extension WindowReading {
  /// Whether both tell of the same blocks, as far as both tell of them.
  fileprivate func isOfSameChain(as other: WindowReading) -> Bool {
    let hashes = Dictionary(
      other.headers.map { ($0.header.number, $0.header.hash) },
      uniquingKeysWith: { first, _ in first })
    return headers.last?.header.hash == other.headers.last?.header.hash
      && headers.allSatisfy { fetched in
        hashes[fetched.header.number].map { $0 == fetched.header.hash } ?? true
      }
  }

  /// Checks that none of its blocks has another hash among the headers.
  fileprivate func verifySameBlocks(as others: [FetchedHeader]) throws(Inconsistency) {
    let hashes = Dictionary(
      others.map { ($0.header.number, $0.header.hash) }, uniquingKeysWith: { first, _ in first })
    for fetched in headers {
      let own = fetched.header
      guard let hash = hashes[own.number], hash != own.hash else { continue }
      throw .headerHash(expected: own.hash, got: hash)
    }
  }

  /// The blocks whose logs are not the same in both.
  fileprivate func difference(from other: WindowReading) -> ClosedRange<UInt64>? {
    let blocks = Set(logs).symmetricDifference(other.logs).map(\.blockNumber)
    guard let first = blocks.min(), let last = blocks.max() else { return nil }
    return first...last
  }
}

extension Window {
  fileprivate init(_ reading: WindowReading, doubts: [Doubt] = []) {
    self.init(
      range: reading.range, logs: reading.logs, headers: reading.headers.map(\.header),
      doubts: doubts, endpoint: reading.endpoint)
  }
}
