import Ethereum
import Quantities
import Systems

/// The state of a core contract at one block, as far as it has been asked.
public struct MoolahBase: Sendable {
  let core: Address
  let dialect: Dialect
  /// The listed markets.
  let keys: [Bytes32]
  var feeRecipient: Address = .zero
  var defaultMarketFee: Wad?
  var markets: [BaseMarket]
  var positions: BasePositions
  /// What the core contract holds, by token.
  var held: [Address: U256] = [:]

  private(set) var stage = Stage.contract
  private(set) var plan: [Question] = []
  /// How much of the plan is answered.
  private(set) var answered = 0

  /// What is asked depends on the answers of the stage before.
  enum Stage: Sendable {
    case contract, models, positions
  }

  enum Question: Hashable, Sendable {
    case feeRecipient
    case defaultMarketFee
    case parameters(Int)
    case state(Int)
    case broker(Int)
    case rateAtTarget(Int)
    case held(Address)
    case position(Int)
  }

  init(_ list: PositionList, core: Address, dialect: Dialect) {
    self.core = core
    self.dialect = dialect
    keys = list.markets
    markets = Array(repeating: BaseMarket(), count: keys.count)
    positions = BasePositions(marketOf: list.marketOf, users: list.users)
    plan = [.feeRecipient]
    if dialect == .moolah { plan.append(.defaultMarketFee) }
    for index in keys.indices {
      plan += [.parameters(index), .state(index)]
      if dialect == .moolah { plan.append(.broker(index)) }
    }
  }

  func next(atMost count: Int) -> ArraySlice<Question> { plan[answered...].prefix(count) }

  /// Takes note that so many questions were answered, and plans the next stage when this one is
  /// done.
  mutating func advance(by count: Int) throws {
    answered += count
    while answered == plan.count {
      switch stage {
      case .contract:
        try checkMarkets()
        stage = .models
        plan = modelQuestions()
      case .models:
        stage = .positions
        positions.add(feeRecipient, markets: keys.count)
        plan = positions.users.indices.map(Question.position)
      case .positions: return
      }
      answered = 0
    }
  }

  /// A market that the contract does not have, or has under another name, is not to be stood on.
  private func checkMarkets() throws {
    let unknown = keys.indices.filter { markets[$0].state?.lastUpdate == 0 }
    guard unknown.isEmpty else {
      throw BootstrapError.unknownMarkets(unknown.map { keys[$0] })
    }
    for (key, market) in zip(keys, markets) {
      guard let parameters = market.parameters, keccak256(ABI.encode([parameters.abi])) == key
      else { throw BootstrapError.wrongParameters(market: key) }
    }
  }

  private func modelQuestions() -> [Question] {
    var questions: [Question] = []
    var tokens: Set<Address> = []
    for (index, market) in markets.enumerated() {
      guard let parameters = market.parameters else { continue }
      if parameters.irm != .zero { questions.append(.rateAtTarget(index)) }
      tokens.formUnion([parameters.loanToken, parameters.collateralToken])
    }
    return questions + tokens.sorted().map(Question.held)
  }
}

/// A listed market.
struct BaseMarket: Sendable {
  var parameters: MarketParameters?
  var state: MarketState?
  var broker: Address?
  /// Nil: the rate model keeps none, or has not begun.
  var rateAtTarget: Wad?
}

/// Columns of the listed positions: there may be millions of them.
struct BasePositions: Sendable {
  private(set) var marketOf: [Int32]
  private(set) var users: [Address]
  var states: [PositionState]

  init(marketOf: [Int32], users: [Address]) {
    self.marketOf = marketOf
    self.users = users
    states = Array(repeating: PositionState(), count: users.count)
  }

  /// Adds a user in every market that does not list it.
  mutating func add(_ user: Address, markets: Int) {
    var isListed = [Bool](repeating: false, count: markets)
    for (index, listed) in users.enumerated() where listed == user {
      isListed[Int(marketOf[index])] = true
    }
    for market in 0..<markets where !isListed[market] {
      marketOf.append(Int32(market))
      users.append(user)
      states.append(PositionState())
    }
  }
}

