import Ethereum
import Postgres
import Quantities
import Systems
import Testing

@testable import Moolah

/// Whom the logs say to read again, and what of a reading stays.
@Suite struct BrokerTablesTests {
  private static let broker = HandmadeBook.brokerAddress
  private static let user = HandmadeBook.address(0xAA)

  private static func log(
    _ signature: String, _ emitter: Address, _ indexed: [Bytes32], _ words: [U256] = [],
    block: UInt64
  ) -> Log {
    Log(
      address: emitter, topics: [ABI.topic(signature)] + indexed,
      data: words.flatMap(\.bigEndianBytes), blockNumber: block, blockHash: hash(block),
      transactionHash: .zero, transactionIndex: 0, logIndex: 0)
  }

  private static func hash(_ block: UInt64) -> Bytes32 { Bytes32(U256(block)) }

  private static let parameters: [U256] = [0x21, 0x22, 0x23, 0, 800_000_000_000_000_000]
  private static let key = keccak256(parameters.flatMap(\.bigEndianBytes))

  /// Block 1: a market; 2: its broker; 3: collateral and debt of the user.
  private static let beginning: [Log] = [
    log(
      "CreateMarket(bytes32,(address,address,address,address,uint256))", LogStream.core, [key],
      parameters, block: 1),
    log(
      "SetMarketBroker(bytes32,address,bool)", LogStream.core, [key, Bytes32(broker)], [1],
      block: 2),
    log(
      "Supply(bytes32,address,address,uint256,uint256)", LogStream.core,
      [key, Bytes32(user), Bytes32(user)], [1_000, 1_000_000_000], block: 2),
    borrow(block: 3),
  ]

  private static func borrow(block: UInt64) -> Log {
    log(
      "Borrow(bytes32,address,address,address,uint256,uint256)", LogStream.core,
      [key, Bytes32(user), Bytes32(user)], [Bytes32(broker).u256, 10, 10_000_000], block: block)
  }

  private static func ofBroker(_ signature: String, block: UInt64) -> Log {
    log(signature, broker, [Bytes32(user)], [1, 2, 3, 4, 5, 6], block: block)
  }

  private func consume(_ logs: [Log], into stored: StoredMirror) throws {
    try stored.consume(
      logs, BlockTimes(uniqueKeysWithValues: (1...60).map { ($0, 1_000 + $0) }))
  }

  /// The book at a block; reads the broker if it says so.
  private func book(_ stored: StoredMirror, at block: UInt64, reads: Bool = false) throws
    -> BookBroker
  {
    try stored.db.transaction { tx in
      var book = try stored.moolah.book(
        of: stored.deployment, markets: MarketFilter(),
        at: BlockMark(number: block, hash: Self.hash(block), timestamp: 1_000 + block), in: tx)
      if reads {
        var broker = try #require(book.brokers[Self.broker])
        for user in broker.unread {
          let loan = FixedLoan(
            number: 3, principal: 10, apr: BrokerMath.ray, start: 1, end: 2, lastRepaid: 1,
            interestRepaid: 0, principalRepaid: 4)
          broker.users[user] = .read(
            BrokerLoans(
              dynamicPrincipal: 7, normalizedDebt: 8, terms: [LoanTerm(loan: loan)], totalDebt: 14))
        }
        broker.calculator = HandmadeBook.calculator
        broker.rate = HandmadeBook.flatRate
        book.brokers[Self.broker] = broker
        try stored.moolah.storeAnswers(of: book, run: nil, in: tx)
      }
      return try #require(book.brokers[Self.broker])
    }
  }

