import Quantities
import RiskCore
import Systems

/// A pre-liquidation contract of a market: it repays a part of a debt that is near the line, and
/// not yet over it.
///
/// Source: Morpho's `PreLiquidation`. The band is `preLLTV < LTV <= LLTV`: strict below and
/// inclusive above, which the requirement has the other way round
/// (`docs/decisions/0001-deviations-from-the-requirements.md`).
struct PreLiquidation: Hashable, Sendable {
  let terms: PreLiquidationTerms
  /// The market's own line.
  let lltv: Wad

  /// Nil if a contract with these terms could not have been created for the market: its line must
  /// be below the market's, and its incentive not above one over the market's line.
  init?(_ terms: PreLiquidationTerms, lltv: Wad) {
    guard terms.preLLTV < lltv, let highest = try? MoolahMath.wDivDown(Wad.one.raw, lltv.raw),
      terms.incentive.second.raw <= highest
    else { return nil }
    self.terms = terms
    self.lltv = lltv
  }
}

/// Why a pre-liquidation contract, or the core contract behind it, refuses.
enum PreLiquidationRefusal: Error, Hashable, Sendable {
  /// `LiquidatablePosition()`: over the market's own line.
  case overTheLine
  /// `NotPreLiquidatablePosition()`: not above the contract's line.
  case belowTheBand
  /// `PreLiquidationTooLarge(uint256,uint256)`: more than the close factor allows.
  case tooLarge(repaid: U256, repayable: U256)
  /// The core contract gives no collateral for nothing.
  case zeroAssets
  /// The borrower has not authorised the contract.
  case unauthorized
  /// What is left would be over the line.
  case insufficientCollateral
  case arithmetic(ArithmeticError)
}

/// Where in the band a position stands, and what that allows.
struct PreLiquidationOffer: Hashable, Sendable {
  /// Collateral value for each unit repaid.
  let incentive: Wad
  /// The most borrow shares that one call may clear; may be more than there are.
  let repayableShares: U256
}

extension PreLiquidation {
  /// What the contract offers at `price` (times 1e36) for a position of a market accrued to the
  /// moment. Throws where it refuses any amount.
  func offer(
    for position: PositionState, in market: MarketState, price: U256
  ) throws(PreLiquidationRefusal) -> PreLiquidationOffer {
    do {
      let quoted = try U256.mulDivDown(
        U256(position.collateral), price, MoolahMath.oraclePriceScale)
      let borrowed = try market.borrowed(position.borrowShares)
      let capacity = try MoolahMath.wMulDown(quoted, lltv.raw)
      guard borrowed <= capacity else {
        throw PreLiquidationRefusal.overTheLine
      }
      guard borrowed > (try MoolahMath.wMulDown(quoted, terms.preLLTV.raw)) else {
        throw PreLiquidationRefusal.belowTheBand
      }
      return try offer(loanToValue: MoolahMath.wDivUp(borrowed, quoted), position.borrowShares)
    } catch let error as ArithmeticError {
      throw .arithmetic(error)
    } catch let refusal as PreLiquidationRefusal {
      throw refusal
    } catch {
      preconditionFailure("arithmetic throws nothing else")
    }
  }

  private func offer(
    loanToValue: U256, _ borrowShares: UInt128
  ) throws(ArithmeticError) -> PreLiquidationOffer {
    let quotient = try MoolahMath.wDivDown(
      loanToValue.subtracting(terms.preLLTV.raw), lltv.raw.subtracting(terms.preLLTV.raw))
    func between(_ ends: PreLiquidationTerms.Rise) throws(ArithmeticError) -> U256 {
      try MoolahMath.wMulDown(quotient, ends.second.raw.subtracting(ends.first.raw))
        .adding(ends.first.raw)
    }
    return PreLiquidationOffer(
      incentive: Wad(raw: try between(terms.incentive)),
      repayableShares: try MoolahMath.wMulDown(
        U256(borrowShares), between(terms.closeFactor)))
  }

  /// The amounts and the states after a `preLiquidate` call, in the order of the contracts' own
  /// refusals. `corePrice` is the market's price, which the core contract asks when it gives the
  /// collateral back; nil: the same.
  func preLiquidating(
    _ position: PositionState, _ request: SeizureRequest, in market: MarketState, price: U256,
    corePrice: U256? = nil, isAuthorized: Bool
  ) throws(PreLiquidationRefusal) -> Seizure {
    let offer = try offer(for: position, in: market, price: price)
    let amounts: (seized: U256, shares: U256)
    do {
      amounts = try market.amounts(for: request, price: price, factor: offer.incentive.raw)
    } catch { throw .arithmetic(error) }
    guard amounts.shares <= offer.repayableShares else {
      throw .tooLarge(repaid: amounts.shares, repayable: offer.repayableShares)
    }
    var seizure: Seizure
    do {
      seizure = try Seizure(
        of: position, in: market, seized: .zero, repaidShares: amounts.shares)
    } catch { throw .arithmetic(error) }
    // The core contract gives the collateral back: in this order it refuses.
    if amounts.seized.isZero { throw .zeroAssets }
    if !isAuthorized { throw .unauthorized }
    do {
      seizure.seizedAssets = try UInt128(narrowing: amounts.seized)
      seizure.position.collateral = try seizure.position.collateral.subtracting(
        seizure.seizedAssets)
      let health = try MoolahMath.health(
        of: seizure.position, in: seizure.market, price: corePrice ?? price, lltv: lltv)
      if health.isLiquidatable { throw PreLiquidationRefusal.insufficientCollateral }
      return seizure
    } catch let error as ArithmeticError {
      throw .arithmetic(error)
    } catch let refusal as PreLiquidationRefusal {
      throw refusal
    } catch {
      preconditionFailure("arithmetic throws nothing else")
    }
  }
}
