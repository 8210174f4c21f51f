import Ethereum
import Postgres
import Quantities
import RiskCore
import Systems
import TestKit
import Testing

@testable import Moolah

/// What contracts answer, honest or hostile, and what of it is stored.
@Suite struct AnswerTests {
  private let moolah = Moolah(.moolah)

  /// A book of one market that knows nothing yet, and the answers it asks for.
  private func asked(
    _ answer: (_ selector: [UInt8]) -> CallResult
  ) -> MoolahBook {
    var handmade = HandmadeBook(.moolah)
    handmade.add(debt: 10, collateral: 100)
    handmade.decimals = [:]
    handmade.prices = [:]
    handmade.isPaused = nil
    handmade.isOpenToAll = nil
    handmade.askedRate = .some(nil)
    var book = handmade.book()
    let questions = moolah.questions(about: book, for: .verdicts)
    moolah.take(questions.map { answer(Array($0.data.prefix(4))) }, for: .verdicts, into: &book)
    return book
  }

  private static let reverted = CallResult(succeeded: false, data: [])

  private static func word(_ value: U256) -> CallResult {
    CallResult(succeeded: true, data: value.bigEndianBytes)
  }

  private static func text(_ text: String) -> CallResult {
    CallResult(succeeded: true, data: ABI.encode([.string(text)]))
  }

  private static func honest(_ selector: [UInt8], symbol: CallResult = text("USD1")) -> CallResult {
    switch selector {
    case ABI.selector("decimals()"): word(18)
    case ABI.selector("symbol()"): symbol
    case ABI.selector("peek(address)"): word(100_000_000)
    case ABI.selector("paused()"): word(.zero)
    case ABI.selector("isLiquidationWhitelist(bytes32,address)"): word(.one)
    case ABI.selector("rateCap(bytes32)"), ABI.selector("rateFloor(bytes32)"),
      ABI.selector("minCap()"):
      reverted
    default: word(1_268_391_679)
    }
  }

  @Test func honestAnswersMakeAVerdict() {
    let book = asked { Self.honest($0) }
    #expect(book.tokens[HandmadeBook.loan]?.symbol == "USD1")
    #expect(book.tokens[HandmadeBook.loan]?.decimals == 18)
    let judgement = moolah.judge(book, at: HandmadeBook.block.timestamp, next: nil)
    #expect(judgement.healthy == 1)
    #expect(judgement.unknown == 0)
  }

  static let hostile: [CallResult] = [
    reverted, CallResult(succeeded: true, data: []), CallResult(succeeded: true, data: [1]),
    CallResult(succeeded: true, data: [UInt8](repeating: 0xFF, count: 31)), word(.max),
    CallResult(succeeded: true, data: [UInt8](repeating: 0xFF, count: 4_096)),
    word(U256(UInt64.max)),
  ]

  /// Every one of them in the place of every answer: there may be no verdict, and no trap.
  @Test(arguments: hostile.indices)
  func hostileAnswersMakeNoVerdict(_ row: Int) throws {
    let all = asked { _ in Self.hostile[row] }
    let judgement = moolah.judge(
      all, at: HandmadeBook.block.timestamp, next: HandmadeBook.block.timestamp + 12)
    #expect(judgement.unknown == 1)
    #expect(judgement.candidates.isEmpty)
    let stored = try StoredMirror()
    for signature in ["decimals()", "symbol()", "peek(address)", "paused()", "minCap()"] {
      let book = asked {
        $0 == ABI.selector(signature) ? Self.hostile[row] : Self.honest($0)
      }
      let one = moolah.judge(book, at: HandmadeBook.block.timestamp, next: nil)
      #expect(one.positions == 1)
      try store(book, in: stored)
    }
  }

  static let symbols: [(text: String, shown: String?)] = [
    ("USD1", "USD1"), ("", nil), ("\u{202E}1DSU", "\u{202E}1DSU"), ("a\u{0}b", nil), ("\u{0}", nil),
    (String(repeating: "x", count: 5_000), nil),
  ]

  /// A token's symbol is what anyone wrote there; it must not keep the rest from being stored.
  @Test(arguments: symbols.indices)
  func aHostileSymbolDoesNotSpoilTheRest(_ row: Int) throws {
    let (text, shown) = Self.symbols[row]
    let book = asked { Self.honest($0, symbol: Self.text(text)) }
    #expect(book.tokens[HandmadeBook.loan]?.symbol == shown)
    #expect(try store(book, in: StoredMirror()) == [shown, shown])
  }

  @Test func aSymbolInOneWordIsReadUpToItsEnd() {
    let word = Array("MKR".utf8) + [UInt8](repeating: 0, count: 29)
    let book = asked { Self.honest($0, symbol: CallResult(succeeded: true, data: word)) }
    #expect(book.tokens[HandmadeBook.loan]?.symbol == "MKR")
  }

  /// Stores the answers; returns the symbols that are in the database then.
  @discardableResult
  private func store(_ book: MoolahBook, in stored: StoredMirror) throws -> [String?] {
    try stored.db.transaction { tx in
      try moolah.storeAnswers(of: book, run: nil, in: tx)
      return try tx.query("select symbol from token order by address").map {
        try $0.get(0, String?.self)
      }
    }
  }
}
