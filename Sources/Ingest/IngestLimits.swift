/// What bounds the reading of a chain.
public struct IngestLimits: Sendable {
  /// Blocks that are read at once at most.
  public let windowBlocks: UInt64
  /// Blocks below the head that may still be taken back.
  public let reorg: UInt64
  /// Times that a window is read again for contracts which it reveals.
  public let revelationsMax = 4
  /// Logs that one transaction takes at most, unless a single window has more.
  public let logsMax = 100_000
  /// Logs that may wait to be written while others are.
  public let logsWaitingMax = 200_000
  /// Windows that may wait to be written.
  public let windowsWaitingMax = 64
  /// Runs that read an open range again before it waits for an operator.
  public let attemptsMax = 5

  /// Blocks below the head that others are told of; 0: none.
  public var toldBlocks: UInt64 = 0

  public init(windowBlocks: UInt64, reorg: UInt64) {
    precondition(windowBlocks > 0, "a window has at least one block")
    self.windowBlocks = windowBlocks
    self.reorg = reorg
  }

  /// The last block that can no longer be taken back.
  func finality(of head: UInt64) -> UInt64 { head > reorg ? head - reorg : 0 }
}
