import Ethereum
import Foundation
import Postgres
import Quantities
import Store
import Systems
import TestKit
import Testing

/// Beginning in mid-chain with what the contracts say of a block: afterwards the tables must equal
/// those of a run from the contract's creation, but for the history before that block.
@Suite(.serialized) struct BootstrapTests {
  static let shapes = ["moolah", "morpho"]

  // MARK: Equal to a run from the start

  @Test(arguments: shapes, Length.pick(short: [700], long: [700, 701, 702, 703]))
  func equalsARunFromTheStart(shape: String, seed: UInt64) throws {
    let story = try Story(seed: seed, shape: shape, windowBlocks: 11, reorgLimit: 8)
    try story.chain.advance(60)
    let block = try story.finalBlock()
    let list = try story.list(at: block)
    let first = try story.bootstrap(at: block, list)
    #expect(first.output.contains("markets_begun_with"), "\(first.output)")
    try story.checkAgainstARunFromTheStart(block)
    for depth in [0, 5, 8] {
      try story.chain.advance(20)
      if depth > 0 { try story.chain.reorg(depth: depth, keep: depth == 5, delay: 1) }
      try story.consume()
      try story.run("refresh-debt")
      try story.run("scan-liquidations")
      try story.checkAgainstTheContract()
      try story.checkAgainstARunFromTheStart(block)
    }
    let earliest = try story.value("select min(block_number) from event")
    #expect(earliest.map { $0 > Int64(block) } ?? true)
    let missing = try story.value(
      """
      select count(*) from block_range
      where from_block <= (select bootstrap_block from deployment)
      """
    )
    #expect(missing == 0)
  }

