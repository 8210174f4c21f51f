import Ethereum

/// A checked piece of the chain: all its wanted logs, and the headers that prove their place.
public struct Window: Equatable, Sendable {
  /// The blocks it covers. It may end earlier than asked when the node refused the size.
  public var range: ClosedRange<UInt64>

  /// The wanted logs, in the order of the chain.
  public var logs: [Log]

  /// By number: every block that has logs, the last block of the range, and every block from
  /// the asked one on.
  public var headers: [BlockHeader]

  /// What nothing has cleared up: blocks whose logs may not all be here.
  public var doubts: [Doubt]

  /// The endpoint that gave the logs.
  public var endpoint: String

  /// A window.
  public init(
    range: ClosedRange<UInt64>, logs: [Log], headers: [BlockHeader], doubts: [Doubt] = [],
    endpoint: String = ""
  ) {
    self.range = range
    self.logs = logs
    self.headers = headers
    self.doubts = doubts
    self.endpoint = endpoint
  }
}

/// Why the logs of some blocks are not believed to be all.
public struct Doubt: Equatable, Sendable {
  public enum Reason: String, Equatable, Sendable {
    /// The block's bloom tells of a wanted log and none came, or of a wanted event that is not
    /// among the block's logs.
    ///
    /// Only blooms so empty that fewer than one in 1,000 would match by chance are heard; even so,
    /// and since some chains' blooms lie, this is a suspicion and no error.
    case bloom

    /// Endpoints gave different logs.
    case disagreement

    /// The endpoint withheld logs of another block of the window, and no other one can be asked.
    case withheld

    /// Logs that were stored before are told with other words now.
    case changed

    /// There are exactly as many logs as the endpoint gives at most.
    case cutOff
  }

  public var blocks: ClosedRange<UInt64>
  public var reason: Reason

  /// Who gave the logs.
  public var endpoint: String

  public init(blocks: ClosedRange<UInt64>, reason: Reason, endpoint: String) {
    self.blocks = blocks
    self.reason = reason
    self.endpoint = endpoint
  }
}
