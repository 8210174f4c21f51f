import Ethereum
import Postgres
import Quantities
import RiskCore
import Systems

// Tables `broker`, `broker_touch`, `broker_loan`, `broker_term` and `broker_rate`: whom to read
// again, and what was read.

// MARK: - Touches

extension Moolah {
  /// The brokers that have a row, with the kinds that are known.
  func brokerTouches(
    of deployment: Deployment, in tx: borrowing Transaction
  ) throws -> BrokerTouches {
    guard dialect == .moolah else { return BrokerTouches() }
    let rows = try tx.query("select address from broker where deployment_id = \(deployment.id)")
    var touches = BrokerTouches(stored: Set(try rows.map { try $0.get(0, Address.self) }))
    if !rows.isEmpty { touches.kinds = try brokerKinds(of: deployment, in: tx) }
    return touches
  }

  func brokerKinds(
    of deployment: Deployment, in tx: borrowing Transaction
  ) throws -> [Address: BrokerKind] {
    var kinds: [Address: BrokerKind] = [:]
    let rows = try tx.query(
      """
      select distinct on (subject) subject, value from fact
      where deployment_id = \(deployment.id) and name = \(FactName.brokerKind.rawValue)
      order by subject, block_number desc
      """)
    for row in rows {
      guard let broker = Address(bytes: try row.get(0, [UInt8].self)),
        let value = UInt64(exactly: try row.get(1, U256.self))
      else { continue }
      kinds[broker] = BrokerKind(rawValue: value)
    }
    return kinds
  }

  /// Writes the brokers and touches that the logs of a window have brought.
  func store(
    _ touches: BrokerTouches, of deployment: Deployment, in tx: borrowing Transaction
  ) throws {
    if !touches.new.isEmpty {
      try tx.execute(
        """
        insert into broker (deployment_id, address)
        select \(deployment.id), address from unnest(\(touches.new.sorted())) as new (address)
        on conflict do nothing
        """)
    }
    if touches.blocks.isEmpty { return }
    let touched = touches.blocks.sorted {
      ($0.key.broker, $0.key.user) < ($1.key.broker, $1.key.user)
    }
    try tx.execute(
      """
      insert into broker_touch (broker_id, user_address, block_number)
      select b.id, t.user_address, t.block_number
      from unnest(\(touched.map(\.key.broker)), \(touched.map(\.key.user)),
        \(touched.map { Int64(clamping: $0.value) })) as t (broker, user_address, block_number)
      join broker b on b.deployment_id = \(deployment.id) and b.address = t.broker
      on conflict (broker_id, user_address) do update
        set block_number = greatest(broker_touch.block_number, excluded.block_number)
      """)
  }

  public func note(
    late logs: [Log], of deployment: Deployment, in tx: borrowing Transaction
  ) throws {
    guard dialect == .moolah else { return }
    var touches = try brokerTouches(of: deployment, in: tx)
    for log in logs where log.address != deployment.address { _ = touches.note(log) }
    try store(touches, of: deployment, in: tx)
    // One that cannot be read was counted, and passed over, when it was met in time.
    let settings = logs.compactMap { try? PlacedSetting($0, core: deployment.address) }
    try store(settings, of: deployment, in: tx)
  }

  /// Forgets what the brokers of these markets have been asked; their users are read anew.
  func forgetLoans(
    of markets: Set<Bytes32>?, _ deployment: Deployment, in tx: borrowing Transaction
  ) throws {
    let brokers = try tx.query(
      """
      select b.id from broker b where b.deployment_id = \(deployment.id) and exists (
        select from market m where m.deployment_id = b.deployment_id and m.broker = b.address
          and (\(markets == nil) or m.market_key = any(\(markets?.sorted() ?? []))))
      """
    ).map { try $0.get(0, Int32.self) }
    try tx.execute("delete from broker_loan where broker_id = any(\(brokers))")
    try tx.execute("delete from broker_rate where broker_id = any(\(brokers))")
  }

  func takeBackLoans(
    to ancestor: UInt64, of deployment: Deployment, in tx: borrowing Transaction
  ) throws {
    try tx.execute(
      """
      delete from broker_loan l using broker b
      where b.id = l.broker_id and b.deployment_id = \(deployment.id)
        and l.block_number > \(ancestor)
      """)
    try tx.execute(
      """
      delete from broker_rate r using broker b
      where b.id = r.broker_id and b.deployment_id = \(deployment.id)
        and r.block_number > \(ancestor)
      """)
  }
}

// MARK: - Into a book

extension Moolah {
  /// Loads what is known of the brokers of a book's markets, and whom to read again.
  func loadBrokers(into book: inout MoolahBook, in tx: borrowing Transaction) throws {
    guard try addBrokers(to: &book, in: tx) else { return }
    let ids = book.brokers.values.compactMap(\.id).sorted()
    var touches: [BrokerUser: UInt64] = [:]
    let rows = try tx.query(
      """
      select b.address, t.user_address, t.block_number from broker_touch t
      join broker b on b.id = t.broker_id where t.broker_id = any(\(ids))
      """)
    for row in rows {
      let key = BrokerUser(
        broker: try row.get(0, Address.self), user: try row.get(1, Address.self))
      touches[key] = try row.get(2, UInt64.self)
    }
    try loadLoans(into: &book, touches: touches, in: tx)
  }

