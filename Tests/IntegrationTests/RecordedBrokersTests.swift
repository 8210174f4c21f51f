import Ethereum
import Foundation
import Postgres
import Quantities
import TestKit
import Testing

/// 40 users of Moolah's bytecode in four floating and two broker markets: what the jobs leave in
/// the tables against what the contracts answered, at the block and up to 30 days later. At every
/// fourth snapshot, in the long form at each.
@Suite struct RecordedBrokersTests {
  struct Recording: Decodable {
    struct Market: Decodable {
      let id, lltv: String
      let broker: String?
    }
    struct User: Decodable {
      let dynamic: [String]
      let fixed: [[String]]
      let totalDebt, userPrice: String
      let totalDebtPlus: [String: String]
    }
    struct Broker: Decodable {
      let users: [String: User]
    }
    struct Snapshot: Decodable {
      let block, timestamp: UInt64
      let markets, accruedNow: [String: [String]]
      let accruedPlus: [String: [String: [String]]]
      let price: [String: String]
      let positions: [String: [String: [String]]]
      let healthy: [String: [String: Bool]]
      let broker: [String: Broker]
    }
    let markets: [Market]
    let snapshots: [Snapshot]
  }

  static let fixture = "Recordings/moolah_src.json.gz"
  static let later: [UInt64] = [1, 3_600, 86_400, 2_592_000]

  /// How often something was compared.
  private struct Compared {
    var markets = 0
    var totals = 0
    var prices = 0
    var positions = 0
    var debts = 0
    var laterDebts = 0
    var verdicts = 0
    var liquidatable = 0
    var userPrices = 0
  }

