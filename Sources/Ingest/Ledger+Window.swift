import Chain
import Ethereum
import Postgres
import Store

extension Ledger {
  /// Enters what became of the blocks of a window; blocks in doubt are suspect.
  static func note(
    _ window: Window, of versions: Set<Int32>, attempts: Int = 0, deployment: Int32,
    in tx: borrowing Transaction
  ) throws {
    try note(
      LedgerRange(window.range, .verified), of: versions, deployment: deployment, in: tx)
    for doubt in window.doubts {
      try note(
        LedgerRange(
          doubt.blocks, .suspect, reason: doubt.text,
          attempts: attempts + 1),
        of: versions, deployment: deployment, in: tx)
    }
  }
}

extension Doubt {
  /// As the ledger keeps it.
  fileprivate var text: String { "\(reason.rawValue) (\(endpoint))" }
}

extension LedgerRange {
  /// The endpoint that was caught giving other logs of these blocks than are known, if the ledger
  /// says so: it cannot clear itself.
  var caughtEndpoint: String? {
    let words: [Doubt.Reason] = [.withheld, .disagreement]
    guard state == .suspect, let reason,
      let word = words.first(where: { reason.hasPrefix("\($0.rawValue) (") }),
      reason.hasSuffix(")")
    else { return nil }
    return String(reason.dropFirst(word.rawValue.count + 2).dropLast())
  }
}

/// The filter versions all of whose contracts are among those that were read.
func versions(
  of filters: [Address: Int32], coveredBy addresses: Set<Address>
) -> Set<Int32> {
  Set(filters.values).subtracting(filters.filter { !addresses.contains($0.key) }.values)
}
