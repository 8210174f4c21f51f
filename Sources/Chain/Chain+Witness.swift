import Ethereum

/// Asking one endpoint alone.
extension Chain {
  /// How often a witness is tried: another can be asked instead.
  static let witnessAttempts = 3

  /// Runs `body` on the same chain, read through one endpoint only. What is learnt of the
  /// endpoint stays.
  func witness<Value>(
    _ index: Int, _ body: (Chain) throws(ChainError) -> Value
  ) throws(ChainError) -> Value {
    let alone = Chain(alone: index, of: self)
    defer {
      endpoints[index] = alone.endpoints[0]
      if !endpoints[index].isUsable, index == currentIndex { failOver() }
      nextID = alone.nextID
      for notice in alone.takeNotices() { note(notice.kind, notice.endpoint, notice.detail) }
    }
    return try body(alone)
  }

  /// What the endpoint says, or nil when it says nothing of use.
  func testimony<Value>(
    _ index: Int, _ body: (Chain) throws(ChainError) -> Value
  ) throws(ChainError) -> Value? {
    do throws(ChainError) {
      return try witness(index, body)
    } catch {
      if error.endsTheRun { throw error }
      return nil
    }
  }

  /// The usable endpoints, the current one first.
  var witnesses: [Int] {
    endpoints.indices.map { (currentIndex + $0) % endpoints.count }
      .filter { endpoints[$0].isUsable }
  }

  private convenience init(alone index: Int, of chain: Chain) {
    var limits = chain.limits
    limits.maxAttempts = min(limits.maxAttempts, Self.witnessAttempts)
    limits.maxRereads = min(limits.maxRereads, 1)
    limits.agreeLogs = 1
    limits.agreePrices = 1
    self.init(
      name: chain.name, chainID: chain.chainID, endpoints: [chain.endpoints[index].endpoint],
      transport: chain.transport, limits: limits, deadline: chain.deadline,
      generator: chain.generator, isStopping: chain.isStopping, now: chain.now, time: chain.time,
      sleep: chain.sleep)
    endpoints[0] = chain.endpoints[index]
    nextID = chain.nextID
    // It is asked again which chain it serves by what the whole chain knows of it.
    expectedGenesis = chain.expectedGenesis
    genesisEvidence = chain.genesisEvidence
    highestHead = chain.highestHead
    bloomBits = chain.bloomBits
  }

  // MARK: Windows

  /// The first `range` of what is asked for, as one endpoint tells it, in as many pieces as it
  /// needs; never a shorter one.
  func readWhole(
    _ request: WindowRequest, _ range: ClosedRange<UInt64>
  ) throws(ChainError) -> WindowReading {
    var piece = request
    piece.through = range.upperBound
    var whole = try read(piece)
    for _ in 0..<limits.maxWindowRefusals where whole.range.upperBound < range.upperBound {
      piece.from = whole.range.upperBound + 1
      piece.parent = whole.headers.last.map { ($0.header.number, $0.header.hash) }
      let next: WindowReading
      do throws(ChainError) {
        next = try read(piece)
      } catch {
        // The link that broke is between two pieces, and none of the caller's business.
        guard case .parentMismatch(let number, _, _) = error else { throw error }
        throw inconsistent(.unlinked(block: number + 1))
      }
      whole.range = range.lowerBound...next.range.upperBound
      whole.logs += next.logs
      whole.headers += next.headers
      whole.suspicions += next.suspicions
    }
    guard whole.range == range else {
      throw .windowRefused(endpoint: endpointName, block: whole.range.upperBound + 1)
    }
    let withLogs = Set(whole.logs.map(\.blockNumber))
    whole.headers.removeAll { fetched in
      let number = fetched.header.number
      return number != range.upperBound && number < request.everyHeaderFrom
        && !withLogs.contains(number) && !request.also.contains(number)
    }
    return whole
  }
}
