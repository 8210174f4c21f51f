import Ethereum
import Quantities
import Systems

// What the rows of the mirror claim of the contracts, view by view.

/// The rows that an audit looks at. Numbers are the tables' own digits: a damaged row must be
/// readable too.
struct AuditedRows: Sendable {
  let core: Address
  let dialect: Dialect
  /// Nil: no event has set it, which is zero.
  var feeRecipient: Address?
  /// Nil: no event has told it.
  var defaultMarketFee: String?
  var markets: [AuditedMarket] = []
  var facts = Facts()
  /// Decimals of the tokens that have told them.
  var decimals: [Address: Int] = [:]
  var positions = AuditedPositions()
}

/// A market row, and what its positions come to.
struct AuditedMarket: Sendable {
  let key: Bytes32
  let loanToken: Address
  let collateralToken: Address
  let oracle: Address
  let irm: Address
  let lltv: String
  let broker: Address?
  let totalSupplyAssets: String
  let totalSupplyShares: String
  let totalBorrowAssets: String
  let totalBorrowShares: String
  let lastUpdate: String
  let fee: String?
  let rateAtTarget: String?
  /// Sums over its positions; nil: nobody has added them up.
  let supplySharesOfPositions: String?
  let borrowSharesOfPositions: String?
  /// What the core should hold of each token at least, for all markets together.
  let loanHeld: String?
  let collateralHeld: String?
  let isSetAside: Bool

  var subject: FactSubject { .market(key, irm: irm) }
}

/// Columns of the chosen positions: there may be a million of them.
struct AuditedPositions: Sendable {
  /// Index into the audited markets.
  var markets: [Int32] = []
  var users: [Address] = []
  var supplyShares: [U256] = []
  var borrowShares: [U256] = []
  var collateral: [U256] = []

  var count: Int { users.count }
}

// MARK: - Claims

extension AuditedRows {
  /// Claims of the rows that the scope admits, and of what is to be asked again.
  func claims(in scope: AuditScope) -> Claims {
    let admitted = markets.filter { scope.admits($0.key) }
    let few =
      coreClaims() + admitted.flatMap { marketClaims($0) + rateModelClaims($0) }
      + minCapClaims(of: admitted) + tokenClaims(of: admitted)
    var gone = scope.again
    for claim in few { gone.remove(claim.subject) }
    for index in 0..<positions.count where !gone.isEmpty { gone.remove(subject(ofPosition: index)) }
    return Claims(few + gone.map(emptyClaim), manyCount: positions.count) { positionClaim($0) }
  }

  /// Claims of the rows themselves and of the sums that were made, without tokens.
  func claimsToVouchFor() -> Claims {
    Claims(
      coreClaims() + markets.flatMap { marketClaims($0) + rateModelClaims($0) },
      manyCount: positions.count
    ) { positionClaim($0) }
  }

  /// One claim for each view of the core contract itself.
  fileprivate func coreClaims() -> [Claim] {
    func claim(_ signature: String, _ field: ClaimedField) -> Claim {
      Claim(
        AuditSubject(.core, core), call: Call(to: core, signature: signature, arguments: []),
        fields: [field], markets: nil)
    }
    let recipient = ClaimedField(
      "fee_recipient", word: 0, feeRecipient?.description, as: .address)
    var claims = [claim("feeRecipient()", recipient)]
    // Unknown is no claim: the fee of a new market is asked then.
    if dialect == .moolah, let defaultMarketFee {
      claims.append(
        claim("defaultMarketFee()", ClaimedField("default_market_fee", word: 0, defaultMarketFee)))
    }
    let told: [(FactName, String)] = [(.minLoanValue, "minLoanValue()"), (.paused, "paused()")]
    for (name, signature) in told {
      guard let value = facts[name, .contract(core)] else { continue }
      claims.append(claim(signature, ClaimedField(name.rawValue, word: 0, value.description)))
    }
    return claims
  }

  private func marketClaims(_ market: AuditedMarket) -> [Claim] {
    var claims = [
      claim(market, Views.market, market.stateFields(fee: feeField(market))),
      claim(market, Views.parameters, market.parameterFields),
    ]
    if dialect == .moolah {
      let broker = ClaimedField("broker", word: 0, market.broker?.description, as: .address)
      claims.append(claim(market, Views.broker, [broker]))
    }
    return claims
  }

  private func claim(
    _ market: AuditedMarket, _ signature: String, _ fields: [ClaimedField]
  ) -> Claim {
    Claim(
      AuditSubject(.market, core, market: market.key),
      call: Call(to: core, signature: signature, arguments: [.fixedBytes(market.key.bytes)]),
      fields: fields, markets: [market.key], isSetAside: market.isSetAside)
  }

  /// The row's own fee, or the one that was asked for; nil if neither is known.
  private func feeField(_ market: AuditedMarket) -> ClaimedField? {
    (market.fee ?? facts[.fee, market.subject]?.description)
      .map { ClaimedField("fee", word: 5, $0) }
  }

