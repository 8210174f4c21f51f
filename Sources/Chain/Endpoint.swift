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

/// What was learnt of an endpoint during this run.
struct EndpointState {
  let endpoint: Endpoint

  /// Whether it has said that it serves the right chain.
  var isVerified = false

  /// False once it can be of no more use in this run.
  var isUsable = true

  /// Whether it takes a block's hash where others take its number (EIP-1898).
  var knowsBlockHashes = true

  /// How many calls it takes in one batch.
  var batchSize: Int

  /// How many calls it can run inside one aggregate.
  var aggregateSize = AcceptedSize()

  /// How wide its windows may be.
  var windowSize = AcceptedSize()
}
