import Ethereum
import Postgres
import Quantities
import RiskCore
import Systems
import Testing

@testable import Moolah

/// Answers of tokens and rate models that anyone may have deployed.
@Suite struct HostileAnswerTests {
  // MARK: Symbols

  private static let symbols: [(bytes: [UInt8], isKept: Bool)] = [
    (Array("WETH".utf8), true),
    (Array("EV\0IL".utf8), false),
    ([0], false),
    ([], false),
    ([7, 27, 10], false),
    (Array("\u{1B}[2J boom".utf8), true),
    ([UInt8](repeating: 65, count: 256), true),
    ([UInt8](repeating: 65, count: 257), false),
    ([0xFF, 0xFE], false),
  ]

  @Test(arguments: symbols.indices)
  func aSymbolIsTextThatTheDatabaseTakesOrNone(_ row: Int) throws {
    let (bytes, isKept) = Self.symbols[row]
    let padding = [UInt8](repeating: 0, count: (32 - bytes.count % 32) % 32)
    let data =
      U256(32 as UInt64).bigEndianBytes + U256(UInt64(bytes.count)).bigEndianBytes + bytes + padding
    var handmade = HandmadeBook(.morphoBlue)
    handmade.decimals = [:]
    var book = handmade.book()
    answer(&book) { call in
      switch call.data {
      case ABI.selector("decimals()"): U256(18 as UInt64).bigEndianBytes
      case ABI.selector("symbol()"): data
      default: nil
      }
    }
    let label = try #require(book.tokens[HandmadeBook.loan])
    #expect(label.decimals == 18)
    #expect((label.symbol != nil) == isKept)

    let stored = try StoredMirror()
    try stored.db.transaction { try handmade.moolah.storeAnswers(of: book, run: nil, in: $0) }
    let symbols = try stored.db.transaction(.readOnly) { tx in
      try tx.query("select symbol from token").map { try $0.get(0, String?.self) }
    }
    #expect(symbols == [label.symbol, label.symbol])
  }

  // MARK: Facts

  @Test func aCallThatFailsOnceIsAskedAgain() throws {
    let stored = try StoredMirror()
    let handmade = HandmadeBook(.moolah)
    var book = handmade.book()
    let questions = handmade.moolah.questions(about: book, for: .debts)
    answer(&book) { _ in nil }
    #expect(handmade.moolah.questions(about: book, for: .debts) == questions)
    try stored.db.transaction { try handmade.moolah.storeAnswers(of: book, run: nil, in: $0) }
    #expect(try stored.count("fact") == 0)
  }

  @Test func onlyTheMirrorsOwnBlockLeavesFacts() throws {
    for isPast in [false, true] {
      let stored = try StoredMirror()
      var handmade = HandmadeBook(.moolah)
      handmade.decimals = [:]
      var book = handmade.book()
      book.isPast = isPast
      answer(&book) { _ in U256(6 as UInt64).bigEndianBytes }
      try stored.db.transaction { try handmade.moolah.storeAnswers(of: book, run: nil, in: $0) }
      #expect(try stored.count("fact") == (isPast ? 0 : 3))
      #expect(try stored.count("token") == (isPast ? 0 : 2))
    }
  }

  @Test func aFactOfABlockThatTheChainHasLeftIsNone() throws {
    let stored = try StoredMirror()
    let subject = FactSubject.irm(HandmadeBook.irm)
    for (number, isCanonical) in [(100, true), (200, false)] as [(UInt64, Bool)] {
      let hash = Bytes32(U256(number))
      try stored.db.transaction { tx in
        try tx.execute(
          """
          insert into block (chain_id, number, hash, parent_hash, timestamp, canonical)
          values (1, \(number), \(hash), \(hash), 1, \(isCanonical))
          """)
        try tx.execute(
          """
          insert into fact (deployment_id, subject, name, block_number, block_hash, value, how)
          values (\(stored.deployment.id), \(subject.bytes), 'min_cap', \(number), \(hash),
            \(U256(number)), 'call_at_block')
          """)
      }
    }
    let book = try stored.db.transaction(.readOnly) { tx in
      try stored.moolah.book(
        of: stored.deployment, markets: MarketFilter(), at: HandmadeBook.block, in: tx)
    }
    #expect(book.facts[.minCap, subject] == 100)
  }

  /// A fixed-rate model without a rate reverts; it does not lend for nothing.
  @Test func aFixedRateOfZeroIsUnknown() throws {
    var handmade = HandmadeBook(.moolah)
    handmade.storedRate = nil
    handmade.askedRate = .zero
    handmade.facts = [(.fixedRate, .market(handmade.key, irm: HandmadeBook.irm), .zero)]
    let book = handmade.book()
    #expect(throws: UnknownReason.unknownRate) {
      try book.rate(of: book.markets[0], at: HandmadeBook.block.timestamp + 3).get()
    }
  }

  private func answer(_ book: inout MoolahBook, _ answer: (Call) -> [UInt8]?) {
    let moolah = Moolah(book.dialect)
    let answers = moolah.questions(about: book, for: .debts).map { call in
      let data = answer(call)
      return CallResult(succeeded: data != nil, data: data ?? [])
    }
    moolah.take(answers, for: .debts, into: &book)
  }
}
