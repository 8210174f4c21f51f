import Ethereum

/// Asking contracts, at a stated block.
extension Chain {
  /// What the contracts answer at the block, one result for each call and in their order.
  ///
  /// The calls run inside a Multicall3 contract, many in one request; one that reverts is a
  /// failed result and harms no other. When a whole aggregate fails, for want of gas or for the
  /// size of its answer, it is halved, down to single calls.
  ///
  /// - Parameters:
  ///   - calls: what to ask; none asks nothing.
  ///   - block: the hash of a block that must still be on the chain. An endpoint that does not
  ///     know EIP-1898 is asked by number, and the block's hash is compared before and after.
  ///   - multicall: where Multicall3 stands on this chain.
  /// - Returns: as many results as calls.
  /// - Throws: `unknownBlock` when the block or its state is gone, `noMulticall`, and the
  ///   errors of every reading.
  public func call(
    _ calls: [Call], at block: Bytes32, multicall: Address
  ) throws(ChainError) -> [CallResult] {
    guard !calls.isEmpty else { return [] }
    return try at(block) { (point) throws(ChainError) in
      var results: [CallResult] = []
      while results.count < calls.count {
        let next = self.aggregate(of: calls[results.count...])
        guard let some = try self.run(next, multicall, at: point) else { return nil }
        results += some
      }
      return results
    }
  }

  // MARK: The block

  /// Runs `body` for the block: by hash, or by number where the endpoint wants that.
  ///
  /// `body` returns nil when it finds that its endpoint does not take hashes.
  private func at<Value>(
    _ block: Bytes32, _ body: (BlockPoint) throws(ChainError) -> Value?
  ) throws(ChainError) -> Value {
    if current.knowsBlockHashes, let value = try body(.hash(block)) { return value }
    for attempt in 0...limits.maxRereads {
      let number = try canonicalNumber(of: block)
      let before = failovers
      guard let value = try body(.number(number)) else {
        preconditionFailure("only a hash is refused as a hash")
      }
      // Another endpoint may have another block of that number. One that was in use in between
      // has given answers that nobody checked, so what counts is whether there was one.
      if try canonicalNumber(of: block) == number, failovers == before { return value }
      try pause(backoff(round: attempt))
    }
    throw unknownBlock(.header(hash: block, mustExist: true))
  }

  /// The number of a block that is on the chain.
  private func canonicalNumber(of block: Bytes32) throws(ChainError) -> UInt64 {
    let call = RPCCall.header(hash: block, mustExist: true)
    guard let found = try header(hash: block),
      try header(number: found.number)?.hash == block
    else { throw unknownBlock(call) }
    return found.number
  }

  /// Whether the error means that the endpoint takes no hashes; remembers it if so.
  private func refusesBlockHash(
    _ error: RemoteError, _ call: RPCCall, _ point: BlockPoint
  ) -> Bool {
    guard case .hash = point, error.kind(of: call.method) == .invalidParameters else {
      return false
    }
    current.knowsBlockHashes = false
    return true
  }

  // MARK: Aggregates

  /// The first calls, as many as one aggregate takes; at least one.
  private func aggregate(of calls: ArraySlice<Call>) -> ArraySlice<Call> {
    var bytes = 0
    let fitting = calls.prefix(current.aggregateSize).prefix { call in
      bytes += call.data.count
      return bytes <= limits.aggregateBytes
    }
    return fitting.isEmpty ? calls.prefix(1) : fitting
  }

  /// The results of one aggregate, split when it fails as a whole; nil when the endpoint takes
  /// no block hashes.
  private func run(
    _ calls: ArraySlice<Call>, _ multicall: Address, at point: BlockPoint
  ) throws(ChainError) -> [CallResult]? {
    let data = Multicall3.aggregate3(Array(calls), allowFailure: true)
    let call = RPCCall.call(to: multicall, data: data, at: point)
    do throws(ChainError) {
      switch try exchange([call])[0] {
      case .bytes(let bytes):
        return try results(bytes, count: calls.count, multicall)
      case .failure(let error):
        if refusesBlockHash(error, call, point) { return nil }
        switch error.kind(of: call.method) {
        case .reverted(let data) where calls.count == 1:
          return [CallResult(succeeded: false, data: data)]
        case .callTooLarge where calls.count == 1:
          return [CallResult(succeeded: false, data: [])]
        case .reverted, .callTooLarge: break
        default: throw refused(error, call)
        }
      default: preconditionFailure("the answer to a call is bytes")
      }
    } catch {
      guard case .tooLarge = error, calls.count > 1 else { throw error }
    }
    return try runHalves(calls, multicall, at: point)
  }

  private func runHalves(
    _ calls: ArraySlice<Call>, _ multicall: Address, at point: BlockPoint
  ) throws(ChainError) -> [CallResult]? {
    let half = (calls.count + 1) / 2
    // The next aggregates start with what has a chance.
    current.aggregateSize = max(1, min(current.aggregateSize, half))
    guard let first = try run(calls.prefix(half), multicall, at: point),
      let second = try run(calls.dropFirst(half), multicall, at: point)
    else { return nil }
    return first + second
  }

  private func results(
    _ bytes: [UInt8], count: Int, _ multicall: Address
  ) throws(ChainError) -> [CallResult] {
    guard !bytes.isEmpty else { throw .noMulticall(multicall) }
    do {
      return try Multicall3.decodeAggregate3(bytes, count: count)
    } catch {
      throw .refused(
        endpoint: current.endpoint.name, method: "eth_call", code: 0,
        message: "answer of Multicall3 cannot be decoded: \(error)")
    }
  }
}
