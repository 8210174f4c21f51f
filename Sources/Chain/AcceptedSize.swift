/// How much one endpoint takes at once, learnt from its refusals: blocks in a window, calls in a
/// batch or in an aggregate.
///
/// A refusal halves the size, goes back to what was accepted before it grew, or takes the
/// provider's own proposal when that is smaller. Every few requests of the full size it grows by a
/// quarter, up to a maximum that the provider has stated; each time it has grown too far it waits
/// twice as long. A stated maximum that has held for long is put to the test, since plans change.
struct AcceptedSize: Equatable {
  /// Requests of the full size that must succeed before the size grows.
  static let successesToGrow = 4

  /// The most such requests, however often it has grown too far.
  static let longestPatience = 256

  /// The most to ask for; nil while nothing was refused.
  private(set) var limit: UInt64?

  /// What the provider says is allowed.
  private(set) var statedMaximum: UInt64?

  /// The largest size that was accepted since one as small was refused; 0 when there is none.
  private var proven: UInt64 = 0

  private var successes = 0
  private var patience = Self.successesToGrow

  /// Whether it has grown since the last refusal.
  private var hasGrown = false

  /// Whether the limit is the provider's own proposal.
  private var followsProposal = false

  /// A size of which nothing is known.
  init() {}

  /// A size that an earlier run has learnt. The first request of the full size that succeeds lets
  /// it grow, so that it heals also over runs that are short.
  init(limit: UInt64?, statedMaximum: UInt64?) {
    self.limit = limit.map { max(1, $0) }
    self.statedMaximum = statedMaximum.map { max(1, $0) }
    successes = Self.successesToGrow - 1
  }

  /// What to ask for when `wanted` are wanted; at least one.
  func size(wanted: UInt64) -> UInt64 {
    max(1, min(wanted, limit ?? wanted))
  }

  /// Notes that `size` were refused. The next size is smaller, unless `size` is 1.
  mutating func refused(_ size: UInt64, hint: RangeHint = RangeHint()) {
    if let maximum = hint.maximumBlocks, maximum > 0, maximum < size { statedMaximum = maximum }
    let hasGrownTooFar = hasGrown && proven < size
    limit = smaller(than: size, proposal: hint.smallest)
    patience =
      hasGrownTooFar ? min(patience * 2, Self.longestPatience) : Self.successesToGrow
    // As small a one was good before: other blocks have more logs, and nothing is proven by it.
    if proven >= size { proven = 0 }
    hasGrown = false
    successes = 0
  }

  private mutating func smaller(than size: UInt64, proposal: UInt64?) -> UInt64 {
    let half = size / 2
    // A proposal of the same range again would loop, one of nothing would stand still, and many
    // that shrink a little would take for ever: after one that was of no use the next must halve.
    if let proposal, proposal > 0, proposal < size, !followsProposal || proposal <= half {
      followsProposal = true
      return proposal
    }
    followsProposal = false
    return max(1, half, proven < size ? proven : 0)
  }

  /// Notes that a request of `size` was answered.
  mutating func accepted(_ size: UInt64) {
    proven = max(proven, size)
    guard let limit, size >= limit else { return }
    followsProposal = false
    successes += 1
    guard successes >= patience else { return }
    successes = 0
    if let statedMaximum, limit >= statedMaximum {
      guard patience >= Self.longestPatience else {
        patience = min(patience * 2, Self.longestPatience)
        return
      }
      self.statedMaximum = nil
    }
    let (grown, overflow) = limit.addingReportingOverflow(max(1, limit / 4))
    self.limit = min(overflow ? .max : grown, statedMaximum ?? .max)
    hasGrown = true
  }
}