  /// The same for a mirror that was derived: what touched whom, its own logs have told.
  func loadBrokers(
    into book: inout MoolahBook, touches: BrokerTouches, in tx: borrowing Transaction
  ) throws {
    guard try addBrokers(to: &book, in: tx) else { return }
    try loadLoans(into: &book, touches: touches.blocks, in: tx)
  }

  /// False if no market has a broker.
  private func addBrokers(to book: inout MoolahBook, in tx: borrowing Transaction) throws -> Bool {
    let addresses = Set(book.markets.compactMap(\.row.broker))
    if addresses.isEmpty { return false }
    for address in addresses { book.brokers[address] = BookBroker(id: nil) }
    let rows = try tx.query(
      """
      select id, address from broker
      where deployment_id = \(book.deployment.id) and address = any(\(addresses.sorted()))
      """)
    for row in rows {
      book.brokers[try row.get(1, Address.self)] = BookBroker(id: try row.get(0, Int32.self))
    }
    return true
  }

  /// Loans that nothing has touched since they were read are known; the users of the others, and
  /// those that were never read, are to be read: in a circle of those with a position that can be
  /// judged and the others, from a place that the block decides.
  private func loadLoans(
    into book: inout MoolahBook, touches: [BrokerUser: UInt64], in tx: borrowing Transaction
  ) throws {
    let stored = try loans(of: book, in: tx)
    for (address, broker) in book.brokers {
      var wanted: [Address] = []
      for market in book.markets where market.row.broker == address {
        wanted += market.positions.map { book.positions.users[$0] }
      }
      let others = Set(touches.keys.filter { $0.broker == address }.map(\.user))
        .subtracting(wanted)
      wanted += others.sorted()
      var broker = broker
      for user in wanted {
        let key = BrokerUser(broker: address, user: user)
        if let known = stored[key], known.block >= touches[key] ?? 0 {
          broker.users[user] = .known(known.loans)
        } else {
          broker.unread.append(user)
        }
      }
      // Those that cannot be read come again each time: at another block others are first.
      broker.unread = Array(
        broker.unread.turned(by: book.block.number).prefix(BrokerLimits.readsMax))
      book.brokers[address] = broker
    }
  }

  /// The newest version of each user's loans on this chain, up to the book's block. What was read
  /// before the broker got other code says nothing of what that code makes of it.
  private func loans(
    of book: MoolahBook, in tx: borrowing Transaction
  ) throws -> [BrokerUser: (block: UInt64, loans: BrokerLoans)] {
    let addresses = Dictionary(
      book.brokers.compactMap { address, broker in broker.id.map { ($0, address) } },
      uniquingKeysWith: { first, _ in first })
    var found: [BrokerUser: (block: UInt64, loans: BrokerLoans)] = [:]
    var keys: [Int64: BrokerUser] = [:]
    let rows = try tx.query(
      """
      select distinct on (l.broker_id, l.user_address) l.id, l.broker_id, l.user_address,
        l.block_number, l.dynamic_principal, l.normalized_debt, l.total_debt
      from broker_loan l
      where l.broker_id = any(\(addresses.keys.sorted())) and l.block_number <= \(book.block.number)
        and not exists (select from block b
          where b.chain_id = \(book.deployment.chainID) and b.number = l.block_number
            and b.hash = l.block_hash and not b.canonical)
        and not exists (select from upgrade u join broker k on k.id = l.broker_id
          where u.deployment_id = \(book.deployment.id) and u.contract = k.address
            and u.block_number > l.block_number and u.block_number <= \(book.block.number))
      order by l.broker_id, l.user_address, l.block_number desc, l.id desc
      """)
    for row in rows {
      guard let broker = addresses[try row.get(1, Int32.self)] else { continue }
      let key = BrokerUser(broker: broker, user: try row.get(2, Address.self))
      keys[try row.get(0, Int64.self)] = key
      let loans = BrokerLoans(
        dynamicPrincipal: try row.get(4, U256.self), normalizedDebt: try row.get(5, U256.self),
        totalDebt: try row.get(6, U256.self))
      found[key] = (try row.get(3, UInt64.self), loans)
    }
    try tx.forEachRow(
      """
      select loan_id, number, principal, apr_ray, starts_at, ends_at, last_repaid_at,
        interest_repaid, principal_repaid, kind, no_interest_until, borrowed_shares, is_bad_debt
      from broker_term where loan_id = any(\(keys.keys.sorted())) order by loan_id, place
      """
    ) { row in
      guard let key = keys[try row.get(0, Int64.self)] else { return }
      found[key]?.loans.terms.append(try LoanTerm(row))
    }
    return found
  }
}

extension Array {
  /// The same elements in the same circle, beginning with another one at every step.
  func turned(by steps: UInt64) -> [Element] {
    if isEmpty { return self }
    let first = Int(steps % UInt64(count))
    return Array(self[first...] + self[..<first])
  }
}

