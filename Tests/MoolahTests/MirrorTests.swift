import Ethereum
import Quantities
import Systems
import TestKit
import Testing

@testable import Moolah

@Suite struct MirrorTests {
  let moolah = Moolah(.moolah)
  let deployment = Deployment(
    id: 1, name: "test", chainID: 1, address: LogStream.core, firstBlock: 0)

  @Test(arguments: LogStream.names)
  func endsInTheWordsThatTheContractHeld(_ name: String) throws {
    let stream = try LogStream.named(name)
    let (logs, times) = stream.chain()
    var mirror = moolah.blankMirror(following: nil)
    let report = try moolah.apply(
      logs, of: deployment, times: times, finality: .max, to: &mirror)

    #expect(report.setAside.isEmpty)
    for market in stream.markets {
      let row = try #require(mirror.markets[unwrapped(Bytes32(market.id))])
      #expect(row.state.words == market.market)
      #expect(row.rateAtTarget?.raw.description ?? "0" == market.rateAtTarget)
    }
    for position in stream.positions {
      let key = PositionKey(
        market: unwrapped(Bytes32(position.id)), user: unwrapped(Address(position.user)))
      #expect((mirror.positions[key]?.state ?? PositionState()).words == position.position)
    }
    #expect(mirror.positions.count <= stream.positions.count)
  }

  @Test(arguments: LogStream.names)
  func isTheSameInWhateverPiecesTheLogsCome(_ name: String) throws {
    let (logs, times) = try LogStream.named(name).chain()
    var whole = moolah.blankMirror(following: nil)
    _ = try moolah.apply(logs, of: deployment, times: times, finality: .max, to: &whole)
    var pieces = moolah.blankMirror(following: nil)
    for log in logs {
      _ = try moolah.apply([log], of: deployment, times: times, finality: .max, to: &pieces)
    }
    #expect(pieces.markets == whole.markets)
    #expect(pieces.positions.byKey == whole.positions.byKey)
  }

  /// The images of each block, put back from the newest to the oldest, give every earlier state.
  @Test(arguments: LogStream.names)
  func canTakeBackEveryBlock(_ name: String) throws {
    let (logs, times) = try LogStream.named(name).chain()
    var mirror = moolah.blankMirror(following: nil)
    var states: [UInt64: [Bytes32: MarketState]] = [:]
    var positions: [UInt64: [PositionKey: PositionState]] = [:]
    let blocks = Dictionary(grouping: logs, by: \.blockNumber)
    for block in blocks.keys.sorted() {
      states[block] = mirror.markets.mapValues(\.state)
      positions[block] = mirror.positions.byKey.mapValues(\.state)
      _ = try moolah.apply(
        blocks[block] ?? [], of: deployment, times: times, finality: 0, to: &mirror)
    }
    var (markets, rows) = (mirror.markets, mirror.positions.byKey)
    for block in blocks.keys.sorted(by: >) {
      for (key, image) in mirror.marketImages where image.block == block {
        markets[key] = image.row
      }
      for (key, image) in mirror.positionImages where image.block == block {
        rows[key] = image.row
      }
      #expect(markets.mapValues(\.state) == states[block])
      #expect(rows.mapValues(\.state) == positions[block])
    }
  }

  // MARK: Set aside

  @Test func setsOnlyTheMarketOfAnInapplicableEventAside() throws {
    let stream = try LogStream.named("fixture_logs_11")
    let (emitted, times) = stream.chain()
    var logs = emitted
    // More collateral leaves than there is: the contract would have reverted.
    let spoiled = try #require(
      logs.firstIndex { $0.topics.first == ABI.topic(Topic.withdrawCollateral) })
    let market = logs[spoiled].topics[1]
    logs[spoiled].data.replaceSubrange(32..<64, with: [UInt8](repeating: 0xFF, count: 32))

