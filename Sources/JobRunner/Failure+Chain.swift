import Chain
import Ethereum

extension Failure {
  /// No endpoint has a block as new as the configuration wants.
  public static func staleHead(of target: DeploymentContext, _ head: BlockHeader) -> Failure {
    Failure(
      .retryLater,
      "\(target.name): the newest block of every endpoint, \(head.number), is older than "
        + "max_head_age_seconds; it is of \(head.timestamp)")
  }

  /// What has kept a run from going on, or may have, though it read without an error; nil: nothing.
  ///
  /// A head that is not believed does no harm to a run that has gone on all the same.
  public static func heldUp(
    _ target: DeploymentContext, _ greeting: Greeting, from start: UInt64?, to end: UInt64?
  ) -> Failure? {
    let head = greeting.head.number
    let (limit, isEndless) = head.addingReportingOverflow(target.chainSettings.maxHeadLag)
    if let start, start > limit, !isEndless {
      return Failure(
        .retryLater,
        "\(target.name): the head of every endpoint, \(head), is \(start - head) blocks below the "
          + "mirror (max_head_lag \(target.chainSettings.maxHeadLag))")
    }
    switch greeting.dispute {
    case .head? where start != end: return nil
    case let dispute?: return Failure(.retryLater, "\(target.name): \(dispute)")
    case nil: return nil
    }
  }
}
