import Ethereum
import Foundation
import Postgres
import Quantities
import TestKit
import Testing

/// What happens to a mirror of brokers when logs come late, or blocks go.
@Suite struct BrokerStoryTests {
  private struct Ground {
    let node: RecordedNode
    let configuration: String
    let database: TemporaryDatabase
    let program: Program
    let db: Connection

    init(head: UInt64) throws {
      node = try RecordedNode(RecordedBrokersTests.fixture)
      try node.setHead(head)
      configuration = .oneDeployment(
        "moolah", system: "moolah", core: node.core, chainID: node.chainID,
        firstBlock: node.firstBlock, rpc: node.rpc)
      database = try TemporaryDatabase()
      program = try Program(configuration: configuration, database: database.url)
      db = try database.connection()
    }

    func judge() throws {
      try program.succeed("consume-events")
      try program.succeed("refresh-debt")
      try program.succeed("scan-liquidations")
    }

    func lines(_ query: SQL) throws -> [String] { try BrokerStoryTests.lines(query, db) }
  }

  private static func lines(_ query: SQL, _ db: Connection) throws -> [String] {
    try db.transaction(.readOnly) { tx in
      try tx.query(query).map { try $0.get(0, String.self) }.sorted()
    }
  }

  private static let touches: SQL = """
    select concat_ws(' ', b.address, t.user_address, t.block_number)
    from broker_touch t join broker b on b.id = t.broker_id
    """

  private static let verdicts: SQL = """
    select concat_ws(' ', m.market_key, p.user_address, d.borrowed, d.trigger_price, c.outcome,
      c.user_price)
    from position p join market m on m.id = p.market_id
    join position_debt d on d.position_id = p.id
    left join candidate c on c.market_id = m.id and c.user_address = p.user_address
      and c.run_id = (select max(id) from run where job = 'scan-liquidations')
    """

  /// Whoever misses a broker's logs must not take old loans for new ones.
  @Test func logsOfABrokerThatComeLateTouchItsUsers() throws {
    let ground = try Ground(head: 400)
    try ground.judge()
    let touches = try ground.lines(Self.touches)
    #expect(touches.count > 10)
    let missed = try ground.db.transaction { tx in
      try tx.execute("update broker_touch set block_number = 0")
      return try tx.execute("delete from event e using broker b where b.address = e.address")
    }
    #expect(missed > 20)
    #expect(try ground.lines(Self.touches) != touches)
    let filled = try ground.program.succeed(
      "consume-events", "--from-block", String(ground.node.firstBlock))
    #expect(filled.output.contains("late_events \(missed)"), "\(filled.output)")
    // More than in time: by then the contract was not known as a broker from its first log on.
    let after = Set(try ground.lines(Self.touches))
    #expect(after.isSuperset(of: touches), "\(Set(touches).subtracting(after).sorted())")
  }

  /// The same as a first run over the chain as it is then, though readings were made on the other.
  @Test func afterAReorganisationTheVerdictsAreThoseOfACleanRun() throws {
    var moved = 0
    for head in [240, 410, 585] as [UInt64] {
      let ground = try Ground(head: head)
      try ground.judge()
      let before = try ground.lines(Self.verdicts)
      for drop in [2, 9] {
        try ground.node.ask("dev_reorg", ["depth": 40, "drop": drop, "advance": false])
        try ground.judge()
        let fresh = try TemporaryDatabase()
        let clean = try Program(configuration: ground.configuration, database: fresh.url)
        for job in ["consume-events", "refresh-debt", "scan-liquidations"] {
          try clean.succeed(job)
        }
        let expected = try Self.lines(Self.verdicts, fresh.connection())
        #expect(try ground.lines(Self.verdicts) == expected, "head \(head), drop \(drop)")
        #expect(expected.count > 10)
        if expected != before { moved += 1 }
      }
    }
    #expect(moved > 0)
  }
}
