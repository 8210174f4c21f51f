import Ethereum
import Postgres
import Quantities

// Tables `candidate_memory`, `guard_market`, `guard_user` and `zone_flag`: what the controls know
// beside a judgement.

extension CandidateMemory {
  /// Loads what is known of a deployment, and keeps others from changing it until the transaction
  /// ends.
  ///
  /// What happened at a block which the chain has left did not happen: an episode that began there
  /// counts as ended, one that ended there goes on, one that was seen there last has not been seen
  /// without interruption, and one that was named as open there was not.
  public init(of deployment: Deployment, in tx: borrowing Transaction) throws {
    self.init()
    _ = try tx.query(
      "select from deployment where id = \(deployment.id) for no key update")
    try loadEpisodes(of: deployment, in: tx)
    try loadLists(of: deployment, in: tx)
  }

  private mutating func loadEpisodes(
    of deployment: Deployment, in tx: borrowing Transaction
  ) throws {
    // Of one key the open episode comes first, then the newest that is to go on.
    let rows = try tx.query(
      """
      with orphan as (
        select number, hash from block where chain_id = \(deployment.chainID) and not canonical
      )
      select m.id, m.market_key, m.user_address, m.kind, m.first_seen_block, m.first_seen_hash,
        m.first_seen_at, m.last_seen_block, m.last_seen_hash, m.last_seen_at, m.steady_since,
        m.confirmations, m.opened_block, m.opened_hash, m.opened_at, m.failed_attempts,
        m.ended_block is not null,
        exists (select from orphan where (number, hash) = (m.first_seen_block, m.first_seen_hash)),
        exists (select from orphan where (number, hash) = (m.last_seen_block, m.last_seen_hash)),
        exists (select from orphan where (number, hash) = (m.opened_block, m.opened_hash))
      from candidate_memory m where m.id in (
        select id from candidate_memory
        where deployment_id = \(deployment.id) and ended_block is null
        union all
        select e.id from orphan o join candidate_memory e on e.deployment_id = \(deployment.id)
          and e.ended_block = o.number and e.ended_hash = o.hash)
      order by m.ended_block is null desc, m.id desc
      """)
    for row in rows {
      let id = try row.get(0, Int64.self)
      // A kind that this program does not know is a newer one's to remember.
      guard let kind = Key.Kind(rawValue: try row.get(3, String.self)) else { continue }
      let hasEnded = try row.get(16, Bool.self)
      if try row.get(17, Bool.self) {
        if !hasEnded { ended.append(id) }
        continue
      }
      let key = Key(
        market: try row.get(1, Bytes32.self), user: try row.get(2, Address.self), kind: kind)
      if episodes[key] != nil { continue }
      if hasEnded { reopened.append(id) }
      var episode = try Episode(row, id: id)
      if try row.get(18, Bool.self) { episode.steadySince = nil }
      if try row.get(19, Bool.self) { episode.opened = nil }
      episodes[key] = episode
    }
  }

  private mutating func loadLists(
    of deployment: Deployment, in tx: borrowing Transaction
  ) throws {
    for row in try tx.query(
      """
      select market_key, raised_lltv_wad from guard_market where deployment_id = \(deployment.id)
      """)
    {
      guards.raisedLines[try row.get(0, Bytes32.self)] = try row.get(1, U256.self)
    }
    for row in try tx.query(
      "select user_address, capacity_usd from guard_user where deployment_id = \(deployment.id)")
    {
      guards.capacities[try row.get(0, Address.self)] = try row.get(1, U256.self)
    }
    for row in try tx.query(
      "select market_key, user_address from zone_flag where deployment_id = \(deployment.id)")
    {
      flagged.insert(
        Key(
          market: try row.get(0, Bytes32.self), user: try row.get(1, Address.self),
          kind: .liquidation))
    }
  }

  // MARK: - Storing

  /// Writes what a scan at `block` has made of the memory.
  public func store(
    _ candidates: [Candidate], of deployment: Deployment, at block: BlockMark, run: Int64,
    in tx: borrowing Transaction
  ) throws {
    try tx.execute(
      """
      update candidate_memory set ended_block = \(block.number), ended_hash = \(block.hash),
        ended_at = \(block.timestamp)
      where id = any(\(ended))
      """)
    let goingOn = Set(reopened).subtracting(ended).sorted()
    try tx.execute(
      """
      update candidate_memory set ended_block = null, ended_hash = null, ended_at = null
      where id = any(\(goingOn))
      """)
    try storeUnseen(candidates, in: tx)
    if candidates.isEmpty { return }
    try tx.execute(
      """
      create temporary table candidate_memory_staged (like candidate_memory) on commit drop
      """)
    try tx.execute("alter table candidate_memory_staged alter id drop not null")
    try stage(candidates, of: deployment, run: run, in: tx)
    try tx.execute(
      """
      update candidate_memory m set last_seen_block = s.last_seen_block,
        last_seen_hash = s.last_seen_hash, last_seen_at = s.last_seen_at,
        steady_since = s.steady_since, confirmations = s.confirmations,
        opened_block = s.opened_block, opened_hash = s.opened_hash, opened_at = s.opened_at,
        outcome = s.outcome, debt_usd = s.debt_usd, zone = s.zone, guard_state = s.guard_state,
        run_id = s.run_id
      from candidate_memory_staged s where m.id = s.id
      """)
    try tx.execute(
      """
      insert into candidate_memory (deployment_id, market_key, user_address, kind,
        first_seen_block, first_seen_hash, first_seen_at, last_seen_block, last_seen_hash,
        last_seen_at, steady_since, confirmations, opened_block, opened_hash, opened_at,
        failed_attempts, outcome, debt_usd, zone, guard_state, run_id)
      select deployment_id, market_key, user_address, kind, first_seen_block, first_seen_hash,
        first_seen_at, last_seen_block, last_seen_hash, last_seen_at, steady_since, confirmations,
        opened_block, opened_hash, opened_at, failed_attempts, outcome, debt_usd, zone,
        guard_state, run_id
      from candidate_memory_staged where id is null
      """)
  }