  @Test func aUserIsReadAgainAfterEveryTouch() throws {
    let stored = try StoredMirror()
    try consume(Self.beginning, into: stored)
    #expect(try book(stored, at: 4, reads: true).unread == [Self.user])
    let known = try book(stored, at: 5)
    #expect(known.unread.isEmpty)
    let loans = try #require(known.users[Self.user]?.loans)
    #expect(loans.dynamicPrincipal == 7 && loans.normalizedDebt == 8 && loans.totalDebt == 14)
    #expect(loans.terms.map(\.loan.principalRepaid) == [4])

    // Old and new shapes, and one that nobody has seen yet.
    let events = [
      "DynamicLoanPositionBorrowed(address,uint256,uint256)",
      "RepaidFixedLoanPosition(address,uint256,uint256,uint256,uint256,uint256,uint256)",
      "RepaidFixedLoanPosition(address,uint256,uint256,uint256,uint256,uint256,uint256,uint256,"
        + "uint256,uint256,uint256)",
      "SomethingNew(address)",
    ]
    var block: UInt64 = 10
    for event in events {
      try consume([Self.ofBroker(event, block: block)], into: stored)
      #expect(try book(stored, at: block, reads: true).unread == [Self.user], "\(event)")
      #expect(try book(stored, at: block + 1).unread.isEmpty, "\(event)")
      block += 2
    }
    try consume([Self.borrow(block: block)], into: stored)
    #expect(try book(stored, at: block).unread == [Self.user])
  }

  @Test func aReadingIsAsOfItsBlockAndGoesWithIt() throws {
    let stored = try StoredMirror()
    try consume(Self.beginning, into: stored)
    _ = try book(stored, at: 4, reads: true)
    try consume(
      [Self.ofBroker("DynamicLoanPositionRepaid(address,uint256,uint256)", block: 20)],
      into: stored)
    _ = try book(stored, at: 21, reads: true)
    #expect(try book(stored, at: 22).unread.isEmpty)
    try stored.db.transaction { tx in
      try stored.moolah.takeBack(to: 18, of: stored.deployment, in: tx)
    }
    // The reading at 21 is gone; the touch at 20 may come back, so that the one at 4 is not enough.
    #expect(try book(stored, at: 18).unread == [Self.user])
    let left = try stored.db.transaction { tx in
      try tx.query(
        """
        select (select count(*) from broker_loan), (select count(*) from broker_rate),
          (select count(*) from broker_touch)
        """)[0]
    }
    #expect(try (0...2).map { try left.get($0, Int64.self) } == [1, 1, 1])
  }

  @Test func aReadingOfABlockThatIsNoLongerOnTheChainDoesNotCount() throws {
    let stored = try StoredMirror()
    try consume(Self.beginning, into: stored)
    _ = try book(stored, at: 4, reads: true)
    try stored.db.transaction { tx in
      try tx.execute(
        """
        insert into block (chain_id, number, hash, parent_hash, timestamp, canonical)
        values (1, 4, \(Self.hash(4)), \(Self.hash(3)), 1004, false)
        """)
    }
    #expect(try book(stored, at: 5).unread == [Self.user])
  }

  @Test func aLateEventOfABrokerTouchesAsWell() throws {
    let stored = try StoredMirror()
    try consume(Self.beginning, into: stored)
    _ = try book(stored, at: 4, reads: true)
    try stored.db.transaction { tx in
      try stored.moolah.note(
        late: [Self.ofBroker("Liquidated(address,uint256,uint256)", block: 9)],
        of: stored.deployment, in: tx)
    }
    #expect(try book(stored, at: 10).unread == [Self.user])
  }

  @Test func whatWasReadOfOtherCodeIsReadAgain() throws {
    let stored = try StoredMirror()
    try consume(Self.beginning, into: stored)
    _ = try book(stored, at: 4, reads: true)
    let upgraded = Self.log(
      "Upgraded(address)", Self.broker, [Bytes32(HandmadeBook.address(0xED))], block: 9)
    try consume([upgraded], into: stored)
    // The implementation is asked for as well, as if it were a user.
    #expect(try !book(stored, at: 8).unread.contains(Self.user))
    #expect(try book(stored, at: 9, reads: true).unread.contains(Self.user))
    #expect(try book(stored, at: 10).unread.isEmpty)
  }

