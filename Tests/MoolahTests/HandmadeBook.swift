import Ethereum
import Quantities
import RiskCore
import Systems

@testable import Moolah

/// A book of one market made by hand: 2000 tokens supplied, 1000 borrowed at 9000 s, judged at a
/// block of 10 000 s, both tokens with 18 decimals, a line at 80 %.
struct HandmadeBook {
  static let block = BlockMark(number: 500, hash: Bytes32(U256(500)), timestamp: 10_000)
  static let irm = address(0x11)
  static let loan = address(0x21)
  static let collateral = address(0x22)
  static let oracle = address(0x23)
  /// 4 % a year: what a new market starts with.
  static let rateAtTarget = Wad(raw: 1_268_391_679)

  let moolah: Moolah
  var key = Bytes32(U256(0xA))
  var state = MarketState(
    totalSupplyAssets: tokens(2_000), totalSupplyShares: tokens(2_000) * 1_000_000,
    totalBorrowAssets: tokens(1_000), totalBorrowShares: tokens(1_000) * 1_000_000,
    lastUpdate: 9_000, fee: .zero)
  var model: Address = irm
  var collateralToken = collateral
  var lltv = Wad(raw: 800_000_000_000_000_000)
  var broker: Address?
  /// What the book knows of the broker.
  var brokerState: BookBroker?
  var isSetAside = false
  var storedRate: Wad? = rateAtTarget
  /// Nil: whatever the local model answers at the block.
  var askedRate: Wad??
  var facts: [(FactName, FactSubject, U256?)] = []
  var decimals: [Address: Int] = [loan: 18, collateral: 18]
  var prices: [PriceKey: PriceAnswer] = [:]
  /// Rules of the prices, and what they ask for.
  var board: @Sendable (inout PriceBoard) -> Void = { _ in }
  var isPaused: Bool? = false
  var isOpenToAll: Bool? = true
  /// Borrow shares and collateral; the user of each is its place from 1.
  var positions: [(borrowShares: UInt128, collateral: UInt128)] = []

  init(_ dialect: Dialect, price: U256 = oneToOne) {
    moolah = Moolah(dialect)
    setPrice(price)
  }

  /// One token of collateral is worth one of loan.
  static let oneToOne: U256 = 1_000_000_000_000_000_000_000_000_000_000_000_000

  static func tokens(_ count: UInt128) -> UInt128 { count * 1_000_000_000_000_000_000 }

  static func address(_ tail: UInt64) -> Address {
    unwrapped(Bytes32(U256(tail)).address)
  }

  static let pair = PriceKey(oracle: oracle, token: nil)
  static let base = PriceKey(oracle: oracle, token: collateral)
  static let quote = PriceKey(oracle: oracle, token: loan)

  /// Makes the oracles answer so that the market's price is this.
  mutating func setPrice(_ price: U256) {
    switch moolah.dialect {
    case .morphoBlue: prices = [Self.pair: .price(price)]
    case .moolah: prices = [Self.base: .price(price), Self.quote: .price(Self.oneToOne)]
    }
  }

  /// A position that owes about `debt` tokens on `collateral` tokens.
  mutating func add(debt: UInt128, collateral: UInt128) {
    positions.append((Self.tokens(debt) * 1_000_000, Self.tokens(collateral)))
  }

  var parameters: MarketParameters {
    MarketParameters(
      loanToken: Self.loan, collateralToken: collateralToken, oracle: Self.oracle, irm: model,
      lltv: lltv)
  }

  /// What the local model says at a second.
  func localRate(at timestamp: UInt64) throws -> Wad {
    try AdaptiveCurve.rates(
      of: state, at: timestamp, rateAtTarget: storedRate ?? .zero, bounds: nil
    ).averageRate
  }

  /// The market at a second, accrued with the local model.
  func accrued(to timestamp: UInt64) throws -> MarketState {
    try state.accrued(to: timestamp, rate: localRate(at: timestamp)).state
  }

  func book() -> MoolahBook {
    MoolahBook.joining([self])
  }
}

extension MoolahBook {
  /// One book of several markets; prices, tokens and flags of the later ones win.
  static func joining(_ parts: [HandmadeBook]) -> MoolahBook {
    var book = MoolahBook(
      deployment: Deployment(
        id: 1, name: "test", chainID: 1, address: HandmadeBook.address(0xC0), firstBlock: 0),
      block: HandmadeBook.block, dialect: parts[0].moolah.dialect, markets: [], tokens: [:],
      facts: Facts())
    for (index, part) in parts.enumerated() {
      let start = book.positions.ids.count
      for (place, position) in part.positions.enumerated() {
        book.positions.ids.append(Int64(start + place))
        book.positions.users.append(HandmadeBook.address(UInt64(place + 1)))
        book.positions.borrowShares.append(position.borrowShares)
        book.positions.collateral.append(position.collateral)
      }
      var market = BookMarket(
        id: Int32(index + 1), key: part.key,
        row: MarketRow(
          id: Int32(index + 1), parameters: part.parameters, broker: part.broker,
          state: part.state, isFeeKnown: true, rateAtTarget: part.storedRate,
          asOfBlock: 1),
        isSetAside: part.isSetAside)
      market.positions = start..<book.positions.ids.count
      market.askedRate =
        part.askedRate ?? (try? part.localRate(at: HandmadeBook.block.timestamp))
      market.isOpenToAll = part.isOpenToAll
      book.markets.append(market)
      for (name, subject, value) in part.facts { book.facts.learn(name, of: subject, value) }
      for (token, decimals) in part.decimals {
        book.tokens[token] = TokenLabel(address: token, symbol: nil, decimals: decimals)
      }
      book.prices.merge(part.prices) { _, new in new }
      if let broker = part.broker, let state = part.brokerState { book.brokers[broker] = state }
      book.isPaused = part.isPaused
      part.board(&book.board)
    }
    book.checkPrices()
    return book
  }
}
