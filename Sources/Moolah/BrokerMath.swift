import Quantities

/// The integer formulas of Moolah's brokers: what a user owes to a broker at a second.
///
/// Amounts are raw units of the loan token, rates are 1e27 parts, times are seconds since 1970.
/// Products have 512 bits, as OpenZeppelin's `Math.mulDiv` has them. Every function throws where
/// the contract would revert. `docs/formulas/moolah.md` lists each with its source.
public enum BrokerMath {
  /// `RATE_SCALE`: 1 in rates and in the index of dynamic debt.
  public static var ray: U256 { Ray.scale }

  static var secondsPerYear: U256 { U256(31_536_000 as UInt64) }
}

// MARK: - The index of dynamic debt

extension BrokerMath {
  /// `x` to the power of `n`, in 1e27 parts, each product rounded half up.
  ///
  /// Costs two multiplications for each bit of `n`. Source: `RateCalculator._rpow`, MakerDAO's.
  public static func rpowHalfUp(_ x: U256, _ n: UInt64) throws(ArithmeticError) -> U256 {
    var base = x
    var power = n % 2 == 1 ? x : ray
    var rest = n / 2
    while rest > 0 {
      base = try rmulHalfUp(base, base)
      if rest % 2 == 1 { power = try rmulHalfUp(power, base) }
      rest /= 2
    }
    return power
  }

  /// `x * y / 1e27`, half of a unit rounded up; the product and the rounding must fit 256 bits.
  private static func rmulHalfUp(_ x: U256, _ y: U256) throws(ArithmeticError) -> U256 {
    try x.multiplied(by: y).adding(ray.dividedDown(by: U256(2 as UInt64))).dividedDown(by: ray)
  }

  /// `x * y / 1e27` rounded down, in plain 256 bits. Source: `RateCalculator._rmul`.
  public static func rmulDown(_ x: U256, _ y: U256) throws(ArithmeticError) -> U256 {
    try U256.mulDivDown(x, y, ray)
  }

  /// What a dynamic debt has grown to: `normalized * index / 1e27`, rounded up.
  /// Source: `BrokerMath.denormalizeBorrowAmount`.
  public static func dynamicDebtUp(normalized: U256, index: U256) throws(ArithmeticError) -> U256 {
    try U256.fullMulDivUp(normalized, index, ray)
  }
}

/// What a rate calculator holds of one broker, as `brokers(broker)` answers.
///
/// Anyone may bring it to now, which emits nothing: it is read at each block that is judged.
public struct BrokerRate: Hashable, Sendable {
  /// The index at `lastUpdated`, 1e27 parts.
  public let index: U256
  /// What the index grows by in a second, 1e27 parts; 0: not at all.
  public let perSecond: U256
  public let maxPerSecond: U256
  public let lastUpdated: UInt64

  public init(index: U256, perSecond: U256, maxPerSecond: U256, lastUpdated: UInt64) {
    self.index = index
    self.perSecond = perSecond
    self.maxPerSecond = maxPerSecond
    self.lastUpdated = lastUpdated
  }

  /// The index at a later second; `.underflow` for an earlier one.
  /// Source: `RateCalculator.getRate`.
  public func index(at timestamp: UInt64) throws(ArithmeticError) -> U256 {
    if perSecond.isZero || timestamp == lastUpdated { return index }
    guard timestamp > lastUpdated else { throw .underflow }
    return try BrokerMath.rmulDown(
      BrokerMath.rpowHalfUp(perSecond, timestamp - lastUpdated), index)
  }
}

// MARK: - Loans of a fixed term

/// A loan of a fixed term and rate, as `userFixedPositions(user)` answers.
public struct FixedLoan: Hashable, Sendable {
  /// The number that the broker gave it.
  public let number: U256
  public let principal: U256
  /// One plus the rate of a year, 1e27 parts.
  public let apr: U256
  public let start: U256
  /// No interest from here on, until someone refinances it.
  public let end: U256
  public let lastRepaid: U256
  /// Interest paid since `lastRepaid`.
  public let interestRepaid: U256
  public let principalRepaid: U256

