import Ethereum
import Quantities
import Systems

/// One call that a plan needs, and what its answer tells.
enum PlanQuestion: Hashable, Sendable {
  /// The core contract's least debt, in USD with 8 decimals.
  case minLoanValue
  /// Whether the core contract lets an account liquidate a market.
  case listed(Bytes32, Address)
  /// Whether a liquidator contract takes a market.
  case marketListed(Address, Bytes32)
  /// Whether the public liquidator takes one user of a market.
  case userListed(Address, Bytes32, Address)
  /// The broker of a market by the broker liquidator.
  case brokerOf(Address, Bytes32)
  /// Whom a broker lets liquidate.
  case brokerListed(Address)
  /// What a user owes to a broker.
  case brokerDebt(Address, Address)
  /// Whether a user lets a contract act.
  case authorized(Address, Address)
  case pairPrice(Address)
  case feedAnswer(Address)
  case feedDecimals(Address)

  func call(core: Address) -> Call {
    func ask(_ to: Address, _ signature: String, _ arguments: ABIValue...) -> Call {
      Call(to: to, signature: signature, arguments: arguments)
    }
    switch self {
    case .minLoanValue: return ask(core, "minLoanValue()")
    case .listed(let market, let account):
      return ask(
        core, "isLiquidationWhitelist(bytes32,address)", .fixedBytes(market.bytes),
        .address(account))
    case .marketListed(let contract, let market):
      return ask(contract, "marketWhitelist(bytes32)", .fixedBytes(market.bytes))
    case .userListed(let contract, let market, let user):
      return ask(
        contract, "marketUserWhitelist(bytes32,address)", .fixedBytes(market.bytes),
        .address(user))
    case .brokerOf(let contract, let market):
      return ask(contract, "marketIdToBroker(bytes32)", .fixedBytes(market.bytes))
    case .brokerListed(let broker): return ask(broker, "getLiquidationWhitelist()")
    case .brokerDebt(let broker, let user):
      return ask(broker, "getUserTotalDebt(address)", .address(user))
    case .authorized(let user, let contract):
      return ask(core, "isAuthorized(address,address)", .address(user), .address(contract))
    case .pairPrice(let oracle): return ask(oracle, "price()")
    case .feedAnswer(let feed): return ask(feed, "latestRoundData()")
    case .feedDecimals(let feed): return ask(feed, "decimals()")
    }
  }
}

// MARK: - What to ask

extension MoolahPlanning {
  /// What is needed and not answered yet, in a fixed order.
  var missing: [PlanQuestion] {
    var missing: [PlanQuestion] = []
    var seen: Set<PlanQuestion> = []
    func need(_ question: PlanQuestion) {
      if answers[question] == nil, seen.insert(question).inserted { missing.append(question) }
    }
    if !areBandsKnown {
      for (contract, _) in bandContracts {
        if let oracle = contract.oracle { need(.pairPrice(oracle)) }
      }
    }
    if judgement.candidates.isEmpty { return missing }
    if book.dialect == .moolah, settings.maxRepayUSD != nil { need(.minLoanValue) }
    var users = 0
    for candidate in judgement.candidates.prefix(Self.askedUsersMax) {
      if let question = doubt(of: candidate) { need(question) }
    }
    for candidate in judgement.candidates {
      guard let market = markets[candidate.market]?.market else { continue }
      if market.row.broker != nil { need(.minLoanValue) }
      for token in [market.row.parameters.loanToken, market.row.parameters.collateralToken] {
        guard let feed = settings.usdFeeds[token] else { continue }
        need(.feedAnswer(feed))
        need(.feedDecimals(feed))
      }
      if let key = candidate.memoryKey, let contracts = bands[key] {
        users += 1
        if users > Self.askedUsersMax { continue }
        for contract in contracts { need(.authorized(candidate.user, contract.address)) }
        continue
      }
      if candidate.outcome == .paused || book.dialect != .moolah { continue }
      if let broker = market.row.broker {
        guard let liquidator = settings.brokerLiquidator else { continue }
        need(.brokerOf(liquidator, market.key))
        need(.brokerListed(broker))
        need(.listed(market.key, broker))
        continue
      }
      if let liquidator = settings.mainLiquidator {
        need(.marketListed(liquidator, market.key))
        need(.listed(market.key, liquidator))
      }
      if let liquidator = settings.publicLiquidator {
        need(.listed(market.key, liquidator))
        need(.marketListed(liquidator, market.key))
        if market.isOpenToAll != true {
          users += 1
          if users <= Self.askedUsersMax {
            need(.userListed(liquidator, market.key, candidate.user))
          }
        }
      }
    }
    return missing
  }

