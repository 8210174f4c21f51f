import Quantities

/// What the positions of a market share, as the contract's `market(id)` stores it.
///
/// Amounts are in units of the loan token. The totals are the contract's `uint128`, so a total
/// that would grow beyond one throws `.overflow`, as the contract reverts.
public struct MarketState: Hashable, Sendable {
  /// Loan tokens supplied, with the interest accrued until `lastUpdate`.
  public var totalSupplyAssets: UInt128
  /// Shares of them.
  public var totalSupplyShares: UInt128
  /// Loan tokens owed, with the interest accrued until `lastUpdate`.
  public var totalBorrowAssets: UInt128
  /// Shares of them.
  public var totalBorrowShares: UInt128
  /// When interest was last accrued, in seconds since 1970.
  public var lastUpdate: UInt64
  /// The part of the interest that goes to the fee recipient.
  public var fee: Wad

  /// Takes the six words of `market(id)`.
  public init(
    totalSupplyAssets: UInt128, totalSupplyShares: UInt128,
    totalBorrowAssets: UInt128, totalBorrowShares: UInt128,
    lastUpdate: UInt64, fee: Wad
  ) {
    self.totalSupplyAssets = totalSupplyAssets
    self.totalSupplyShares = totalSupplyShares
    self.totalBorrowAssets = totalBorrowAssets
    self.totalBorrowShares = totalBorrowShares
    self.lastUpdate = lastUpdate
    self.fee = fee
  }
}

/// One user in one market, as the contract's `position(id, user)` stores it.
public struct PositionState: Hashable, Sendable {
  /// Shares of the market's supplied loan tokens.
  public var supplyShares: U256
  /// Shares of the market's debt.
  public var borrowShares: UInt128
  /// Units of the collateral token.
  public var collateral: UInt128

  /// Takes the three words of `position(id, user)`.
  public init(supplyShares: U256 = .zero, borrowShares: UInt128 = 0, collateral: UInt128 = 0) {
    self.supplyShares = supplyShares
    self.borrowShares = borrowShares
    self.collateral = collateral
  }
}

// MARK: - Accrual

/// A market brought to a later time, and what was added on the way.
public struct Accrual: Hashable, Sendable {
  /// The market at that time.
  public var state: MarketState
  /// Interest added to both totals, in units of the loan token.
  public var interest: UInt128
  /// Supply shares made for the fee recipient.
  public var feeShares: UInt128
}

extension MarketState {
  /// The market with the interest of `rate` (per second, 1e-18) from `lastUpdate` to `timestamp`.
  ///
  /// `rate` is the rate model's average over that very interval; a market without a rate model
  /// takes `.zero`. Throws `.underflow` for a `timestamp` before `lastUpdate`, and where the
  /// contract would revert. Source: `Moolah._accrueInterest`, `Morpho._accrueInterest`.
  public func accrued(to timestamp: UInt64, rate: Wad) throws(ArithmeticError) -> Accrual {
    guard timestamp >= lastUpdate else { throw .underflow }
    var accrual = Accrual(state: self, interest: 0, feeShares: 0)
    let elapsed = timestamp - lastUpdate
    if elapsed == 0 { return accrual }
    accrual.state.lastUpdate = timestamp
    let growth = try MoolahMath.wTaylorCompounded(rate.raw, U256(elapsed))
    try accrual.add(interest: MoolahMath.wMulDown(U256(totalBorrowAssets), growth))
    return accrual
  }

  /// What `shares` of the debt owe, rounded up. Source: `Moolah._isHealthy`.
  public func borrowed(_ shares: UInt128) throws(ArithmeticError) -> U256 {
    if let answer = narrowBorrowed(shares) { return U256(answer) }
    return try MoolahMath.toAssetsUp(
      U256(shares), totalAssets: U256(totalBorrowAssets), totalShares: U256(totalBorrowShares))
  }

  /// `borrowed` where it fits 128 bits; nil where the exact path must decide.
  @inline(always)
  func narrowBorrowed(_ shares: UInt128) -> UInt128? {
    let (assets, cut) = totalBorrowAssets.addingReportingOverflow(1)
    let (allShares, cutShares) = totalBorrowShares.addingReportingOverflow(1_000_000)
    if cut || cutShares { return nil }
    return UInt128.mulDivUp(shares, assets, allShares)
  }
}

extension Accrual {
  /// Raises both totals, then makes the fee recipient's shares out of the raised ones.
  fileprivate mutating func add(interest: U256) throws(ArithmeticError) {
    self.interest = try UInt128(narrowing: interest)
    state.totalBorrowAssets = try state.totalBorrowAssets.adding(self.interest)
    state.totalSupplyAssets = try state.totalSupplyAssets.adding(self.interest)
    if state.fee.isZero { return }
    let feeAmount = try MoolahMath.wMulDown(interest, state.fee.raw)
    let shares = try MoolahMath.toSharesDown(
      feeAmount, totalAssets: U256(state.totalSupplyAssets).subtracting(feeAmount),
      totalShares: U256(state.totalSupplyShares))
    feeShares = try UInt128(narrowing: shares)
    state.totalSupplyShares = try state.totalSupplyShares.adding(feeShares)
  }
}

// MARK: - The contract's checked uint128

extension UInt128 {
  /// The sum; throws `.overflow` above 2^128 - 1.
  func adding(_ other: UInt128) throws(ArithmeticError) -> UInt128 {
    let (sum, overflow) = addingReportingOverflow(other)
    if overflow { throw .overflow }
    return sum
  }

  /// The difference; throws `.underflow` when `other` is larger.
  func subtracting(_ other: UInt128) throws(ArithmeticError) -> UInt128 {
    let (difference, overflow) = subtractingReportingOverflow(other)
    if overflow { throw .underflow }
    return difference
  }
}
