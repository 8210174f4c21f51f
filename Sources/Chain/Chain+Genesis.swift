import Ethereum

/// What block 0 is: the one question whose answer is kept for ever.
extension Chain {
  /// The hash of block 0, once it was stated or a greeting has told it.
  public var genesis: Bytes32? { expectedGenesis }

  /// States what block 0 is. An endpoint that has another is not used, and when there is no other
  /// the error is `wrongGenesis`. Nil states nothing.
  public func expect(genesis: Bytes32?) {
    guard let genesis else { return }
    genesisEvidence = .stated
    guard genesis != expectedGenesis else { return }
    expectedGenesis = genesis
    for index in endpoints.indices { endpoints[index].isVerified = false }
  }

  /// The hash of block 0 if more speaks for it than one answer: it was stated, most of several
  /// endpoints have told it, or the only one tells it again.
  ///
  /// Costs at most one small request.
  ///
  /// - Returns: nil when nobody has told it, when endpoints differ and none has a majority, and
  ///   when the second answer is another, which is noticed as a contradiction.
  /// - Throws: the errors of every reading.
  public func confirmedGenesis() throws(ChainError) -> Bytes32? {
    guard let expectedGenesis else { return nil }
    switch genesisEvidence {
    case .stated, .majority: return expectedGenesis
    case .disputed: return nil
    case .once: break
    }
    guard case .header(let first?) = try exchange([.genesis])[0] else { return nil }
    guard first.header.number == 0, first.header.hash == expectedGenesis else {
      genesisEvidence = .disputed
      note(
        .contradiction, endpointName,
        "its block 0 is \(first.header.hash) now and was \(expectedGenesis)")
      return nil
    }
    genesisEvidence = .majority
    return expectedGenesis
  }

  /// Takes the most common hash, of equally common ones the first, where none is known.
  func learnGenesis(from hashes: [Bytes32]) {
    guard expectedGenesis == nil else { return }
    var best: (hash: Bytes32, count: Int)?
    for hash in hashes {
      let count = hashes.count { $0 == hash }
      if count > best?.count ?? 0 { best = (hash, count) }
    }
    guard let best else { return }
    expectedGenesis = best.hash
    genesisEvidence =
      if hashes.count == 1 { .once } else if best.count * 2 > hashes.count { .majority } else {
        .disputed
      }
  }
}

/// What speaks for a hash of block 0.
enum GenesisEvidence {
  /// The caller has stated it.
  case stated

  /// Most of several answers.
  case majority

  /// One answer.
  case once

  /// No more answers than speak against it.
  case disputed
}
