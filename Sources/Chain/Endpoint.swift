import Ethereum
import HTTP

/// A node that can be asked, known to people by its name only.
public struct Endpoint: Sendable, Hashable {
  /// What errors and logs call it.
  public var name: String

  /// Where it is; a secret.
  public var url: EndpointURL

  /// An endpoint.
  public init(name: String, url: EndpointURL) {
    self.name = name
    self.url = url
  }
}

/// What is known of one endpoint: learnt during this run, or remembered from earlier ones.
struct EndpointState {
  let endpoint: Endpoint

  /// Whether it has said that it serves the right chain, and nothing has happened since after
  /// which another node might answer for it.
  var isVerified = false

  /// False once it can be of no more use in this run.
  var isUsable = true

  /// Whether it takes a block's hash where others take its number (EIP-1898).
  var knowsBlockHashes = true

  /// How many calls it takes in one batch.
  var batchSize = AcceptedSize()

  /// How many calls it can run inside one aggregate.
  var aggregateSize = AcceptedSize()

  /// How wide its windows may be.
  var windowSize = AcceptedSize()

  /// The number of logs at which its answers are cut off without a word; nil while none is known.
  var logsPerAnswerMax: UInt64?

  /// How it gives receipts.
  var receiptSource = ReceiptSource.blocks

  /// Whether the hashes of its headers have been computed again and were right.
  var sealsHeaders = false

  /// How many batches it takes at once.
  var width: WaveWidth

  /// How well it does.
  var score = EndpointScore()

  /// The newest block it has told of in this run.
  var head: UInt64?

  /// Until when it wants not to be asked; nil when it may be asked now.
  var pausedUntil: MonotonicInstant?

  /// Rate limits since the last good answer.
  var rateLimits = 0

  /// Requests since it last said which chain it serves.
  var requestsSinceVerified = 0

  /// An endpoint, with what earlier runs remember of it.
  init(_ endpoint: Endpoint, limits: ChainLimits, memory: EndpointMemory? = nil) {
    self.endpoint = endpoint
    width = WaveWidth(widest: limits.maxConcurrency, remembered: memory?.concurrency)
    guard let memory else { return }
    knowsBlockHashes = memory.knowsBlockHashes
    batchSize = AcceptedSize(limit: memory.batchLimit, statedMaximum: memory.batchMaximum)
    aggregateSize = AcceptedSize(limit: memory.aggregateLimit, statedMaximum: nil)
    windowSize = AcceptedSize(limit: memory.windowLimit, statedMaximum: memory.windowMaximum)
    logsPerAnswerMax = memory.logsPerAnswerMax
    score = EndpointScore(remembered: memory.score)
  }

  /// What the next run should know.
  var memory: EndpointMemory {
    EndpointMemory(
      name: endpoint.name, windowLimit: windowSize.limit, windowMaximum: windowSize.statedMaximum,
      aggregateLimit: aggregateSize.limit, batchLimit: batchSize.limit,
      batchMaximum: batchSize.statedMaximum, logsPerAnswerMax: logsPerAnswerMax,
      concurrency: width.value, knowsBlockHashes: knowsBlockHashes, score: -score.penalty)
  }

  /// Whether it asked not to be asked at `now`.
  func isPaused(at now: MonotonicInstant) -> Bool {
    pausedUntil.map { $0 > now } ?? false
  }
}
