import Chain
import JobRunner

/// Tells an operator what happened to the endpoints of a chain during a run.
func tellNotices(of chain: Chain, in context: JobContext, into report: inout RunReport) {
  for notice in chain.takeNotices() {
    context.log.warning(
      "an endpoint needs a look",
      ["endpoint": notice.endpoint, "notice": notice.kind.rawValue, "detail": notice.detail])
    report.count("endpoint_\(notice.kind.rawValue)")
  }
}
