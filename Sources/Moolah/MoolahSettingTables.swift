import Ethereum
import Postgres
import Quantities
import Systems

// Tables `market_member` and `upgrade`, and the facts of the core contract: settings by the place
// of the log that told them.

extension Moolah {
  func store(
    _ settings: [PlacedSetting], of deployment: Deployment, in tx: borrowing Transaction
  ) throws {
    if settings.isEmpty { return }
    try tx.executeBatch(settings.map { statement(for: $0, deployment) })
  }

  private func statement(for placed: PlacedSetting, _ deployment: Deployment) -> SQL {
    let at = placed
    let index = Int32(bitPattern: at.index)
    switch placed.setting {
    case .fact(let name, let value):
      return """
        insert into fact (deployment_id, subject, name, block_number, log_index, block_hash, value,
          how)
        values (\(deployment.id), \(placed.contract.bytes), \(name.rawValue), \(at.block),
          \(index), \(at.hash), \(value), 'log')
        on conflict do nothing
        """
    case .member(let member):
      return """
        insert into market_member (deployment_id, list, market_key, address, provider, is_in,
          block_number, log_index, block_hash)
        values (\(deployment.id), \(member.list.rawValue), \(member.market), \(member.address),
          \(member.provider), \(member.isIn), \(at.block), \(index), \(at.hash))
        on conflict do nothing
        """
    case .upgraded(let implementation):
      return """
        insert into upgrade (deployment_id, contract, implementation, block_number, log_index,
          block_hash, transaction_hash)
        values (\(deployment.id), \(placed.contract), \(implementation), \(at.block), \(index),
          \(at.hash), \(at.transaction))
        on conflict do nothing
        """
    }
  }

  /// Who is in which list at a block, by market; nil if the deployment began in mid-chain, when
  /// nobody can tell who was in before.
  func members(
    of deployment: Deployment, at block: UInt64, in tx: borrowing Transaction
  ) throws -> [Bytes32: MarketMembers]? {
    let isWhole = try tx.query(
      "select bootstrap_block is null from deployment where id = \(deployment.id)"
    ).first?.get(0, Bool.self)
    guard isWhole ?? false else { return nil }
    var members: [Bytes32: MarketMembers] = [:]
    let rows = try tx.query(
      """
      select distinct on (list, market_key, address) list, market_key, address, provider, is_in
      from market_member m
      where deployment_id = \(deployment.id) and block_number <= \(block)
        and not exists (select from block b
          where b.chain_id = \(deployment.chainID) and b.number = m.block_number
            and b.hash = m.block_hash and not b.canonical)
      order by list, market_key, address, block_number desc, log_index desc
      """)
    for row in rows where try row.get(4, Bool.self) {
      let market = try row.get(1, Bytes32.self)
      let address = try row.get(2, Address.self)
      switch MarketMember.List(rawValue: try row.get(0, String.self)) {
      case .liquidator: members[market, default: MarketMembers()].liquidators.insert(address)
      case .user: members[market, default: MarketMembers()].users.insert(address)
      case .provider:
        members[market, default: MarketMembers()].providers[address] =
          try row.get(3, Address?.self)
      case nil: break
      }
    }
    return members
  }

  func loadMembers(into book: inout MoolahBook, in tx: borrowing Transaction) throws {
    guard dialect == .moolah,
      let members = try members(of: book.deployment, at: book.block.number, in: tx)
    else { return }
    for index in book.markets.indices {
      book.markets[index].members = members[book.markets[index].key] ?? MarketMembers()
    }
  }

  func takeBackSettings(
    to ancestor: UInt64, of deployment: Deployment, in tx: borrowing Transaction
  ) throws {
    try tx.execute(
      """
      delete from market_member
      where deployment_id = \(deployment.id) and block_number > \(ancestor)
      """)
    try tx.execute(
      "delete from upgrade where deployment_id = \(deployment.id) and block_number > \(ancestor)")
  }
}
