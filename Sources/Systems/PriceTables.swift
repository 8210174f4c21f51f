import Ethereum
import Postgres
import Quantities
import RiskCore

// Tables `price` and `decimals_check`: one cache for each (chain, oracle, token), versioned.

/// What the tables know of prices before a block.
public enum PriceTables {
  /// What each price's last sample before `block` left for the next one.
  ///
  /// Samples at the block itself are not looked at, so that judging a block again gives the same;
  /// nor are those of blocks that the chain has left. One index search for each price.
  public static func memories(
    of keys: Set<PriceKey>, on chainID: UInt64, before block: BlockMark,
    in tx: borrowing Transaction
  ) throws -> [PriceKey: PriceMemory] {
    let keys = Array(keys)
    var memories: [PriceKey: PriceMemory] = [:]
    if keys.isEmpty { return memories }
    let rows = try tx.query(
      """
      select k.oracle, k.token, p.reference_value, p.held_value, p.held_since, p.held_runs,
        p.premium_reference, p.premium_held, p.premium_held_since, p.premium_held_runs,
        p.last_value, p.unchanged_runs
      from unnest(\(keys.map(\.oracle)), \(keys.map { $0.token?.bytes ?? [] })) k(oracle, token)
      cross join lateral (
        select * from price p
        where p.chain_id = \(chainID) and p.oracle = k.oracle
          and coalesce(p.token::bytea, ''::bytea) = k.token and p.carries
          and p.block_number < \(block.number)
          and not exists (select from block b
            where b.chain_id = p.chain_id and b.number = p.block_number and b.hash = p.block_hash
              and not b.canonical)
        order by p.block_number desc, p.run_id desc limit 1
      ) p
      """)
    for row in rows {
      let token = try row.get(1, [UInt8].self)
      let key = PriceKey(oracle: try row.get(0, Address.self), token: Address(bytes: token))
      memories[key] = try PriceMemory(row)
    }
    return memories
  }

  /// Writes one sample of each price. Later samples are compared with it only if it `carries`,
  /// which one of a block of the past does not.
  public static func insertions(
    of board: PriceBoard, on chainID: UInt64, at block: BlockMark, run: Int64?, carries: Bool
  ) -> [SQL] {
    board.answers.map { key, answer in
      let sample = board.samples[key] ?? PriceSample(answer: answer, memory: PriceMemory())
      let memory = sample.memory
      return """
        insert into price (chain_id, oracle, token, block_number, block_hash, value, how, run_id,
          at_timestamp, reason, detail, reference_value, held_value, held_since, held_runs,
          premium_reference, premium_held, premium_held_since, premium_held_runs, last_value,
          unchanged_runs, feed_answer, feed_updated_at, second_value, second_decimals, carries)
        values (\(chainID), \(key.oracle), \(key.token), \(block.number), \(block.hash),
          \(sample.answer.value), 'call_at_block', \(run), \(block.timestamp),
          \(sample.refusal?.reason.code), \(sample.refusal?.detail), \(memory.price.reference),
          \(memory.price.held?.value), \(memory.price.held?.since),
          \((memory.price.held?.runs).map(Int32.init(clamping:))), \(memory.premium.reference),
          \(memory.premium.held?.value), \(memory.premium.held?.since),
          \((memory.premium.held?.runs).map(Int32.init(clamping:))), \(memory.last),
          \(Int32(clamping: memory.unchangedRuns)),
          \((sample.round?.answer).flatMap { $0.isNegative ? nil : $0.magnitude }),
          \((sample.round?.updatedAt).flatMap { Int64(exactly: $0) }), \(sample.second?.value),
          \((sample.second?.decimals).map(Int32.init(clamping:))), \(carries))
        """
    }
  }

  // MARK: Decimals

  /// The prices that were compared when they were first seen, with what came of it.
  public static func decimalsChecks(
    of keys: Set<PriceKey>, on chainID: UInt64, in tx: borrowing Transaction
  ) throws -> [DecimalsKey: DecimalsCheck] {
    var checks: [DecimalsKey: DecimalsCheck] = [:]
    let rows = try tx.query(
      """
      select oracle, token, decimals, state, detail from decimals_check
      where chain_id = \(chainID) and oracle = any(\(Set(keys.map(\.oracle)).sorted()))
      """)
    for row in rows {
      let price = PriceKey(
        oracle: try row.get(0, Address.self), token: Address(bytes: try row.get(1, [UInt8].self)))
      let key = DecimalsKey(price: price, decimals: Int(try row.get(2, Int32.self)))
      let isPassed = try row.get(3, String.self) == "passed"
      checks[key] = isPassed ? .passed : .quarantined(try row.get(4, String?.self) ?? "")
    }
    return checks
  }

  /// Writes what came of comparing these prices.
  public static func insertions(
    of checks: [DecimalsKey: DecimalsCheck], on chainID: UInt64, at block: BlockMark
  ) -> [SQL] {
    checks.compactMap { key, check in
      guard let (state, detail) = check.row else { return nil }
      return """
        insert into decimals_check (chain_id, oracle, token, decimals, state, detail, block_number,
          block_hash, at_timestamp)
        values (\(chainID), \(key.price.oracle), \(key.price.token?.bytes ?? []),
          \(Int32(clamping: key.decimals)), \(state), \(detail), \(block.number), \(block.hash),
          \(block.timestamp))
        on conflict (chain_id, oracle, token, decimals) do update set state = excluded.state,
          detail = excluded.detail, block_number = excluded.block_number,
          block_hash = excluded.block_hash, at_timestamp = excluded.at_timestamp
        """
    }
  }
}

extension PriceMemory {
  /// The columns after oracle and token.
  fileprivate init(_ row: Row) throws {
    self.init()
    price = try StepMemory(row, at: 2)
    premium = try StepMemory(row, at: 6)
    last = try row.get(10, U256?.self)
    unchangedRuns = Int(try row.get(11, Int32?.self) ?? 0)
  }
}

extension StepMemory {
  fileprivate init(_ row: Row, at column: Int) throws {
    self.init(reference: try row.get(column, U256?.self))
    guard let value = try row.get(column + 1, U256?.self),
      let since = try row.get(column + 2, UInt64?.self),
      let runs = try row.get(column + 3, Int32?.self)
    else { return }
    held = HeldLevel(value: value, since: since, runs: Int(runs))
  }
}

extension DecimalsCheck {
  fileprivate var row: (state: String, detail: String?)? {
    switch self {
    case .unchecked: nil
    case .passed: ("passed", nil)
    case .quarantined(let detail): ("quarantined", detail)
    }
  }
}