extension LoanTerm {
  /// Takes a row of `loans`.
  fileprivate init(_ row: borrowing Row) throws {
    loan = FixedLoan(
      number: try row.get(1, U256.self), principal: try row.get(2, U256.self),
      apr: try row.get(3, U256.self), start: try row.get(4, U256.self),
      end: try row.get(5, U256.self), lastRepaid: try row.get(6, U256.self),
      interestRepaid: try row.get(7, U256.self), principalRepaid: try row.get(8, U256.self))
    guard let kind = try row.get(9, Int16?.self) else { return }
    credit = CreditTerm(
      kind: UInt8(truncatingIfNeeded: kind), noInterestUntil: try row.get(10, U256.self),
      borrowedShares: try row.get(11, U256.self), isBadDebt: try row.get(12, Bool.self))
  }
}

// MARK: - Out of a book

extension Moolah {
  /// Writes what was read of brokers, as of the book's block. The caller sees to it that this is
  /// the mirror's own.
  func storeBrokers(of book: MoolahBook, in tx: borrowing Transaction) throws {
    for (address, broker) in book.brokers.sorted(by: { $0.key < $1.key }) {
      guard let id = broker.id else { continue }
      if let rate = broker.rate, let calculator = broker.calculator {
        try tx.execute(
          """
          insert into broker_rate (broker_id, block_number, block_hash, calculator, index_ray,
            rate_per_second_ray, max_rate_per_second_ray, last_updated)
          values (\(id), \(book.block.number), \(book.block.hash), \(calculator), \(rate.index),
            \(rate.perSecond), \(rate.maxPerSecond), \(rate.lastUpdated))
          on conflict do nothing
          """)
      }
      try storeLoans(of: broker, id, address, book, in: tx)
    }
  }

  private func storeLoans(
    of broker: BookBroker, _ id: Int32, _ address: Address, _ book: MoolahBook,
    in tx: borrowing Transaction
  ) throws {
    var read: [(user: Address, loans: BrokerLoans)] = []
    for user in broker.unread {
      if case .read(let loans) = broker.users[user] { read.append((user, loans)) }
    }
    if read.isEmpty { return }
    // Two runs that write the same users must not wait for one another.
    read.sort { $0.user < $1.user }
    let rows = try tx.query(
      """
      insert into broker_loan (broker_id, user_address, block_number, block_hash,
        dynamic_principal, normalized_debt, total_debt)
      select \(id), r.user_address, \(book.block.number), \(book.block.hash), r.principal,
        r.normalized, r.total
      from unnest(\(read.map(\.user)), \(read.map(\.loans.dynamicPrincipal)),
        \(read.map(\.loans.normalizedDebt)), \(read.map(\.loans.totalDebt)))
        as r (user_address, principal, normalized, total)
      on conflict do nothing returning id, user_address
      """)
    var ids: [Address: Int64] = [:]
    for row in rows { ids[try row.get(1, Address.self)] = try row.get(0, Int64.self) }
    try tx.copyIn(
      "broker_term",
      columns:
        """
        loan_id, place, number, principal, apr_ray, starts_at, ends_at, last_repaid_at,
        interest_repaid, principal_repaid, kind, no_interest_until, borrowed_shares, is_bad_debt
        """
    ) { rows in
      for (user, loans) in read {
        guard let id = ids[user] else { continue }
        for (place, term) in loans.terms.enumerated() {
          rows.beginRow()
          try rows.append(id)
          try rows.append(Int32(place))
          try rows.append(term)
        }
      }
    }
  }
}

extension CopyWriter {
  fileprivate mutating func append(_ term: LoanTerm) throws {
    let loan = term.loan
    for word in [
      loan.number, loan.principal, loan.apr, loan.start, loan.end, loan.lastRepaid,
      loan.interestRepaid, loan.principalRepaid,
    ] { try append(word) }
    try append(term.credit.map { Int16($0.kind) })
    try append(term.credit?.noInterestUntil)
    try append(term.credit?.borrowedShares)
    try append(term.credit?.isBadDebt)
  }
}

// MARK: - Verdicts

extension Moolah {
  /// Writes the loans of credit brokers that a scan found overdue.
  func storeOverdue(
    _ overdue: [OverdueLoan], of book: MoolahBook, at timestamp: UInt64, run: Int64,
    in tx: borrowing Transaction
  ) throws {
    if overdue.isEmpty { return }
    try tx.copyIn(
      "overdue_loan",
      columns:
        """
        run_id, market_id, user_address, number, block_number, block_hash, at_timestamp,
        principal_left, ends_at, grace_seconds
        """
    ) { rows in
      for loan in overdue {
        rows.beginRow()
        try rows.append(run)
        try rows.append(loan.marketID)
        try rows.append(loan.user)
        try rows.append(loan.number)
        try rows.append(book.block.number)
        try rows.append(book.block.hash)
        try rows.append(timestamp)
        try rows.append(loan.principalLeft)
        try rows.append(loan.end)
        try rows.append(loan.grace)
      }
    }
  }
}
