import Ethereum
import Quantities
import RiskCore
import Systems

// What is asked at the book's block once its markets are known. First what sort each broker is, and
// the smallest loan if no event has told it; then the rate rows and the users whose loans may have
// changed.

/// One call to a broker, its rate calculator or the core.
private enum BrokerQuestion: Hashable {
  case minLoanValue
  case calculator(Address)
  case grace(Address)
  case oracle(Address)
  case rate(Address)
  case fixed(Address, user: Address)
  case dynamic(Address, user: Address)
  case total(Address, user: Address)
}

extension Moolah {
  public func followUps(about book: MoolahBook, for purpose: Purpose) -> [Call] {
    brokerPlan(book, for: purpose).map { call($0, about: book) }
  }

  public func takeFollowUps(
    _ answers: [CallResult], for purpose: Purpose, into book: inout MoolahBook
  ) {
    let plan = brokerPlan(book, for: purpose)
    precondition(plan.count == answers.count, "one answer for each question")
    let given = Dictionary(zip(plan, answers), uniquingKeysWith: { first, _ in first })
    if book.brokerRounds == 0 {
      if let answer = given[.minLoanValue], answer.succeeded {
        let value = try? ABIWords(answer.data, count: 1).word(0)
        book.facts.learn(.minLoanValue, of: .contract(book.deployment.address), value)
      }
      for address in book.brokers.keys { identify(address, given, in: &book) }
    } else {
      for address in book.brokers.keys { take(given, of: address, into: &book) }
    }
    book.brokerRounds += 1
  }

  private func brokerPlan(_ book: MoolahBook, for purpose: Purpose) -> [BrokerQuestion] {
    let brokers = book.brokers.keys.sorted()
    if book.brokerRounds == 0 {
      var plan: [BrokerQuestion] = []
      if case .verdicts = purpose, dialect == .moolah, !book.markets.isEmpty,
        book.minLoanValue == nil
      {
        plan.append(.minLoanValue)
      }
      return plan + brokers.flatMap { [.calculator($0), .grace($0), .oracle($0)] }
    }
    return brokers.flatMap { questions(to: $0, about: book) }
  }

  private func questions(to address: Address, about book: MoolahBook) -> [BrokerQuestion] {
    guard let broker = book.brokers[address], let kind = broker.kind else { return [] }
    var plan: [BrokerQuestion] = []
    if kind == .lending, book.brokerRounds == 1 { plan.append(.rate(address)) }
    for user in broker.asking {
      plan.append(.fixed(address, user: user))
      if kind == .lending { plan.append(.dynamic(address, user: user)) }
      plan.append(.total(address, user: user))
    }
    return plan
  }

  private func call(_ question: BrokerQuestion, about book: MoolahBook) -> Call {
    func ask(_ broker: Address, _ signature: String, _ user: Address? = nil) -> Call {
      Call(to: broker, signature: signature, arguments: user.map { [.address($0)] } ?? [])
    }
    switch question {
    case .minLoanValue:
      return Call(to: book.deployment.address, signature: "minLoanValue()", arguments: [])
    case .calculator(let broker): return ask(broker, "rateCalculator()")
    case .grace(let broker): return ask(broker, "getGraceConfig()")
    case .oracle(let broker): return ask(broker, "ORACLE()")
    case .rate(let broker):
      let calculator = book.brokers[broker]?.calculator ?? .zero
      return ask(calculator, "brokers(address)", broker)
    case .fixed(let broker, let user): return ask(broker, "userFixedPositions(address)", user)
    case .dynamic(let broker, let user): return ask(broker, "userDynamicPosition(address)", user)
    case .total(let broker, let user): return ask(broker, "getUserTotalDebt(address)", user)
    }
  }

  // MARK: Answers

  /// A lending broker names its rate calculator, a credit broker its grace; one that does both, or
  /// neither, is of no kind that we know.
  private func identify(
    _ address: Address, _ given: [BrokerQuestion: CallResult], in book: inout MoolahBook
  ) {
    func words(_ question: BrokerQuestion, _ count: Int) -> ABIWords? {
      guard let answer = given[question], answer.succeeded else { return nil }
      return try? ABIWords(answer.data, count: count)
    }
    let calculator = words(.calculator(address), 1).flatMap { try? $0.address(0) }
    let grace = words(.grace(address), 3).flatMap { try? $0.word(0) }
    book.brokers[address]?.oracle = words(.oracle(address), 1).flatMap { try? $0.address(0) }
    let kind: BrokerKind
    switch (calculator, grace) {
    case (let calculator?, nil) where calculator != .zero:
      kind = .lending
      book.brokers[address]?.calculator = calculator
    case (nil, let grace?):
      kind = .credit
      book.brokers[address]?.grace = grace
    default: return
    }
    book.brokers[address]?.kind = kind
    let subject = FactSubject.contract(address)
    if book.facts[.brokerKind, subject] != U256(kind.rawValue) {
      book.facts.learn(.brokerKind, of: subject, U256(kind.rawValue))
    }
  }

  private func take(
    _ given: [BrokerQuestion: CallResult], of address: Address, into book: inout MoolahBook
  ) {
    guard var broker = book.brokers[address], let kind = broker.kind else { return }
    func data(_ question: BrokerQuestion) -> [UInt8]? {
      given[question].flatMap { $0.succeeded ? $0.data : nil }
    }
    if book.brokerRounds == 1 { broker.rate = data(.rate(address)).flatMap(BrokerRate.init) }
    let users = broker.asking
    var answered = 0
    for user in users {
      let loans = loans(
        fixed: data(.fixed(address, user: user)),
        dynamic: kind == .lending ? data(.dynamic(address, user: user)) : nil,
        total: data(.total(address, user: user)), of: kind)
      broker.users[user] = checked(loans, broker, at: book.block.timestamp)
      if case .read = broker.users[user] { answered += 1 }
    }
    broker.asked += users.count
    // A broker of which nothing can be made is left alone: its answers may be as large as they can.
    if answered == 0 { broker.asked = broker.unread.count }
    book.brokers[address] = broker
  }

  /// Nil if the answers are not those of a broker of this kind.
  private func loans(
    fixed: [UInt8]?, dynamic: [UInt8]?, total: [UInt8]?, of kind: BrokerKind
  ) -> BrokerLoans? {
    guard let terms = fixed.flatMap({ BrokerLoans.terms($0, of: kind) }),
      let total = total.flatMap({ try? ABIWords($0, count: 1).word(0) })
    else { return nil }
    var loans = BrokerLoans(terms: terms, totalDebt: total)
    if kind == .lending {
      guard let words = dynamic.flatMap({ try? ABIWords($0, count: 2) }),
        let principal = try? words.word(0), let normalized = try? words.word(1)
      else { return nil }
      (loans.dynamicPrincipal, loans.normalizedDebt) = (principal, normalized)
    }
    return loans
  }

  /// Loans count only if they come to what the broker itself says at the same block: then the
  /// formulas are the broker's, and hold until something touches the user.
  private func checked(
    _ loans: BrokerLoans?, _ broker: BookBroker, at timestamp: UInt64
  ) -> UserLoans {
    guard let loans else { return .unknown(.brokerAnswer) }
    switch broker.debt(loans, at: timestamp) {
    case .failure(let reason): return .unknown(reason)
    case .success(let debt):
      return debt == loans.totalDebt ? .read(loans) : .unknown(.brokerDebtDiffers)
    }
  }
}
