import Ethereum

/// The logs of a whole block, proved by its header.
public struct ProvedLogs: Equatable, Sendable {
  /// Every log of the block, in order.
  public var logs: [Log]

  /// Whether only the root was compared: the header has another hash than its fields give, so
  /// that the root itself is the node's word. Then logs and receipts agree, and no more is known.
  public var isRootOnly: Bool
}

/// By which method an endpoint gives receipts.
enum ReceiptSource {
  /// All of a block at once.
  case blocks
  /// One transaction after the other.
  case transactions
  /// Not at all.
  case none
}

/// Proving which logs a block has.
extension Chain {
  /// The transactions of a block whose receipts are read one by one, at most.
  static let receiptsMax = 2000

  /// Every log of a block, from its receipts, when they have the root that the header has.
  ///
  /// A log that is not among them is not in the block, whatever else the endpoint says: to lie, it
  /// would have to find other receipts of the same hash, or another header. `transactionHash`
  /// alone is the node's word.
  ///
  /// - Parameter header: a block; its hash is what everything is proved against.
  /// - Returns: nil when the endpoint has no receipts, or none of that root.
  /// - Throws: the errors of every reading.
  /// Cost: one request with the block's receipts; where an endpoint has no `eth_getBlockReceipts`,
  /// one call for each transaction.
  public func provedLogs(of header: BlockHeader) throws(ChainError) -> ProvedLogs? {
    guard current.receiptSource != .none else { return nil }
    let index = currentIndex
    guard let (sealed, receipts) = try fetchReceipts(of: header) else { return nil }
    // What an endpoint says of another's header would count against the wrong one.
    guard currentIndex == index else { return nil }
    return prove(receipts, by: sealed, of: header)
  }

  private func prove(
    _ receipts: [FetchedReceipt], by sealed: SealedHeader, of header: BlockHeader
  ) -> ProvedLogs? {
    let computed = sealed.fields.hash
    if computed == header.hash { current.sealsHeaders = true }
    let isRootOnly = computed != header.hash
    guard !isRootOnly || !current.sealsHeaders else {
      note(.contradiction, endpointName, "the fields of block \(header.number) have another hash")
      return nil
    }
    guard let root = receiptsRoot(receipts.map(\.receipt)) else { return nil }
    guard root == sealed.fields.word(.receiptsRoot) else {
      note(
        .contradiction, endpointName, "the receipts of block \(header.number) have another root")
      return nil
    }
    return ProvedLogs(logs: Self.placed(receipts, in: header), isRootOnly: isRootOnly)
  }

  /// The receipts' logs with their places, which follow from their order.
  private static func placed(_ receipts: [FetchedReceipt], in header: BlockHeader) -> [Log] {
    var logs: [Log] = []
    for (transaction, fetched) in receipts.enumerated() {
      for var log in fetched.receipt.logs {
        log.blockNumber = header.number
        log.blockHash = header.hash
        log.transactionHash = fetched.transactionHash
        log.transactionIndex = UInt32(clamping: transaction)
        log.logIndex = UInt32(clamping: logs.count)
        logs.append(log)
      }
    }
    return logs
  }

  /// The block's header with all its fields, and its receipts in their order.
  private func fetchReceipts(
    of header: BlockHeader
  ) throws(ChainError) -> (SealedHeader, [FetchedReceipt])? {
    let calls =
      [RPCCall.sealedHeader(hash: header.hash)]
      + (current.receiptSource == .blocks ? [.receipts(of: header.number)] : [])
    guard let answers = try optional(calls) else { return nil }
    guard case .sealedHeader(let sealed?) = answers[0], sealed.hash == header.hash else {
      return nil
    }
    if case .receipts(let receipts?)? = answers.dropFirst().first { return (sealed, receipts) }
    if case .failure(let error)? = answers.dropFirst().first,
      error.kind(of: "eth_getBlockReceipts") == .unknownMethod
    {
      current.receiptSource = .transactions
    }
    guard let receipts = try receiptsOneByOne(of: sealed) else { return nil }
    return (sealed, receipts)
  }

  private func receiptsOneByOne(of sealed: SealedHeader) throws(ChainError) -> [FetchedReceipt]? {
    guard let transactions = sealed.transactions, transactions.count <= Self.receiptsMax else {
      return nil
    }
    guard let answers = try optional(transactions.map(RPCCall.receipt)) else { return nil }
    var receipts: [FetchedReceipt] = []
    for answer in answers {
      if case .failure(let error) = answer,
        error.kind(of: "eth_getTransactionReceipt") == .unknownMethod
      {
        current.receiptSource = .none
      }
      guard case .receipt(let receipt?) = answer, receipt.blockHash == sealed.hash else {
        return nil
      }
      receipts.append(receipt)
    }
    return receipts
  }

  /// The answers, or nil when the endpoint has none; only the end of the run is an error.
  private func optional(_ calls: [RPCCall]) throws(ChainError) -> [RPCAnswer]? {
    do throws(ChainError) {
      return try exchange(calls)
    } catch {
      if error.endsTheRun { throw error }
      return nil
    }
  }
}

extension ChainError {
  /// Whether no other endpoint need be asked.
  var endsTheRun: Bool { self == .stopped || self == .deadlineReached }
}
