import Ethereum
import Postgres
import Systems

// What the contract is asked at the end of a run: as an audit asks it, of a few rows.

extension Moolah {
  public func touch(_ logs: [Log], of deployment: Deployment, into scope: inout VouchScope) {
    for log in logs.reversed() {
      guard let event = try? MoolahEvent(log), let market = event.market else { continue }
      // Rate models print markets too, and only the core has positions.
      if log.address == deployment.address, let user = event.user {
        scope.add(
          position: AuditSubject(.position, deployment.address, market: market, user: user))
      } else {
        scope.add(market: market)
      }
    }
  }

  public func claims(
    of deployment: Deployment, at block: BlockMark, toVouchFor scope: VouchScope,
    in tx: borrowing Transaction
  ) throws -> Claims {
    var rows = AuditedRows(core: deployment.address, dialect: dialect)
    try readCore(into: &rows, of: deployment, in: tx)
    let ids = try readMarkets(into: &rows, of: deployment, in: scope, tx: tx)
    rows.facts = try facts(of: deployment, at: block, in: tx)
    var scope = scope
    if let recipient = rows.feeRecipient, recipient != .zero {
      // Interest gives the recipient shares, and its event names nobody.
      for market in scope.markets {
        scope.add(
          position: AuditSubject(.position, deployment.address, market: market, user: recipient))
      }
    }
    try readPositions(into: &rows, ids: ids, of: deployment, in: scope, tx: tx)
    return rows.claimsToVouchFor()
  }
}

extension MoolahEvent {
  /// Whose position it changes.
  fileprivate var user: Address? {
    switch self {
    case .supply(_, _, let user, _, _), .withdraw(_, _, let user, _, _),
      .borrow(_, _, let user, _, _), .repay(_, _, let user, _, _),
      .supplyCollateral(_, _, let user, _), .withdrawCollateral(_, _, let user, _):
      user
    case .liquidate(_, let event): event.borrower
    default: nil
    }
  }
}
