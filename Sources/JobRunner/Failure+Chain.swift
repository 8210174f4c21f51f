import Ethereum

extension Failure {
  /// No endpoint has a block as new as the configuration wants.
  public static func staleHead(of target: DeploymentContext, _ head: BlockHeader) -> Failure {
    Failure(
      .retryLater,
      "\(target.name): the newest block of every endpoint, \(head.number), is older than "
        + "max_head_age_seconds; it is of \(head.timestamp)")
  }
}
