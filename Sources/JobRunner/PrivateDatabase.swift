import Postgres

/// The private cluster as a database to connect to.
enum PrivateDatabase {
  /// Starts the cluster when it does not run. One that runs keeps its lifetime: a demo's server
  /// still ends with the demo when jobs have used it.
  static func use(in directory: String) throws(ClusterError) -> PrivateCluster {
    if case .running = try PrivateCluster.status(in: directory) {
      return try PrivateCluster.start(in: directory, lifetime: .untilOwnerEnds)
    }
    return try PrivateCluster.start(in: directory)
  }
}
