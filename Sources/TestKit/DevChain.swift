/// A seeded story of real transactions on a local EVM, and its exact truth at any block.
///
/// `devchain/scenario.py` documents the commands.
public final class DevChain: Sendable {
  public let rpc: String
  public let core: String
  public let chainID: UInt64
  public let firstBlock: UInt64
  public let multicall: String
  private let process: PythonProcess

  /// A story told by a contract of shape "moolah" or "morpho".
  ///
  /// The same seed, shape, chain and commands make the same chain, hash for hash.
  public init(seed: UInt64, shape: String = "moolah", chainID: UInt64 = 31337) throws {
    process = try PythonProcess(
      module: "devchain.scenario",
      arguments: ["--seed", String(seed), "--shape", shape, "--chain-id", String(chainID)])
    let greeting = process.greeting
    guard let rpc = greeting["rpc"] as? String, let core = greeting["core"] as? String,
      let chainID = greeting["chain_id"] as? Int, let firstBlock = greeting["first_block"] as? Int,
      let multicall = greeting["multicall"] as? String
    else { throw PythonError(message: "an incomplete greeting: \(greeting)") }
    self.rpc = rpc
    self.core = core
    self.chainID = UInt64(chainID)
    self.firstBlock = UInt64(firstBlock)
    self.multicall = multicall
  }

  @discardableResult
  public func advance(_ steps: Int) throws -> [String: Any] {
    try process.ask(["do": "advance", "steps": steps])
  }

  /// Replaces the last blocks by one more of others; the transactions come back `delay` blocks
  /// later, or not at all.
  @discardableResult
  public func reorg(depth: Int, keep: Bool, delay: Int = 0) throws -> [String: Any] {
    try process.ask(["do": "reorg", "depth": depth, "keep": keep, "delay": delay])
  }

  @discardableResult
  public func mine(_ count: Int, seconds: Int) throws -> [String: Any] {
    try process.ask(["do": "mine", "count": count, "seconds": seconds])
  }

  /// What the contracts say, at the head or a block.
  public func truth(block: UInt64? = nil) throws -> [String: Any] {
    var command: [String: Any] = ["do": "truth"]
    if let block { command["block"] = Int(block) }
    return try process.ask(command)
  }

  @discardableResult
  public func ask(_ command: [String: Any]) throws -> [String: Any] { try process.ask(command) }
}