  /// What nobody lists is credited all the same: interest's fee, to whoever is the recipient.
  @Test func theFeeRecipientNeedsNoLine() throws {
    let story = try Story(seed: 710, shape: "moolah", reorgLimit: 8)
    try story.chain.advance(60)
    let block = try story.finalBlock()
    let recipient = try #require(
      try story.chain.truth(block: block)["fee_recipient"] as? String)
    let list = try story.list(at: block).filter { !$0.hasSuffix(recipient) }
    try story.bootstrap(at: block, list)
    try story.checkAgainstTheContract(verdicts: false)
    try story.checkAgainstARunFromTheStart(block)
  }

  @Test func aLateEventIsDerivedFromTheStateItBeganWith() throws {
    let story = try Story(seed: 720, shape: "moolah", reorgLimit: 8)
    try story.chain.advance(60)
    // Events from before the state are stored by a run from the start, whose mirror is forgotten.
    try story.consume()
    let block = try story.finalBlock()
    try story.forgetTheMirror()
    try story.bootstrap(at: block, story.list(at: block))
    try story.chain.advance(40)
    try story.consume()
    let before = try story.value("select count(*) from event")
    let deleted = try story.db.transaction { tx in
      try tx.execute("update position set collateral = collateral + 1, supply_shares = 0")
      return try tx.execute(
        """
        delete from event where block_number % 2 = 0
          and block_number > (select bootstrap_block from deployment)
        """)
    }
    #expect(deleted > 10)
    let result = try story.program.succeed("consume-events", "--from-block", "0")
    #expect(result.output.contains("late_events \(deleted)"), "\(result.output)")
    #expect(try story.value("select count(*) from event") == before)
    try story.checkAgainstTheContract(verdicts: false)
    try story.checkAgainstARunFromTheStart(block)
  }

  /// Rows with events since the state, and rows that are as it left them.
  @Test(arguments: shapes)
  func anAuditRepairsFromTheStateItBeganWith(shape: String) throws {
    let story = try begunInMidChain(seed: 721, shape: shape)
    let whole = try TableDump(story.db)
    let damages: [SQL] = [
      "update position set collateral = collateral + 1, supply_shares = 0",
      "delete from position where id % 2 = 0",
      "update market set total_borrow_assets = total_borrow_assets + 1",
    ]
    for damage in damages {
      let rows = try story.db.transaction { tx in try tx.execute(damage) }
      #expect(rows > 0)
      #expect(try story.program.run("audit", "--all").exit == 1)
      let repaired = try story.program.run("audit", "--all", "--repair")
      #expect(repaired.exit == 0, "\(repaired.output)\n\(repaired.errors)")
      let healed = try TableDump(story.db)
      #expect(healed == whole, "\(healed.difference(from: whole))")
      try story.run("refresh-debt")
    }
    #expect(try story.value("select count(*) from block_range where state <> 'verified'") == 0)
  }

  /// Whatever differs, the blocks before the state are not read again.
  @Test(arguments: shapes)
  func anAuditFindsWhereAnEventIsMissingAfterTheState(shape: String) throws {
    let story = try begunInMidChain(seed: 722, shape: shape)
    let begin = try #require(try story.value("select bootstrap_block + 1 from deployment"))
    let whole = try TableDump(story.db)
    let supplyCollateral = try #require(
      Bytes32("0xa3b9472a1399e17e123f3c2e6586c23e504184d504de59cdaa2b375e880c6184"))
    let gone = try story.db.transaction { tx in
      try tx.query(
        """
        with chosen as (
            select * from event where topic0 = \(supplyCollateral) and block_number >= \(begin)
            order by block_number desc, log_index desc offset 1 limit 1
          )
          delete from event e using chosen c where e.block_number = c.block_number
          and e.log_index = c.log_index returning e.block_number, e.topic1
        """)[0]
    }
    let block = try gone.get(0, UInt64.self)
    // Its effect goes with it: derived from what is left, as a run that never saw it.
    try story.db.transaction { tx in
      try tx.execute(
        """
        insert into set_aside (deployment_id, market_key, block_number, log_index, reason, attempts)
        select id, \(gone.get(1, Bytes32.self)), 0, 0, 'test', 1 from deployment
        """)
    }
    _ = try story.program.run("consume-events")
    #expect(try story.program.run("audit", "--all", "--repair").exit == 1)
    let open = try story.db.transaction(.readOnly) { tx in
      try tx.query("select from_block, to_block from block_range where state = 'suspect'")
        .map { try $0.get(0, UInt64.self)...$0.get(1, UInt64.self) }
    }
    #expect(open.contains { $0.contains(block) }, "\(block) is not in \(open)")
    #expect(open.allSatisfy { $0.lowerBound >= UInt64(begin) && $0.count < 40 }, "\(open)")

    try story.consume()
    let audited = try story.program.run("audit", "--all")
    #expect(audited.exit == 0, "\(audited.output)\n\(audited.errors)")
    let healed = try TableDump(story.db)
    #expect(healed == whole, "\(healed.difference(from: whole))")
  }

  /// A deployment some blocks above the state that it began with, on a chain whose earlier events
  /// are stored as well.
  private func begunInMidChain(seed: UInt64, shape: String) throws -> Story {
    let story = try Story(seed: seed, shape: shape, reorgLimit: 8)
    try story.chain.advance(60)
    try story.consume()
    let block = try story.finalBlock()
    try story.forgetTheMirror()
    try story.bootstrap(at: block, story.list(at: block))
    try story.chain.advance(60)
    try story.consume()
    try story.run("refresh-debt")
    return story
  }

  @Test func judgesPastBlocksFromItsOwnOn() throws {
    let story = try Story(seed: 12, shape: "moolah", reorgLimit: 8)
    try story.chain.advance(60)
    try story.consume()
    let block = try story.finalBlock()
    try story.forgetTheMirror()
    try story.bootstrap(at: block, story.list(at: block))
    var then: [(block: Int, candidates: [String: String])] = []
    for _ in 0..<6 {
      try story.chain.advance(20)
      try story.consume()
      try story.run("scan-liquidations")
      let head = try #require(try story.chain.truth()["block"] as? Int)
      then.append((head, try story.found().candidates))
    }
    for (block, candidates) in then {
      let result = try story.program.run("scan-liquidations", "--at-block", String(block))
      #expect(result.exit == 0 || result.exit == 1, "\(result.errors)")
      #expect(try story.found().candidates == candidates)
    }
    #expect(then.contains { !$0.candidates.isEmpty })
    let first = try story.program.run("scan-liquidations", "--at-block", String(block))
    #expect(first.exit == 0 || first.exit == 1, "\(first.errors)")
    let before = try story.program.run("scan-liquidations", "--at-block", String(block - 1))
    #expect(before.exit == 64)
    #expect(before.errors.contains("--bootstrap-at"), "\(before.errors)")
  }

  /// A contract that is revealed later has nothing missing before the state.
  @Test func nothingIsMissingBeforeTheState() throws {
    let story = try Story(seed: 730, shape: "moolah", reorgLimit: 8)
    try story.chain.advance(60)
    // Ranges that runs of another kind have left below the state.
    _ = try story.program.run("fetch-events", "--to-block", "30")
    let block = try story.finalBlock()
    try story.bootstrap(at: block, story.list(at: block))
    try story.db.transaction { tx in
      try tx.execute(
        "delete from watched where address <> (select address from deployment)")
    }
    try story.consume()
    let lowest = try story.value("select min(from_block) from block_range")
    #expect(lowest == Int64(block) + 1)
    #expect(try story.value("select count(distinct filter_version) from block_range") == 2)
  }

  // MARK: Refusals

  @Test(arguments: shapes)
  func aFirstRunInMidChainIsRefused(shape: String) throws {
    let story = try Story(seed: 740, shape: shape, youngBy: 5)
    try story.expectRefusal()
  }

  /// The node's word on the contract's age is enough.
  @Test func isRefusedBeforeAnythingHappens() throws {
    let story = try Story(seed: 743, shape: "moolah", youngBy: 0)
    try story.chain.reorg(depth: 1, keep: false)
    try story.expectRefusal()
  }

  /// Most nodes have no state of old blocks, and some have no such method: events of markets that
  /// nobody saw created tell.
  @Test(arguments: [(-32000, "missing trie node"), (-32601, "no such method")])
  func isRefusedWithoutOldStateAsWell(code: Int, message: String) throws {
    let story = try Story(seed: 741, shape: "moolah", windowBlocks: 2, youngBy: 5)
    try story.chain.ask([
      "do": "fault", "method": "eth_getCode", "count": -1,
      "error": ["code": code, "message": message],
    ])
    try story.expectRefusal()
  }

  @Test func isRefusedWhenTheFirstWindowsAreQuiet() throws {
    let story = try Story(seed: 742, shape: "moolah", youngBy: 0)
    try story.chain.ask([
      "do": "fault", "method": "eth_getCode", "count": -1,
      "error": ["code": -32000, "message": "missing trie node"],
    ])
    try story.chain.reorg(depth: 1, keep: false)
    // There is no event yet, but the contract tells that it has been set up.
    #expect(try story.program.run("consume-events").exit == 1)
    try story.chain.advance(20)
    let result = try story.program.run("consume-events")
    #expect(result.exit == 78, "\(result.errors)")
    #expect(try story.value("select count(*) from position") == 0)
  }

  @Test func isRefusedWhenTheEventsWereFetchedBefore() throws {
    let story = try Story(seed: 744, shape: "moolah", reorgLimit: 2, youngBy: 0)
    try story.chain.ask([
      "do": "fault", "method": "eth_getCode", "count": -1,
      "error": ["code": -32000, "message": "missing trie node"],
    ])
    try story.chain.advance(20)
    try story.program.succeed("fetch-events")
    #expect(try story.program.run("consume-events", "--apply").exit == 78)
    #expect(try story.value("select count(*) from set_aside") == 0)
  }

  /// A contract that did not exist before the first block is followed from its creation: when the
  /// creation of its markets is kept back, their events wait for it.
  @Test func aLostCreationIsNoBeginningInMidChain() throws {
    let story = try Story(seed: 745, shape: "moolah", windowBlocks: 1)
    try story.chain.advance(10)
    let clean = try story.cleanDatabase().connection()
    let creations = try clean.transaction(.readOnly) { tx in
      try tx.query("select distinct block_number from market_before where not existed order by 1")
        .map { try $0.get(0, Int.self) }
    }
    let first = try #require(creations.first)
    let last = try #require(creations.last)
    // Receipts would put it right at once.
    try story.chain.ask(["do": "fault", "no_receipts": true, "count": -1])
    try story.chain.ask([
      "do": "fault", "method": "eth_getLogs", "empty_logs": true,
      "skip": first - Int(story.chain.firstBlock), "count": last - first + 1,
    ])
    let result = try story.program.run("consume-events")
    #expect(result.exit == 1, "\(result.errors)")
    _ = try story.program.run("consume-events")
    try story.program.succeed("consume-events")
    try story.checkAgainstACleanRun()
  }

  @Test(arguments: shapes)
  func anIncompleteListIsRefused(shape: String) throws {
    let story = try Story(seed: 750, shape: shape, reorgLimit: 8)
    try story.chain.advance(60)
    let block = try story.finalBlock()
    let list = try story.list(at: block)
    let recipient = try story.chain.truth(block: block)["fee_recipient"] as? String ?? "?"
    let shared = try story.list(at: block, withSharesOnly: true)
      .filter { !$0.hasSuffix(recipient) }
    #expect(shared.count > 3)
    for line in shared {
      let result = try story.tryBootstrap(at: block, list.filter { $0 != line })
      #expect(result.exit == 65, "\(line): \(result.errors)")
      #expect(result.errors.contains(String(line.prefix(66))), "\(result.errors)")
      #expect(result.errors.contains("missing"))
    }
    try story.expectNothingStored()
    // What is refused leaves the deployment free to begin.
    try story.bootstrap(at: block, list)
    try story.checkAgainstTheContract(verdicts: false)
  }

  @Test func whatTheContractDoesNotHaveIsRefused() throws {
    let story = try Story(seed: 751, shape: "moolah", reorgLimit: 8)
    try story.chain.advance(60)
    let block = try story.finalBlock()
    let list = try story.list(at: block)
    let unknown = "0x" + String(repeating: "ab", count: 32) + ","
    let result = try story.tryBootstrap(at: block, list + [unknown])
    #expect(result.exit == 65)
    #expect(result.errors.contains(String(unknown.dropLast())), "\(result.errors)")

    let bad = try story.tryBootstrap(at: block, list + ["0x12,0x34", "", "# fine"] + ["x"])
    #expect(bad.exit == 65)
    #expect(bad.errors.contains("line \(list.count + 1): "), "\(bad.errors)")
    #expect(bad.errors.contains("line \(list.count + 4): "), "\(bad.errors)")
    #expect(try story.tryBootstrap(at: block, []).exit == 65)
    try story.expectNothingStored()
  }

  @Test func aFileThatIsNotThereIsNamed() throws {
    let story = try Story(seed: 752, shape: "moolah", reorgLimit: 8)
    try story.chain.advance(60)
    let result = try story.tryBootstrap(
      at: story.finalBlock(), ["x"], file: "no-such-file.csv")
    #expect(result.exit == 78)
    #expect(result.errors.contains("no-such-file.csv"), "\(result.errors)")
  }

  @Test func blocksThatCannotBeStoodOnAreRefused() throws {
    let story = try Story(seed: 753, shape: "moolah", reorgLimit: 8)
    try story.chain.advance(60)
    let block = try story.finalBlock()
    let list = try story.list(at: block)
    let notFinal = try story.tryBootstrap(at: block + 1, list)
    #expect(notFinal.exit == 64)
    #expect(notFinal.errors.contains("reorg_limit"), "\(notFinal.errors)")
    #expect(try story.tryBootstrap(at: 0, list).exit == 64)

    try story.chain.ask([
      "do": "fault", "method": "eth_call", "count": -1,
      "error": ["code": -32000, "message": "missing trie node"],
    ])
    let noState = try story.tryBootstrap(at: block, list)
    #expect(noState.exit == 69)
    #expect(noState.errors.contains("state of block \(block)"), "\(noState.errors)")
    try story.chain.ask(["do": "fault", "clear": true])

    // Another deployment of the chain has stored another block of that number.
    try story.db.transaction { tx in
      try tx.execute(
        """
        insert into block (chain_id, number, hash, parent_hash, timestamp)
        values (31337, \(block), \(Bytes32(7)), \(Bytes32(6)), 1)
        """)
    }
    let contradicted = try story.tryBootstrap(at: block, list)
    #expect(contradicted.exit == 65, "\(contradicted.errors)")
    try story.expectNothingStored()
  }

  /// The state cannot be taken back: rows would be left that no chain has.
  @Test(arguments: [false, true])
  func aReorganisationBelowTheStateIsRefused(beginsAtTheFirstBlock: Bool) throws {
    let story = try Story(
      seed: 754, shape: "moolah", reorgLimit: 8, youngBy: beginsAtTheFirstBlock ? 8 : nil)
    if !beginsAtTheFirstBlock {
      try story.chain.advance(40)
      // Blocks below the state are stored, so that a common one could be found there.
      try story.consume()
      try story.forgetTheMirror()
    }
    let block = try story.finalBlock()
    try story.bootstrap(at: block, story.list(at: block), "--to-block", String(block + 1))
    let before = try TableDump(story.db)
    try story.chain.reorg(depth: 11, keep: true)
    let result = try story.program.run("consume-events")
    #expect(result.exit == 65, "\(result.errors)")
    #expect(try TableDump(story.db) == before)
  }

  // MARK: Death and repetition

  @Test func beginsOnce() throws {
    let story = try Story(seed: 760, shape: "morpho", reorgLimit: 8)
    try story.chain.advance(60)
    let block = try story.finalBlock()
    let list = try story.list(at: block)
    // A run that was refused has registered the deployment, so that a dry run can be made.
    _ = try story.tryBootstrap(at: block + 1, list)
    let dry = try story.tryBootstrap(at: block, list, options: ["--dry-run"])
    #expect(dry.exit == 0, "\(dry.errors)")
    try story.expectNothingStored()

    try story.bootstrap(at: block, list)
    let dump = try TableDump(story.db)
    let again = try story.bootstrap(at: block, list)
    #expect(again.output.contains("already"), "\(again.output)")
    #expect(try TableDump(story.db) == dump)
    #expect(try story.tryBootstrap(at: block - 1, list).exit == 64)
    #expect(try TableDump(story.db) == dump)

    let other = try Story(seed: 760, shape: "morpho", reorgLimit: 8)
    try other.chain.advance(60)
    try other.consume()
    let begun = try other.tryBootstrap(at: block, list)
    #expect(begun.exit == 64)
    #expect(begun.errors.contains("has begun"), "\(begun.errors)")
  }

  @Test func needsBothOptionsAndOneDeployment() throws {
    let story = try Story(seed: 761, shape: "morpho")
    #expect(try story.program.run("consume-events", "--bootstrap-at", "5").exit == 64)
    #expect(try story.program.run("consume-events", "--positions", "p.csv").exit == 64)
    #expect(
      try story.tryBootstrap(at: 5, ["x"], options: ["--from-block", "3"]).exit == 64)
    let two = String.oneDeployment(
      "one", system: "moolah", core: story.chain.core, chainID: story.chain.chainID, firstBlock: 1,
      rpc: story.chain.rpc
    ).replacing(
      #""deployments": {"#,
      with: """
        "deployments": {
          "two": {
            "chain": "local", "system": "moolah", "first_block": 1,
            "address": "\(Address.zero)",
          },
        """)
    let program = try Program(configuration: two, database: story.database.url)
    let result = try program.run(program.bootstrapArguments(at: 5, ["x"]))
    #expect(result.exit == 64)
    #expect(result.errors.contains("--deployment"), "\(result.errors)")
  }

  @Test(arguments: DatabaseProxy.Moment.allCases)
  func survivesKillAtEveryStep(_ moment: DatabaseProxy.Moment) throws {
    let story = try Story(seed: 762, shape: "moolah", windowBlocks: 9, reorgLimit: 8)
    try story.chain.advance(50)
    let block = try story.finalBlock()
    let list = try story.list(at: block)
    let blank = try story.copy()
    try story.bootstrap(at: block, list)
    let expected = try TableDump(story.db)

    var step = moment == .before ? 1 : 2
    var kills = 0
    while true {
      let copy = try TemporaryDatabase(copyOf: blank.database)
      let target = try story.program(on: copy)
      let arguments = try target.bootstrapArguments(at: block, list)
      let proxy = try DatabaseProxy()
      defer { proxy.stop() }
      let victim = Victim()
      proxy.at(.message(step), moment) {
        victim.kill(SIGKILL)
        return .cut
      }
      let running = target.start(arguments, database: copy.url(through: proxy))
      try running.launch()
      victim.name(running.pid)
      _ = running.wait()
      guard proxy.isDone else { break }
      kills += 1
      try target.untilUnlocked(arguments)
      let dump = try TableDump(copy.connection())
      #expect(dump == expected, "step \(step): \(dump.difference(from: expected))")
      step += Length.pick(short: 4, long: 1)
    }
    #expect(kills >= Length.pick(short: 8, long: 40))
  }
}

