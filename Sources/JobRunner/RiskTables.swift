import Ethereum
import Quantities
import RiskCore
import Systems

/// Positions and candidates as results: rounded amounts for people, raw integers for programs.
extension ResultTable {
  /// Candidates, worst first: those furthest over their line.
  public static func candidates(
    _ candidates: [Candidate], of deployment: String, labels: [Bytes32: MarketLabel], limit: Int
  ) -> ResultTable {
    var table = ResultTable(name: "candidates", columns: lineColumns + candidateColumns)
    let sorted = candidates.sorted { $0.health < $1.health }
    for candidate in sorted.prefix(limit) {
      let line = line(
        deployment, candidate.market, candidate.user, labels[candidate.market],
        collateral: candidate.collateral, debt: candidate.health.debt,
        trigger: candidate.triggerPrice, price: candidate.price)
      table.append(line + cells(of: candidate, labels[candidate.market]))
    }
    table.omitted = max(0, candidates.count - limit)
    return table
  }

  private static let candidateColumns: [Column] = [
    Column("certainty"),
    Column("outcome"),
    Column("path"),
    Column("seize_text", title: "seize", alignment: .right, audience: .people),
    Column("repay_text", title: "repay", alignment: .right, audience: .people),
    Column("usd_text", title: "debt in USD", alignment: .right, audience: .people),
    Column("contract", audience: .programs),
    Column("plan", audience: .programs),
    Column("by_seizing", audience: .programs),
    Column("seized_assets", audience: .programs),
    Column("repaid_assets", audience: .programs),
    Column("repaid_shares", audience: .programs),
    Column("interest_to_broker", audience: .programs),
    Column("bad_debt_assets", audience: .programs),
    Column("bad_debt_shares", audience: .programs),
    Column("incentive_wad", audience: .programs),
    Column("loan_to_value_wad", audience: .programs),
    Column("debt_usd", audience: .programs),
    Column("collateral_usd", audience: .programs),
    Column("first_seen_at", audience: .programs),
    Column("zone"),
    Column("guard_state", audience: .programs),
  ]

  private static func cells(of candidate: Candidate, _ label: MarketLabel?) -> [String?] {
    let plan = candidate.plan
    let usd = candidate.debtUSD.map { AmountText.decimal($0, decimals: 8) }
    return [
      candidate.certainty.rawValue, candidate.outcome.rawValue, candidate.path.rawValue,
      label?.collateral.amount(plan?.seizedAssets), label?.loan.amount(plan?.repaidAssets), usd,
      candidate.contract?.description, plan?.extent.rawValue, plan.map { String($0.isBySeizing) },
      plan?.seizedAssets.description, plan?.repaidAssets.description,
      plan?.repaidShares.description, plan?.interestToBroker.description,
      plan?.badDebtAssets.description, plan?.badDebtShares.description,
      plan?.incentive.description, candidate.loanToValue?.description,
      candidate.debtUSD?.description, candidate.collateralUSD?.description,
      candidate.firstSeen.map(String.init),
      candidate.zone.isEmpty ? nil : candidate.zone.description, candidate.guardState.rawValue,
    ]
  }

  /// Positions beside their line, nearest first.
  public static func positions(_ lines: [PositionLine], of deployment: String) -> ResultTable {
    var table = ResultTable(
      name: "positions",
      columns: lineColumns + [Column("as_of_block", title: "as of block", alignment: .right)])
    for position in lines {
      let line = line(
        deployment, position.market, position.user, position.label,
        collateral: position.collateral, debt: position.borrowed, trigger: position.triggerPrice,
        price: position.price)
      table.append(line + [position.asOfBlock.map(String.init)])
    }
    return table
  }

  private static let lineColumns: [Column] = [
    Column("deployment"),
    Column("pair"),
    Column("market", audience: .programs),
    Column("user"),
    Column("collateral_text", title: "collateral", alignment: .right, audience: .people),
    Column("debt_text", title: "debt", alignment: .right, audience: .people),
    Column("trigger_text", title: "trigger price", alignment: .right, audience: .people),
    Column("price_text", title: "current price", alignment: .right, audience: .people),
    Column("distance", alignment: .right),
    Column("collateral", audience: .programs),
    Column("debt", audience: .programs),
    Column("trigger_price", audience: .programs),
    Column("price", audience: .programs),
  ]

  private static func line(
    _ deployment: String, _ market: Bytes32, _ user: Address, _ label: MarketLabel?,
    collateral: U256, debt: U256?, trigger: U256?, price: U256?
  ) -> [String?] {
    let distance: String? =
      if let trigger, let price { AmountText.distance(price: price, trigger: trigger) } else { nil }
    return [
      deployment, label?.pair ?? market.description, market.description, user.description,
      label?.collateral.amount(collateral), label?.loan.amount(debt), label?.price(trigger),
      label?.price(price), distance, collateral.description, debt?.description,
      trigger?.description, price?.description,
    ]
  }
}
