import Ethereum

/// Asking contracts, at a stated block.
extension Chain {
  /// What the contracts answer at the block, one result for each call and in their order.
  ///
  /// The calls run inside a Multicall3 contract, many in one request; one that reverts is a
  /// failed result and harms no other. When a whole aggregate fails, for want of gas or for the
  /// size of its answer, it is halved until the guilty calls are alone, which are failed results
  /// too. A call that fails without a reason behind others is asked once more, alone: about one
  /// small `eth_call` each, many to a request. With `agreePrices` so many endpoints must give the
  /// same result; a call without is a failed result without data.
  ///
  /// - Parameters:
  ///   - calls: what to ask; none asks nothing.
  ///   - block: the hash of a block that must still be on the chain. An endpoint that does not
  ///     know EIP-1898 is asked by number, and the block's hash is compared before and after.
  ///   - multicall: where Multicall3 stands on this chain.
  /// - Returns: as many results as calls.
  /// - Throws: `unknownBlock` when the block or its state is gone, `noMulticall`,
  ///   `tooFewWitnesses`, and the
  ///   errors of every reading.
  public func call(
    _ calls: [Call], at block: Bytes32, multicall: Address
  ) throws(ChainError) -> [CallResult] {
    guard !calls.isEmpty else { return [] }
    guard limits.agreePrices > 1 else { return try ask(calls, at: block, multicall) }
    return try agreedResults(calls.count) { (alone) throws(ChainError) in
      try alone.ask(calls, at: block, multicall)
    }
  }

  private func ask(
    _ calls: [Call], at block: Bytes32, _ multicall: Address
  ) throws(ChainError) -> [CallResult] {
    try at(block) { (point) throws(ChainError) in
      try AggregateReader(chain: self, multicall: multicall, point: point).results(of: calls)
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
  func refusesBlockHash(
    _ error: RemoteError, _ call: RPCCall, _ point: BlockPoint
  ) -> Bool {
    guard case .hash = point, error.kind(of: call.method) == .invalidParameters else {
      return false
    }
    current.knowsBlockHashes = false
    return true
  }
}