/// What a list of positions says.
@Suite struct PositionListTests {
  private static let market = "0x" + String(repeating: "5a", count: 32)
  private static let user = "0x00000000000000000000000000000000000000ff"

  @Test func readsMarketsAndUsers() throws {
    let text = """
      # everything there is
      market_id,user
      \(Self.market),\(Self.user)
       \(Self.market) , \(Self.user)\r

      0x\(String(repeating: "00", count: 32)),
      \(Self.market)
      """
    let list = try PositionList(csv: Array(text.utf8))
    #expect(list.markets.map(\.description).first == Self.market)
    #expect(list.markets.count == 2)
    #expect(list.marketOf == [0])
    #expect(list.users.map(\.lowercaseHex) == [Self.user])
  }

  @Test func namesEveryBadLineUpToALimit() {
    let lines =
      [
        Self.market + ",0x12", "nothing", Self.market + "," + Self.user + ",3",
        // A checksum that is not one.
        Self.market + ",0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d35A",
      ] + Array(repeating: "?", count: 20)
    do {
      _ = try PositionList(csv: Array(lines.joined(separator: "\n").utf8))
      Issue.record("a list of bad lines was read")
    } catch {
      guard case .badLines(let named, let count) = error else {
        Issue.record("\(error)")
        return
      }
      #expect(count == 24)
      #expect(named.map(\.number) == Array(1...10))
    }
    #expect(throws: PositionListError.empty) { try PositionList(csv: Array("# none\n".utf8)) }
  }

