import Ethereum
import Postgres

/// Tables `watched` and `block_range`: which contracts' logs were read, from which blocks, and what
/// is not proved.
public enum Ledger {
  /// A range that is not verified, of the contracts of one filter version.
  public struct OpenRange: Equatable, Sendable {
    public let filterVersion: Int32
    public var range: LedgerRange
  }

  // MARK: Filter versions

  /// The contracts that are watched, each with the filter version that added it.
  public static func filters(
    of deployment: Int32, in tx: borrowing Transaction
  ) throws -> [Address: Int32] {
    let rows = try tx.query(
      "select address, filter_version from watched where deployment_id = \(deployment)")
    var filters: [Address: Int32] = [:]
    for row in rows { filters[try row.get(0, Address.self)] = try row.get(1, Int32.self) }
    return filters
  }

  /// Adds contracts as a new filter version, of which nothing has been read.
  ///
  /// Contracts that another run has added in the meantime keep the version that it gave them.
  ///
  /// - Returns: every contract with its version.
  public static func watch(
    _ addresses: Set<Address>, of deployment: Int32, in tx: borrowing Transaction
  ) throws -> [Address: Int32] {
    try lock(deployment, in: tx)
    try tx.execute(
      """
      insert into watched (deployment_id, address, filter_version)
      select \(deployment), a, (select coalesce(max(filter_version), 0) + 1 from watched
        where deployment_id = \(deployment))
      from unnest(\(addresses.sorted())) as a on conflict do nothing
      """)
    return try filters(of: deployment, in: tx)
  }

  // MARK: Ranges

  /// What is not verified, up to a block; from `begin` on, also what nothing is said of.
  public static func open(
    of deployment: Int32, from begin: UInt64? = nil, through block: UInt64,
    in tx: borrowing Transaction
  ) throws -> [OpenRange] {
    let said = try openRanges(of: deployment, through: block, in: tx)
    guard let begin, begin <= block else { return said }
    return try said + holes(in: begin...block, of: deployment, in: tx)
  }

  /// Blocks that no range of a filter version holds. Every writer sees to it that there are none.
  private static func holes(
    in blocks: ClosedRange<UInt64>, of deployment: Int32, in tx: borrowing Transaction
  ) throws -> [OpenRange] {
    let gaps = try tx.query(
      """
      select v.filter_version, gaps.first, gaps.last
      from (select distinct filter_version from watched where deployment_id = \(deployment)) v,
      lateral (
        select lag(edge.last, 1, \(blocks.lowerBound) - 1) over (order by edge.first) + 1 as first,
          edge.first - 1 as last
        from (
          select greatest(from_block, \(blocks.lowerBound)) as first,
            least(to_block, \(blocks.upperBound)) as last
          from block_range r
          where r.deployment_id = \(deployment) and r.filter_version = v.filter_version
            and from_block <= \(blocks.upperBound) and to_block >= \(blocks.lowerBound)
          union all select \(blocks.upperBound) + 1, \(blocks.upperBound) + 1
        ) edge
      ) gaps
      where gaps.first <= gaps.last order by gaps.first, v.filter_version
      """)
    return try gaps.map { row in
      OpenRange(
        filterVersion: try row.get(0, Int32.self),
        range: LedgerRange(
          try row.get(1, UInt64.self)...row.get(2, UInt64.self), .missing,
          reason: "not in the ledger"))
    }
  }

  private static func openRanges(
    of deployment: Int32, through block: UInt64, in tx: borrowing Transaction
  ) throws -> [OpenRange] {
    try tx.query(
      """
      select filter_version, from_block, least(to_block, \(block)), state, reason, attempts
      from block_range
      where deployment_id = \(deployment) and state <> 'verified' and from_block <= \(block)
      order by from_block, filter_version
      """
    ).map { OpenRange(filterVersion: try $0.get(0, Int32.self), range: try range($0, from: 1)) }
  }

  /// The last block up to which every filter version is verified from `first` on; nil if not even
  /// `first` is.
  public static func verifiedEnd(
    from first: UInt64, of deployment: Int32, in tx: borrowing Transaction
  ) throws -> UInt64? {
    try tx.query(
      """
      select min(coalesce(r.to_block, -1))
      from (select distinct filter_version from watched where deployment_id = \(deployment)) v
      left join block_range r on r.deployment_id = \(deployment)
        and r.filter_version = v.filter_version and r.state = 'verified'
        and r.from_block <= \(first) and r.to_block >= \(first)
      """
    ).first?.get(0, Int64?.self).flatMap { $0 < 0 ? nil : UInt64($0) }
  }

  /// The first block after `block` where verified blocks begin.
  public static func firstVerified(
    after block: UInt64, of deployment: Int32, in tx: borrowing Transaction
  ) throws -> UInt64? {
    try tx.query(
      """
      select min(from_block) from block_range
      where deployment_id = \(deployment) and state = 'verified' and from_block > \(block)
      """
    ).first?.get(0, UInt64?.self)
  }

  /// The contracts, among those, of whose filter version some of the blocks are not verified.
  public static func unverified(
    in blocks: ClosedRange<UInt64>, among filters: [Address: Int32], of deployment: Int32,
    in tx: borrowing Transaction
  ) throws -> Set<Address> {
    var open: Set<Address> = []
    for version in Set(filters.values).sorted() {
      let isWhole = try ranges(
        of: version, around: blocks, deployment: deployment, in: tx
      ).contains {
        $0.state == .verified && $0.blocks.contains(blocks.lowerBound)
          && $0.blocks.contains(blocks.upperBound)
      }
      if !isWhole { open.formUnion(filters.filter { $0.value == version }.keys) }
    }
    return open
  }

