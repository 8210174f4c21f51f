import Ethereum
import Quantities
import Store
import Systems

/// A message as a person reads it: plain text, and which parts of it are bold or are quoted.
///
/// What strangers have written (symbols of tokens, errors of nodes) only ever stands in quoted
/// parts, with every character that does not show written out. Nothing in the text is markup, so
/// nothing has to be escaped for it; and in a quoted part a chat program makes no link, mention or
/// command out of words.
struct AlertText: Equatable {
  /// A part of the text that is shown in a style.
  struct Part: Equatable {
    enum Style: String {
      case bold
      case quoted = "code"
    }

    let style: Style
    /// In UTF-16 code units, as chat programs count.
    let offset: Int
    let length: Int
  }

  /// In UTF-16 code units: what a chat takes in one message.
  static let lengthMax = 4_096
  /// Longer values are cut.
  static let valueColumnsMax = 200
  /// A symbol is a few letters; one that is longer only wants to fill the screen.
  static let symbolScalarsMax = 24

  private(set) var text = ""
  private(set) var parts: [Part] = []

  /// The message in a language; `chains` has the name of each deployment's chain.
  init(_ message: OutboxMessage, in language: AlertLanguage, chains: [String: String]) {
    let words = AlertWords(language)
    append(words.title(of: message), .bold)
    if !text.isEmpty { text += "\n" }
    for line in AlertLines(message, words, chains: chains).lines { append(line) }
  }

  private mutating func append(_ line: AlertLine) {
    let value = VisibleText.cut(VisibleText.escape(line.value), columns: Self.valueColumnsMax)
    guard !value.isEmpty else { return }
    let label = "- \(line.label): "
    let tail = line.tail.map { " \($0)" } ?? ""
    guard text.utf16.count + (label + value + tail).utf16.count + 2 <= Self.lengthMax else {
      return
    }
    text += label
    append(value, .quoted)
    text += tail + "\n"
  }

  private mutating func append(_ words: String, _ style: Part.Style?) {
    if let style, !words.isEmpty {
      parts.append(
        Part(style: style, offset: text.utf16.count, length: words.utf16.count))
    }
    text += words
  }
}

/// One line of a message.
struct AlertLine {
  let label: String
  let value: String
  /// What we say of the value ourselves.
  var tail: String?
}

/// The lines of a message, made of its facts. Facts that are not there have no line.
private struct AlertLines {
  private(set) var lines: [AlertLine] = []
  private let facts: [String: String]
  private let words: AlertWords

  init(_ message: OutboxMessage, _ words: AlertWords, chains: [String: String]) {
    facts = message.facts
    self.words = words
    if facts["market"] != nil, facts["user"] != nil {
      add(.liquidationID, message.dedupKey)
      add(.platform, "Lending")
    }
    add(.deployment, message.deployment)
    add(.chain, message.deployment.flatMap { chains[$0] })
    addMarket()
    if message.kind == AlertKind.liquidation.rawValue { addLiquidation() } else { addPosition() }
    addOthers()
    add(.block, facts["block"])
    add(.time, UTCTime.format(message.timestamp))
    if message.event == .resolved, let fired = facts["fired_at"].flatMap({ UInt64($0) }) {
      add(.firedAt, UTCTime.format(fired))
    }
    add(.transaction, facts["transaction_hash"])
    if facts["market"] == nil || facts["user"] == nil { add(.id, message.dedupKey) }
  }

  private mutating func add(_ label: AlertWords.Label, _ value: String?, tail: String? = nil) {
    guard let value, !value.isEmpty else { return }
    lines.append(AlertLine(label: words[label], value: value, tail: tail))
  }

  private var collateral: TokenLabel { token("collateral") }
  private var loan: TokenLabel { token("loan") }