  /// Episodes that this scan had no verdict on: their delay begins anew.
  private func storeUnseen(_ candidates: [Candidate], in tx: borrowing Transaction) throws {
    let interrupted = episodes.values.filter { $0.steadySince == nil }.compactMap(\.id)
    if interrupted.isEmpty { return }
    try tx.execute(
      "update candidate_memory set steady_since = null where id = any(\(interrupted))")
  }

  private func stage(
    _ candidates: [Candidate], of deployment: Deployment, run: Int64,
    in tx: borrowing Transaction
  ) throws {
    try tx.copyIn(
      "candidate_memory_staged",
      columns:
        """
        id, deployment_id, market_key, user_address, kind, first_seen_block, first_seen_hash,
        first_seen_at, last_seen_block, last_seen_hash, last_seen_at, steady_since, confirmations,
        opened_block, opened_hash, opened_at, failed_attempts, outcome, debt_usd, zone,
        guard_state, run_id
        """
    ) { rows in
      for candidate in candidates {
        guard let key = candidate.memoryKey, let episode = episodes[key] else { continue }
        rows.beginRow()
        try rows.append(episode.id)
        try rows.append(deployment.id)
        try rows.append(key.market)
        try rows.append(key.user)
        try rows.append(key.kind.rawValue)
        try rows.append(episode.firstSeen.number)
        try rows.append(episode.firstSeen.hash)
        try rows.append(episode.firstSeen.timestamp)
        try rows.append(episode.lastSeen.number)
        try rows.append(episode.lastSeen.hash)
        try rows.append(episode.lastSeen.timestamp)
        try rows.append(episode.steadySince)
        try rows.append(Int32(clamping: episode.confirmations))
        try rows.append(episode.opened?.number)
        try rows.append(episode.opened?.hash)
        try rows.append(episode.opened?.timestamp)
        try rows.append(Int32(clamping: episode.failedAttempts))
        try rows.append(candidate.outcome.rawValue)
        try rows.append(candidate.debtUSD)
        try rows.append(candidate.zone.description)
        try rows.append(candidate.guardState.rawValue)
        try rows.append(run)
      }
    }
  }
}

extension CandidateMemory.Episode {
  fileprivate init(_ row: Row, id: Int64) throws {
    self.init(
      beginningAt: BlockMark(
        number: try row.get(4, UInt64.self), hash: try row.get(5, Bytes32.self),
        timestamp: try row.get(6, UInt64.self)))
    self.id = id
    lastSeen = BlockMark(
      number: try row.get(7, UInt64.self), hash: try row.get(8, Bytes32.self),
      timestamp: try row.get(9, UInt64.self))
    steadySince = try row.get(10, UInt64?.self)
    confirmations = Int(try row.get(11, Int32.self))
    if let number = try row.get(12, UInt64?.self) {
      opened = BlockMark(
        number: number, hash: try row.get(13, Bytes32.self),
        timestamp: try row.get(14, UInt64.self))
    }
    failedAttempts = Int(try row.get(15, Int32.self))
  }
}

extension Candidate {
  /// The columns of table `candidate` from `contract` on: how it would be liquidated, and what the
  /// controls say of it.
  public func appendControls(to rows: inout CopyWriter) throws {
    try rows.append(contract)
    try rows.append(path.rawValue)
    try rows.append(plan?.extent.rawValue)
    try rows.append(plan?.isBySeizing)
    try rows.append(plan?.seizedAssets)
    try rows.append(plan?.repaidAssets)
    try rows.append(plan?.repaidShares)
    try rows.append(plan?.interestToBroker)
    try rows.append(plan?.badDebtAssets)
    try rows.append(plan?.badDebtShares)
    try rows.append(plan?.incentive)
    try rows.append(loanToValue)
    try rows.append(debtUSD)
    try rows.append(collateralUSD)
    try rows.append(firstSeen)
    try rows.append(zone.description)
    try rows.append(guardState.rawValue)
  }
}
