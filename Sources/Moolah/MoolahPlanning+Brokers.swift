import Ethereum
import Quantities
import RiskCore
import Systems

// Whether a broker still says what its user's loans came to when they were read.

extension MoolahPlanning {
  /// The question that vouches for a candidate's debt; nil if that was asked of its broker at this
  /// block, or if it has none.
  func doubt(of candidate: Candidate) -> PlanQuestion? {
    guard let broker = markets[candidate.market]?.market.row.broker,
      case .known = book.brokers[broker]?.users[candidate.user]
    else { return nil }
    return .brokerDebt(broker, candidate.user)
  }

  /// Makes candidates unknown whose broker says another debt at the book's block than our formulas
  /// do: an event was withheld, or its code has changed without a log that we watch.
  func dropDoubted(from judgement: inout Judgement) {
    var kept: [Candidate] = []
    for candidate in judgement.candidates {
      guard let reason = refusal(of: candidate) else {
        kept.append(candidate)
        continue
      }
      guard let index = judgement.markets.firstIndex(where: { $0.market == candidate.market })
      else { continue }
      judgement.markets[index].withdraw(candidate, reason)
    }
    judgement.candidates = kept
  }

  private func refusal(of candidate: Candidate) -> UnknownReason? {
    guard let question = doubt(of: candidate), let answer = answers[question],
      let market = markets[candidate.market]?.market
    else { return nil }
    guard answer.succeeded, let said = try? ABIWords(answer.data, count: 1).word(0) else {
      return .brokerAnswer
    }
    switch book.brokerDebt(of: candidate.user, in: market, at: book.block.timestamp) {
    case .failure(let reason): return reason
    case .success(let debt): return debt == said ? nil : .brokerDebtDiffers
    }
  }
}

extension MarketJudgement {
  /// Counts a candidate's verdict as unknown instead.
  fileprivate mutating func withdraw(_ candidate: Candidate, _ reason: UnknownReason) {
    if candidate.certainty == .verified {
      liquidatable -= 1
    } else {
      healthy -= 1
      actionable -= 1
    }
    giveUp(on: candidate.user, reason)
  }
}
