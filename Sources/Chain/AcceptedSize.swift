/// How much one endpoint takes at once, learnt from its refusals during a run: blocks in a
/// window, calls in an aggregate.
///
/// A refusal halves the size, or takes the provider's own proposal when that is smaller. Every
/// few requests of the full size it grows by a quarter, up to a maximum that the provider has
/// stated.
struct AcceptedSize: Equatable {
  /// Requests of the full size that must succeed before the size grows.
  static let successesToGrow = 4

  /// The most to ask for; nil while nothing was refused.
  private(set) var limit: UInt64?

  private var statedMaximum: UInt64?
  private var successes = 0

  /// What to ask for when `wanted` are wanted; at least one.
  func size(wanted: UInt64) -> UInt64 {
    max(1, min(wanted, limit ?? wanted))
  }

  /// Notes that `size` were refused. The next size is smaller, unless `size` is 1.
  mutating func refused(_ size: UInt64, hint: RangeHint = RangeHint()) {
    if let maximum = hint.maximumBlocks, maximum < size { statedMaximum = maximum }
    let proposal = [hint.suggestedBlocks, hint.maximumBlocks].compactMap(\.self).min()
    // A proposal of the same range again would loop, one of nothing would stand still.
    if let proposal, proposal > 0, proposal < size {
      limit = proposal
    } else {
      limit = max(1, size / 2)
    }
    successes = 0
  }

  /// Notes that a request of `size` was answered.
  mutating func accepted(_ size: UInt64) {
    guard let limit, size >= limit else { return }
    successes += 1
    guard successes >= Self.successesToGrow else { return }
    successes = 0
    let (grown, overflow) = limit.addingReportingOverflow(max(1, limit / 4))
    self.limit = min(overflow ? .max : grown, statedMaximum ?? .max)
  }
}
