import Chain
import Ethereum
import Postgres
import Store
import Systems

/// A book of one deployment, read at the mirror's block, with the answers that judging it needs.
public struct Reading<System: OnChainSystem> {
  public let system: System
  public let deployment: Deployment
  public let block: BlockMark
  public private(set) var book: System.Book
  /// Ranges of blocks up to this one whose logs are not proved to be all.
  public let openRanges: Int

  /// Nil: a block of the past, which does not move with the mirror.
  private let cursor: Cursor?

  /// Reads the book in one snapshot; nil if no block has been consumed yet.
  public init?(
    _ system: System, of deployment: Deployment, markets: MarketFilter,
    for purpose: Purpose = .verdicts, on db: Connection
  ) throws {
    let read: (Cursor, BlockMark, System.Book, Int)? = try db.transaction(.readOnly) { tx in
      let cursor = try Cursor.read(Follower<System>.job, of: deployment.id, in: tx)
      guard let number = cursor.block, let hash = cursor.hash,
        let header = try Blocks.header(
          number: number, hash: hash, chainID: deployment.chainID, in: tx)
      else { return nil }
      let block = BlockMark(header)
      let book = try system.book(
        of: deployment, markets: markets, at: block, for: purpose, in: tx)
      let open = try Ledger.open(of: deployment.id, through: number, in: tx).count
      return (cursor, block, book, open)
    }
    guard let (cursor, block, book, open) = read else { return nil }
    self.system = system
    self.deployment = deployment
    self.cursor = cursor
    self.block = block
    self.book = book
    openRanges = open
  }

  /// The last block that was consumed; nil: none yet.
  public static func reached(_ deployment: Deployment, on db: Connection) throws -> BlockMark? {
    try db.transaction(.readOnly) { tx in
      let cursor = try Cursor.read(Follower<System>.job, of: deployment.id, in: tx)
      guard let number = cursor.block, let hash = cursor.hash else { return nil }
      return try Blocks.header(number: number, hash: hash, chainID: deployment.chainID, in: tx)
        .map(BlockMark.init)
    }
  }

  /// Derives the book of a block of the past from the stored events; nil if the mirror has another
  /// block at that number.
  ///
  /// Reads every event of the deployment up to the block. The answers at that block need a node
  /// that still has its state. The caller has compared `reached` with the node.
  ///
  /// - Throws: `CursorError.moved` if the mirror no longer stands on `reached`, and
  ///   `IngestError.beforeBeginning` if the deployment begins in mid-chain above the block.
  public init?(
    _ system: System, of deployment: Deployment, markets: MarketFilter, at header: BlockHeader,
    below reached: BlockMark, on db: Connection
  ) throws {
    let read: (System.Book, Int)? = try db.transaction(.readOnly) { tx in
      let cursor = try Cursor.read(Follower<System>.job, of: deployment.id, in: tx)
      guard cursor.hash == reached.hash else { throw CursorError.moved }
      let bootstrap = try Deployments.bootstrapBlock(of: deployment.id, in: tx)
      if let bootstrap, header.number < bootstrap {
        throw IngestError.beforeBeginning(block: header.number, bootstrap: bootstrap)
      }
      let stored = try Blocks.canonical(
        number: header.number, chainID: deployment.chainID, in: tx)
      guard stored == nil || stored == header.hash else { return nil }
      var mirror = try system.baseMirror(
        following: nil, keepsHistory: false, of: deployment, in: tx)
      try EventStore.forEachLog(
        of: system.watched(of: deployment, in: tx), chainID: deployment.chainID,
        from: bootstrap.map { $0 + 1 } ?? 0, through: header.number, in: tx
      ) { log, timestamp in
        _ = try system.apply(
          [log], of: deployment, times: [log.blockNumber: timestamp], finality: .max, to: &mirror)
      }
      let book = try system.book(
        from: mirror, of: deployment, markets: markets, at: BlockMark(header), in: tx)
      return (book, try Ledger.open(of: deployment.id, through: header.number, in: tx).count)
    }
    guard let (book, open) = read else { return nil }
    self.system = system
    self.deployment = deployment
    cursor = nil
    block = BlockMark(header)
    self.book = book
    openRanges = open
  }

  /// Asks the chain, at the book's block, what the book does not know.
  public mutating func ask(_ chain: Chain, for purpose: Purpose, multicall: Address) throws {
    let questions = system.questions(about: book, for: purpose)
    let answers = try chain.call(questions, at: block.hash, multicall: multicall)
    system.take(answers, for: purpose, into: &book)
    for _ in 0..<Self.roundsMax {
      let questions = system.followUps(about: book, for: purpose)
      if questions.isEmpty { return }
      let answers = try chain.call(questions, at: block.hash, multicall: multicall)
      system.takeFollowUps(answers, for: purpose, into: &book)
    }
  }

  /// Asks sources outside the chain, by their names, for the prices that verdicts need as well.
  ///
  /// They tell what is now, so that for a block of the past none is asked.
  public mutating func askOutside(
    _ ask: (Set<String>) throws -> [String: Result<SecondPrice, SecondProblem>]
  ) throws {
    let names = cursor == nil ? [] : system.outsidePrices(for: book)
    if !names.isEmpty { system.take(try ask(names), into: &book) }
  }

  /// Rounds of questions that answers have raised.
  private static var roundsMax: Int { 32 }

  /// The tokens of each market, for showing amounts.
  public var labels: [Bytes32: MarketLabel] { system.labels(of: book) }

  /// Keeps the mirror where the book was read, until the transaction ends. A book of the past holds
  /// nothing: what is found in it carries its own block.
  ///
  /// - Throws: `CursorError.moved` if it is no longer there.
  public func hold(in tx: borrowing Transaction) throws {
    try cursor?.hold(Follower<System>.job, of: deployment.id, in: tx)
  }
}
