/// How much is asked at once, how long is waited and how often something is tried again.
public struct ChainLimits: Sendable, Equatable {
  /// How long one request may take.
  public var requestTimeout: Duration = .seconds(10)

  /// The largest body of an answer, in bytes.
  public var maxResponseBytes = 64 << 20

  /// How many calls go into one batch at most.
  public var batchSize = 100

  /// How many batches go to one endpoint at once at most.
  public var maxConcurrency = 8

  /// How often one request is tried, over all endpoints, when it fails for passing reasons; and,
  /// counted apart, how often when they ask for fewer requests.
  public var maxAttempts = 6

  /// How often a block is asked for that the nodes say they do not know. Nodes behind a load
  /// balancer are not all at the same head.
  public var maxUnknownBlockAttempts = 3

  /// The wait after each endpoint has failed once; it doubles each round.
  public var firstBackoff: Duration = .milliseconds(200)

  /// The longest wait. An endpoint that asks for a longer one is not used again in this run.
  public var maxBackoff: Duration = .seconds(8)

  /// How often a window is read again when its answers contradict each other.
  public var maxRereads = 3

  /// How often a window may be refused for its size.
  public var maxWindowRefusals = 40

  /// How many calls go into one aggregate at most.
  public var aggregateSize = 200

  /// How many bytes of call data go into one aggregate at most, unless one call has more.
  public var aggregateBytes = 128 << 10

  /// How many blocks an endpoint's head may be behind the best one before it counts as behind.
  public var maxHeadLag: UInt64 = 16

  /// The time from one block to the next, in milliseconds: how far above the others one head can
  /// be without being a lie.
  public var blockTimeMilliseconds: UInt64 = 12_000

  /// How old the newest block may be by the wall clock, in seconds; nil when any age will do.
  public var maxHeadAgeSeconds: UInt64?

  /// How long an endpoint may take for its greeting where there are others.
  public var greetingTimeout: Duration = .seconds(3)

  /// How much longer than the first endpoint the others may take for their greetings.
  public var greetingGrace: Duration = .milliseconds(300)

  /// How many requests an endpoint is sent before it has to say again which chain it serves, where
  /// the question does not go along with each batch.
  public var requestsPerVerification = 50

  /// How many endpoints must give the same logs of a window before it is believed.
  public var agreeLogs = 1

  /// How many endpoints must give the same answer to a call before it is believed.
  public var agreePrices = 1

  /// The defaults.
  public init() {}
}
