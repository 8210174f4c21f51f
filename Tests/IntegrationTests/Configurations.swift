import TestKit

/// Configurations that the tests share.
extension String {
  /// One deployment on one chain with one endpoint.
  static func oneDeployment(
    _ name: String, system: String, core: String, chainID: UInt64, firstBlock: UInt64, rpc: String,
    reorgLimit: Int = 64, windowBlocks: Int = 2_000, maxMirrorLag: Int = 3
  ) -> String {
    """
    {
      "chains": {
        "local": {
          "chain_id": \(chainID),
          "endpoints": [{ "name": "node", "url": "\(rpc)" }],
          "block_time_ms": 12000,
          "max_head_age_seconds": 0,
          "reorg_limit": \(reorgLimit),
          "max_mirror_lag": \(maxMirrorLag),
          "window_blocks": \(windowBlocks),
        },
      },
      "deployments": {
        "\(name)": {
          "chain": "local", "system": "\(system)", "address": "\(core)",
          "first_block": \(firstBlock),
        },
      },
    }
    """
  }
}

extension TemporaryDatabase {
  /// As `PLIMSOLL_DATABASE` says it.
  var url: String {
    get throws { "postgresql://plimsoll@/\(name)?host=\(try TestCluster.shared().socketDirectory)" }
  }
}
