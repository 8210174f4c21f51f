import Ethereum
import Quantities

/// What is configured about how positions of a deployment may be liquidated.
public struct PlanSettings: Sendable, Equatable {
  /// Whether the core contract itself counts as a way where it is open to all.
  public var usesDirect = true
  public var mainLiquidator: Address?
  public var publicLiquidator: Address?
  public var brokerLiquidator: Address?
  public var preLiquidations: [PreLiquidationContract] = []
  /// For a token, a contract whose `latestRoundData` tells its price in USD. Moolah's own oracles
  /// do so without.
  public var usdFeeds: [Address: Address] = [:]
  /// How old such a price may be at the block. Feeds in USD beat once a day at the least.
  public var usdFeedMaxAgeSeconds: UInt64 = 90_000
  /// The least incentive factor, times 1e18; nil: the contracts' formula, which has none.
  public var incentiveFloor: U256?
  /// The most that one liquidation may pay, in USD with 8 decimals; nil: whatever it takes.
  public var maxRepayUSD: U256?

  public init() {}
}

/// A pre-liquidation contract of one market and its terms, all times 1e18.
public struct PreLiquidationContract: Sendable, Equatable {
  public let address: Address
  public let market: Bytes32
  /// Whose `price()` it asks; nil: the market's own price.
  public let oracle: Address?
  public let terms: PreLiquidationTerms

  public init(address: Address, market: Bytes32, oracle: Address?, terms: PreLiquidationTerms) {
    self.address = address
    self.market = market
    self.oracle = oracle
    self.terms = terms
  }
}

/// The constants of a pre-liquidation contract. Incentive and close factor rise from their first
/// value to their second as the loan-to-value goes from `preLLTV` to the market's own line.
public struct PreLiquidationTerms: Hashable, Sendable {
  /// Two ends of a factor.
  public struct Rise: Hashable, Sendable {
    public let first: Wad
    public let second: Wad

    public init(_ first: Wad, _ second: Wad) {
      self.first = first
      self.second = second
    }
  }

  public let preLLTV: Wad
  /// The part of the debt that may be repaid; the second may be more than all.
  public let closeFactor: Rise
  public let incentive: Rise

  /// Nil for terms that no contract can have: factors that fall, a first close factor above 1, or
  /// incentives below 1.
  public init?(preLLTV: Wad, closeFactor: Rise, incentive: Rise) {
    guard closeFactor.first <= closeFactor.second, closeFactor.first <= .one,
      .one <= incentive.first, incentive.first <= incentive.second
    else { return nil }
    self.preLLTV = preLLTV
    self.closeFactor = closeFactor
    self.incentive = incentive
  }
}