  @Test func anyBytesAreReadOrRefused() throws {
    var generator = SeededGenerator(seed: 5)
    let alphabet = Array("0x5af,\n\r# \u{0}\u{ff}".utf8)
    for _ in 0..<2_000 {
      let bytes = (0..<Int.random(in: 0...200, using: &generator)).map { _ in
        alphabet[Int.random(in: 0..<alphabet.count, using: &generator)]
      }
      _ = try? PositionList(csv: bytes)
    }
  }
}

// MARK: - The story of a deployment that begins in mid-chain

extension Story {
  /// The last block that is final under a reorg limit of 8.
  func finalBlock() throws -> UInt64 {
    UInt64(try #require(try chain.truth()["block"] as? Int)) - 8
  }

  /// Lines for every position that is not empty, and for every market.
  func list(at block: UInt64, withSharesOnly: Bool = false) throws -> [String] {
    var lines: [String] = []
    for market in try chain.truth(block: block)["markets"] as? [[String: Any]] ?? [] {
      let id = market["id"] as? String ?? ""
      if !withSharesOnly { lines.append("\(id),") }
      for position in market["positions"] as? [[String: Any]] ?? [] {
        let words =
          withSharesOnly
          ? ["supply_shares", "borrow_shares"] : ["supply_shares", "borrow_shares", "collateral"]
        if words.allSatisfy({ position[$0] as? String == "0" }) { continue }
        lines.append("\(id),\(position["user"] as? String ?? "")")
      }
    }
    return lines
  }

  @discardableResult
  func bootstrap(
    at block: UInt64, _ list: [String], _ options: String...
  ) throws -> Program.Result {
    let result = try tryBootstrap(at: block, list, options: options)
    #expect(result.exit == 0, "\(result.errors)")
    return result
  }

  func tryBootstrap(
    at block: UInt64, _ list: [String], options: [String] = [], file: String? = nil
  ) throws -> Program.Result {
    var arguments = try program.bootstrapArguments(at: block, list)
    if let file { arguments[arguments.count - 1] = file }
    return try program.run(arguments + options)
  }

  func value(_ sql: SQL) throws -> Int64? {
    try db.transaction(.readOnly) { tx in try tx.query(sql).first?.get(0, Int64?.self) }
  }

  /// Leaves the stored events and blocks, as other deployments of the chain would have stored them.
  func forgetTheMirror() throws {
    try db.transaction { tx in
      for sql: SQL in [
        "delete from cursor", "delete from block_range", "delete from watched",
        "delete from user_operation", "delete from liquidation", "delete from fact",
        "delete from market", "delete from core_state", "delete from core_state_before",
      ] {
        try tx.execute(sql)
      }
    }
  }

  func expectRefusal(_ location: SourceLocation = #_sourceLocation) throws {
    let result = try program.run("consume-events")
    #expect(result.exit == 78, "\(result.errors)", sourceLocation: location)
    for word in ["first_block", "--bootstrap-at"] {
      #expect(result.errors.contains(word), "\(result.errors)", sourceLocation: location)
    }
    try expectNothingStored(location)
  }

  func expectNothingStored(_ location: SourceLocation = #_sourceLocation) throws {
    let stored = try value(
      """
      select (select count(*) from event) + (select count(*) from cursor)
        + (select count(*) from market) + (select count(*) from position)
        + (select count(*) from core_base) + (select count(*) from position_base)
        + (select count(*) from watched) + (select count(bootstrap_block) from deployment)
      """)
    #expect(stored == 0, sourceLocation: location)
  }

  /// Rows that a run from the start has as well, without what came before the block.
  func checkAgainstARunFromTheStart(
    _ block: UInt64, _ location: SourceLocation = #_sourceLocation
  ) throws {
    let clean = try Self.dump(cleanDatabase().connection(), from: Int64(block))
    let mine = try Self.dump(db, from: Int64(block))
    #expect(
      mine == clean,
      """
      extra: \(mine.subtracting(clean).sorted().prefix(5))
      missing: \(clean.subtracting(mine).sorted().prefix(5))
      """, sourceLocation: location)
    #expect(mine.count > 20, sourceLocation: location)
  }

