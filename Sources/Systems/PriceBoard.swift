import Ethereum
import Quantities
import RiskCore

/// The prices of a book: what was asked, what was answered, and what is taken. Pure.
public struct PriceBoard: Sendable {
  public var settings = PriceSettings()
  /// What earlier runs left, by price.
  public var memories: [PriceKey: PriceMemory] = [:]
  public var answers: [PriceKey: PriceAnswer] = [:]
  /// Every answer, judged; see `check`.
  public private(set) var samples: [PriceKey: PriceSample] = [:]
  /// What earlier runs found of the prices' decimals.
  public var decimalsChecks: [DecimalsKey: DecimalsCheck] = [:]
  /// What this one found; see `check`.
  public private(set) var newDecimalsChecks: [DecimalsKey: DecimalsCheck] = [:]

  private var reverts: [PriceKey: String] = [:]
  private var rounds: [Address: FeedRound] = [:]
  private var lowest: [Address: I256] = [:]
  private var highest: [Address: I256] = [:]
  private var rates: [RateCall: U256] = [:]
  private var seconds: [String: Result<SecondPrice, SecondProblem>] = [:]

  public init() {}

  // MARK: Questions

  /// The other prices that judging these needs.
  public func companions(of keys: Set<PriceKey>) -> Set<PriceKey> {
    Set(keys.compactMap { settings.rules[$0]?.rate?.underlying }).subtracting(keys)
  }

  /// The calls that these prices need beside their own, in a fixed order.
  public func questions(for keys: [PriceKey]) -> [PriceQuestion] {
    var questions: [PriceQuestion] = []
    for rule in keys.compactMap({ settings.rules[$0] }) {
      if let feed = rule.feed {
        questions.append(.round(feed.address))
        if let bounds = feed.boundsOf { questions += [.lowest(bounds), .highest(bounds)] }
      }
      if let rate = rule.rate { questions.append(.rate(rate.call)) }
      for name in rule.second?.names ?? [] {
        guard let source = settings.sources[name], source != .outside else { continue }
        questions.append(.source(name, source))
      }
    }
    return questions
  }

  /// The names of the sources that are not on the chain.
  public func outsideSources(for keys: Set<PriceKey>) -> Set<String> {
    Set(
      keys.flatMap { settings.rules[$0]?.second?.names ?? [] }
        .filter { settings.sources[$0] == .outside })
  }

  // MARK: Answers

  /// The answer to a price's own call, `peek` or `price`.
  public mutating func take(_ answer: CallResult, to key: PriceKey) {
    guard answer.succeeded else {
      answers[key] = .reverted
      reverts[key] = RevertReason.text(answer.data)
      return
    }
    guard let value = try? ABIWords(answer.data).word(0) else {
      answers[key] = .missing
      return
    }
    answers[key] = value.isZero ? .zero : .price(value)
  }

  /// The answer to another question, at a block of `timestamp`.
  public mutating func take(
    _ answer: CallResult, to question: PriceQuestion, at timestamp: UInt64
  ) {
    let words = ABIWords(answer.succeeded ? answer.data : [])
    switch question {
    case .round(let feed): rounds[feed] = FeedRound(answer)
    case .lowest(let feed): lowest[feed] = try? words.int256(0)
    case .highest(let feed): highest[feed] = try? words.int256(0)
    case .rate(let call): rates[call] = try? words.word(0)
    case .source(let name, .feed(_, let decimals, let maxAge)):
      seconds[name] = Self.price(FeedRound(answer), decimals, maxAge, at: timestamp)
    case .source(let name, .peek(_, _, let decimals)), .source(let name, .pair(_, let decimals)):
      seconds[name] =
        (try? words.word(0)).map { .success(SecondPrice(value: $0, decimals: decimals)) }
        ?? .failure(SecondProblem("did not answer"))
    case .source(_, .outside): preconditionFailure("an outside source is not asked on the chain")
    }
  }

  /// What sources outside the chain gave.
  public mutating func take(_ outside: [String: Result<SecondPrice, SecondProblem>]) {
    seconds.merge(outside) { _, new in new }
  }

  private static func price(
    _ round: FeedRound?, _ decimals: Int, _ maxAge: UInt64?, at timestamp: UInt64
  ) -> Result<SecondPrice, SecondProblem> {
    guard let round else { return .failure(SecondProblem("did not answer")) }
    guard !round.answer.isNegative else {
      return .failure(SecondProblem("answered \(round.answer)"))
    }
    if let maxAge, round.updatedAt > timestamp || timestamp - round.updatedAt > maxAge {
      return .failure(SecondProblem("its answer is older than \(maxAge) s"))
    }
    return .success(SecondPrice(value: round.answer.magnitude, decimals: decimals))
  }

  // MARK: Judgement

  /// The second opinion on a price; nil if no rule names one.
  public func second(of key: PriceKey) -> Result<SecondPrice, SecondProblem>? {
    guard let rule = settings.rules[key]?.second else { return nil }
    let missing = Result<SecondPrice, SecondProblem>.failure(SecondProblem("was not asked"))
    switch (seconds[rule.source] ?? missing, rule.over.map { seconds[$0] ?? missing }) {
    case (.failure(let problem), _), (_, .failure(let problem)?): return .failure(problem)
    case (.success(let price), nil): return Self.notZero(price)
    case (.success(let price), .success(let over)?): return Self.quotient(price, over)
    }
  }

