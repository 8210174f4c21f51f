import Chain

extension JobContext {
  /// Tells an operator what happened to the endpoints of a chain since this was last called.
  public func tellNotices(of chain: Chain, into report: inout RunReport) {
    for notice in chain.takeNotices() {
      log.warning(
        "an endpoint needs a look",
        ["endpoint": notice.endpoint, "notice": notice.kind.rawValue, "detail": notice.detail])
      report.count("endpoint_\(notice.kind.rawValue)")
    }
  }
}
