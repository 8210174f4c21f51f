/// What one run has learnt of an endpoint and the next should know: a name and numbers, no URL.
///
/// Sizes that were never refused have no limit. A remembered limit is where the next run starts,
/// and heals by the rules by which it grows.
public struct EndpointMemory: Equatable, Sendable {
  /// The endpoint's name in the configuration.
  public var name: String

  /// Blocks in one window.
  public var windowLimit: UInt64?

  /// The most blocks in one window, as the provider says.
  public var windowMaximum: UInt64?

  /// Calls in one aggregate.
  public var aggregateLimit: UInt64?

  /// Calls in one batch.
  public var batchLimit: UInt64?

  /// The most calls in one batch, as the provider says.
  public var batchMaximum: UInt64?

  /// The number of logs at which answers are cut off without a word.
  public var logsPerAnswerMax: UInt64?

  /// Batches at once, from 1.
  public var concurrency: Int

  /// Whether it takes a block's hash where others take its number (EIP-1898).
  public var knowsBlockHashes: Bool

  /// 0 without faults, else negative; at least -1000.
  public var score: Int

  /// A memory; what is not given is as for an endpoint that was never asked.
  public init(
    name: String, windowLimit: UInt64? = nil, windowMaximum: UInt64? = nil,
    aggregateLimit: UInt64? = nil, batchLimit: UInt64? = nil, batchMaximum: UInt64? = nil,
    logsPerAnswerMax: UInt64? = nil, concurrency: Int = 2,
    knowsBlockHashes: Bool = true, score: Int = 0
  ) {
    self.name = name
    self.windowLimit = windowLimit
    self.windowMaximum = windowMaximum
    self.aggregateLimit = aggregateLimit
    self.batchLimit = batchLimit
    self.batchMaximum = batchMaximum
    self.logsPerAnswerMax = logsPerAnswerMax
    self.concurrency = concurrency
    self.knowsBlockHashes = knowsBlockHashes
    self.score = score
  }
}