  /// Takes the eight words of the contract's tuple.
  public init(
    number: U256, principal: U256, apr: U256, start: U256, end: U256, lastRepaid: U256,
    interestRepaid: U256, principalRepaid: U256
  ) {
    self.number = number
    self.principal = principal
    self.apr = apr
    self.start = start
    self.end = end
    self.lastRepaid = lastRepaid
    self.interestRepaid = interestRepaid
    self.principalRepaid = principalRepaid
  }

  /// Interest since the last repayment of principal, rounded up; it stops at the end of the term.
  /// Source: `BrokerMath.getAccruedInterestForFixedPosition`.
  public func interestUp(at timestamp: UInt64) throws(ArithmeticError) -> U256 {
    let elapsed = try min(U256(timestamp), end).subtracting(min(lastRepaid, end))
    if principal.isZero || elapsed.isZero { return .zero }
    return try U256.fullMulDivUp(
      principal.subtracting(principalRepaid),
      BrokerMath.aprPerSecondUp(apr).multiplied(by: elapsed), BrokerMath.ray)
  }

  /// Principal left, and interest that was not paid yet. Source: `BrokerMath.getTotalDebt`.
  public func debt(at timestamp: UInt64) throws(ArithmeticError) -> U256 {
    let left = try principal.subtracting(principalRepaid)
    return try left.adding(interestUp(at: timestamp).subtracting(interestRepaid))
  }

  /// What repaying `amount` of the principal before the end costs besides: half of the interest
  /// that is left, rounded up twice. No part of the debt.
  /// Source: `BrokerMath.getPenaltyForFixedPosition`.
  public func penaltyUp(repaying amount: U256, at timestamp: UInt64) throws(ArithmeticError) -> U256
  {
    guard U256(timestamp) <= end else { return .zero }
    let perSecond = try U256.fullMulDivUp(amount, BrokerMath.aprPerSecondUp(apr), BrokerMath.ray)
    return try U256.fullMulDivUp(
      perSecond, end.subtracting(U256(timestamp)), U256(2 as UInt64))
  }
}

extension BrokerMath {
  /// The rate of a second from one plus the rate of a year, 1e27 parts, rounded up.
  /// Source: `BrokerMath._aprPerSecond`.
  public static func aprPerSecondUp(_ apr: U256) throws(ArithmeticError) -> U256 {
    apr <= ray ? .zero : try U256.fullMulDivUp(apr.subtracting(ray), .one, secondsPerYear)
  }
}

// MARK: - The price of a liquidation

extension BrokerMath {
  /// The collateral's price in 8 decimals, less what the user owes to the broker beyond the core's
  /// own count, spread over the collateral; the deduction rounds up, and the price stops at 0.
  ///
  /// It sizes the seizure of a liquidation and does not decide whether there may be one. Debts are
  /// in units of the loan token, `collateralPeek` and `loanPeek` in 8 decimals.
  /// Source: `BrokerMath.peek`.
  public static func userPeek(
    collateralPeek: U256, loanPeek: U256, brokerDebt: U256, coreDebt: U256, collateral: UInt128,
    collateralDecimals: UInt8, loanDecimals: UInt8
  ) throws(ArithmeticError) -> U256 {
    if collateral == 0 { return collateralPeek }
    let beyond = brokerDebt.subtractingFlooredAtZero(coreDebt)
    let value = try U256.fullMulDivDown(beyond, loanPeek, U256(100_000_000 as UInt64))
    let deduction = try U256.fullMulDivUp(
      value, powerOfTen(8 + Int(collateralDecimals)),
      U256(collateral).multiplied(by: powerOfTen(Int(loanDecimals))))
    return collateralPeek.subtractingFlooredAtZero(deduction)
  }

  private static func powerOfTen(_ exponent: Int) throws(ArithmeticError) -> U256 {
    guard exponent <= 77 else { throw .overflow }
    var power = U256.one
    for _ in 0..<exponent { power = try power.multiplied(by: U256(10 as UInt64)) }
    return power
  }
}