  private static func dump(_ db: Connection, from block: Int64) throws -> Set<String> {
    let queries: [SQL] = [
      """
      select concat_ws(' ', 'event', e.block_number, e.log_index, e.block_hash, e.address, e.topic0,
        e.topic1, e.topic2, e.topic3, e.data)
      from event e join block b on b.chain_id = e.chain_id and b.number = e.block_number
        and b.hash = e.block_hash and b.canonical where e.block_number > \(block)
      """,
      """
      select concat_ws(' ', 'market', market_key, loan_token, collateral_token, oracle, irm,
        lltv_wad, coalesce(broker::text, '-'), total_supply_assets, total_supply_shares,
        total_borrow_assets, total_borrow_shares, case when as_of_block <= \(block)
          and irm = decode(repeat('00', 20), 'hex') then null else last_update end,
        coalesce(fee_wad::text, '-'), coalesce(rate_at_target_wad::text, '-'),
        greatest(as_of_block, \(block))) from market
      """,
      """
      select concat_ws(' ', 'position', market_key, user_address, supply_shares, borrow_shares,
        collateral, greatest(p.as_of_block, \(block)))
      from position p join market m on m.id = p.market_id
      where supply_shares + borrow_shares + collateral > 0
      """,
      """
      select concat_ws(' ', 'core', fee_recipient, coalesce(default_market_fee_wad::text, '-'),
        greatest(as_of_block, \(block))) from core_state
      """,
      """
      select concat_ws(' ', 'operation', block_number, log_index, market_key, kind, user_address,
        caller, assets, coalesce(shares::text, '-'), timestamp, transaction_hash)
      from user_operation o join market m on m.id = o.market_id where block_number > \(block)
      """,
      """
      select concat_ws(' ', 'liquidation', block_number, log_index, market_key, borrower,
        liquidator, repaid_assets, repaid_shares, seized_assets, bad_debt_assets, bad_debt_shares,
        write_down, timestamp, transaction_hash)
      from liquidation l join market m on m.id = l.market_id where block_number > \(block)
      """,
      """
      select concat_ws(' ', 'fact', subject, name, block_number, log_index, block_hash, value)
      from fact where how = 'log' and block_number > \(block)
      """,
      "select concat_ws(' ', 'aside', market_key, block_number, log_index) from set_aside",
      "select concat_ws(' ', 'cursor', job, block_number, block_hash) from cursor",
      """
      select concat_ws(' ', 'position before', market_key, user_address, block_number,
        supply_shares, borrow_shares, collateral, greatest(b.as_of_block, \(block)))
      from position_before b join market m on m.id = b.market_id
      where supply_shares + borrow_shares + collateral > 0
      """,
      """
      select concat_ws(' ', 'market before', market_key, block_number, existed,
        b.total_borrow_assets, b.total_borrow_shares, b.total_supply_assets, b.total_supply_shares,
        case when b.as_of_block <= \(block) and irm = decode(repeat('00', 20), 'hex') then null
          else b.last_update end, greatest(b.as_of_block, \(block)))
      from market_before b join market m on m.id = b.market_id
      """,
    ]
    return try db.transaction(.readOnly) { tx in
      var lines: Set<String> = []
      for query in queries {
        for row in try tx.query(query) { lines.insert(try row.get(0, String.self)) }
      }
      return lines
    }
  }
}

extension Program {
  /// Writes the list into a file; the file's name comes last.
  func bootstrapArguments(at block: UInt64, _ list: [String]) throws -> [String] {
    try Data(list.joined(separator: "\n").utf8)
      .write(to: directory.appending(path: "positions.csv"))
    return ["consume-events", "--bootstrap-at", String(block), "--positions", "positions.csv"]
  }

  /// Runs again until the server has noticed the end of a run that was killed.
  func untilUnlocked(_ arguments: [String]) throws {
    for _ in 0..<200 {
      let result = try run(arguments)
      guard result.exit == 0 else {
        throw ProgramError(message: "\(arguments) ended \(result.exit):\n\(result.errors)")
      }
      if !result.output.contains("skipped") { return }
      Thread.sleep(forTimeInterval: 0.05)
    }
    throw ProgramError(message: "the deployment stays locked")
  }
}
