import Ethereum
import Quantities
import Systems

// What has to be asked of contracts at the book's block, and what the answers mean.

/// One call, and what its answer tells.
private enum Question: Hashable {
  case rateCap(Int)
  case rateFloor(Int)
  case minCap(Address)
  case fixedRate(Int)
  case fee(Int)
  case decimals(Address)
  case symbol(Address)
  case borrowRate(Int)
  case peek(PriceKey)
  case pairPrice(PriceKey)
  case price(PriceQuestion)
  case paused
  case openToAll(Int)
}

extension Moolah {
  public func questions(about book: MoolahBook, for purpose: Purpose) -> [Call] {
    plan(book, for: purpose).map { call($0, about: book) }
  }

  public func take(_ answers: [CallResult], for purpose: Purpose, into book: inout MoolahBook) {
    let plan = plan(book, for: purpose)
    precondition(plan.count == answers.count, "one answer for each question")
    for (question, answer) in zip(plan, answers) { take(answer, to: question, into: &book) }
    if case .verdicts = purpose { book.checkPrices() }
  }

  private func plan(_ book: MoolahBook, for purpose: Purpose) -> [Question] {
    var plan: [Question] = []
    var seen: Set<Question> = []
    func ask(_ question: Question) {
      if seen.insert(question).inserted { plan.append(question) }
    }
    for (index, market) in book.markets.enumerated() {
      let p = market.row.parameters
      for token in [p.loanToken, p.collateralToken] where book.tokens[token] == nil {
        ask(.decimals(token))
        ask(.symbol(token))
      }
      if !market.row.isFeeKnown, book.facts[.fee, market.subject] == nil { ask(.fee(index)) }
      if p.irm != .zero {
        if book.facts[.rateCap, market.subject] == nil { ask(.rateCap(index)) }
        if book.facts[.rateFloor, market.subject] == nil { ask(.rateFloor(index)) }
        if book.facts[.minCap, .irm(p.irm)] == nil { ask(.minCap(p.irm)) }
        if market.row.rateAtTarget == nil, book.facts[.fixedRate, market.subject] == nil {
          ask(.fixedRate(index))
        }
        ask(.borrowRate(index))
      }
      guard case .verdicts = purpose else { continue }
      switch dialect {
      case .moolah:
        ask(.peek(PriceKey(oracle: p.oracle, token: p.collateralToken)))
        ask(.peek(PriceKey(oracle: p.oracle, token: p.loanToken)))
        ask(.openToAll(index))
      case .morphoBlue:
        ask(.pairPrice(PriceKey(oracle: p.oracle, token: nil)))
      }
    }
    if case .verdicts = purpose {
      for key in book.companionPrices { ask(key.token == nil ? .pairPrice(key) : .peek(key)) }
      for question in book.board.questions(for: book.priceKeys) { ask(.price(question)) }
    }
    if case .verdicts = purpose, dialect == .moolah, !book.markets.isEmpty { ask(.paused) }
    return plan
  }

  private func call(_ question: Question, about book: MoolahBook) -> Call {
    func market(_ index: Int) -> BookMarket { book.markets[index] }
    func rateModel(_ index: Int, _ signature: String) -> Call {
      Call(
        to: market(index).row.parameters.irm, signature: signature,
        arguments: [.fixedBytes(market(index).key.bytes)])
    }
    switch question {
    case .rateCap(let index): return rateModel(index, "rateCap(bytes32)")
    case .rateFloor(let index): return rateModel(index, "rateFloor(bytes32)")
    case .fixedRate(let index): return rateModel(index, "borrowRateStored(bytes32)")
    case .minCap(let irm): return Call(to: irm, signature: "minCap()", arguments: [])
    case .fee(let index):
      return Call(
        to: book.deployment.address, signature: "market(bytes32)",
        arguments: [.fixedBytes(market(index).key.bytes)])
    case .decimals(let token): return Call(to: token, signature: "decimals()", arguments: [])
    case .symbol(let token): return Call(to: token, signature: "symbol()", arguments: [])
    case .borrowRate(let index):
      let row = market(index).row
      return Call(
        to: row.parameters.irm,
        signature: Self.borrowRateView,
        arguments: [row.parameters.abi, market(index).state(book.facts).abi])
    case .peek(let key):
      return Call(
        to: key.oracle, signature: "peek(address)", arguments: [.address(key.token ?? .zero)])
    case .price(let question):
      guard let call = question.call else { preconditionFailure("only sources on the chain") }
      return call
    case .pairPrice(let key): return Call(to: key.oracle, signature: "price()", arguments: [])
    case .paused: return Call(to: book.deployment.address, signature: "paused()", arguments: [])
    case .openToAll(let index):
      return Call(
        to: book.deployment.address, signature: "isLiquidationWhitelist(bytes32,address)",
        arguments: [.fixedBytes(market(index).key.bytes), .address(.zero)])
    }
  }

