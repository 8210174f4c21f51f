import Ethereum
import Quantities
import Systems
import Testing

@testable import Moolah

/// A state that contracts are asked for, against contracts that do not say what they must.
@Suite struct BaseTests {
  static let system = Moolah(.moolah)
  static let core = HandmadeBook.address(0xC0)
  static let deployment = Deployment(
    id: 1, name: "test", chainID: 1, address: core, firstBlock: 0)
  static let parameters: [ABIValue] = [
    .address(HandmadeBook.address(1)), .address(HandmadeBook.address(2)),
    .address(HandmadeBook.address(3)), .address(.zero), .uint(800_000_000_000_000_000),
  ]
  static let market = keccak256(ABI.encode(parameters))
  static let users = [HandmadeBook.address(0x11), HandmadeBook.address(0x12)]
  static let recipient = HandmadeBook.address(0xFE)

  /// What the contracts say, by signature.
  static let honest: [String: [ABIValue]] = [
    "feeRecipient()": [.address(recipient)],
    "defaultMarketFee()": [.uint(5)],
    "idToMarketParams(bytes32)": parameters,
    "market(bytes32)": [.uint(1_000), .uint(100), .uint(400), .uint(40), .uint(77), .uint(9)],
    "brokers(bytes32)": [.address(.zero)],
    "balanceOf(address)": [.uint(650)],
  ]
  /// Supply shares, borrow shares and collateral of each user, the fee recipient last.
  static let positions: [[U256]] = [[90, 0, 7], [0, 40, 33], [10, 0, 0]]

  /// Asks a few calls at a time until all is known.
  static func base(
    _ answers: [String: [ABIValue]] = [:], silent: String = "",
    positions: [[U256]] = positions, atMost count: Int = 2
  ) throws -> MoolahBase {
    let lines = users.map { "\(market),\($0)" }.joined(separator: "\n")
    let list = try PositionList(csv: Array(lines.utf8))
    var base = system.base(of: list, of: deployment)
    for _ in 0..<100 {
      let calls = system.questions(for: base, atMost: count)
      if calls.isEmpty { return base }
      try system.take(
        calls.map { answer($0, answers, silent, positions) }, into: &base)
    }
    Issue.record("the questions have no end")
    return base
  }

  private static func answer(
    _ call: Call, _ answers: [String: [ABIValue]], _ silent: String, _ positions: [[U256]]
  ) -> CallResult {
    if call.data.starts(with: ABI.selector("position(bytes32,address)")) {
      let user = (users + [recipient]).firstIndex { call.data.suffix(20) == $0.bytes[...] }
      let words = user.map { positions[$0] } ?? [0, 0, 0]
      return CallResult(succeeded: true, data: ABI.encode(words.map(ABIValue.uint)))
    }
    for (signature, honest) in honest where call.data.starts(with: ABI.selector(signature)) {
      if signature == silent { break }
      let words = answers[signature] ?? honest
      return CallResult(succeeded: true, data: ABI.encode(words))
    }
    return CallResult(succeeded: false, data: [])
  }

  @Test(arguments: [1, 2, 3, 1_000])
  func everythingIsAskedOnce(atMost count: Int) throws {
    let base = try Self.base(atMost: count)
    #expect(base.feeRecipient == Self.recipient)
    #expect(base.markets[0].state?.lastUpdate == 77)
    #expect(base.markets[0].broker == nil)
    #expect(base.positions.users == Self.users + [Self.recipient])
    #expect(base.positions.states.map(\.supplyShares) == [90, 0, 10])
    let summary = try Self.system.check(base)
    #expect(summary.markets == 1)
    #expect(summary.positions == 3)
    // 600 of the loan token are not lent, 40 of the collateral are listed.
    #expect(
      summary.unaccounted == [
        BaseSummary.Excess(token: HandmadeBook.address(1), amount: 50),
        BaseSummary.Excess(token: HandmadeBook.address(2), amount: 610),
      ])
  }

  @Test func parametersThatDoNotMakeTheIDAreRefused() {
    var others = Self.parameters
    others[2] = .address(HandmadeBook.address(4))
    #expect(throws: BootstrapError.wrongParameters(market: Self.market)) {
      try Self.base(["idToMarketParams(bytes32)": others])
    }
  }

  @Test func aMarketThatWasNeverUpdatedIsNone() {
    let state = Array(repeating: ABIValue.uint(0), count: 6)
    #expect(throws: BootstrapError.unknownMarkets([Self.market])) {
      try Self.base(["market(bytes32)": state])
    }
  }

  @Test(arguments: ["feeRecipient()", "idToMarketParams(bytes32)", "market(bytes32)"])
  func aViewThatEveryCoreHasMustAnswer(view: String) {
    #expect(throws: BootstrapError.self) { try Self.base(silent: view) }
    #expect(throws: BootstrapError.self) { try Self.base([view: []]) }
  }

  @Test(arguments: ["defaultMarketFee()", "brokers(bytes32)", "balanceOf(address)"])
  func aViewThatOnlySomeHaveMayFail(view: String) throws {
    _ = try Self.system.check(Self.base(silent: view))
  }

  @Test func eachUnitThatIsMissingShows() throws {
    for (user, column) in [(0, 0), (1, 1), (2, 0)] {
      for change in [U256.one, 2] {
        var positions = Self.positions
        positions[user][column] = positions[user][column].subtractingFlooredAtZero(change)
        let base = try Self.base(positions: positions)
        let shortfall = BootstrapError.Shortfall(
          market: Self.market, what: column == 0 ? "supply_shares" : "borrow_shares",
          listed: (column == 0 ? U256(100) : 40).subtractingFlooredAtZero(change),
          total: column == 0 ? 100 : 40)
        #expect(throws: BootstrapError.incomplete([shortfall])) { try Self.system.check(base) }
      }
    }
    // Sums beyond 256 bits are no sums.
    let base = try Self.base(positions: [[.max, 0, 0], [1, 40, 0], [100, 0, 0]])
    #expect(throws: BootstrapError.self) { try Self.system.check(base) }
  }
}
