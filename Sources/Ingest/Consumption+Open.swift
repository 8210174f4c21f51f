import Chain
import Ethereum
import Store

/// Reading open ranges again.
extension Consumption {
  /// Reads open ranges again, each once.
  mutating func mend(head: UInt64) throws {
    guard orders.commits else { return }
    try follower.listWatched()
    for open in try follower.open() {
      guard orders.retriesOpen || open.range.attempts < follower.limits.attemptsMax else {
        continue
      }
      try mend(open, head: head)
    }
  }

  private mutating func mend(_ open: Ledger.OpenRange, head: UInt64) throws {
    var rest = open
    while true {
      if isStopping() {
        tell(.stopped)
        break
      }
      let read: ClosedRange<UInt64>
      do {
        let mended = try follower.mend(rest, head: head)
        tell(.mended(mended))
        read = mended.range
      } catch  where Self.isAboutOneRange(error) {
        tell(.unreadable("\(error)"))
        read = try follower.noteFailure("\(error)", of: rest)
      }
      guard read.upperBound < open.range.blocks.upperBound else { break }
      rest.range.blocks = read.upperBound + 1...open.range.blocks.upperBound
    }
    try follower.deriveShared(head: head)
  }

  /// Whether other ranges may well be read although this one cannot.
  private static func isAboutOneRange(_ error: any Error) -> Bool {
    switch error {
    case let error as ChainError: error.isAboutItsRange || error.isOfMissingBlocks
    case is IngestError: true
    default: false
    }
  }
}
