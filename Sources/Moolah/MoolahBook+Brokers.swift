import Ethereum
import Quantities
import RiskCore
import Systems

/// What a book knows of one broker at its block.
struct BookBroker: Sendable {
  /// Surrogate key; nil: the mirror has it and no row does.
  let id: Int32?
  var kind: BrokerKind?
  /// The rate calculator that the broker names.
  var calculator: Address?
  /// The oracle that the broker names.
  var oracle: Address?
  /// Nil: not read at this block.
  var rate: BrokerRate?
  /// Seconds after the end of a term before it may be written off; nil: not read.
  var grace: U256?
  /// What is known of each user at the book's block.
  var users: [Address: UserLoans] = [:]
  /// Users to be read: nothing is stored of them since the last block that touched them.
  var unread: [Address] = []
  /// Of those, how many were asked about.
  var asked = 0

  /// The users of the next round.
  var asking: ArraySlice<Address> {
    unread[asked..<min(unread.count, asked + BrokerLimits.readsPerRound)]
  }
}

/// What is known of a broker's user.
enum UserLoans: Sendable {
  case known(BrokerLoans)
  /// Read at the book's block, and to be stored.
  case read(BrokerLoans)
  case unknown(UnknownReason)

  var loans: BrokerLoans? {
    switch self {
    case .known(let loans), .read(let loans): loans
    case .unknown: nil
    }
  }
}

/// How much of the brokers a run asks.
enum BrokerLimits {
  /// Users of one broker that a run reads at most; the others wait for the next.
  static let readsMax = 5_000
  /// And at a time.
  static let readsPerRound = 500
}

extension MoolahBook {
  /// What a user of a broker market owes at a second, to the broker.
  ///
  /// Exact, or the reason why not: loans as of their last touch, the index of the rate row that was
  /// read at the book's block.
  func brokerDebt(
    of user: Address, in market: BookMarket, at timestamp: UInt64
  ) -> Result<U256, UnknownReason> {
    guard let broker = market.row.broker.flatMap({ brokers[$0] }), broker.kind != nil
    else { return .failure(.brokerMarket) }
    switch broker.users[user] {
    case .known(let loans), .read(let loans): return broker.debt(loans, at: timestamp)
    case .unknown(let reason): return .failure(reason)
    case nil: return .failure(.noBrokerState)
    }
  }

  /// The pair's price for one user: what a liquidation is sized with. Nil if it cannot be told.
  ///
  /// `state` is the market accrued to the moment of judgement, as `liquidate` accrues it first.
  /// Source: `PriceLib._getPrice` with a user.
  func userPrice(
    _ market: BookMarket, debt: U256, of position: PositionState, in state: MarketState
  ) -> U256? {
    let p = market.row.parameters
    guard let broker = market.row.broker.flatMap({ brokers[$0] }),
      p.oracle == market.row.broker || p.oracle == broker.oracle,
      let base = prices[PriceKey(oracle: p.oracle, token: p.collateralToken)]?.value,
      let quote = prices[PriceKey(oracle: p.oracle, token: p.loanToken)]?.value,
      let loanDecimals = tokens[p.loanToken]?.decimals.flatMap(UInt8.init(exactly:)),
      let collateralDecimals = tokens[p.collateralToken]?.decimals.flatMap(UInt8.init(exactly:)),
      let coreDebt = try? state.borrowed(position.borrowShares),
      let peek = try? BrokerMath.userPeek(
        collateralPeek: base, loanPeek: quote, brokerDebt: debt, coreDebt: coreDebt,
        collateral: position.collateral, collateralDecimals: collateralDecimals,
        loanDecimals: loanDecimals)
    else { return nil }
    return try? MoolahMath.pairPrice(
      basePeek: peek, quotePeek: quote, loanDecimals: loanDecimals,
      collateralDecimals: collateralDecimals)
  }
}

extension BookBroker {
  /// What these loans come to at a second.
  func debt(_ loans: BrokerLoans, at timestamp: UInt64) -> Result<U256, UnknownReason> {
    // A credit broker has no dynamic debt, and no index.
    if kind == .lending, rate == nil { return .failure(.noBrokerRate) }
    guard let index = try? rate?.index(at: timestamp) ?? BrokerMath.ray,
      let debt = try? loans.debt(at: timestamp, index: index)
    else { return .failure(.arithmeticOverflow) }
    return .success(debt)
  }
}
