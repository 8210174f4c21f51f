/// Which statements the server has parsed for this session.
///
/// A text is prepared at its second use: a statement that runs once pays no extra round trip.
/// Preparing saves parsing and analysis; plans are still made for the values at hand.
struct StatementCache {
  /// The most texts remembered. Statements come from the source, so the program has far fewer;
  /// beyond that they run unprepared.
  static let textsMax = 256

  private enum Entry {
    case usedOnce
    case prepared(name: String)
  }

  private var entries: [String: Entry] = [:]
  private var namesGiven = 0

  /// Notes one use; true from the second on.
  mutating func isWorthPreparing(_ text: String) -> Bool {
    if entries[text] != nil { return true }
    if entries.count < Self.textsMax { entries[text] = .usedOnce }
    return false
  }

  /// The server's name of a prepared text.
  func name(of text: String) -> String? {
    guard case .prepared(let name) = entries[text] else { return nil }
    return name
  }

  /// A name that this session has not used.
  mutating func newName() -> String {
    namesGiven += 1
    return "s\(namesGiven)"
  }

  mutating func note(_ name: String, for text: String) {
    entries[text] = .prepared(name: name)
  }

  /// Forgets a text that must be parsed anew: its tables changed since (0A000), or the server
  /// lost it (26000).
  mutating func noteFailure(of text: String, _ error: PostgresError) {
    if error.sqlState == "0A000" || error.sqlState == "26000" { entries[text] = nil }
  }
}
