import Ethereum
import HTTP

/// Why the chain could not be read. Names endpoints and methods, never URLs.
public enum ChainError: Error, Equatable, Sendable {
  /// The program was asked to stop.
  case stopped

  /// The run's deadline was reached.
  case deadlineReached

  /// An endpoint serves another chain than the configuration says.
  case wrongChain(endpoint: String, expected: UInt64, got: UInt64)

  /// An endpoint serves a chain of that number which began with another block.
  case wrongGenesis(endpoint: String, chainID: UInt64, expected: Bytes32, got: Bytes32)

  /// No endpoint answered usefully; the cause is the last one's.
  case unavailable(endpoint: String, method: String, cause: Cause, attempts: Int)

  /// An answer is larger than the limit, and cannot be asked for in smaller pieces.
  case tooLarge(endpoint: String, method: String, limit: Int)

  /// A node understood the request and will not answer it.
  case refused(endpoint: String, method: String, code: Int, message: String)

  /// A node will not give the logs of even one block.
  case windowRefused(endpoint: String, block: UInt64)

  /// The nodes do not know the block, or no longer have its state.
  case unknownBlock(endpoint: String, method: String)

  /// The block before the window is not the stored one any more: there was a reorganisation.
  case parentMismatch(number: UInt64, expected: Bytes32, got: Bytes32)

  /// The answers kept contradicting each other.
  case inconsistent(endpoint: String, Inconsistency)

  /// Not as many endpoints as are needed agree on these blocks. Each statement says what one
  /// endpoint answered.
  case disagreement(blocks: ClosedRange<UInt64>, needed: Int, statements: [String])

  /// Endpoints are on different forks, and none has a majority. Each statement says what one
  /// endpoint answered.
  case forked(blocks: ClosedRange<UInt64>, statements: [String])

  /// Fewer endpoints gave an answer than must agree on it.
  case tooFewWitnesses(needed: Int, answered: Int)

  /// The contract reverted, with this data.
  case reverted(data: [UInt8])

  /// There is no aggregating contract at the address in that block.
  case noMulticall(Address)

  /// Why an endpoint's answer was of no use.
  public enum Cause: Equatable, Sendable {
    case transport(TransportError)
    case status(Int)
    case rateLimited
    case malformed(JSONError)
    case remote(code: Int, message: String)
    case contradiction(Inconsistency)
  }

  /// Whether it says something of the blocks that were asked for, and not of the way to them.
  public var isAboutItsRange: Bool {
    switch self {
    case .inconsistent, .disagreement, .refused, .windowRefused, .tooLarge: true
    default: false
    }
  }

  /// Whether the nodes, or enough of them, do not have the blocks that were asked for.
  public var isOfMissingBlocks: Bool {
    switch self {
    case .unknownBlock, .tooFewWitnesses: true
    default: false
    }
  }

  /// Whether an endpoint serves another chain.
  public var isOfAnotherChain: Bool {
    switch self {
    case .wrongChain, .wrongGenesis: true
    default: false
    }
  }

  /// Whether the same run, later, may well succeed.
  public var isTransient: Bool {
    switch self {
    case .stopped, .deadlineReached, .unavailable, .unknownBlock, .parentMismatch, .inconsistent,
      .tooFewWitnesses, .forked:
      true
    case .disagreement, .wrongChain, .wrongGenesis, .tooLarge, .refused, .windowRefused, .reverted,
      .noMulticall:
      false
    }
  }
}

extension ChainError: CustomStringConvertible {
  /// One line for a person.
  public var description: String {
    switch self {
    case .stopped: "stopped"
    case .deadlineReached: "deadline reached"
    case .wrongChain(let endpoint, let expected, let got):
      "endpoint \"\(endpoint)\" serves chain \(got), not \(expected)"
    case .wrongGenesis(let endpoint, let chainID, let expected, let got):
      """
      endpoint "\(endpoint)" serves a chain whose block 0 is \(got), not \(expected); if the noted \
      one is wrong: delete from chain where chain_id = \(chainID)
      """
    case .unavailable(let endpoint, let method, let cause, let attempts):
      "endpoint \"\(endpoint)\": \(method): \(cause) (attempts: \(attempts))"
    case .tooLarge(let endpoint, let method, let limit):
      "endpoint \"\(endpoint)\": \(method): answer larger than \(limit) bytes"
    case .refused(let endpoint, let method, let code, let message):
      "endpoint \"\(endpoint)\": \(method): refused with code \(code): \(message)"
    case .windowRefused(let endpoint, let block):
      "endpoint \"\(endpoint)\": eth_getLogs: refused even for block \(block) alone"
    case .unknownBlock(let endpoint, let method):
      "endpoint \"\(endpoint)\": \(method): block or its state not known"
    case .parentMismatch(let number, let expected, let got):
      "block \(number) is \(got) now and was \(expected)"
    case .inconsistent(let endpoint, let inconsistency):
      "endpoint \"\(endpoint)\": inconsistent answers: \(inconsistency)"
    case .disagreement(let blocks, let needed, let statements):
      """
      no \(needed) endpoints agree on blocks \(blocks.lowerBound) to \(blocks.upperBound): \
      \(statements.joined(separator: "; "))
      """
    case .forked(let blocks, let statements):
      """
      the endpoints are on different forks at blocks \(blocks.lowerBound) to \
      \(blocks.upperBound); if that lasts, take the wrong one out of the configuration: \
      \(statements.joined(separator: "; "))
      """
    case .tooFewWitnesses(let needed, let answered):
      "\(needed) endpoints must agree, and only \(answered) answered"
    case .reverted(let data):
      "call reverted with \(data.count) bytes of data"
    case .noMulticall(let address):
      "no Multicall3 contract at \(address) in that block"
    }
  }
}

extension ChainError.Cause: CustomStringConvertible {
  /// One clause.
  public var description: String {
    switch self {
    case .transport(let error): "\(error)"
    case .status(let status) where (300..<400).contains(status):
      "HTTP status \(status): redirects are not followed"
    case .status(let status): "HTTP status \(status)"
    case .rateLimited: "rate limited"
    case .malformed(let error): "answer is not the JSON that was expected: \(error)"
    case .remote(let code, let message): "error \(code): \(message)"
    case .contradiction(let inconsistency): "contradicts the request: \(inconsistency)"
    }
  }
}