  /// What the market's rate model keeps of it. A model of the other kind keeps no rate at target.
  private func rateModelClaims(_ market: AuditedMarket) -> [Claim] {
    if market.irm == .zero, market.rateAtTarget == nil { return [] }
    func claim(_ signature: String, _ field: ClaimedField, otherwise: String? = nil) -> Claim {
      func call(_ signature: String) -> Call {
        Call(to: market.irm, signature: signature, arguments: [.fixedBytes(market.key.bytes)])
      }
      return Claim(
        AuditSubject(.rateModel, market.irm, market: market.key), call: call(signature),
        otherwise: otherwise.map(call), fields: [field], markets: [market.key],
        isSetAside: market.isSetAside)
    }
    let target = ClaimedField("rate_at_target", word: 0, market.rateAtTarget)
    let facts: [(FactName, String)] = [
      (.rateCap, "rateCap(bytes32)"), (.rateFloor, "rateFloor(bytes32)"),
      (.fixedRate, Views.fixedRate),
    ]
    var claims = [claim(Views.rateAtTarget, target, otherwise: Views.fixedRate)]
    for (name, signature) in facts {
      guard let value = self.facts[name, market.subject] else { continue }
      claims.append(claim(signature, ClaimedField(name.rawValue, word: 0, value.description)))
    }
    return claims
  }

  /// The lowest cap of each rate model, which is no market's own.
  private func minCapClaims(of admitted: [AuditedMarket]) -> [Claim] {
    Set(admitted.map(\.irm)).sorted().compactMap { irm in
      guard let minCap = facts[.minCap, .irm(irm)] else { return nil }
      return Claim(
        AuditSubject(.rateModel, irm), call: Call(to: irm, signature: "minCap()", arguments: []),
        fields: [ClaimedField(FactName.minCap.rawValue, word: 0, minCap.description)],
        markets: Set(markets.filter { $0.irm == irm }.map(\.key)))
    }
  }

  /// What the core holds of the markets' tokens: at least all collateral, and what was supplied and
  /// is not lent.
  ///
  /// Only a bound: anyone may send tokens to the contract, which no market counts, and a market
  /// that was never seen has its own.
  private func tokenClaims(of admitted: [AuditedMarket]) -> [Claim] {
    var held: [Address: String] = [:]
    for market in admitted {
      held[market.loanToken] = market.loanHeld
      held[market.collateralToken] = market.collateralHeld
    }
    return held.sorted { $0.key < $1.key }.flatMap { token, amount in
      let users = markets.filter { $0.loanToken == token || $0.collateralToken == token }
      func claim(_ call: Call, _ field: ClaimedField) -> Claim {
        Claim(
          AuditSubject(.token, token), call: call, fields: [field],
          markets: Set(users.map(\.key)), isSetAside: users.contains(where: \.isSetAside))
      }
      var claims: [Claim] = []
      // Nothing is never too much; a market without collateral names a token that is none.
      if amount != "0" {
        claims.append(
          claim(
            Call(to: token, signature: "balanceOf(address)", arguments: [.address(core)]),
            ClaimedField("held_by_core", word: 0, amount, .atMost)))
      }
      if let decimals = decimals[token] {
        claims.append(
          claim(
            Call(to: token, signature: "decimals()", arguments: []),
            ClaimedField("decimals", word: 0, String(decimals))))
      }
      return claims
    }
  }
}

// MARK: - Positions, and rows that are gone

extension AuditedRows {
  private func subject(ofPosition index: Int) -> AuditSubject {
    AuditSubject(
      .position, core, market: markets[Int(positions.markets[index])].key,
      user: positions.users[index])
  }

  private func positionClaim(_ index: Int) -> Claim {
    positionClaim(
      subject(ofPosition: index),
      [positions.supplyShares[index], positions.borrowShares[index], positions.collateral[index]],
      isSetAside: markets[Int(positions.markets[index])].isSetAside)
  }

  fileprivate func positionClaim(
    _ subject: AuditSubject, _ values: [U256], isSetAside: Bool = false
  ) -> Claim {
    let names = ["supply_shares", "borrow_shares", "collateral"]
    let key = subject.market ?? .zero
    return Claim(
      subject,
      call: Call(
        to: core,
        data: Views.position + key.bytes + ABI.encode([.address(subject.user ?? .zero)])),
      fields: zip(names, values).enumerated().map { word, field in
        ClaimedField(field.0, word: word, field.1.description)
      }, markets: [key], isSetAside: isSetAside)
  }

