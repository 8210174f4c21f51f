import Ethereum
import Systems

/// What one run has read and changed, as far as the contract is asked about it in the end.
struct RunChanges {
  /// Logs that are remembered: the newest of a run.
  private static let logsMax = 1_000

  /// Blocks that were read for the first time.
  private(set) var read: ClosedRange<UInt64>?
  /// Blocks below them that were read again, for one filter version or more.
  private(set) var readAgain: [LedgerPart] = []
  /// The newest logs that were applied.
  private(set) var logs: [Log] = []
  /// Whether a market had events before its creation came: that one was missed.
  private(set) var lacksCreation = false
  /// Whether any row may be another one than when the run began.
  private(set) var isAny = false

  /// Blocks of a ledger, and how often they were read again.
  struct LedgerPart {
    let blocks: ClosedRange<UInt64>
    let versions: Set<Int32>
    let attempts: Int
    /// Whether something had cast doubt on them.
    var isInDoubt = false
  }

  mutating func noteRead(
    _ blocks: ClosedRange<UInt64>, _ new: [Log], _ applied: ApplyReport
  ) {
    if !applied.neverCreated.isEmpty { lacksCreation = true }
    let old = read ?? blocks
    read = min(old.lowerBound, blocks.lowerBound)...max(old.upperBound, blocks.upperBound)
    note(new)
  }

  mutating func noteReadAgain(_ part: LedgerPart, late: [Log]) {
    readAgain.append(part)
    note(late)
  }

  /// Rows were changed otherwise.
  mutating func noteOthers() { isAny = true }

  private mutating func note(_ new: [Log]) {
    isAny = true
    logs = (logs + new.suffix(Self.logsMax)).suffix(Self.logsMax)
  }
}