// MARK: - Asking

extension Moolah {
  public func base(of list: PositionList, of deployment: Deployment) -> MoolahBase {
    MoolahBase(list, core: deployment.address, dialect: dialect)
  }

  public func questions(for base: MoolahBase, atMost count: Int) -> [Call] {
    base.next(atMost: count).map { call($0, for: base) }
  }

  public func take(_ answers: [CallResult], into base: inout MoolahBase) throws {
    let questions = base.next(atMost: answers.count)
    precondition(questions.count == answers.count, "one answer for each question")
    for (question, answer) in zip(questions, answers) {
      guard try take(answer, to: question, into: &base) else {
        let call = view(of: question, in: base)
        throw BootstrapError.noAnswer(view: call.signature, market: call.market)
      }
    }
    try base.advance(by: answers.count)
  }

  /// A view by its signature, and the market that it is asked about.
  private func view(
    of question: MoolahBase.Question, in base: MoolahBase
  ) -> (signature: String, market: Bytes32?) {
    switch question {
    case .feeRecipient: ("feeRecipient()", nil)
    case .defaultMarketFee: ("defaultMarketFee()", nil)
    case .parameters(let index): ("idToMarketParams(bytes32)", base.keys[index])
    case .state(let index): ("market(bytes32)", base.keys[index])
    case .broker(let index): ("brokers(bytes32)", base.keys[index])
    case .rateAtTarget(let index): ("rateAtTarget(bytes32)", base.keys[index])
    case .held: ("balanceOf(address)", nil)
    case .position(let index):
      ("position(bytes32,address)", base.keys[Int(base.positions.marketOf[index])])
    }
  }

  private static let positionSelector = ABI.selector("position(bytes32,address)")

  private func call(_ question: MoolahBase.Question, for base: MoolahBase) -> Call {
    if case .position(let index) = question {
      let key = base.keys[Int(base.positions.marketOf[index])]
      let user = ABI.encode([.address(base.positions.users[index])])
      return Call(to: base.core, data: Self.positionSelector + key.bytes + user)
    }
    let (signature, market) = view(of: question, in: base)
    var arguments = market.map { [ABIValue.fixedBytes($0.bytes)] } ?? []
    var contract = base.core
    switch question {
    case .rateAtTarget(let index): contract = base.markets[index].parameters?.irm ?? .zero
    case .held(let token):
      contract = token
      arguments = [.address(base.core)]
    default: break
    }
    return Call(to: contract, signature: signature, arguments: arguments)
  }

  /// False if the contract does not say what it must.
  private func take(
    _ answer: CallResult, to question: MoolahBase.Question, into base: inout MoolahBase
  ) throws -> Bool {
    let words = answer.succeeded ? ABIWords(answer.data) : ABIWords([])
    switch question {
    case .feeRecipient:
      guard let recipient = try? words.address(0) else { return false }
      base.feeRecipient = recipient
    case .defaultMarketFee:
      // The first implementation had a constant instead.
      base.defaultMarketFee = (try? words.word(0)).map(Wad.init(raw:))
    case .parameters(let index):
      guard let parameters = try? MarketParameters(words) else { return false }
      base.markets[index].parameters = parameters
    case .state(let index):
      guard let state = try? MarketState(words) else { return false }
      base.markets[index].state = state
    case .broker(let index):
      // Implementations from before brokers have none.
      let broker = try? words.address(0)
      base.markets[index].broker = broker == .zero ? nil : broker
    case .rateAtTarget(let index):
      // Fixed models keep none, and an adaptive one has none before the first accrual.
      let rate = (try? words.word(0)) ?? .zero
      base.markets[index].rateAtTarget = rate.isZero ? nil : Wad(raw: rate)
    case .held(let token): base.held[token] = try? words.word(0)
    case .position(let index):
      guard let state = try? PositionState(words) else { return false }
      base.positions.states[index] = state
    }
    return true
  }
}

