import Ethereum
import Postgres
import Quantities
import Systems
import TestKit
import Testing

@testable import Moolah

/// Which rows an audit asks for, and how an answer is held against a claim.
@Suite struct AuditClaimTests {
  // MARK: Answers

  private static let subject = AuditSubject(.market, .zero, market: Bytes32(U256(7)))

  private func outcome(
    _ fields: [ClaimedField], _ answer: CallResult, otherwise: CallResult? = nil
  ) -> Claim.Outcome {
    Claim(Self.subject, call: Call(to: .zero, data: []), fields: fields, markets: [])
      .held(against: answer, otherwise: otherwise)
  }

  private func words(_ words: U256...) -> CallResult {
    CallResult(succeeded: true, data: words.flatMap(\.bigEndianBytes))
  }

  private func divergence(
    _ field: String, _ expected: String?, _ actual: String?,
    _ relation: ClaimedField.Relation = .equal
  ) -> Divergence {
    Divergence(
      Self.subject, field: field, relation: relation, expected: expected, actual: actual,
      markets: [])
  }

  @Test func eachFieldIsHeldAgainstItsOwnWord() {
    let fields = [ClaimedField("a", word: 0, "1"), ClaimedField("b", word: 1, "2")]
    #expect(outcome(fields, words(1, 2)) == .compared([]))
    #expect(outcome(fields, words(1, 3)) == .compared([divergence("b", "3", "2")]))
    #expect(
      outcome(fields, words(2, 1))
        == .compared([divergence("a", "2", "1"), divergence("b", "1", "2")])
    )
  }

  @Test func nothingStoredIsZeroToAContract() {
    #expect(outcome([ClaimedField("a", word: 0, nil)], words(0)) == .compared([]))
    #expect(
      outcome([ClaimedField("a", word: 0, nil)], words(5)) == .compared([divergence("a", "5", nil)])
    )
    let broker = ClaimedField("broker", word: 0, nil, as: .address)
    #expect(outcome([broker], words(0)) == .compared([]))
  }

  @Test(arguments: [("4", true), ("5", true), ("6", false), ("-1", false), ("x", false)])
  func aBoundHoldsUpToTheContractsNumber(value: String, holds: Bool) {
    let found = outcome([ClaimedField("a", word: 0, value, .atMost)], words(5))
    #expect(found == .compared(holds ? [] : [divergence("a", "5", value, .atMost)]))
  }

  @Test func whatIsNotAnsweredIsNeverEqual() {
    let field = ClaimedField("a", word: 1, "0")
    let reverted = CallResult(succeeded: false, data: [])
    #expect(outcome([field], reverted) == .unanswered(.reverted))
    #expect(outcome([field], words()) == .unanswered(.malformed))
    #expect(outcome([field], words(0)) == .unanswered(.malformed))
    let address = ClaimedField("a", word: 0, Address.zero.description, as: .address)
    #expect(outcome([address], words(U256.max)) == .unanswered(.malformed))
    // No code answers any call with nothing.
    #expect(outcome([field], reverted, otherwise: words()) == .unanswered(.reverted))
    #expect(outcome([field], reverted, otherwise: reverted) == .unanswered(.reverted))
  }

  @Test func aContractOfAnotherKindKeepsNothing() {
    let reverted = CallResult(succeeded: false, data: [])
    let none = ClaimedField("a", word: 0, nil)
    let some = ClaimedField("a", word: 0, "7")
    #expect(outcome([none], reverted, otherwise: words(3)) == .compared([]))
    #expect(
      outcome([some], reverted, otherwise: words(3)) == .compared([divergence("a", nil, "7")]))
    // Its own answer counts if there is one.
    #expect(outcome([some], words(7), otherwise: words(3)) == .compared([]))
  }

  // MARK: Choosing positions

  /// Three markets with a hundred positions each; the debt of each is its number.
  private struct Ground {
    let stored: StoredMirror
    let block = BlockMark(number: 1_000, hash: Bytes32(U256(99)), timestamp: 5)

    init() throws {
      stored = try StoredMirror()
      let deployment = stored.deployment
      try stored.db.transaction { tx in
        try tx.execute(
          """
          insert into market (deployment_id, market_key, loan_token, collateral_token, oracle, irm,
            lltv_wad, total_supply_assets, total_supply_shares, total_borrow_assets,
            total_borrow_shares, last_update, as_of_block)
          select \(deployment.id), sha256(n::text::bytea), decode(repeat('01', 20), 'hex'),
            decode(repeat('02', 20), 'hex'), decode(repeat('03', 20), 'hex'),
            decode(repeat('00', 20), 'hex'), 1, 500, 0, 400, 5050, 1, 1 from generate_series(1, 3) n
          """)
        try tx.execute(
          """
          insert into position (market_id, user_address, supply_shares, borrow_shares, collateral,
            as_of_block)
          select m.id, substring(sha256(n::text::bytea) from 1 for 20), 0, n, 10,
            case when n <= 10 then 900 else n end
          from market m, generate_series(1, 100) n
          """)
      }
    }

    func claims(_ change: (inout AuditScope) -> Void = { _ in }) throws -> [Claim] {
      var scope = AuditScope(sample: 5)
      change(&scope)
      return try stored.db.transaction(.readOnly) { tx in
        Array(try stored.moolah.claims(of: stored.deployment, at: block, in: scope, in: tx))
      }
    }

    func positions(_ change: (inout AuditScope) -> Void = { _ in }) throws -> [AuditSubject] {
      try claims(change).map(\.subject).filter { $0.kind == .position }
    }
  }

  @Test func aSampleIsDrawnByItsSeedAndHasTheLargestDebtsAndTheLatestChanges() throws {
    let ground = try Ground()
    let drawn = try ground.positions()
    #expect(drawn == (try ground.positions()))
    #expect(drawn == (try ground.positions { $0.seed = ground.block.hash }))
    #expect(drawn != (try ground.positions { $0.seed = Bytes32(U256(1)) }))
    #expect(Set(drawn).count == drawn.count)
    // Five drawn, ten of the latest, the largest of each market; some may be two of these.
    #expect((13...18).contains(drawn.count))

    let chosen = try ground.claims { $0.sample = 0 }.filter { $0.subject.kind == .position }
    let debts = chosen.map { $0.fields[1].value ?? "" }
    #expect(debts.count { $0 == "100" } == 3)
    #expect(debts.filter { $0 != "100" }.allSatisfy { (Int($0) ?? 0) <= 10 })
    #expect(chosen.count == 13)
    #expect(try ground.positions { $0.sample = nil }.count == 300)
  }

  @Test func aScopeAdmitsItsMarketsAndItsUser() throws {
    let ground = try Ground()
    let market = try #require(try ground.positions().first?.market)
    let one = try ground.claims {
      $0.markets = [market]; $0.sample = nil
    }
    #expect(one.allSatisfy { $0.subject.market == nil || $0.subject.market == market })
    #expect(one.count { $0.subject.kind == .position } == 100)
    // What the core holds of a token is a sum over every market that uses it.
    let tokens = one.filter { $0.subject.kind == .token }.flatMap(\.fields).map(\.value)
    #expect(tokens.sorted { ($0 ?? "") < ($1 ?? "") } == ["300", "3000"])

    let stranger = try #require(Address("0x00000000000000000000000000000000000000ff"))
    let none = try ground.claims { $0.user = stranger }.filter { $0.subject.kind == .position }
    #expect(none.count == 3)
    #expect(none.allSatisfy { $0.fields.allSatisfy { $0.value == "0" } })
  }

  @Test func whatWasWrongIsAskedAgainEvenIfItsRowIsGone() throws {
    let ground = try Ground()
    let core = ground.stored.deployment.address
    let key = Bytes32(U256(5))
    let user = try #require(Address("0x00000000000000000000000000000000000000ff"))
    let market = try #require(try ground.positions().first?.market)
    let again: Set<AuditSubject> = [
      AuditSubject(.market, core, market: key),
      AuditSubject(.position, core, market: key, user: user),
      AuditSubject(.position, core, market: market, user: user),
    ]
    let claims = try ground.claims { $0.again = again }
    for subject in again {
      let claim = try #require(claims.first { $0.subject == subject })
      #expect(claim.fields.allSatisfy { ($0.value ?? "0") == "0" })
      #expect(!claim.fields.isEmpty)
    }
    #expect(claims.count { again.contains($0.subject) } == 3)
  }

  @Test func theSumsArePartOfTheMarketsClaim() throws {
    let ground = try Ground()
    let fields = try ground.claims().filter { $0.subject.kind == .market }.flatMap(\.fields)
    let sums = fields.filter { $0.name == "borrow_shares_of_positions" }
    #expect(sums.map(\.value) == ["5050", "5050", "5050"])
    #expect(sums.allSatisfy { $0.word == 3 })
    #expect(fields.filter { $0.name == "last_update" }.allSatisfy { $0.relation == .atMost })
  }
}
