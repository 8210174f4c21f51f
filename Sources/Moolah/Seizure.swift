import Quantities

/// What one `liquidate` call takes and leaves, to the unit.
public struct Seizure: Hashable, Sendable {
  /// Collateral that the liquidator gets.
  public var seizedAssets: UInt128
  /// Loan tokens that the liquidator pays.
  public var repaidAssets: U256
  /// Borrow shares cleared by the payment.
  public var repaidShares: UInt128
  /// Debt that nobody pays, taken from the suppliers; only when no collateral is left.
  public var badDebtAssets: UInt128
  /// Its shares.
  public var badDebtShares: UInt128
  /// The market afterwards.
  public var market: MarketState
  /// The borrower's position afterwards.
  public var position: PositionState
}

/// What a liquidator asks for; the contract takes exactly one of the two.
public enum SeizureRequest: Hashable, Sendable {
  /// So many units of collateral.
  case seizing(U256)
  /// To clear so many borrow shares.
  case repaying(U256)
}

extension MarketState {
  /// The amounts and the states after a `liquidate` call on this market, accrued to its time.
  ///
  /// `price` (times 1e36) is the one the contract sizes with. Whether the position may be
  /// liquidated at all is the health's business and is not asked here. Throws `.underflow` where
  /// more is taken than the position has (the contract's panic 0x11), and `.divisionByZero` when
  /// repaying at a price of 0. Source: `Moolah.liquidate`, `Morpho.liquidate`.
  ///
  /// `incentiveFloor` is the least incentive factor, for a chain whose contract has one; no
  /// contract known today has.
  public func liquidating(
    _ position: PositionState, _ request: SeizureRequest, price: U256, lltv: Wad,
    incentiveFloor: Wad? = nil
  ) throws(ArithmeticError) -> Seizure {
    let factor = try MoolahMath.liquidationIncentiveFactor(lltv: lltv, floor: incentiveFloor)
    let (seized, shares) = try amounts(for: request, price: price, factor: factor.raw)
    var seizure = try Seizure(of: position, in: self, seized: seized, repaidShares: shares)
    if seizure.position.collateral == 0 { try seizure.realizeBadDebt() }
    return seizure
  }

  /// Collateral and borrow shares of a call with an incentive `factor` times 1e18.
  func amounts(
    for request: SeizureRequest, price: U256, factor: U256
  ) throws(ArithmeticError) -> (seized: U256, shares: U256) {
    let scale = MoolahMath.oraclePriceScale
    switch request {
    case .seizing(let seized):
      let quoted = try U256.mulDivUp(seized, price, scale)
      return (seized, try toSharesUp(MoolahMath.wDivUp(quoted, factor)))
    case .repaying(let shares):
      let worth = try MoolahMath.wMulDown(toAssetsDown(shares), factor)
      return (try U256.mulDivDown(worth, scale, price), shares)
    }
  }

  func toSharesUp(_ assets: U256) throws(ArithmeticError) -> U256 {
    try MoolahMath.toSharesUp(
      assets, totalAssets: U256(totalBorrowAssets), totalShares: U256(totalBorrowShares))
  }

  func toAssetsDown(_ shares: U256) throws(ArithmeticError) -> U256 {
    try MoolahMath.toAssetsDown(
      shares, totalAssets: U256(totalBorrowAssets), totalShares: U256(totalBorrowShares))
  }

  fileprivate func toAssetsUp(_ shares: U256) throws(ArithmeticError) -> U256 {
    try MoolahMath.toAssetsUp(
      shares, totalAssets: U256(totalBorrowAssets), totalShares: U256(totalBorrowShares))
  }
}

extension Seizure {
  /// A position and its market after a payment, before any bad debt.
  init(
    of position: PositionState, in market: MarketState, seized: U256, repaidShares: U256
  ) throws(ArithmeticError) {
    self.init(
      seizedAssets: try UInt128(narrowing: seized),
      repaidAssets: try market.toAssetsUp(repaidShares),
      repaidShares: try UInt128(narrowing: repaidShares), badDebtAssets: 0, badDebtShares: 0,
      market: market, position: position)
    try takePayment()
  }

  /// The payment clears shares; rounding up may ask for one unit more than all the debt.
  fileprivate mutating func takePayment() throws(ArithmeticError) {
    position.borrowShares = try position.borrowShares.subtracting(repaidShares)
    market.totalBorrowShares = try market.totalBorrowShares.subtracting(repaidShares)
    market.totalBorrowAssets = try UInt128(
      narrowing: U256(market.totalBorrowAssets).subtractingFlooredAtZero(repaidAssets))
    position.collateral = try position.collateral.subtracting(seizedAssets)
  }

  /// With the collateral gone, what is still owed is taken from the suppliers.
  fileprivate mutating func realizeBadDebt() throws(ArithmeticError) {
    badDebtShares = position.borrowShares
    let owed = try market.toAssetsUp(U256(badDebtShares))
    badDebtAssets = min(market.totalBorrowAssets, UInt128(exactly: owed) ?? .max)
    market.totalBorrowAssets = try market.totalBorrowAssets.subtracting(badDebtAssets)
    market.totalSupplyAssets = try market.totalSupplyAssets.subtracting(badDebtAssets)
    market.totalBorrowShares = try market.totalBorrowShares.subtracting(badDebtShares)
    position.borrowShares = 0
  }
}
