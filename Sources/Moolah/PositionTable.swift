import Ethereum

struct PositionKey: Hashable, Sendable {
  let market: Bytes32
  let user: Address
}

/// One user in one market.
struct PositionRow: Hashable, Sendable {
  var state = PositionState()
  var asOfBlock: UInt64 = 0
  /// The last block that an image was made for.
  var imagedAt: UInt64 = 0
  /// Surrogate key; nil: not stored yet.
  var id: Int64?
  var isChanged = false

  init(
    id: Int64? = nil, state: PositionState = PositionState(), asOfBlock: UInt64 = 0,
    isChanged: Bool = false
  ) {
    self.id = id
    self.state = state
    self.asOfBlock = asOfBlock
    self.isChanged = isChanged
  }
}

/// The positions of a mirror, side by side in the order in which they came.
///
/// Every event asks for one, and a backfill keeps them from window to window: so a position is
/// found by one multiplication instead of a keyed hash of its 52 bytes, is changed where it lies,
/// and takes 160 bytes.
struct PositionTable: Sendable {
  private(set) var keys: [PositionKey] = []
  private(set) var rows: [PositionRow] = []
  /// Open addressing, at most three quarters full: a place in `rows` plus one; 0 is free.
  private var slots = [UInt32](repeating: 0, count: 16)
  /// Users are chosen by anyone, so where they fall must not be known outside the process.
  private let seeds = (Self.secret(1), Self.secret(2))
  /// Places of the rows that changed since they were stored, in the order of their first change.
  private(set) var changed: [Int] = []

  init(_ rows: [PositionKey: PositionRow] = [:]) {
    for (key, row) in rows { insert(row, at: key) }
  }

  var count: Int { rows.count }

  /// The row of a position; nil if it is not here.
  subscript(key: PositionKey) -> PositionRow? { place(of: key).map { rows[$0] } }

  /// Where the row of a position lies; nil if it is not here.
  func place(of key: PositionKey) -> Int? {
    let found = slots[slot(of: key)]
    return found == 0 ? nil : Int(found) - 1
  }

  /// Adds a row that is not here yet, as it stands in the table of the server or to be stored.
  ///
  /// - Returns: where it lies from now on.
  @discardableResult
  mutating func insert(_ row: PositionRow, at key: PositionKey) -> Int {
    let slot = slot(of: key)
    precondition(slots[slot] == 0, "A position has one row.")
    keys.append(key)
    rows.append(row)
    slots[slot] = UInt32(rows.count)
    if row.isChanged { changed.append(rows.count - 1) }
    if rows.count > slots.count / 4 * 3 { enlarge() }
    return rows.count - 1
  }

  /// A position's state after an event of `block`.
  mutating func change(_ place: Int, to state: PositionState, in block: UInt64) {
    rows[place].state = state
    rows[place].asOfBlock = block
    if !rows[place].isChanged {
      rows[place].isChanged = true
      changed.append(place)
    }
  }

  mutating func noteImage(of place: Int, at block: UInt64) { rows[place].imagedAt = block }

  mutating func identify(_ place: Int, as id: Int64) { rows[place].id = id }

  /// The rows are now those of the server.
  mutating func noteStored() {
    for place in changed { rows[place].isChanged = false }
    changed.removeAll(keepingCapacity: true)
  }

  /// The free or taken slot where the key is, or would be.
  @inline(__always)
  private func slot(of key: PositionKey) -> Int {
    let mask = slots.count - 1
    var slot = Int(truncatingIfNeeded: hash(of: key)) & mask
    while slots[slot] != 0, keys[Int(slots[slot]) - 1] != key { slot = (slot + 1) & mask }
    return slot
  }

  /// Both halves of wide products with secret factors. A market is a hash that its parameters
  /// decide: two words of it are enough.
  @inline(__always)
  private func hash(of key: PositionKey) -> UInt64 {
    let user = key.user
    let first = (user.word0 ^ seeds.0).multipliedFullWidth(
      by: user.word1 ^ key.market.word1 ^ seeds.1)
    let second = (first.high ^ first.low ^ UInt64(user.word2) ^ seeds.1).multipliedFullWidth(
      by: key.market.word0 ^ seeds.0)
    return second.high ^ second.low
  }

  /// The standard library draws a new secret for each process.
  private static func secret(_ index: Int) -> UInt64 {
    var hasher = Hasher()
    hasher.combine(index)
    return UInt64(bitPattern: Int64(hasher.finalize()))
  }

  private mutating func enlarge() {
    slots = [UInt32](repeating: 0, count: slots.count * 2)
    for place in keys.indices { slots[slot(of: keys[place])] = UInt32(place + 1) }
  }
}

extension PositionTable {
  /// Every position, by its key.
  var byKey: [PositionKey: PositionRow] {
    Dictionary(zip(keys, rows), uniquingKeysWith: { first, _ in first })
  }
}