  /// What was found different once and is in no row any more: as much as the contract's zeros.
  /// Where a rate model or a token is named by no market, there is nothing to ask.
  private func emptyClaim(_ subject: AuditSubject) -> Claim {
    switch (subject.kind, subject.market) {
    case (.position, _?): return positionClaim(subject, [.zero, .zero, .zero])
    case (.market, let key?):
      let market = ClaimedField("last_update", word: 4, nil)
      return Claim(
        subject,
        call: Call(to: core, signature: Views.market, arguments: [.fixedBytes(key.bytes)]),
        fields: [market], markets: [key])
    default:
      return Claim(
        subject, call: Call(to: subject.contract, data: []), fields: [],
        markets: subject.market.map { [$0] } ?? [])
    }
  }
}

// MARK: - A mirror in memory

extension Moolah {
  public func claim(
    of divergence: Divergence, in mirror: MoolahMirror, of deployment: Deployment
  ) -> Claim? {
    let subject = divergence.subject
    if subject.kind == .core {
      var rows = AuditedRows(core: deployment.address, dialect: dialect)
      rows.feeRecipient = mirror.core.feeRecipient
      rows.defaultMarketFee = (mirror.core.defaultMarketFee ?? .zero).raw.description
      return rows.coreClaims().first { $0.fields[0].name == divergence.field }
    }
    guard let key = subject.market else { return nil }
    func claim(_ view: String, _ field: ClaimedField) -> Claim {
      Claim(
        subject,
        call: Call(to: subject.contract, signature: view, arguments: [.fixedBytes(key.bytes)]),
        fields: [field], markets: [key])
    }
    let row = mirror.markets[key]
    switch (subject.kind, subject.user) {
    case (.position, let user?):
      let state = mirror.positions[PositionKey(market: key, user: user)]?.state ?? PositionState()
      return AuditedRows(core: deployment.address, dialect: dialect).positionClaim(
        subject, [state.supplyShares, U256(state.borrowShares), U256(state.collateral)])
    case (.market, _) where divergence.field == "broker":
      return claim(
        Views.broker, ClaimedField("broker", word: 0, row?.broker?.description, as: .address))
    case (.market, _):
      return row?.state.field(divergence.field).map { claim(Views.market, $0) }
    case (.rateModel, _) where divergence.field == "rate_at_target":
      return claim(
        Views.rateAtTarget,
        ClaimedField("rate_at_target", word: 0, row?.rateAtTarget?.raw.description))
    default: return nil
    }
  }
}

extension MarketState {
  /// A word of `market(id)` by the name that an audit gives it.
  fileprivate func field(_ name: String) -> ClaimedField? {
    switch name {
    case "total_supply_assets": ClaimedField(name, word: 0, totalSupplyAssets.description)
    case "total_supply_shares": ClaimedField(name, word: 1, totalSupplyShares.description)
    case "total_borrow_assets": ClaimedField(name, word: 2, totalBorrowAssets.description)
    case "total_borrow_shares": ClaimedField(name, word: 3, totalBorrowShares.description)
    case "last_update": ClaimedField(name, word: 4, lastUpdate.description)
    case "fee": ClaimedField(name, word: 5, fee.raw.description)
    default: nil
    }
  }
}

extension AuditedMarket {
  /// The six words of `market(id)`, and beside two of them the sums of the positions: shares are
  /// the contract's own count of its positions', so those need no trust in any log.
  fileprivate func stateFields(fee: ClaimedField?) -> [ClaimedField] {
    [
      ClaimedField("total_supply_assets", word: 0, totalSupplyAssets),
      ClaimedField("total_supply_shares", word: 1, totalSupplyShares),
      ClaimedField("total_borrow_assets", word: 2, totalBorrowAssets),
      ClaimedField("total_borrow_shares", word: 3, totalBorrowShares),
      // Without a rate model `accrueInterest` moves the time and emits nothing.
      ClaimedField("last_update", word: 4, lastUpdate, irm == .zero ? .atMost : .equal),
    ] + sumFields + (fee.map { [$0] } ?? [])
  }

  private var sumFields: [ClaimedField] {
    [
      supplySharesOfPositions.map { ClaimedField("supply_shares_of_positions", word: 1, $0) },
      borrowSharesOfPositions.map { ClaimedField("borrow_shares_of_positions", word: 3, $0) },
    ].compactMap(\.self)
  }

  fileprivate var parameterFields: [ClaimedField] {
    [
      ClaimedField("loan_token", word: 0, loanToken.description, as: .address),
      ClaimedField("collateral_token", word: 1, collateralToken.description, as: .address),
      ClaimedField("oracle", word: 2, oracle.description, as: .address),
      ClaimedField("irm", word: 3, irm.description, as: .address),
      ClaimedField("lltv", word: 4, lltv),
    ]
  }
}

/// Views of the core contract and of rate models that an audit asks more than once.
private enum Views {
  static let market = "market(bytes32)"
  static let parameters = "idToMarketParams(bytes32)"
  static let broker = "brokers(bytes32)"
  static let rateAtTarget = "rateAtTarget(bytes32)"
  static let fixedRate = "borrowRateStored(bytes32)"
  /// The selector of `position(bytes32,address)`: a million calls need it.
  static let position = ABI.selector("position(bytes32,address)")
}