extension MarketParameters {
  /// The five words of `idToMarketParams(id)`.
  fileprivate init(_ words: ABIWords) throws {
    self.init(
      loanToken: try words.address(0), collateralToken: try words.address(1),
      oracle: try words.address(2), irm: try words.address(3), lltv: Wad(raw: try words.word(4)))
  }
}

extension MarketState {
  /// The six words of `market(id)`.
  fileprivate init(_ words: ABIWords) throws {
    self.init(
      totalSupplyAssets: try words.uint128(0), totalSupplyShares: try words.uint128(1),
      totalBorrowAssets: try words.uint128(2), totalBorrowShares: try words.uint128(3),
      lastUpdate: try words.uint64(4), fee: Wad(raw: try words.word(5)))
  }
}

extension PositionState {
  /// The three words of `position(id, user)`.
  fileprivate init(_ words: ABIWords) throws {
    self.init(
      supplyShares: try words.word(0), borrowShares: try words.uint128(1),
      collateral: try words.uint128(2))
  }

  var isEmpty: Bool { supplyShares.isZero && borrowShares == 0 && collateral == 0 }
}

// MARK: - Checking

extension Moolah {
  /// Shares of a market are the contract's own count of its positions' (`_accrueInterest`, `supply`
  /// and their sisters change both), so a position that is not listed shows. One that has nothing
  /// but collateral is in no total; only what the contract holds of the token hints at it.
  public func check(_ base: MoolahBase) throws -> BaseSummary {
    var sums = [MarketSums](repeating: MarketSums(), count: base.keys.count)
    for (market, state) in zip(base.positions.marketOf, base.positions.states) {
      sums[Int(market)].add(state)
    }
    var shortfalls: [BootstrapError.Shortfall] = []
    for (index, key) in base.keys.enumerated() {
      guard let state = base.markets[index].state else { continue }
      let pairs = [
        ("supply_shares", sums[index].supplyShares, state.totalSupplyShares),
        ("borrow_shares", sums[index].borrowShares, state.totalBorrowShares),
      ]
      for (what, listed, total) in pairs where listed != U256(total) {
        shortfalls.append(
          BootstrapError.Shortfall(market: key, what: what, listed: listed, total: U256(total)))
      }
    }
    guard shortfalls.isEmpty else { throw BootstrapError.incomplete(shortfalls) }
    return BaseSummary(
      markets: base.keys.count, positions: base.positions.states.count { !$0.isEmpty },
      unaccounted: unaccounted(in: base, sums))
  }

  /// What the core contract holds beyond all collateral and all that is supplied and not lent.
  private func unaccounted(in base: MoolahBase, _ sums: [MarketSums]) -> [BaseSummary.Excess] {
    var claimed: [Address: U256] = [:]
    for (market, sums) in zip(base.markets, sums) {
      guard let parameters = market.parameters, let state = market.state else { continue }
      let idle = U256(state.totalSupplyAssets).subtractingFlooredAtZero(
        U256(state.totalBorrowAssets))
      claimed[parameters.loanToken, default: .zero].addUpToMax(idle)
      claimed[parameters.collateralToken, default: .zero].addUpToMax(sums.collateral)
    }
    return claimed.sorted { $0.key < $1.key }.compactMap { token, amount in
      let excess = (base.held[token] ?? .zero).subtractingFlooredAtZero(amount)
      return excess.isZero ? nil : BaseSummary.Excess(token: token, amount: excess)
    }
  }
}

/// What the positions of a market come to. A sum beyond 256 bits is as wrong as the largest.
private struct MarketSums {
  var supplyShares: U256 = .zero
  var borrowShares: U256 = .zero
  var collateral: U256 = .zero

  mutating func add(_ state: PositionState) {
    supplyShares.addUpToMax(state.supplyShares)
    borrowShares.addUpToMax(U256(state.borrowShares))
    collateral.addUpToMax(U256(state.collateral))
  }
}

extension U256 {
  fileprivate mutating func addUpToMax(_ other: U256) {
    self = (try? adding(other)) ?? .max
  }
}
