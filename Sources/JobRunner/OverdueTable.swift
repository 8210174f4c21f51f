import Ethereum
import Quantities
import Systems

extension ResultTable {
  /// Loans that a credit broker may write off, the longest overdue first.
  public static func overdue(
    _ loans: [OverdueLoan], of deployment: String, labels: [Bytes32: MarketLabel], limit: Int
  ) -> ResultTable {
    var table = ResultTable(
      name: "overdue",
      columns: [
        Column("deployment"),
        Column("pair"),
        Column("market", audience: .programs),
        Column("user"),
        Column("loan", alignment: .right),
        Column("principal_text", title: "principal left", alignment: .right, audience: .people),
        Column("principal_left", audience: .programs),
        Column("ends_at", alignment: .right),
        Column("grace_seconds", alignment: .right),
      ])
    for loan in loans.sorted(by: { ($0.end, $0.user) < ($1.end, $1.user) }).prefix(limit) {
      let label = labels[loan.market]
      table.append([
        deployment, label?.pair ?? loan.market.description, loan.market.description,
        loan.user.description, loan.number.description, label?.loan.amount(loan.principalLeft),
        loan.principalLeft.description, loan.end.description, loan.grace.description,
      ])
    }
    table.omitted = max(0, loans.count - limit)
    return table
  }
}
