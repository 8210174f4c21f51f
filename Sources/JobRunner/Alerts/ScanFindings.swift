import Ethereum
import Postgres
import Quantities
import RiskCore
import Store
import Systems

extension Alerting {
  /// What a scan of the present found, as alerts, in the transaction that stores the scan.
  ///
  /// `timestamp` is the second that was judged, which alerts fire and resolve by.
  public func tell(
    of judgement: Judgement, labels: [Bytes32: MarketLabel], at block: BlockMark,
    timestamp: UInt64, deployment: Int32, run: Int64, in tx: borrowing Transaction
  ) throws {
    guard settings.isEnabled else { return }
    // A market in quarantine is told of before anybody has borrowed from it.
    let unknown = judgement.markets.filter { $0.unknownReason != nil }
      .sorted { $0.unknown > $1.unknown }
    let candidates = Self.worstFirst(judgement.candidates.filter { $0.certainty == .verified })
    let dollars =
      candidates.isEmpty
      ? [:] : try Alerts.dollarPrices(of: deployment, run: run, in: tx)
    let findings = candidates.map { candidate in
      Finding(.liquidatable, candidate.subject) {
        candidate.facts(
          labels[candidate.market], dollars[candidate.market], at: block, timestamp: timestamp)
      }
    }
    let doubts = Dictionary(
      unknown.map { ($0.market.description, $0) }, uniquingKeysWith: { first, _ in first })
    func isDoubted(_ alert: FiringAlert) -> Bool {
      let parts = alert.subject.split(separator: "/", maxSplits: 1)
      guard let market = parts.first.flatMap({ doubts[String($0)] }) else { return false }
      return parts.last.flatMap(Address.init).map(market.isUnknown) ?? true
    }
    let step = try Alerts.observe(
      findings, of: [.liquidatable], deployment: deployment, at: timestamp,
      resolveAfter: settings.resolveAfterSeconds, firingMax: settings.top, run: run, in: tx,
      isDoubted: isDoubted)
    try tellMore(
      .liquidatableMore, step.omitted, at: timestamp, deployment: deployment, run: run, in: tx)
    let unjudged = try Alerts.observe(
      unknown.map { $0.finding(labels[$0.market], at: block) }, of: [.unknownVerdicts],
      deployment: deployment, at: timestamp, resolveAfter: settings.resolveAfterSeconds,
      firingMax: settings.top, run: run, in: tx)
    try tellMore(
      .unknownVerdictsMore, unjudged.omitted, at: timestamp, deployment: deployment, run: run,
      in: tx)
    // Without a second price nobody knows that a shadow is gone.
    let shadowed = Set(judgement.markets.filter { $0.shadow != nil }.map(\.market.description))
    try Alerts.observe(
      judgement.markets.flatMap { $0.warningFindings(labels[$0.market], at: block) },
      of: MarketJudgement.warningKinds, deployment: deployment, at: timestamp,
      resolveAfter: settings.resolveAfterSeconds, firingMax: settings.top, run: run, in: tx,
      isDoubted: { $0.kind == .shadowLiquidatable && !shadowed.contains($0.subject) })
  }

  /// Candidates in the order in which they are told of: the largest debts in USD, and in between
  /// those whose worth is not known, the newest first; last what is too small to be liquidated.
  static func worstFirst(_ candidates: [Candidate]) -> [Candidate] {
    let dust = candidates.filter { $0.isDust }
    let known = candidates.filter { !$0.isDust && $0.debtUSD != nil }.sorted {
      let (left, right) = ($0.debtUSD ?? .zero, $1.debtUSD ?? .zero)
      return left == right ? $0.health < $1.health : left > right
    }
    let unknown = candidates.filter { !$0.isDust && $0.debtUSD == nil }.sorted {
      let (left, right) = ($0.firstSeen ?? 0, $1.firstSeen ?? 0)
      return left == right ? $0.health < $1.health : left > right
    }
    var order: [Candidate] = []
    for place in 0..<max(known.count, unknown.count) {
      if place < known.count { order.append(known[place]) }
      if place < unknown.count { order.append(unknown[place]) }
    }
    return order + dust.sorted { $0.health < $1.health }
  }

  /// That there is more of a kind than is told of one by one, and again once it is twice as many.
  public func tellMore(
    _ kind: AlertKind, _ count: Int, at timestamp: UInt64, deployment: Int32, run: Int64?,
    in tx: borrowing Transaction
  ) throws {
    let findings =
      count > 0 ? [Finding(kind, "all") { ["more": String(count)] }] : []
    try Alerts.forget(kind, of: deployment, outgrownBy: count, at: timestamp, in: tx)
    try Alerts.observe(
      findings, of: [kind], deployment: deployment, at: timestamp,
      resolveAfter: settings.resolveAfterSeconds, firingMax: 1, run: run, in: tx)
  }
}

extension Candidate {
  fileprivate var isDust: Bool { outcome == .belowMinimum || outcome == .dustRule }

  /// The position, as alerts name it.
  fileprivate var subject: String { "\(market)/\(user.lowercaseHex)" }

  fileprivate func facts(
    _ label: MarketLabel?, _ dollars: DollarPrices?, at block: BlockMark, timestamp: UInt64
  ) -> [String: String] {
    var facts = label?.facts ?? [:]
    facts["market"] = market.description
    facts["user"] = user.description
    facts["collateral"] = collateral.description
    facts["debt"] = health.debt.description
    facts["capacity"] = health.capacity.description
    facts["price"] = price.description
    facts["trigger_price"] = triggerPrice?.description
    facts["outcome"] = outcome.rawValue
    facts["block"] = String(block.number)
    facts["block_hash"] = block.hash.description
    facts["timestamp"] = String(timestamp)
    facts["collateral_usd_price"] = dollars?.collateral
    facts["loan_usd_price"] = dollars?.loan
    return facts
  }
}

extension MarketJudgement {
  /// Warnings of a scan are conditions of the same name.
  fileprivate static var warningKinds: [AlertKind] {
    PriceWarning.Code.allCases.compactMap { AlertKind(rawValue: $0.rawValue) }
  }

  fileprivate func warningFindings(_ label: MarketLabel?, at block: BlockMark) -> [Finding] {
    let key = market.description
    return warnings.compactMap { warning in
      AlertKind(rawValue: warning.code.rawValue).map { kind in
        Finding(kind, key) {
          var facts = label?.facts ?? [:]
          facts["market"] = key
          facts["figures"] = warning.detail
          facts["block"] = String(block.number)
          facts["block_hash"] = block.hash.description
          return facts
        }
      }
    }
  }

  fileprivate func finding(_ label: MarketLabel?, at block: BlockMark) -> Finding {
    let judged = self
    return Finding(.unknownVerdicts, market.description) {
      var facts = label?.facts ?? [:]
      facts["market"] = judged.market.description
      facts["reason"] = judged.unknownReason?.code
      if !judged.unknownDetail.isEmpty { facts["figures"] = judged.unknownDetail }
      facts["positions"] = String(judged.unknown)
      facts["block"] = String(block.number)
      facts["block_hash"] = block.hash.description
      return facts
    }
  }
}

extension MarketLabel {
  fileprivate var facts: [String: String] {
    var facts = [
      "collateral_token": collateral.address.lowercaseHex, "loan_token": loan.address.lowercaseHex,
    ]
    facts["collateral_symbol"] = collateral.symbol
    facts["collateral_decimals"] = collateral.decimals.map(String.init)
    facts["loan_symbol"] = loan.symbol
    facts["loan_decimals"] = loan.decimals.map(String.init)
    return facts
  }
}
