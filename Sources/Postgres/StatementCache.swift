/// Which statements the server has parsed for this session.
///
/// A statement is prepared at its second use: one that runs once pays no extra round trip.
/// Preparing saves parsing and analysis; plans are still made for the values at hand.
struct StatementCache {
  /// The most texts remembered. Statements come from the source, so the program has far fewer;
  /// beyond that they run unprepared.
  static let textsMax = 256

  /// What the server parses: the same text with values of other types is another statement.
  struct Key: Hashable {
    let text: String
    let types: [UInt32]

    init(_ sql: SQL, text: String) {
      self.text = text
      types = sql.values.map { type(of: $0).postgresType.oid }
    }
  }

  private enum Entry {
    case usedOnce
    case prepared(name: String)
  }

  private var entries: [Key: Entry] = [:]
  private var namesGiven = 0

  /// Notes one use; true from the second on.
  mutating func isWorthPreparing(_ key: Key) -> Bool {
    if entries[key] != nil { return true }
    if entries.count < Self.textsMax { entries[key] = .usedOnce }
    return false
  }

  /// The server's name of a prepared statement.
  func name(of key: Key) -> String? {
    guard case .prepared(let name) = entries[key] else { return nil }
    return name
  }

  /// A name that this session has not used.
  mutating func newName() -> String {
    namesGiven += 1
    return "s\(namesGiven)"
  }

  mutating func note(_ name: String, for key: Key) {
    entries[key] = .prepared(name: name)
  }

  /// Forgets a statement that must be parsed anew: its tables changed since (0A000), or the server
  /// lost it (26000).
  mutating func noteFailure(of key: Key, _ error: PostgresError) {
    if error.sqlState == "0A000" || error.sqlState == "26000" { entries[key] = nil }
  }
}