  private func token(_ side: String) -> TokenLabel {
    let address = facts["\(side)_token"].flatMap { Address($0) } ?? .zero
    let symbol = facts["\(side)_symbol"].map { name in
      let scalars = name.unicodeScalars
      let isLong = scalars.count > AlertText.symbolScalarsMax
      return String(String.UnicodeScalarView(scalars.prefix(AlertText.symbolScalarsMax)))
        + (isLong ? "…" : "")
    }
    // Far more decimals than any token has would only make zeros.
    let decimals = facts["\(side)_decimals"].flatMap { Int($0) }.flatMap {
      (0...77).contains($0) ? $0 : nil
    }
    return TokenLabel(address: address, symbol: symbol, decimals: decimals)
  }

  private func number(_ name: String) -> U256? { facts[name].flatMap { U256(decimal: $0) } }

  private func amount(_ name: String, of token: TokenLabel) -> String? {
    token.amount(number(name))
  }

  /// `(~12.34 USD)` where the run was told a price.
  private func dollars(_ name: String, of token: TokenLabel, price: String) -> String? {
    guard let raw = number(name), let price = number(price), let decimals = token.decimals,
      let value = try? raw.multiplied(by: price)
    else { return nil }
    return "(~\(AmountText.decimal(value, decimals: decimals + 8)) USD)"
  }

  private mutating func addMarket() {
    guard facts["market"] != nil else { return }
    if facts["collateral_token"] != nil || facts["collateral_symbol"] != nil {
      add(
        .assets, MarketLabel(loan: loan, collateral: collateral).pair,
        tail: "(\(words[.collateralDebt]))")
    }
    add(.market, facts["market"])
    add(.user, facts["user"])
  }

  private mutating func addPosition() {
    add(
      .collateral, amount("collateral", of: collateral),
      tail: dollars("collateral", of: collateral, price: "collateral_usd_price"))
    add(
      .debt, amount("debt", of: loan), tail: dollars("debt", of: loan, price: "loan_usd_price"))
    let label = MarketLabel(loan: loan, collateral: collateral)
    add(.trigger, label.price(number("trigger_price")) ?? facts["trigger_price"])
    let distance = number("trigger_price").flatMap { trigger in
      number("price").flatMap { AmountText.distance(price: $0, trigger: trigger) }
    }
    add(.price, label.price(number("price")) ?? facts["price"], tail: distance.map { "(\($0))" })
    add(.loanToLimit, ratio("trigger_price", to: "price"))
    add(.path, facts["outcome"])
  }

  /// One number in percent of another, with two decimals.
  private func ratio(_ name: String, to whole: String) -> String? {
    guard let part = number(name), let whole = number(whole), !whole.isZero,
      let ratio = try? U256.fullMulDivDown(part, 10_000, whole)
    else { return nil }
    return AmountText.decimal(ratio, decimals: 2, digits: 9) + " %"
  }

  private mutating func addLiquidation() {
    add(.seized, amount("seized_assets", of: collateral))
    add(.repaid, amount("repaid_assets", of: loan))
    if number("bad_debt_assets")?.isZero == false {
      add(.badDebt, amount("bad_debt_assets", of: loan))
    }
    if facts["write_down"] == "true" { add(.writeDown, words[.yes]) }
    add(.liquidator, facts["liquidator"])
  }

  private mutating func addOthers() {
    add(.reason, facts["reason"])
    add(.figures, facts["figures"])
    add(.positions, facts["positions"])
    add(.more, facts["more"])
    add(.job, facts["job"])
    add(.jobDeployments, facts["deployments"])
    add(.failedRuns, facts["runs"])
    add(.run, facts["run"])
    add(.exitCode, facts["exit_code"])
    add(.error, facts["error"])
    add(.lastSuccess, facts["last_success"].flatMap { UInt64($0) }.map(UTCTime.format))
    add(.within, facts["within_seconds"].map { "\($0) s" })
    add(.cursor, facts["cursor_block"])
    add(.openRanges, facts["open_ranges"])
    add(.withoutRange, facts["blocks_without_range"])
    add(.firstOpen, facts["first_open_block"])
    add(.divergences, facts["divergences"])
    add(.first, facts["first"])
    add(.contract, facts["contract"])
    add(.implementation, facts["implementation"])
  }
}
