/// What is known of the logs of a filter version's contracts in a range of blocks.
public struct LedgerRange: Equatable, Sendable {
  public enum State: String, Equatable, Sendable {
    /// Read, and every check passed.
    case verified
    /// Read, and something says that logs may be missing.
    case suspect
    /// Could not be read.
    case failed
    /// Never read.
    case missing
  }

  public var blocks: ClosedRange<UInt64>
  public var state: State
  /// Why it is not verified, or why it is although it was not.
  public var reason: String?
  /// How often it was read without becoming verified.
  public var attempts: Int

  public init(
    _ blocks: ClosedRange<UInt64>, _ state: State, reason: String? = nil, attempts: Int = 0
  ) {
    self.blocks = blocks
    self.state = state
    self.reason = reason
    self.attempts = attempts
  }
}

/// The ranges of one filter version: ascending, none overlapping, neighbours that say the same
/// joined.
struct Coverage: Equatable {
  private(set) var ranges: [LedgerRange]

  /// The ranges must be ascending and apart.
  init(_ ranges: [LedgerRange] = []) { self.ranges = ranges }

  /// Says something of a range, whatever was said of its blocks before.
  mutating func set(_ new: LedgerRange) {
    ranges = Self.joined(without(new.blocks) + [new])
  }

  /// Says nothing any more of the blocks above one.
  mutating func cut(above block: UInt64) {
    guard block < .max else { return }
    ranges = Self.joined(without(block + 1...UInt64.max))
  }

  /// Says nothing any more of the blocks below one.
  mutating func cut(below block: UInt64) {
    guard block > 0 else { return }
    ranges = Self.joined(without(0...block - 1))
  }

  /// The ranges with those blocks cut out of them.
  private func without(_ blocks: ClosedRange<UInt64>) -> [LedgerRange] {
    ranges.flatMap { range -> [LedgerRange] in
      guard range.blocks.overlaps(blocks) else { return [range] }
      var rest: [LedgerRange] = []
      if range.blocks.lowerBound < blocks.lowerBound {
        var left = range
        left.blocks = range.blocks.lowerBound...blocks.lowerBound - 1
        rest.append(left)
      }
      if range.blocks.upperBound > blocks.upperBound {
        var right = range
        right.blocks = blocks.upperBound + 1...range.blocks.upperBound
        rest.append(right)
      }
      return rest
    }
  }

  private static func joined(_ ranges: [LedgerRange]) -> [LedgerRange] {
    var joined: [LedgerRange] = []
    for range in ranges.sorted(by: { $0.blocks.lowerBound < $1.blocks.lowerBound }) {
      if let last = joined.last, last.blocks.upperBound + 1 == range.blocks.lowerBound,
        last.state == range.state, last.reason == range.reason, last.attempts == range.attempts
      {
        joined[joined.count - 1].blocks = last.blocks.lowerBound...range.blocks.upperBound
      } else {
        joined.append(range)
      }
    }
    return joined
  }
}
