import Ethereum
import Postgres
import Quantities
import Systems

// Tables `price`, `decimals_check` and `market_warning`, as far as a book of this system uses them.

extension Moolah {
  /// What earlier samples left for the prices of the book's markets.
  func loadPrices(into book: inout MoolahBook, in tx: borrowing Transaction) throws {
    book.board.settings = prices
    let keys = Set(book.priceKeys).union(book.companionPrices)
    book.board.memories = try PriceTables.memories(
      of: keys, on: book.deployment.chainID, before: book.block, in: tx)
    book.board.decimalsChecks = try PriceTables.decimalsChecks(
      of: keys, on: book.deployment.chainID, in: tx)
  }

  /// What a person should look at, one row for each market and code.
  func warnings(of judgement: Judgement, at block: BlockMark, run: Int64) -> [SQL] {
    judgement.markets.flatMap { market in
      market.warnings.map { warning -> SQL in
        """
        insert into market_warning (run_id, market_id, code, detail, block_number)
        values (\(run), \(market.marketID), \(warning.code.rawValue), \(warning.detail),
          \(block.number))
        on conflict do nothing
        """
      }
    }
  }
}

extension MoolahBook {
  /// Each price once, and what came of comparing decimals. A block of the past leaves no trace in
  /// later verdicts.
  func priceInsertions(run: Int64?) -> [SQL] {
    let samples = PriceTables.insertions(
      of: board, on: deployment.chainID, at: block, run: run, carries: !isPast)
    if isPast { return samples }
    return samples
      + PriceTables.insertions(
        of: board.newDecimalsChecks, on: deployment.chainID, at: block)
  }
}
