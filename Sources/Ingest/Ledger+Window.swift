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
          doubt.blocks, .suspect, reason: "\(doubt.reason.rawValue) (\(doubt.endpoint))",
          attempts: attempts + 1),
        of: versions, deployment: deployment, in: tx)
    }
  }
}

/// The filter versions all of whose contracts are among those that were read.
func versions(
  of filters: [Address: Int32], coveredBy addresses: Set<Address>
) -> Set<Int32> {
  Set(filters.values).subtracting(filters.filter { !addresses.contains($0.key) }.values)
}
