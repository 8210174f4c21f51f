import Ethereum

/// A user of a broker.
struct BrokerUser: Hashable, Sendable {
  let broker: Address
  let user: Address
}

/// Which users of which brokers something has happened to, and when last.
///
/// What a user owes to a broker cannot be told from logs, so the logs only say whom to read again.
struct BrokerTouches: Sendable {
  /// Every broker that a market has or had.
  private(set) var known: Set<Address>
  /// Those of them that have no row yet.
  private(set) var new: Set<Address>
  /// The kinds that are known from the table of facts.
  var kinds: [Address: BrokerKind] = [:]
  /// The last block that touched a user, of the logs that were applied.
  private(set) var blocks: [BrokerUser: UInt64] = [:]

  /// These have no row as far as is known; `stored` have.
  init(_ brokers: Set<Address> = [], stored: Set<Address> = []) {
    known = brokers.union(stored)
    new = brokers.subtracting(stored)
  }

  func kind(of broker: Address?) -> BrokerKind? { broker.flatMap { kinds[$0] } }

  mutating func add(_ broker: Address) {
    if known.insert(broker).inserted { new.insert(broker) }
  }

  /// Takes note of a log of a contract that is not the core; says whether it is a broker's.
  ///
  /// Every event of a broker that concerns a user names it first. So whatever the event, an address
  /// there may be a user's: that one may be none costs a read.
  @inline(__always)
  mutating func note(_ log: Log) -> Bool {
    if known.isEmpty || !known.contains(log.address) { return false }
    if log.topics.count > 1, let user = log.topics[1].address {
      touch(BrokerUser(broker: log.address, user: user), at: log.blockNumber)
    }
    return true
  }

  /// Takes note of an event of the core: a broker that a market gets, or a change of debt in a
  /// market that had one before the event.
  mutating func note(_ event: MoolahEvent, in market: MarketRow, at block: UInt64) {
    switch event {
    case .setMarketBroker(_, let broker?): add(broker)
    case .borrow(_, _, let user, _, _), .repay(_, _, let user, _, _):
      if let broker = market.broker { touch(BrokerUser(broker: broker, user: user), at: block) }
    case .liquidate(_, let event):
      guard let broker = market.broker else { return }
      touch(BrokerUser(broker: broker, user: event.borrower), at: block)
    default: break
    }
  }

  private mutating func touch(_ user: BrokerUser, at block: UInt64) {
    blocks[user] = max(blocks[user] ?? 0, block)
  }

  mutating func noteStored() {
    new.removeAll()
    blocks.removeAll(keepingCapacity: true)
  }
}
