import Ethereum
import Quantities
import RiskCore

/// One answer of an oracle with everything that it is judged by. Pure.
///
/// The guards come in a fixed order, and the first that refuses gives the reason. A refused answer
/// is never what the next one is compared with.
struct PriceGuard {
  let answer: PriceAnswer
  /// Why the call reverted.
  var revert = ""
  let rule: PriceRule
  let memory: PriceMemory
  /// The block's time.
  let timestamp: UInt64
  var round: FeedRound?
  /// What the feed itself says of its bounds.
  var lowest: I256?
  var highest: I256?
  var rate: U256?
  /// The answer that the ratio to the rate is made with.
  var underlying: PriceAnswer?
  /// Nil: the rule names none.
  var second: Result<SecondPrice, SecondProblem>?
  /// The decimals of the answer, one for each way in which markets read it.
  var scales: [Int] = []
  /// Whether any other price changed since the last sample.
  var othersMoved = false
  /// Why the price is of another order than its second source; nil: it is not, or nobody knows.
  var quarantine: String?

  /// The sample, judged.
  func sample() -> PriceSample {
    var sample = PriceSample(answer: answer, memory: memory)
    sample.round = round
    sample.second = try? second?.get()
    if let reason = answer.unknownReason {
      sample.refusal = PriceRefusal(reason, revert)
      return sample
    }
    guard let value = answer.value else { return sample }
    if let quarantine {
      sample.refusal = PriceRefusal(.quarantined, quarantine)
      return sample
    }
    sample.memory.unchangedRuns = unchangedRuns(value)
    sample.memory.last = value
    sample.refusal = feedRefusal() ?? frozenRefusal(sample.memory) ?? pegRefusal(value)
    if sample.refusal == nil { compareWithSecond(value, &sample) }
    if sample.refusal == nil { step(value, &sample) }
    return sample
  }

  // MARK: The feed

  private func feedRefusal() -> PriceRefusal? {
    guard let feed = rule.feed else { return nil }
    guard let round else {
      return PriceRefusal(.feedUnreadable, "latestRoundData() of \(feed.address) did not answer")
    }
    if round.answer.isNegative || round.answer == .zero {
      return PriceRefusal(.feedUnreadable, "the feed answered \(round.answer)")
    }
    return ageRefusal(round, feed) ?? boundRefusal(round, feed)
  }

  private func ageRefusal(_ round: FeedRound, _ feed: FeedRule) -> PriceRefusal? {
    guard let heartbeat = feed.heartbeatSeconds else { return nil }
    if round.updatedAt > timestamp {
      return PriceRefusal(
        .stalePrice, "updated \(round.updatedAt - timestamp) s after the block")
    }
    let age = timestamp - round.updatedAt
    if age <= heartbeat { return nil }
    return PriceRefusal(.stalePrice, "\(age) s old, heartbeat \(heartbeat) s")
  }

  private func boundRefusal(_ round: FeedRound, _ feed: FeedRule) -> PriceRefusal? {
    // A bound that is asked for and not told is no bound that holds.
    if let contract = feed.boundsOf, lowest == nil || highest == nil {
      let call = lowest == nil ? "minAnswer()" : "maxAnswer()"
      return PriceRefusal(.feedUnreadable, "\(call) of \(contract) did not answer")
    }
    for floor in [feed.lowest, lowest].compactMap({ $0 }) where round.answer <= floor {
      return PriceRefusal(.priceAtBound, "the feed answered \(round.answer), its floor is \(floor)")
    }
    for ceiling in [feed.highest, highest].compactMap({ $0 }) where round.answer >= ceiling {
      return PriceRefusal(
        .priceAtBound, "the feed answered \(round.answer), its ceiling is \(ceiling)")
    }
    return nil
  }

  // MARK: The value by itself

  private func unchangedRuns(_ value: U256) -> Int {
    guard memory.last == value else { return 0 }
    return othersMoved ? memory.unchangedRuns + 1 : memory.unchangedRuns
  }

  private func frozenRefusal(_ memory: PriceMemory) -> PriceRefusal? {
    guard let most = rule.frozenRuns, memory.unchangedRuns >= most else { return nil }
    return PriceRefusal(
      .frozenPrice, "the same for \(memory.unchangedRuns) runs while others moved, bound \(most)")
  }

  private func pegRefusal(_ value: U256) -> PriceRefusal? {
    guard let peg = rule.peg, PriceComparison.isBeyond(peg.bound, value, from: peg.value)
    else { return nil }
    return PriceRefusal(
      .offPeg,
      "\(PriceComparison.deviationText(value, from: peg.value)) off the peg, "
        + "bound \(PriceComparison.percent(peg.bound))")
  }

