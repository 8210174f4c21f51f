import Ethereum
import Quantities
import RiskCore
import Systems

// Verdicts on the markets of brokers: debt is the broker's, capacity the core's at the market
// price.

extension Moolah {
  /// Judges a market whose debts are its broker's.
  func judgeBrokered(
    _ market: BookMarket, of book: MoolahBook, at timestamp: UInt64, next: UInt64?,
    into judgement: inout Judgement
  ) {
    let price = book.price(of: market)
    var found = MarketJudgement(marketID: market.id, market: market.key, price: try? price.get())
    defer { judgement.markets.append(found) }
    if market.isSetAside { return found.giveUp(market.positions, .marketSetAside) }
    guard let broker = market.row.broker.flatMap({ book.brokers[$0] }), let kind = broker.kind
    else { return found.giveUp(market.positions, .brokerMarket) }
    if kind == .credit {
      return judgeCredit(market, broker, of: book, at: timestamp, &found, into: &judgement)
    }
    // `liquidate` accrues first, so that a market which cannot accrue cannot be liquidated.
    let accrued = book.accrued(market, to: timestamp)
    if case .success(let now) = accrued {
      book.look(at: market, in: now.state, at: timestamp, into: &found)
    }
    switch (accrued, price) {
    case (.failure(let reason), _):
      found.giveUp(market.positions, reason)
    case (_, .failure(let reason)):
      found.giveUp(market.positions, reason)
      found.unknownDetail = book.priceDetail(of: market)
    case (.success(let accrued), .success(let price)):
      for index in market.positions {
        judge(
          index, market, accrued.state, price: price, of: book, at: timestamp, next: next, &found,
          into: &judgement)
      }
    }
  }

  private func judge(
    _ index: Int, _ market: BookMarket, _ state: MarketState, price: U256, of book: MoolahBook,
    at timestamp: UInt64, next: UInt64?, _ found: inout MarketJudgement,
    into judgement: inout Judgement
  ) {
    let user = book.positions.users[index]
    let position = book.positions.state(index)
    func health(at second: UInt64) -> Result<Health, UnknownReason> {
      book.brokerDebt(of: user, in: market, at: second).flatMap { debt in
        let capacity = try? MoolahMath.maxBorrow(
          collateral: position.collateral, price: price, lltv: market.row.parameters.lltv)
        guard let capacity else { return .failure(.arithmeticOverflow) }
        return .success(Health(capacity: capacity, debt: debt))
      }
    }
    switch health(at: timestamp) {
    case .failure(let reason): return found.giveUp(on: user, reason)
    case .success(let now) where now.isLiquidatable:
      found.liquidatable += 1
      judgement.candidates.append(
        candidate(position, user, .verified, now, price, market, state, book))
    case .success:
      found.healthy += 1
      guard let next else { return }
      guard case .success(let then) = health(at: next) else {
        found.actionableUnknown += 1
        return
      }
      guard then.isLiquidatable else { return }
      found.actionable += 1
      let later = try? book.accrued(market, to: next).get().state
      judgement.candidates.append(
        candidate(position, user, .actionable, then, price, market, later, book))
    }
  }

  private func candidate(
    _ position: PositionState, _ user: Address, _ certainty: Certainty, _ health: Health,
    _ price: U256, _ market: BookMarket, _ state: MarketState?, _ book: MoolahBook
  ) -> Candidate {
    var candidate = Candidate(
      marketID: market.id, market: market.key, user: user, certainty: certainty,
      outcome: outcome(market, paused: book.isPaused), health: health,
      collateral: U256(position.collateral), price: price,
      triggerPrice: trigger(debt: health.debt, position, market.row.parameters.lltv))
    candidate.userPrice = state.flatMap {
      book.userPrice(market, debt: health.debt, of: position, in: $0)
    }
    return candidate
  }

  /// Users of a credit broker are never liquidated by price: their broker writes off what is
  /// overdue. Source: `CreditBroker.liquidate`.
  private func judgeCredit(
    _ market: BookMarket, _ broker: BookBroker, of book: MoolahBook, at timestamp: UInt64,
    _ found: inout MarketJudgement, into judgement: inout Judgement
  ) {
    guard let grace = broker.grace else { return found.giveUp(market.positions, .brokerAnswer) }
    for index in market.positions {
      let user = book.positions.users[index]
      let loans: BrokerLoans
      switch broker.users[user] {
      case .known(let known): loans = known
      case .read(let read): loans = read
      case .unknown(let reason):
        found.giveUp(on: user, reason)
        continue
      case nil:
        found.giveUp(on: user, .noBrokerState)
        continue
      }
      let overdue = loans.terms.compactMap { term -> OverdueLoan? in
        guard term.isOverdue(at: timestamp, grace: grace), term.credit?.isBadDebt == false else {
          return nil
        }
        return OverdueLoan(
          marketID: market.id, market: market.key, user: user, number: term.loan.number,
          principalLeft: term.loan.principal.subtractingFlooredAtZero(term.loan.principalRepaid),
          end: term.loan.end, grace: grace)
      }
      if overdue.isEmpty { found.healthy += 1 } else { found.overdue += 1 }
      judgement.overdue += overdue
    }
  }

  /// The core calls a position without borrow shares healthy whatever its broker says.
  func brokerNotes(on book: MoolahBook) -> [String] {
    var notes: [String] = []
    for market in book.markets {
      guard let broker = market.row.broker.flatMap({ book.brokers[$0] }), broker.kind == .lending
      else { continue }
      let judged = Set(market.positions.map { book.positions.users[$0] })
      let left = broker.users.count { user, known in
        !judged.contains(user) && known.loans.map { !$0.isNothing } ?? false
      }
      if left > 0 {
        notes.append(
          "market \(market.key): \(left) users owe their broker and nothing to the core, which "
            + "calls them healthy")
      }
    }
    return notes
  }
}

extension BrokerLoans {
  var isNothing: Bool { terms.isEmpty && normalizedDebt.isZero }
}

extension MarketJudgement {
  fileprivate mutating func giveUp(_ positions: Range<Int>, _ reason: UnknownReason) {
    unknown += positions.count
    unknownReason = unknownReason ?? reason
  }
}