  private static let borrowRateView =
    "borrowRateView((address,address,address,address,uint256),"
    + "(uint128,uint128,uint128,uint128,uint128,uint128))"

  private func take(_ answer: CallResult, to question: Question, into book: inout MoolahBook) {
    switch question {
    case .rateCap(let index):
      book.facts.learn(.rateCap, of: book.markets[index].subject, word(answer))
    case .rateFloor(let index):
      book.facts.learn(.rateFloor, of: book.markets[index].subject, word(answer))
    case .minCap(let irm): book.facts.learn(.minCap, of: .irm(irm), word(answer))
    case .fixedRate(let index):
      book.facts.learn(.fixedRate, of: book.markets[index].subject, word(answer))
    case .fee(let index):
      book.facts.learn(.fee, of: book.markets[index].subject, word(answer, at: 5, of: 6))
    case .decimals(let token):
      // More than 77 decimals cannot be scaled within 256 bits: as good as no answer.
      if let decimals = word(answer).flatMap({ UInt64(exactly: $0) }), decimals <= 77 {
        book.learn(token, decimals: Int(decimals))
      }
    case .symbol(let token): book.learn(token, symbol: symbol(answer))
    case .borrowRate(let index): book.markets[index].askedRate = word(answer).map(Wad.init(raw:))
    case .peek(let key), .pairPrice(let key): book.board.take(answer, to: key)
    case .price(let question):
      book.board.take(answer, to: question, at: book.block.timestamp)
    case .paused: book.isPaused = flag(answer)
    case .openToAll(let index): book.markets[index].isOpenToAll = flag(answer)
    }
  }

  private func word(_ answer: CallResult, at index: Int = 0, of count: Int = 1) -> U256? {
    guard answer.succeeded else { return nil }
    let words = ABIWords(answer.data)
    return words.count >= count ? try? words.word(index) : nil
  }

  private func flag(_ answer: CallResult) -> Bool? {
    answer.succeeded ? try? ABIWords(answer.data).bool(0) : nil
  }

  /// The most bytes of a symbol; a longer one is nobody's name.
  private static let symbolBytesMax = 256

  /// A symbol as text: `string`, or `bytes32` of the first tokens; nil if it is neither.
  ///
  /// The token's owner chooses it. PostgreSQL has no U+0000 in text, and what shows nothing names
  /// nothing.
  private func symbol(_ answer: CallResult) -> String? {
    guard answer.succeeded, answer.data.count <= 1_024, let text = text(answer.data),
      text.utf8.count <= Self.symbolBytesMax, !text.utf8.contains(0),
      !text.unicodeScalars.allSatisfy({ $0.properties.generalCategory == .control })
    else { return nil }
    return text
  }

  private func text(_ data: [UInt8]) -> String? {
    if data.count == 32 { return String(validating: data.prefix { $0 != 0 }, as: UTF8.self) }
    guard case .string(let text)? = try? ABI.decode([.string], data).first else { return nil }
    return text
  }
}

extension MarketState {
  /// As the second argument of `borrowRateView`.
  var abi: ABIValue {
    .tuple([
      .uint(U256(totalSupplyAssets)), .uint(U256(totalSupplyShares)),
      .uint(U256(totalBorrowAssets)), .uint(U256(totalBorrowShares)), .uint(U256(lastUpdate)),
      .uint(fee.raw),
    ])
  }
}