    var mirror = moolah.blankMirror(following: nil)
    let report = try moolah.apply(
      logs, of: deployment, times: times, finality: .max, to: &mirror)
    #expect(report.setAside.map(\.market) == [market])
    #expect(report.setAside.first?.logIndex == logs[spoiled].logIndex)
    #expect(report.waiting > 0)
    for recorded in stream.markets where recorded.id != market.description {
      #expect(mirror.markets[unwrapped(Bytes32(recorded.id))]?.state.words == recorded.market)
    }
  }

  @Test func setsAMarketAsideWhoseEventIsCutShort() throws {
    let (emitted, times) = try LogStream.named("fixture_logs_11").chain()
    var logs = emitted
    let spoiled = try #require(logs.firstIndex { $0.topics.first == ABI.topic(Topic.borrow) })
    logs[spoiled].data.removeLast(32)
    var mirror = moolah.blankMirror(following: nil)
    let report = try moolah.apply(
      logs, of: deployment, times: times, finality: .max, to: &mirror)
    #expect(report.setAside.map(\.market) == [logs[spoiled].topics[1]])
  }

  @Test func moreThanThereIsSetsTheMarketAside() throws {
    let (emitted, times) = try LogStream.named("fixture_logs_11").chain()
    var logs = emitted
    let spoiled = try #require(
      logs.firstIndex { $0.topics.first == ABI.topic(Topic.withdrawCollateral) })
    // A number that fits the contract's word, which is half as wide as the event's.
    logs[spoiled].data.replaceSubrange(48..<64, with: [UInt8](repeating: 0xFF, count: 16))
    var mirror = moolah.blankMirror(following: nil)
    let report = try moolah.apply(
      logs, of: deployment, times: times, finality: .max, to: &mirror)
    #expect(report.setAside.map(\.market) == [logs[spoiled].topics[1]])
    #expect(report.setAside.first?.logIndex == logs[spoiled].logIndex)
  }

  @Test func aMarketIsCreatedOnce() throws {
    let (emitted, times) = try LogStream.named("fixture_logs_11").chain()
    var again = try #require(
      emitted.first { $0.topics.first == EventSignature.createMarket.topic })
    let last = try #require(emitted.last)
    (again.blockNumber, again.blockHash) = (last.blockNumber, last.blockHash)
    again.logIndex = last.logIndex + 1
    var once = moolah.blankMirror(following: nil)
    _ = try moolah.apply(emitted, of: deployment, times: times, finality: .max, to: &once)
    var mirror = moolah.blankMirror(following: nil)
    let report = try moolah.apply(
      emitted + [again], of: deployment, times: times, finality: .max, to: &mirror)
    #expect(report.setAside.map(\.market) == [again.topics[1]])
    #expect(mirror.markets == once.markets)
  }

  // MARK: Malformed events

  /// A log with the first word of `market`, cut short or not.
  private func event(
    _ signature: String, _ emitter: Address, _ indexed: [Bytes32], words: Int = 0
  ) -> Log {
    Log(
      address: emitter, topics: [ABI.topic(signature)] + indexed,
      data: [UInt8](repeating: 0, count: 32 * words), blockNumber: 5, blockHash: .zero,
      transactionHash: .zero, transactionIndex: 0, logIndex: 0)
  }

  private func apply(_ log: Log, irm: Address) throws -> ApplyReport {
    let key = Bytes32(U256(7))
    var mirror = MoolahMirror(markets: [key: row(broker: nil, irm: irm)])
    return try moolah.apply(
      [log], of: deployment, times: [5: 60], finality: .max, to: &mirror)
  }

  @Test(arguments: [
    "BorrowRateCapUpdate(bytes32,uint256,uint256)",
    "BorrowRateFloorUpdate(bytes32,uint256,uint256)",
    "SetBorrowRate(bytes32,int256)", "MinCapUpdate(uint256,uint256)",
  ])
  func aMalformedFactOfARateModelStopsNothing(_ signature: String) throws {
    let irm = unwrapped(Address("0x1111111111111111111111111111111111111111"))
    for indexed in [[], [Bytes32(U256(7))]] {
      let report = try apply(event(signature, irm, indexed), irm: irm)
      #expect(report.malformed == 1)
      #expect(report.setAside.isEmpty)
    }
  }

  @Test func aMalformedRateSetsOnlyTheModelsOwnMarketAside() throws {
    let signature = "BorrowRateUpdate(bytes32,uint256,uint256)"
    let irm = unwrapped(Address("0x1111111111111111111111111111111111111111"))
    let other = unwrapped(Address("0x2222222222222222222222222222222222222222"))
    let key = Bytes32(U256(7))
    #expect(try apply(event(signature, irm, [key]), irm: irm).setAside.map(\.market) == [key])
    #expect(try apply(event(signature, irm, []), irm: irm).malformed == 1)
    let report = try apply(event(signature, other, [key]), irm: irm)
    #expect(report.malformed == 1)
    #expect(report.setAside.isEmpty)
  }

  @Test(arguments: [Topic.borrow, "SetFeeRecipient(address)", "SetDefaultMarketFee(uint256)"])
  func aRateModelThatPrintsBrokenEventsOfTheCoreIsIgnored(_ signature: String) throws {
    let irm = unwrapped(Address("0x1111111111111111111111111111111111111111"))
    for indexed in [[], [Bytes32(U256(7))]] {
      let report = try apply(event(signature, irm, indexed), irm: irm)
      #expect(report.ignored == 1)
      #expect(report.setAside.isEmpty)
    }
  }

  @Test func onlyAnEventOfAllMarketsThatCannotBeReadStopsTheWindow() throws {
    let wide = Bytes32(U256.max)
    #expect(throws: EventError.self) {
      try apply(event("SetFeeRecipient(address)", LogStream.core, [wide]), irm: .zero)
    }
    #expect(throws: ABIError.self) {
      try apply(event("SetDefaultMarketFee(uint256)", LogStream.core, []), irm: .zero)
    }
    #expect(try apply(event(Topic.borrow, LogStream.core, []), irm: .zero).malformed == 1)
  }

  // MARK: Who may say what

  @Test func onlyTheCoreContractRevealsRateModels() throws {
    let (logs, _) = try LogStream.named("fixture_logs_11").chain()
    #expect(!moolah.addresses(revealedBy: logs, of: deployment).isEmpty)
    let elsewhere = Deployment(
      id: 2, name: "other", chainID: 1, address: .zero, firstBlock: 0)
    #expect(moolah.addresses(revealedBy: logs, of: elsewhere).isEmpty)
  }

  @Test func withoutHistoryTheRowsEndTheSame() throws {
    let (logs, times) = try LogStream.named("fixture_logs_11").chain()
    var whole = moolah.blankMirror(following: nil)
    _ = try moolah.apply(logs, of: deployment, times: times, finality: .max, to: &whole)
    var bare = moolah.blankMirror(following: nil, keepsHistory: false)
    _ = try moolah.apply(logs, of: deployment, times: times, finality: .max, to: &bare)
    #expect(bare.markets == whole.markets)
    #expect(bare.positions.byKey == whole.positions.byKey)
    #expect(!whole.operations.isEmpty)
    #expect(bare.operations.isEmpty && bare.liquidations.isEmpty && bare.facts.isEmpty)
  }

  @Test func believesEventsOnlyOfTheirOwnContract() throws {
    let (logs, times) = try LogStream.named("fixture_logs_11").chain()
    var mirror = moolah.blankMirror(following: nil)
    _ = try moolah.apply(logs, of: deployment, times: times, finality: .max, to: &mirror)
    let before = mirror

    let stranger = unwrapped(Address("0x1111111111111111111111111111111111111111"))
    for log in logs.suffix(60) {
      // A rate model prints events of the core contract, and the core those of a rate model.
      let liar = log.address == LogStream.core ? stranger : LogStream.core
      let lie = Log(
        address: liar, topics: log.topics, data: log.data, blockNumber: log.blockNumber,
        blockHash: log.blockHash, transactionHash: log.transactionHash,
        transactionIndex: log.transactionIndex, logIndex: log.logIndex)
      let report = try moolah.apply(
        [lie], of: deployment, times: times, finality: .max, to: &mirror)
      #expect(report.ignored == 1)
    }
    #expect(mirror.markets == before.markets)
    #expect(mirror.positions.byKey == before.positions.byKey)
  }

  @Test func subtractsAWriteDownOnce() throws {
    let broker = unwrapped(Address("0x2a6704d56bdedf4c7564c9534d7fa8d8d204d578"))
    let user = unwrapped(Address("0x00000000000000000000000000000000000000aa"))
    let key = Bytes32(U256(7))
    var mirror = MoolahMirror(
      markets: [key: row(broker: broker)],
      positions: PositionTable([
        PositionKey(market: key, user: user): PositionRow(
          id: nil, state: PositionState(borrowShares: 500_000_000, collateral: 9))
      ]))
    let words: [U256] = [40, 400_000_000, 0, 40, 400_000_000]
    let log = Log(
      address: LogStream.core,
      topics: [
        ABI.topic(Topic.liquidate), key, Bytes32(broker), Bytes32(user),
      ],
      data: words.flatMap(\.bigEndianBytes), blockNumber: 5, blockHash: .zero,
      transactionHash: .zero, transactionIndex: 0, logIndex: 0)
    _ = try moolah.apply([log], of: deployment, times: [5: 60], finality: .max, to: &mirror)

    let state = try #require(mirror.markets[key]?.state)
    #expect(state.totalBorrowShares == 600_000_000)
    #expect(state.totalBorrowAssets == 60)
    #expect(state.totalSupplyAssets == 160)
    let position = try #require(mirror.positions[PositionKey(market: key, user: user)]?.state)
    #expect(position.borrowShares == 100_000_000)
    #expect(position.collateral == 9)
    #expect(mirror.liquidations.map(\.isWriteDown) == [true])
  }

  private func row(broker: Address?, irm: Address = .zero) -> MarketRow {
    MarketRow(
      id: 1,
      parameters: MarketParameters(
        loanToken: .zero, collateralToken: .zero, oracle: .zero, irm: irm, lltv: Wad(raw: .one)),
      broker: broker,
      state: MarketState(
        totalSupplyAssets: 200, totalSupplyShares: 200_000_000, totalBorrowAssets: 100,
        totalBorrowShares: 1_000_000_000, lastUpdate: 1, fee: .zero),
      isFeeKnown: true, rateAtTarget: nil, asOfBlock: 1)
  }
}

/// Signatures that the tests look for.
private enum Topic {
  static let borrow = "Borrow(bytes32,address,address,address,uint256,uint256)"
  static let withdrawCollateral =
    "WithdrawCollateral(bytes32,address,address,address,uint256)"
  static let liquidate =
    "Liquidate(bytes32,address,address,uint256,uint256,uint256,uint256,uint256)"
}