  @Test func onlyTheCoreRevealsBrokersAndTheyStayWatched() throws {
    let stored = try StoredMirror()
    let reveals = stored.moolah.addresses(revealedBy: Self.beginning, of: stored.deployment)
    #expect(reveals == [Self.broker])
    let elsewhere = Deployment(id: 2, name: "other", chainID: 1, address: .zero, firstBlock: 0)
    #expect(stored.moolah.addresses(revealedBy: Self.beginning, of: elsewhere).isEmpty)

    try consume(Self.beginning, into: stored)
    let removed = Self.log(
      "SetMarketBroker(bytes32,address,bool)", LogStream.core, [Self.key, Bytes32(Self.broker)],
      [0], block: 30)
    try consume([removed], into: stored)
    let watched = try stored.db.transaction { tx in
      try stored.moolah.watched(of: stored.deployment, in: tx)
    }
    #expect(watched == [LogStream.core, Self.broker])
  }

  @Test func withoutItsBrokerAMarketsDebtIsTheCoresAgain() throws {
    let stored = try StoredMirror()
    try consume(Self.beginning, into: stored)
    let removed = Self.log(
      "SetMarketBroker(bytes32,address,bool)", LogStream.core, [Self.key, Bytes32(Self.broker)],
      [0], block: 30)
    try consume([removed], into: stored)
    let brokers = try stored.db.transaction { tx in
      try stored.moolah.book(
        of: stored.deployment, markets: MarketFilter(),
        at: BlockMark(number: 31, hash: Self.hash(31), timestamp: 1_031), in: tx
      ).brokers
    }
    #expect(brokers.isEmpty)
  }

  @Test func thePastIsJudgedByTheTouchesOfItsOwnTime() throws {
    let stored = try StoredMirror()
    try consume(Self.beginning, into: stored)
    _ = try book(stored, at: 4, reads: true)
    try consume(
      [Self.ofBroker("AllPositionsRepaid(address,uint256)", block: 20)], into: stored)
    // At 10 the reading of 4 is still right, and the touch of 20 is not yet.
    for (block, unread) in [(3, [Self.user]), (10, []), (20, [Self.user])] as [(UInt64, [Address])]
    {
      var mirror = stored.moolah.blankMirror(following: nil, keepsHistory: false)
      let logs =
        Self.beginning + [Self.ofBroker("AllPositionsRepaid(address,uint256)", block: 20)]
      _ = try stored.moolah.apply(
        logs.filter { $0.blockNumber <= block }, of: stored.deployment,
        times: BlockTimes(uniqueKeysWithValues: (1...60).map { ($0, 1_000 + $0) }),
        finality: .max, to: &mirror)
      let found = try stored.db.transaction { tx in
        try stored.moolah.book(
          from: mirror, of: stored.deployment, markets: MarketFilter(),
          at: BlockMark(number: block, hash: Self.hash(block), timestamp: 1_000 + block), in: tx
        ).brokers[Self.broker]?.unread
      }
      #expect(found == unread, "block \(block)")
    }
  }

  @Test func everyUserComesFirstAtSomeBlock() {
    let users = [1, 2, 3]
    #expect((0...3).map { users.turned(by: $0).first } == [1, 2, 3, 1])
    #expect(users.turned(by: 5) == [3, 1, 2])
    #expect([Int]().turned(by: .max).isEmpty)
  }

  @Test func aLendingBrokerWritesNothingDown() {
    let event = LiquidateEvent(
      caller: Self.broker, borrower: Self.user, repaidAssets: 4, repaidShares: 40,
      seizedAssets: .zero, badDebtAssets: 4, badDebtShares: 40)
    #expect(event.isWriteDown(by: Self.broker, of: .credit))
    #expect(event.isWriteDown(by: Self.broker, of: nil))
    #expect(!event.isWriteDown(by: Self.broker, of: .lending))
    #expect(!event.isWriteDown(by: nil, of: nil))
  }
}
