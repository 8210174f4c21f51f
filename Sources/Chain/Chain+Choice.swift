import HTTP

/// Which endpoint is asked.
extension Chain {
  var current: EndpointState {
    get { endpoints[currentIndex] }
    set { endpoints[currentIndex] = newValue }
  }

  /// Makes the best other endpoint the current one, if there is another that can be used.
  func failOver() {
    if let next = bestEndpoint(where: { $0 != currentIndex }) { use(next) }
  }

  /// Asks another endpoint than this one from now on, until that one fails.
  ///
  /// - Returns: false if there is no other that can be used.
  @discardableResult
  public func leave(_ endpoint: String) -> Bool {
    let others = { [endpoints] (index: Int) in endpoints[index].endpoint.name != endpoint }
    guard let best = bestEndpoint(where: others) else { return false }
    if endpointName == endpoint { use(best) }
    return true
  }

  /// Leaves the current endpoint if another is clearly better.
  ///
  /// Only where a new piece of work begins: within one, all answers should come from one node.
  func reconsider() {
    guard let best = bestEndpoint(), best != currentIndex else { return }
    let lead = endpoints[best].score.value - current.score.value
    if !current.isUsable || lead >= EndpointScore.clearlyBetter { use(best) }
  }

  /// The endpoint with the best score among those that can be used and are wanted. One that does
  /// not want to be asked now comes last; equal ones come in the order that begins at the current.
  func bestEndpoint(where isWanted: (Int) -> Bool = { _ in true }) -> Int? {
    let now = now()
    let order = endpoints.indices.map { (currentIndex + $0) % endpoints.count }
    var best: (index: Int, isFree: Bool, score: Int)?
    for index in order where endpoints[index].isUsable && isWanted(index) {
      let isFree = !endpoints[index].isPaused(at: now)
      let score = endpoints[index].score.value
      if let best, (best.isFree ? 1 : 0, best.score) >= (isFree ? 1 : 0, score) { continue }
      best = (index, isFree, score)
    }
    return best?.index
  }

  /// Makes an endpoint the current one.
  func use(_ index: Int) {
    guard index != currentIndex else { return }
    note(.switched, endpoints[index].endpoint.name, "instead of \"\(endpointName)\"")
    currentIndex = index
    failovers += 1
  }

  /// Uses an endpoint no more in this run; throws when no other is left.
  func setAside(_ index: Int, after error: ChainError) throws(ChainError) {
    endpoints[index].isUsable = false
    guard endpoints.contains(where: \.isUsable) else { throw error }
    if index == currentIndex { failOver() }
  }

  /// Sets an endpoint of another chain aside, and tells the operator.
  func banish(_ index: Int, after error: ChainError) throws(ChainError) {
    note(.contradiction, endpoints[index].endpoint.name, "\(error)")
    try setAside(index, after: error)
  }

  /// Sees to it that the current endpoint wants to be asked: takes another, or waits.
  ///
  /// - Parameter error: what went wrong before.
  /// - Throws: that error when the wait would reach the deadline, and what ends the run meanwhile.
  func awaitTurn(after error: ChainError?) throws(ChainError) {
    guard current.isPaused(at: now()) else { return }
    let turns = endpoints.indices.filter { endpoints[$0].isUsable }.map {
      (index: $0, pause: endpoints[$0].pausedUntil?.duration(since: now()) ?? .zero)
    }
    if turns.contains(where: { $0.pause == .zero }) { return failOver() }
    guard let next = turns.min(by: { $0.pause < $1.pause }) else { return }
    // No use in waiting for the deadline: what went wrong says more than that it was reached.
    guard next.pause < remainingTime else { throw error ?? .deadlineReached }
    use(next.index)
    try pause(next.pause)
  }

  // MARK: Heads

  /// Takes note of the newest block that an endpoint tells of.
  ///
  /// - Returns: whether it is behind others, or behind what it was.
  @discardableResult
  func noteHead(_ number: UInt64, of index: Int) -> Bool {
    let before = endpoints[index].head ?? 0
    let lag = number < highestHead ? highestHead - number : 0
    endpoints[index].head = number
    endpoints[index].score.isBehind = lag > limits.maxHeadLag
    highestHead = max(highestHead, number)
    guard number < before || lag > limits.maxHeadLag else { return false }
    endpoints[index].score.lower(for: .lag)
    let name = endpoints[index].endpoint.name
    note(
      .behind, name,
      number < before
        ? "its head went back from block \(before) to \(number)"
        : "its head is block \(number), \(lag) blocks behind the best")
    return true
  }

  /// Takes note that an endpoint does not know a block.
  func noteUnknown(_ call: RPCCall, at index: Int) {
    // Above every head that was seen it is no fault: the block does not exist yet.
    guard let number = call.blocks?.upperBound, number <= highestHead else { return }
    endpoints[index].score.lower(for: .lag)
    note(
      .behind, endpoints[index].endpoint.name,
      "does not know block \(number); the head was \(highestHead)")
  }
}
