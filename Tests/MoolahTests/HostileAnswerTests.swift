import Ethereum
import Postgres
import Quantities
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

  private func answer(_ book: inout MoolahBook, _ answer: (Call) -> [UInt8]?) {
    let moolah = Moolah(book.dialect)
    let answers = moolah.questions(about: book, for: .debts).map { call in
      let data = answer(call)
      return CallResult(succeeded: data != nil, data: data ?? [])
    }
    moolah.take(answers, for: .debts, into: &book)
  }
}
