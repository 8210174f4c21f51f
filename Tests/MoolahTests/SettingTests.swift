import Ethereum
import Postgres
import Quantities
import Systems
import Testing

@testable import Moolah

/// What changes who may do what: told by logs, taken back with their blocks.
@Suite struct SettingTests {
  private static let key = Bytes32(U256(7))
  private static let someone = HandmadeBook.address(0x51)
  private static let other = HandmadeBook.address(0x52)
  private static let token = HandmadeBook.loan

  private static func log(
    _ signature: String, _ indexed: [Bytes32] = [], _ words: [U256] = [], block: UInt64,
    from emitter: Address = LogStream.core
  ) -> Log {
    Log(
      address: emitter, topics: [ABI.topic(signature)] + indexed,
      data: words.flatMap(\.bigEndianBytes), blockNumber: block, blockHash: Bytes32(U256(block)),
      transactionHash: .zero, transactionIndex: 0, logIndex: 0)
  }

  private static func list(_ name: String, _ address: Address, block: UInt64) -> Log {
    log("\(name)(bytes32,address)", [key, Bytes32(address)], block: block)
  }

  private static func provider(_ name: String, _ provider: Address, block: UInt64) -> Log {
    log(
      "\(name)(bytes32,address,address)", [],
      [key.u256, Bytes32(token).u256, Bytes32(provider).u256], block: block)
  }

  private static let logs: [Log] = [
    list("AddLiquidationWhitelist", someone, block: 1),
    list("AddWhiteList", other, block: 2),
    provider("AddProvider", someone, block: 3),
    log("SetMinLoanValue(uint256)", [], [2_000_000_000], block: 4),
    log("Paused(address)", [], [1], block: 5),
    list("AddLiquidationWhitelist", other, block: 10),
    list("RemoveLiquidationWhitelist", someone, block: 11),
    list("RemoveWhiteList", other, block: 12),
    provider("RemoveProvider", someone, block: 13),
    log("SetMinLoanValue(uint256)", [], [1_500_000_000], block: 14),
    log("Unpaused(address)", [], [1], block: 15),
  ]

  private struct Found: Equatable {
    var members: MarketMembers?
    var minLoanValue: U256?
    var isPaused: U256?
  }

  private func found(_ stored: StoredMirror, at block: UInt64) throws -> Found {
    try stored.db.transaction { tx in
      let facts = try stored.moolah.facts(
        of: stored.deployment,
        at: BlockMark(number: block, hash: .zero, timestamp: 0), in: tx)
      let core = FactSubject.contract(LogStream.core)
      return Found(
        members: try stored.moolah.members(of: stored.deployment, at: block, in: tx)
          .map { $0[Self.key] ?? MarketMembers() },
        minLoanValue: facts[.minLoanValue, core], isPaused: facts[.paused, core])
    }
  }

  private static let times = BlockTimes(uniqueKeysWithValues: (1...60).map { ($0, $0) })
  private static let early = Found(
    members: MarketMembers(
      liquidators: [someone], users: [other], providers: [token: someone]),
    minLoanValue: 2_000_000_000, isPaused: .one)
  private static let late = Found(
    members: MarketMembers(liquidators: [other]), minLoanValue: 1_500_000_000, isPaused: .zero)

  @Test func settingsAreThoseOfTheBlock() throws {
    let stored = try StoredMirror()
    #expect(try stored.consume(Self.logs, Self.times).applied == Self.logs.count)
    #expect(try found(stored, at: 5) == Self.early)
    #expect(try found(stored, at: 15) == Self.late)
  }

  @Test func settingsGoWithTheirBlocks() throws {
    let stored = try StoredMirror()
    try stored.consume(Self.logs, Self.times)
    try stored.db.transaction { tx in
      try stored.moolah.takeBack(to: 9, of: stored.deployment, in: tx)
    }
    #expect(try found(stored, at: 60) == Self.early)
  }

  @Test func lateSettingsComeToTheSame() throws {
    let stored = try StoredMirror()
    try stored.consume(Self.logs.filter { $0.blockNumber >= 10 }, Self.times)
    try stored.db.transaction { tx in
      try stored.moolah.note(
        late: Self.logs.filter { $0.blockNumber < 10 }, of: stored.deployment, in: tx)
    }
    #expect(try found(stored, at: 5) == Self.early)
    #expect(try found(stored, at: 15) == Self.late)
  }

  @Test func afterABeginningInMidChainNobodyKnowsWhoIsListed() throws {
    let stored = try StoredMirror()
    try stored.consume(Self.logs, Self.times)
    try stored.db.transaction { tx in
      try tx.execute("update deployment set bootstrap_block = 1")
    }
    #expect(try found(stored, at: 15).members == nil)
  }

  @Test func onlyTheCoreSetsAndOnlyTheContractItselfIsUpgraded() throws {
    let model = HandmadeBook.address(0x99)
    for log in Self.logs {
      let lie = Log(
        address: model, topics: log.topics, data: log.data, blockNumber: log.blockNumber,
        blockHash: log.blockHash, transactionHash: .zero, transactionIndex: 0, logIndex: 0)
      #expect(try MoolahSetting(lie, core: LogStream.core) == nil)
    }
    let upgrade = Self.log(
      "Upgraded(address)", [Bytes32(Self.someone)], block: 3, from: model)
    let stored = try StoredMirror()
    let report = try stored.consume([upgrade], Self.times)
    #expect(report.upgrades == [ContractUpgrade(contract: model, block: 3)])
    let row = try stored.db.transaction { tx in
      try tx.query("select contract, implementation, block_number from upgrade")[0]
    }
    #expect(try row.get(0, Address.self) == model)
    #expect(try row.get(1, Address.self) == Self.someone)
    #expect(try row.get(2, UInt64.self) == 3)
  }

  @Test func whatCannotBeReadIsCountedAndPassedOver() throws {
    let stored = try StoredMirror()
    let broken = [
      Self.log("SetMinLoanValue(uint256)", block: 3),
      Self.log("AddWhiteList(bytes32,address)", [Self.key], block: 4),
      Self.log("AddProvider(bytes32,address,address)", [], [1, .max, 2], block: 5),
      Self.log("Upgraded(address)", [Bytes32(U256.max)], block: 6),
    ]
    let report = try stored.consume(broken, Self.times)
    #expect(report.malformed == 4 && report.applied == 0 && report.upgrades.isEmpty)
  }

  @Test func theSmallestLoanIsAskedForAsLongAsNoEventHasToldIt() {
    let moolah = Moolah(.moolah)
    var book = HandmadeBook(.moolah).book()
    let calls = moolah.followUps(about: book, for: .verdicts)
    #expect(calls.map(\.data) == [ABI.selector("minLoanValue()")])
    #expect(moolah.followUps(about: book, for: .debts).isEmpty)
    let answer = CallResult(succeeded: true, data: U256(1_500_000_000 as UInt64).bigEndianBytes)
    moolah.takeFollowUps([answer], for: .verdicts, into: &book)
    #expect(book.minLoanValue == 1_500_000_000)
    book.brokerRounds = 0
    #expect(moolah.followUps(about: book, for: .verdicts).isEmpty)
  }
}
