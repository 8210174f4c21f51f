import Quantities

/// The amounts of one liquidation, to the unit: what a call would take, pay and leave.
///
/// Amounts of loan tokens and collateral are in the tokens' smallest units.
public struct LiquidationPlan: Hashable, Sendable {
  /// How much of a position a liquidation closes.
  public enum Extent: String, CaseIterable, Sendable {
    /// All debt is paid, and collateral is left to the borrower or gone exactly.
    case full
    /// All collateral is taken, and what it does not pay is bad debt.
    case underwater
    /// Debt is left that is large enough, or healthy.
    case partial
  }

  public var extent: Extent
  /// Collateral that the liquidator gets.
  public var seizedAssets: U256
  /// Loan tokens that pay the market.
  public var repaidAssets: U256
  /// Debt shares that they clear.
  public var repaidShares: U256
  /// Loan tokens that a broker takes beside them; 0 without a broker.
  public var interestToBroker: U256
  /// Debt that the suppliers lose.
  public var badDebtAssets: U256
  /// Its shares.
  public var badDebtShares: U256
  /// Collateral value for each unit repaid, times 1e18.
  public var incentive: U256
  /// The call names collateral, and not shares: the contract takes exactly one of the two.
  public var isBySeizing: Bool

  public init(
    extent: Extent, seizedAssets: U256, repaidAssets: U256, repaidShares: U256,
    interestToBroker: U256 = .zero, badDebtAssets: U256 = .zero, badDebtShares: U256 = .zero,
    incentive: U256, isBySeizing: Bool
  ) {
    self.extent = extent
    self.seizedAssets = seizedAssets
    self.repaidAssets = repaidAssets
    self.repaidShares = repaidShares
    self.interestToBroker = interestToBroker
    self.badDebtAssets = badDebtAssets
    self.badDebtShares = badDebtShares
    self.incentive = incentive
    self.isBySeizing = isBySeizing
  }
}

/// The way by which a candidate would be liquidated.
public enum LiquidationPath: String, CaseIterable, Sendable {
  /// The core contract itself, which is open to all.
  case direct
  /// The operator's own liquidator contract.
  case mainLiquidator = "main_liquidator"
  /// The liquidator contract that anyone may call, for markets and users that it lists.
  case publicLiquidator = "public_liquidator"
  /// The liquidator contract of broker markets.
  case brokerLiquidator = "broker_liquidator"
  /// A contract that the borrower has authorised to act before the line is crossed.
  case preLiquidation = "pre_liquidation"
  /// None that is configured and permitted: the candidate is only named.
  case reportOnly = "report_only"
}
