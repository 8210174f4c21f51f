import Quantities
import RiskCore
import Testing

@Suite struct VerdictTests {
  @Test func judgesAHealth() {
    let healthy = Health(capacity: 2, debt: 2)
    let liquidatable = Health(capacity: 1, debt: 2)
    #expect(Verdict(Health(capacity: 7, debt: 0)) == .noDebt)
    #expect(Verdict(healthy) == .healthy(healthy))
    #expect(Verdict(liquidatable) == .liquidatable(liquidatable))
    #expect(Verdict(liquidatable).health == liquidatable)
    #expect(Verdict.unknown(.zeroPrice).health == nil)
  }

  @Test func namesEveryReasonInItsOwnLowerCaseCode() {
    let codes = UnknownReason.allCases.map(\.code)
    #expect(
      codes == [
        "missing_price", "zero_price", "price_call_reverted", "stale_price", "price_at_bound",
        "frozen_price", "price_jump", "rate_step", "off_peg", "price_disagrees",
        "second_source_unavailable", "feed_unreadable", "quarantined", "unknown_rate",
        "market_set_aside",
        "broker_market", "no_broker_state", "broker_answer", "broker_debt_differs",
        "no_broker_rate", "arithmetic_overflow",
      ])
    #expect(Set(codes).count == codes.count)
  }
}
