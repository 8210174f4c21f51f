/// Something about an endpoint that an operator should know, though the run goes on.
public struct Notice: Equatable, Sendable {
  public enum Kind: String, Equatable, Sendable {
    /// Another endpoint is used from now on.
    case switched

    /// Its head is behind those of others, or behind what it was.
    case behind

    /// Its head is so far above those of others that it is not believed.
    case ahead

    /// Its blocks are others than those that are gone on from.
    case forked

    /// Its answers contradict each other or the headers.
    case contradiction

    /// It withheld logs that are on the chain.
    case withheld

    /// It asks for fewer requests.
    case rateLimited
  }

  public var kind: Kind

  /// The endpoint's name.
  public var endpoint: String

  /// One clause for a person; no URL.
  public var detail: String

  public init(_ kind: Kind, endpoint: String, detail: String) {
    self.kind = kind
    self.endpoint = endpoint
    self.detail = detail
  }
}