  private static func notZero(_ price: SecondPrice) -> Result<SecondPrice, SecondProblem> {
    price.value.isZero ? .failure(SecondProblem("answered 0")) : .success(price)
  }

  private static let quotientDecimals = 36

  private static func quotient(
    _ price: SecondPrice, _ over: SecondPrice
  ) -> Result<SecondPrice, SecondProblem> {
    guard let scale = U256.powerOfTen(quotientDecimals),
      let value = try? U256.fullMulDivDown(price.value, scale, over.value)
    else { return .failure(SecondProblem("the quotient has no room, or the divisor is 0")) }
    return notZero(
      SecondPrice(
        value: value, decimals: price.decimals - over.decimals + quotientDecimals))
  }

  /// Judges every answer at a block of `timestamp`. `scales` has the decimals with which markets
  /// read each price.
  public mutating func check(at timestamp: UInt64, scales: [PriceKey: Set<Int>]) {
    let moved = Set(
      answers.compactMap { key, answer in
        memories[key]?.last.map { $0 != answer.value } == true ? key : nil
      })
    checkDecimals(scales)
    samples = [:]
    for (key, answer) in answers {
      let rule = settings.rule(of: key)
      var check = PriceGuard(
        answer: answer, revert: reverts[key] ?? "", rule: rule,
        memory: memories[key] ?? PriceMemory(), timestamp: timestamp)
      if let feed = rule.feed {
        check.round = rounds[feed.address]
        check.lowest = feed.boundsOf.flatMap { lowest[$0] }
        check.highest = feed.boundsOf.flatMap { highest[$0] }
      }
      if let rate = rule.rate {
        check.rate = rates[rate.call]
        check.underlying = rate.underlying.flatMap { answers[$0] }
      }
      check.second = second(of: key)
      check.scales = (scales[key] ?? []).sorted()
      check.othersMoved = moved.contains { $0 != key }
      check.quarantine = quarantine(of: key, scales[key] ?? [])
      samples[key] = check.sample()
    }
  }

  /// Why every market would read the price at a wrong order; nil if one would not.
  private func quarantine(of price: PriceKey, _ scales: Set<Int>) -> String? {
    var detail: String?
    for decimals in scales.sorted() {
      guard
        case .quarantined(let why) = decimalsCheck(
          of: DecimalsKey(price: price, decimals: decimals))
      else { return nil }
      detail = why
    }
    return detail
  }

  /// What has passed once has passed: from then on a distance is a disagreement and no slip of
  /// decimals.
  private mutating func checkDecimals(_ scales: [PriceKey: Set<Int>]) {
    newDecimalsChecks = [:]
    for (price, scales) in scales {
      for key in scales.map({ DecimalsKey(price: price, decimals: $0) })
      where decimalsChecks[key] != .passed {
        let found = sanity(of: key)
        if found != .unchecked { newDecimalsChecks[key] = found }
      }
    }
  }

  /// Whether the price was ever seen to be of the right order. What only a second source can lift
  /// holds only while a rule names one.
  public func decimalsCheck(of key: DecimalsKey) -> DecimalsCheck {
    let found = newDecimalsChecks[key] ?? decimalsChecks[key] ?? .unchecked
    if case .quarantined = found, settings.rules[key.price]?.second == nil { return .unchecked }
    return found
  }

  /// The price if it is taken, or why not.
  public func price(of key: PriceKey) -> Result<U256, PriceRefusal> {
    let answer = answers[key] ?? .missing
    if let refusal = samples[key]?.refusal { return .failure(refusal) }
    if let reason = answer.unknownReason { return .failure(PriceRefusal(reason)) }
    return .success(answer.value ?? .zero)
  }

  // MARK: Decimals

  /// Whether an oracle's answer and its second opinion are of one order, decimals included.
  func sanity(of key: DecimalsKey) -> DecimalsCheck {
    let decimals = key.decimals
    let key = key.price
    guard case .price(let value)? = answers[key], case .success(let other)? = second(of: key)
    else { return .unchecked }
    if let (mine, theirs) = PriceComparison.aligned(value, decimals, other.value, other.decimals),
      PriceComparison.isWithinFactorTwo(mine, theirs)
    {
      return .passed
    }
    let gap = PriceComparison.decades(value, decimals, other.value, other.decimals) ?? 0
    let said = AmountText.decimal(value, decimals: decimals)
    let expected = AmountText.decimal(other.value, decimals: other.decimals)
    return .quarantined(
      "the oracle says \(said) and its second source \(expected): \(gap) "
        + "\(gap == 1 ? "decade" : "decades") apart; check the oracle's decimals")
  }
}

/// A price as a market reads it: two may read one answer with other decimals.
public struct DecimalsKey: Hashable, Sendable {
  public let price: PriceKey
  public let decimals: Int

  public init(price: PriceKey, decimals: Int) {
    self.price = price
    self.decimals = decimals
  }
}

/// Whether a price was ever seen to be of the right order.
public enum DecimalsCheck: Hashable, Sendable {
  /// There was nothing to compare it with.
  case unchecked
  case passed
  /// More than a factor of two from the second source when it was first seen beside one: its
  /// markets are not judged until it is not.
  case quarantined(String)

  /// The checks of one market's prices together.
  public static func joined(_ parts: [DecimalsCheck]) -> DecimalsCheck {
    for part in parts { if case .quarantined = part { return part } }
    return parts.allSatisfy { $0 == .passed } && !parts.isEmpty ? .passed : .unchecked
  }
}