  @Test func equalsTheContractsAtEverySnapshot() throws {
    let recording = try JSONDecoder().decode(
      Recording.self, from: Fixture.gunzipped(Self.fixture))
    #expect(recording.snapshots.count == 164)
    let node = try RecordedNode(Self.fixture)
    let database = try TemporaryDatabase()
    let program = try Program(
      configuration: .oneDeployment(
        "moolah", system: "moolah", core: node.core, chainID: node.chainID,
        firstBlock: node.firstBlock, rpc: node.rpc), database: try database.url)
    let db = try database.connection()
    func found() throws -> Found { try db.transaction(.readOnly) { tx in try Found(in: tx) } }

    var compared = Compared()
    let step = Length.isLong ? 1 : 4
    let beginning = try #require(recording.snapshots.first?.block)
    try node.setHead(beginning)
    let first = try program.succeed("consume-events")
    // The core, both rate models and both brokers were made as proxies, each with its first code.
    #expect(first.output.components(separatedBy: "got other code").count == 6, "\(first.output)")
    for snapshot in recording.snapshots.enumerated().filter({ $0.offset % step == 0 }).map(
      \.element)
    {
      try node.setHead(snapshot.block)
      try program.succeed("consume-events")
      try program.succeed("refresh-debt")
      try program.succeed("scan-liquidations")
      let now = try found()
      compare(stored: snapshot, now, &compared)
      compare(totals: snapshot.accruedNow, now, at: snapshot.timestamp, &compared)
      compare(verdicts: snapshot, of: recording, now, &compared)
      for (id, broker) in snapshot.broker {
        for (user, told) in broker.users where !now.isWithoutShares(id, user) {
          #expect(now.debts["\(id) \(user)"] == told.totalDebt, "\(user) at \(snapshot.block)")
          compared.debts += 1
        }
      }
      for seconds in Self.later {
        try program.succeed("refresh-debt", "--at", String(snapshot.timestamp + seconds))
        let then = try found()
        let accrued = snapshot.accruedPlus.compactMapValues { $0[String(seconds)] }
        compare(totals: accrued, then, at: snapshot.timestamp + seconds, &compared)
        for (id, broker) in snapshot.broker {
          for (user, told) in broker.users where !then.isWithoutShares(id, user) {
            let debt = told.totalDebtPlus[String(seconds)]
            #expect(then.debts["\(id) \(user)"] == debt, "\(user) at \(snapshot.block)+\(seconds)")
            compared.laterDebts += 1
          }
        }
      }
    }
    // Read back only after something had happened: far less than once for each snapshot.
    let reads = try db.transaction(.readOnly) { tx in
      try tx.query("select count(*) from broker_loan").first?.get(0, Int64.self)
    }
    print("compared \(compared), read \(reads ?? -1) users of brokers")
    if Length.isLong { #expect(compared.debts == 2_255 && compared.userPrices == 132) }
    #expect(compared.debts > 500 && compared.laterDebts == 4 * compared.debts)
    #expect(compared.userPrices > 20 && compared.liquidatable > compared.userPrices)
    #expect(try #require(reads) < compared.debts / 4)
  }

  // MARK: Comparing

  private func compare(stored told: Recording.Snapshot, _ found: Found, _ compared: inout Compared)
  {
    for (id, words) in told.markets {
      #expect(found.markets[id] == words, "\(id) at \(told.block)")
      compared.markets += 1
    }
    for (id, price) in told.price where found.prices[id] != nil {
      #expect(found.prices[id] == price, "\(id) at \(told.block)")
      compared.prices += 1
    }
    for (id, users) in told.positions {
      for (user, words) in users where words.contains(where: { $0 != "0" }) {
        #expect(found.positions["\(id) \(user)"] == words, "\(user) at \(told.block)")
        compared.positions += 1
      }
    }
  }

  private func compare(
    totals told: [String: [String]], _ found: Found, at timestamp: UInt64,
    _ compared: inout Compared
  ) {
    for (id, words) in told {
      #expect(found.totals[id] == Array(words.prefix(5)), "\(id) at \(timestamp)")
      compared.totals += 1
    }
  }

  /// Who may be liquidated follows from the recorded answers alone; where the contract's own view
  /// does not lag behind, which it does by the interest since the last touch, it says the same.
  private func compare(
    verdicts told: Recording.Snapshot, of recording: Recording, _ found: Found,
    _ compared: inout Compared
  ) {
    for market in recording.markets {
      for (user, position) in told.positions[market.id] ?? [:] where position[1] != "0" {
        let user = "\(market.id) \(user)"
        let broker = told.broker[market.id]?.users[String(user.suffix(42))]
        let isHealthy = isHealthy(
          position, debt: broker?.totalDebt, price: told.price[market.id] ?? "",
          market: told.accruedNow[market.id] ?? [], lltv: market.lltv)
        let isFound = found.candidates[user] != nil
        #expect(isFound != isHealthy, "\(user) at \(told.block)")
        compared.verdicts += 1
        if let view = told.healthy[market.id]?[String(user.suffix(42))] {
          #expect(broker == nil ? view || isFound : view != isFound, "\(user) at \(told.block)")
        }
        guard let candidate = found.candidates[user] else { continue }
        compared.liquidatable += 1
        #expect(candidate == broker?.userPrice, "\(user) at \(told.block)")
        if broker != nil { compared.userPrices += 1 }
      }
    }
  }

  /// The contract's inequality, written out.
  private func isHealthy(
    _ position: [String], debt: String?, price: String, market: [String], lltv: String
  ) -> Bool? {
    func number(_ text: String) throws -> U256 { try #require(U256(decimal: text)) }
    return try? {
      let wad: U256 = 1_000_000_000_000_000_000
      let quoted = try number(position[2]).multiplied(by: number(price))
        .dividedDown(by: wad.multiplied(by: wad))
      let capacity = try quoted.multiplied(by: number(lltv)).dividedDown(by: wad)
      let owed = try number(position[1]).multiplied(by: number(market[2]).adding(.one))
        .dividedUp(by: number(market[3]).adding(1_000_000))
      return capacity >= (try debt.map(number) ?? owed)
    }()
  }

  /// What the tables say, in the recording's words.
  private struct Found {
    var markets: [String: [String]] = [:]
    var totals: [String: [String]] = [:]
    var prices: [String: String] = [:]
    var positions: [String: [String]] = [:]
    var debts: [String: String] = [:]
    /// The user's own price of each; nil: the market's.
    var candidates: [String: String?] = [:]

    func isWithoutShares(_ market: String, _ user: String) -> Bool {
      positions["\(market) \(user)"]?[1] ?? "0" == "0"
    }

    init(in tx: borrowing Transaction) throws {
      let rows = try tx.query(
        """
        select m.market_key, m.total_supply_assets, m.total_supply_shares, m.total_borrow_assets,
          m.total_borrow_shares, m.last_update, m.fee_wad, n.total_supply_assets,
          n.total_supply_shares, n.total_borrow_assets, n.total_borrow_shares, n.as_of_timestamp,
          s.price
        from market m join market_now n on n.market_id = m.id
        left join scan_market s on s.market_id = m.id
          and s.run_id = (select max(id) from run where job = 'scan-liquidations')
        """)
      for row in rows {
        let id = try row.get(0, Bytes32.self).description
        markets[id] =
          try (1...4).map { try row.get($0, U256.self).description }
          + [String(try row.get(5, Int64.self)), try row.get(6, U256.self).description]
        totals[id] =
          try (7...10).map { try row.get($0, U256.self).description }
          + [String(try row.get(11, Int64.self))]
        prices[id] = try row.get(12, U256?.self)?.description
      }
      let held = try tx.query(
        """
        select m.market_key, p.user_address, p.supply_shares, p.borrow_shares, p.collateral,
          d.borrowed
        from position p join market m on m.id = p.market_id
        left join position_debt d on d.position_id = p.id
        """)
      for row in held {
        let key = "\(try row.get(0, Bytes32.self)) \(try row.get(1, Address.self).lowercaseHex)"
        positions[key] = try (2...4).map { try row.get($0, U256.self).description }
        debts[key] = try row.get(5, U256?.self)?.description
      }
      let found = try tx.query(
        """
        select m.market_key, c.user_address, c.user_price
        from candidate c join market m on m.id = c.market_id
        where c.run_id = (select max(id) from run where job = 'scan-liquidations')
          and c.certainty = 'verified'
        """)
      for row in found {
        let key = "\(try row.get(0, Bytes32.self)) \(try row.get(1, Address.self).lowercaseHex)"
        candidates[key] = .some(try row.get(2, U256?.self)?.description)
      }
    }
  }
}