  /// Notes that blocks were read for filter versions, and what came of it.
  ///
  /// Going on from where a version ends costs one statement for all of them.
  public static func note(
    _ range: LedgerRange, of versions: Set<Int32>, deployment: Int32, in tx: borrowing Transaction
  ) throws {
    if range.state == .verified, range.reason == nil,
      try extend(versions, over: range.blocks, of: deployment, in: tx)
    {
      return
    }
    // What does not touch the blocks is not read.
    let first = range.blocks.lowerBound > 0 ? range.blocks.lowerBound - 1 : 0
    let last = range.blocks.upperBound < .max ? range.blocks.upperBound + 1 : .max
    try change(versions, around: first...last, of: deployment, in: tx) { $0.set(range) }
  }

  /// Forgets everything above a block, and the contracts that are watched no longer.
  public static func takeBack(
    to block: UInt64?, watching addresses: Set<Address>, of deployment: Int32,
    in tx: borrowing Transaction
  ) throws {
    try lock(deployment, in: tx)
    try tx.execute(
      """
      delete from watched
      where deployment_id = \(deployment) and address <> all(\(addresses.sorted()))
      """)
    try tx.execute(
      """
      delete from block_range r where deployment_id = \(deployment)
        and not exists (select from watched w where w.deployment_id = r.deployment_id
          and w.filter_version = r.filter_version)
      """)
    let versions = Set(try filters(of: deployment, in: tx).values)
    try change(versions, around: (block ?? 0)...UInt64.max, of: deployment, in: tx) { coverage in
      if let block { coverage.cut(above: block) } else { coverage = Coverage() }
    }
  }

  /// Forgets everything below a block, which the deployment begins with.
  public static func begin(
    at block: UInt64, of deployment: Int32, in tx: borrowing Transaction
  ) throws {
    let versions = Set(try filters(of: deployment, in: tx).values)
    try change(versions, around: 0...block, of: deployment, in: tx) {
      $0.cut(below: block)
    }
  }

  /// Lengthens the last range of each version; false if some version does not end verified where
  /// the new blocks begin.
  private static func extend(
    _ versions: Set<Int32>, over blocks: ClosedRange<UInt64>, of deployment: Int32,
    in tx: borrowing Transaction
  ) throws -> Bool {
    guard blocks.lowerBound > 0 else { return false }
    return try tx.execute(
      """
      update block_range r set to_block = \(blocks.upperBound), changed_at = now()
      where deployment_id = \(deployment) and filter_version = any(\(versions.map(Int64.init)))
        and state = 'verified' and reason is null and to_block = \(blocks.lowerBound - 1)
        and not exists (select from block_range o where o.deployment_id = r.deployment_id
          and o.filter_version = r.filter_version and o.from_block > r.to_block)
      """) == versions.count
  }

  private static func change(
    _ versions: Set<Int32>, around blocks: ClosedRange<UInt64>, of deployment: Int32,
    in tx: borrowing Transaction, _ body: (inout Coverage) -> Void
  ) throws {
    try lock(deployment, in: tx)
    for version in versions.sorted() {
      let before = Coverage(
        try ranges(of: version, around: blocks, deployment: deployment, in: tx))
      var after = before
      body(&after)
      let gone = before.ranges.filter { !after.ranges.contains($0) }
      let new = after.ranges.filter { !before.ranges.contains($0) }
      try tx.execute(
        """
        delete from block_range where deployment_id = \(deployment) and filter_version = \(version)
          and from_block = any(\(gone.map { Int64($0.blocks.lowerBound) }))
        """)
      try tx.executeBatch(
        new.map { range in
          """
          insert into block_range (deployment_id, filter_version, from_block, to_block, state,
            reason, attempts)
          values (\(deployment), \(version), \(range.blocks.lowerBound),
            \(range.blocks.upperBound), \(range.state.rawValue), \(range.reason),
            \(range.attempts))
          """
        })
    }
  }

  /// The ranges of one filter version that have a block among those, ascending.
  static func ranges(
    of version: Int32, around blocks: ClosedRange<UInt64> = 0...UInt64.max, deployment: Int32,
    in tx: borrowing Transaction
  ) throws -> [LedgerRange] {
    try tx.query(
      """
      select from_block, to_block, state, reason, attempts from block_range
      where deployment_id = \(deployment) and filter_version = \(version)
        and from_block <= \(Int64(clamping: blocks.upperBound)) and to_block >= \(blocks.lowerBound)
      order by from_block
      """
    ).map { try range($0, from: 0) }
  }

  private static func range(_ row: Row, from column: Int) throws -> LedgerRange {
    let first = try row.get(column, UInt64.self)
    let last = try row.get(column + 1, UInt64.self)
    let name = try row.get(column + 2, String.self)
    guard let state = LedgerRange.State(rawValue: name), first <= last else {
      throw LedgerError.unknownRange(first: first, last: last, state: name)
    }
    return LedgerRange(
      first...last, state, reason: try row.get(column + 3, String?.self),
      attempts: Int(try row.get(column + 4, Int32.self)))
  }

  /// Waits for others that change the ledger of the deployment: runs fetch in shards at once.
  public static func lock(_ deployment: Int32, in tx: borrowing Transaction) throws {
    try tx.lock(AdvisoryKey(namespace: 0x4C45_4447, hashOf: "deployment \(deployment)"))  // LEDG
  }
}

/// A row of the ledger that this program did not write.
public enum LedgerError: Error, Equatable, CustomStringConvertible {
  case unknownRange(first: UInt64, last: UInt64, state: String)

  public var description: String {
    switch self {
    case .unknownRange(let first, let last, let state):
      "table block_range: blocks \(first) to \(last) in state \"\(state)\" make no sense"
    }
  }
}