  func word(_ question: PlanQuestion, at index: Int = 0, of count: Int = 1) -> U256? {
    guard let answer = answers[question], answer.succeeded else { return nil }
    let words = ABIWords(answer.data)
    return words.count >= count ? try? words.word(index) : nil
  }

  func flag(_ question: PlanQuestion) -> Bool? {
    guard let answer = answers[question], answer.succeeded else { return nil }
    return try? ABIWords(answer.data).bool(0)
  }

  private func address(_ question: PlanQuestion) -> Address? {
    guard let answer = answers[question], answer.succeeded else { return nil }
    return try? ABIWords(answer.data).address(0)
  }

  private func addresses(_ question: PlanQuestion) -> [Address]? {
    guard let answer = answers[question], answer.succeeded,
      case .array(let values)? = try? ABI.decode([.array(.address)], answer.data).first
    else { return nil }
    return values.compactMap { if case .address(let address) = $0 { address } else { nil } }
  }
}

// MARK: - The choice

extension MoolahPlanning {
  /// A way and what the contracts say of it; nil: they did not say.
  private typealias Way = (path: LiquidationPath, contract: Address, isPermitted: Bool?)

  /// The first permitted way of: broker liquidator (and only it, on a broker market whose broker it
  /// serves), main liquidator, public liquidator, the core contract itself. Preconditions by
  /// `Liquidator`, `PublicLiquidator`, `BrokerLiquidator` and `LendingBroker`.
  func choosePath(for candidate: inout Candidate, in market: BookMarket) {
    guard candidate.certainty != .preLiquidatable else { return }
    candidate.path = .reportOnly
    let ways = ways(for: candidate, in: market)
    if candidate.outcome == .paused || (candidate.outcome == .permissionUnknown && ways.isEmpty) {
      return
    }
    // Whether the core contract is paused is asked with every market's list; without an answer to
    // either nothing can be said of any way.
    if book.dialect == .moolah, book.isPaused == nil { return }
    var all = ways
    if settings.usesDirect {
      all.append(
        (.direct, book.deployment.address, book.dialect == .moolah ? market.isOpenToAll : true))
    }
    if let way = all.first(where: { $0.isPermitted == true }) {
      candidate.path = way.path
      candidate.contract = way.contract
      candidate.outcome = .open
      return
    }
    if all.contains(where: { $0.isPermitted == nil }) {
      candidate.outcome = .permissionUnknown
    } else if book.dialect == .moolah, market.isOpenToAll == false {
      candidate.outcome = .whitelistOnly
    } else {
      candidate.outcome = .reportOnly
    }
  }

  private func ways(for candidate: Candidate, in market: BookMarket) -> [Way] {
    guard book.dialect == .moolah else { return [] }
    if let broker = market.row.broker {
      guard let liquidator = settings.brokerLiquidator else { return [] }
      return [(.brokerLiquidator, liquidator, servesBroker(broker, liquidator, market))]
    }
    var ways: [Way] = []
    if let liquidator = settings.mainLiquidator {
      ways.append(
        (
          .mainLiquidator, liquidator,
          both(
            flag(.marketListed(liquidator, market.key)), flag(.listed(market.key, liquidator)))
        ))
    }
    if let liquidator = settings.publicLiquidator {
      let isTaken = either(
        market.isOpenToAll,
        either(
          flag(.marketListed(liquidator, market.key)),
          flag(.userListed(liquidator, market.key, candidate.user))))
      ways.append(
        (.publicLiquidator, liquidator, both(isTaken, flag(.listed(market.key, liquidator)))))
    }
    return ways
  }

  /// The liquidator serves this broker, the broker lets it, and the core contract lets the broker.
  private func servesBroker(
    _ broker: Address, _ liquidator: Address, _ market: BookMarket
  ) -> Bool? {
    let serves = address(.brokerOf(liquidator, market.key)).map { $0 == broker }
    let isListed = addresses(.brokerListed(broker)).map { $0.contains(liquidator) }
    return both(both(serves, isListed), flag(.listed(market.key, broker)))
  }

  private func both(_ a: Bool?, _ b: Bool?) -> Bool? {
    if a == false || b == false { return false }
    return a == nil || b == nil ? nil : true
  }

  private func either(_ a: Bool?, _ b: Bool?) -> Bool? {
    if a == true || b == true { return true }
    return a == nil || b == nil ? nil : false
  }
}
