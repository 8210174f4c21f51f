import Quantities
import RiskCore
import Systems

/// Works out the call that liquidates a position as far as the contract and the purse allow.
///
/// It closes the position if its collateral pays for all debt, takes all collateral if not, and
/// takes a part if one payment is limited. Then what is left must satisfy the contract's rule
/// against dust. Pure, a few microseconds.
struct LiquidationPlanner {
  /// Accrued to the moment.
  let market: MarketState
  var position: PositionState
  /// What the contract sizes with, times 1e36: on a broker market the user's own price.
  let price: U256
  /// What health is judged by.
  let marketPrice: U256
  let lltv: Wad
  /// All that the broker is owed; nil: the market has no broker.
  var brokerDebt: U256?
  /// The call goes through the broker, which takes whole millions of shares only, and its interest.
  var isThroughBroker = false
  /// The least debt that may be left over the line; nil: not known.
  var minLoan: U256? = .zero
  /// The most loan tokens that one call may cost; nil: no limit.
  var costLimit: U256?
  var incentiveFloor: Wad?

  /// Source: `LendingBroker.liquidate`.
  static let brokerShareUnit: UInt128 = 1_000_000
}

/// Why there is no plan.
enum PlanRefusal: Error, Hashable, Sendable {
  /// No part that may be paid leaves what the contract allows.
  case dust
  /// A number that the plan needs is not known, or the contract's arithmetic would revert.
  case unknown
}

extension LiquidationPlanner {
  /// The plan. Throws if every call would revert or its amounts are not known.
  func plan() throws(PlanRefusal) -> LiquidationPlan {
    let seizure = try largest()
    let leavesEnough = try isAcceptable(seizure.0)
    if leavesEnough { return try plan(of: seizure.0, by: seizure.request) }
    return try leavingTheLeast(below: seizure.0.repaidShares)
  }

  // MARK: - What to ask for

  private typealias Attempt = (seizure: Seizure, request: SeizureRequest)

  /// The largest call within the limit, whatever it leaves.
  private func largest() throws(PlanRefusal) -> (Seizure, request: SeizureRequest) {
    let shares = try min(inWholeUnits(position.borrowShares), sharesWithinLimit())
    if !price.isZero, shares > 0, let paid = try attempt(.repaying(U256(shares))) {
      return (paid, .repaying(U256(shares)))
    }
    // The collateral does not pay for these shares, or a price of 0 tells nothing about them.
    guard position.collateral > 0,
      let seized = try attempt(.seizing(U256(position.collateral)))
    else { throw shares > 0 ? .unknown : .dust }
    guard try isWithinLimit(seized) else { throw .dust }
    return (seized, .seizing(U256(position.collateral)))
  }

  /// The call that leaves just what the rule against dust demands.
  private func leavingTheLeast(below shares: UInt128) throws(PlanRefusal) -> LiquidationPlan {
    guard let minLoan else { throw .unknown }
    // Shares round twice on the way; a few units more are always enough.
    for margin in 1...Self.marginsMax {
      guard let kept = try? market.toSharesUp(minLoan.adding(U256(UInt64(margin)))),
        let kept = UInt128(exactly: kept), kept < position.borrowShares
      else { throw .dust }
      let paid = min(inWholeUnits(position.borrowShares - kept), shares)
      guard paid > 0 else { throw .dust }
      let request = SeizureRequest.repaying(U256(paid))
      if let seizure = try attempt(request), try isAcceptable(seizure) {
        return try plan(of: seizure, by: request)
      }
    }
    throw .dust
  }

  private static let marginsMax = 3

  private func inWholeUnits(_ shares: UInt128) -> UInt128 {
    isThroughBroker ? shares - shares % Self.brokerShareUnit : shares
  }

  /// The most shares whose payment stays within the limit, with the broker's part.
  private func sharesWithinLimit() throws(PlanRefusal) -> UInt128 {
    guard let costLimit else { return .max }
    do {
      var assets = costLimit
      if isThroughBroker, let brokerDebt {
        let owed = try market.borrowed(position.borrowShares)
        assets = min(assets, try U256.fullMulDivDown(costLimit, owed, max(brokerDebt, owed)))
      }
      // One unit less, because what shares cost rounds up.
      let shares = try MoolahMath.toSharesDown(
        assets.subtractingFlooredAtZero(.one), totalAssets: U256(market.totalBorrowAssets),
        totalShares: U256(market.totalBorrowShares))
      return inWholeUnits(UInt128(exactly: shares) ?? .max)
    } catch { throw .unknown }
  }

  private func isWithinLimit(_ seizure: Seizure) throws(PlanRefusal) -> Bool {
    guard let costLimit else { return true }
    do {
      return try seizure.repaidAssets.adding(interestToBroker(seizure)) <= costLimit
    } catch { throw .unknown }
  }

  /// Nil if more would be taken than there is.
  private func attempt(_ request: SeizureRequest) throws(PlanRefusal) -> Seizure? {
    do {
      return try market.liquidating(
        position, request, price: price, lltv: lltv, incentiveFloor: incentiveFloor)
    } catch {
      if error == .underflow { return nil }
      throw .unknown
    }
  }

  // MARK: - What is left

  /// Source: `Moolah._isHealthyAfterLiquidate`. Of a broker only what is certain counts: its debt
  /// falls by the payment at least.
  private func isAcceptable(_ seizure: Seizure) throws(PlanRefusal) -> Bool {
    let left = seizure.position
    if left.borrowShares == 0 || left.collateral == 0 { return true }
    if seizure.seizedAssets == 0 { return false }
    do {
      let rest = try seizure.market.toAssetsDown(U256(left.borrowShares))
      if let minLoan, rest >= minLoan { return true }
      var health = try MoolahMath.health(
        of: left, in: seizure.market, price: marketPrice, lltv: lltv)
      if let brokerDebt {
        health.debt = max(health.debt, try brokerDebt.subtracting(seizure.repaidAssets))
      }
      if !health.isLiquidatable { return true }
    } catch { throw .unknown }
    if minLoan == nil { throw .unknown }
    return false
  }

  private func plan(
    of seizure: Seizure, by request: SeizureRequest
  ) throws(PlanRefusal) -> LiquidationPlan {
    let isBySeizing = if case .seizing = request { true } else { false }
    do {
      return LiquidationPlan(
        extent: seizure.badDebtShares > 0
          ? .underwater : seizure.position.borrowShares == 0 ? .full : .partial,
        seizedAssets: U256(seizure.seizedAssets), repaidAssets: seizure.repaidAssets,
        repaidShares: U256(seizure.repaidShares), interestToBroker: try interestToBroker(seizure),
        badDebtAssets: U256(seizure.badDebtAssets), badDebtShares: U256(seizure.badDebtShares),
        incentive: try MoolahMath.liquidationIncentiveFactor(lltv: lltv, floor: incentiveFloor).raw,
        isBySeizing: isBySeizing)
    } catch { throw .unknown }
  }

  /// What the broker takes beside the payment: its own claim in the proportion in which the
  /// market's is paid. Source: `LendingBroker.onMoolahLiquidate`.
  func interestToBroker(_ seizure: Seizure) throws(ArithmeticError) -> U256 {
    guard isThroughBroker, let brokerDebt else { return .zero }
    let owed = try market.borrowed(position.borrowShares)
    return try U256.fullMulDivUp(seizure.repaidAssets, brokerDebt, owed)
      .subtractingFlooredAtZero(seizure.repaidAssets)
  }
}