  // MARK: The second source

  private func compareWithSecond(_ value: U256, _ sample: inout PriceSample) {
    guard let rule = rule.second, let second else { return }
    switch second {
    case .failure(let problem): withoutSecond(rule, problem.text, &sample)
    case .success(let price):
      if scales.isEmpty {
        withoutSecond(rule, "decimals of the tokens are unknown", &sample)
        return
      }
      // A market that reads the answer with wrong decimals is in quarantine by itself.
      let found = scales.map { disagreement(value, $0, with: price, rule) }
      if !found.contains(nil) { sample.refusal = found.first ?? nil }
    }
  }

  private func withoutSecond(_ rule: SecondRule, _ text: String, _ sample: inout PriceSample) {
    let figures = "\(rule.names.joined(separator: "/")): \(text)"
    if rule.isRequired {
      sample.refusal = PriceRefusal(.secondSourceUnavailable, figures)
    } else {
      sample.warnings.append(PriceWarning(.secondSourceUnavailable, figures))
    }
  }

  private func disagreement(
    _ value: U256, _ decimals: Int, with second: SecondPrice, _ rule: SecondRule
  ) -> PriceRefusal? {
    let name = rule.names.joined(separator: "/")
    guard
      let (mine, other) = PriceComparison.aligned(value, decimals, second.value, second.decimals)
    else { return PriceRefusal(.priceDisagrees, "\(name) is out of scale") }
    guard PriceComparison.isBeyond(rule.bound, mine, from: other) else { return nil }
    return PriceRefusal(
      .priceDisagrees,
      "\(AmountText.decimal(value, decimals: decimals)), but \(name) says "
        + "\(AmountText.decimal(second.value, decimals: second.decimals)): "
        + "\(PriceComparison.deviationText(mine, from: other)) apart, "
        + "bound \(PriceComparison.percent(rule.bound))")
  }

  // MARK: Steps

  /// Both steps are looked at; the price is taken, and remembered as taken, only if neither is
  /// held.
  private func step(_ value: U256, _ sample: inout PriceSample) {
    var premium: StepMemory?
    if let rate = rule.rate {
      switch self.premium(value, rate) {
      case .failure(let refusal):
        sample.refusal = refusal
        return
      case .success(let value):
        let next = rate.step.advanced(memory.premium, to: value, at: timestamp)
        premium = next
        if next.held != nil {
          sample.refusal = PriceRefusal(
            .rateStep,
            "against \(rate.call.signature): " + rate.step.figures(value, next, at: timestamp))
        }
      }
    }
    let price =
      rule.step?.advanced(memory.price, to: value, at: timestamp) ?? StepMemory(reference: value)
    if let bound = rule.step, price.held != nil, sample.refusal == nil {
      sample.refusal = PriceRefusal(.priceJump, bound.figures(value, price, at: timestamp))
    }
    let isTaken = sample.refusal == nil
    if isTaken || price.held != nil { sample.memory.price = price }
    if let premium, isTaken || premium.held != nil { sample.memory.premium = premium }
  }

  /// The price over the rate, at a scale of its own: only its steps matter.
  private func premium(_ value: U256, _ rule: RateRule) -> Result<U256, PriceRefusal> {
    guard let rate, !rate.isZero else {
      return .failure(
        PriceRefusal(
          .feedUnreadable, "\(rule.call.signature) of \(rule.call.contract) did not answer"))
    }
    var ratio: U256? = value
    if rule.underlying != nil {
      guard case .price(let underlying)? = underlying else {
        return .failure(PriceRefusal(.feedUnreadable, "the underlying has no price"))
      }
      ratio = try? U256.fullMulDivDown(value, Self.ratioScale, underlying)
    }
    guard let ratio, let premium = try? U256.fullMulDivDown(ratio, Self.premiumScale, rate),
      !premium.isZero
    else { return .failure(PriceRefusal(.feedUnreadable, "the ratio to the rate has no room")) }
    return .success(premium)
  }

  private static let ratioScale: U256 = 1_000_000_000_000_000_000_000_000_000_000_000_000
  private static let premiumScale: U256 = 1_000_000_000_000_000_000
}

/// Why a second source gave nothing. Names no URL.
public struct SecondProblem: Error, Hashable, Sendable {
  public let text: String

  public init(_ text: String) {
    self.text = text
  }
}
