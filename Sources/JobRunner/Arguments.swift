import Ethereum

/// A command line that does not say what can be done.
public struct UsageError: Error, Equatable, Sendable, CustomStringConvertible {
  /// One sentence: the argument, its value, and what would be right.
  public let description: String

  public init(_ description: String) { self.description = description }
}

/// The words after the subcommand, taken out one option at a time.
///
/// A job asks for what it knows; `finish()` then refuses whatever nobody asked for. Values may be
/// written `--name value` or `--name=value`. An option given twice is refused unless it is read
/// with `values`. The words after a bare `--` are never options; they are in `trailing`.
public struct Arguments: Sendable {
  private var words: [String]
  private var known: [String] = []

  /// The words after a bare `--`.
  public private(set) var trailing: [String]

  public init(_ words: [String]) {
    let end = words.firstIndex(of: "--") ?? words.endIndex
    self.words = Array(words[..<end])
    trailing = Array(words[end...].dropFirst())
  }

  // MARK: - Options

  /// True when the switch is there. Written twice it means the same as once.
  public mutating func flag(_ names: String...) throws(UsageError) -> Bool {
    known += names
    var isGiven = false
    for name in names {
      if words.contains(where: { $0.hasPrefix("\(name)=") && name.hasPrefix("--") }) {
        throw UsageError("\(name) takes no value")
      }
      let before = words.count
      words.removeAll { $0 == name }
      isGiven = isGiven || words.count < before
    }
    return isGiven
  }

  /// The value of an option that may be given once.
  public mutating func value(_ name: String) throws(UsageError) -> String? {
    let all = try values(name)
    guard all.count <= 1 else {
      throw UsageError("\(name) is given \(all.count) times; give it once")
    }
    return all.first
  }

  /// All values of an option that may be given several times, in order.
  public mutating func values(_ name: String) throws(UsageError) -> [String] {
    known.append(name)
    var found: [String] = []
    var index = 0
    while index < words.count {
      if words[index].hasPrefix("\(name)=") {
        found.append(String(words.remove(at: index).dropFirst(name.count + 1)))
      } else if words[index] == name {
        guard index + 1 < words.count, !words[index + 1].hasPrefix("--") else {
          throw UsageError("\(name) needs a value")
        }
        found.append(words[index + 1])
        words.removeSubrange(index...index + 1)
      } else {
        index += 1
      }
    }
    if found.contains("") { throw UsageError("\(name) needs a value") }
    return found
  }

  /// The next word that is no option: a subcommand, or what it acts on.
  public mutating func word() -> String? {
    guard let index = words.firstIndex(where: { !$0.hasPrefix("-") }) else { return nil }
    return words.remove(at: index)
  }

  /// Refuses what is left over, naming the option that was probably meant.
  public func finish() throws(UsageError) {
    guard let left = words.first else { return }
    let name = String(left.prefix { $0 != "=" })
    if name.hasPrefix("-") {
      throw UsageError(
        "unknown option \(VisibleText.escape(name))"
          + Suggestion.phrase(for: name, among: known))
    }
    throw UsageError("unexpected argument \"\(VisibleText.escape(left))\"")
  }
}

// MARK: - Typed values

extension Arguments {
  /// A whole number; `_` may group its digits.
  public mutating func count(
    _ name: String, in range: ClosedRange<UInt64> = 0...UInt64(Int64.max)
  ) throws(UsageError) -> UInt64? {
    guard let text = try value(name) else { return nil }
    guard let number = Self.wholeNumber(text), range.contains(number) else {
      throw Self.wrong(
        name, text, "must be a whole number from \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }

  /// A whole number with a value for when it is not given.
  public mutating func count(
    _ name: String, default standard: UInt64, in range: ClosedRange<UInt64>
  ) throws(UsageError) -> UInt64 {
    try count(name, in: range) ?? standard
  }

  /// A block number: `48172369`, `48_172_369`, `48M`, `16k`.
  public mutating func blockNumber(_ name: String) throws(UsageError) -> UInt64? {
    guard let text = try value(name) else { return nil }
    guard let number = Self.parseBlockNumber(text) else {
      throw Self.wrong(name, text, "must be a block number such as 48172369, 16_000_000 or 16M")
    }
    return number
  }

  /// Two block numbers that are the ends of a range.
  public mutating func blockRange(
    _ firstName: String = "--from-block", _ lastName: String = "--to-block"
  ) throws(UsageError) -> BlockRange {
    let first = try blockNumber(firstName)
    let last = try blockNumber(lastName)
    if let range = BlockRange(first: first, last: last) { return range }
    throw UsageError(
      "\(firstName) \(first ?? 0) is after \(lastName) \(last ?? 0); the first block comes first")
  }

  /// One of several runs that share the work, such as `1/4`; nil when the option was not given.
  public mutating func shard(
    _ name: String
  ) throws(UsageError) -> (index: UInt64, count: UInt64)? {
    guard let text = try value(name) else { return nil }
    let parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    guard parts.count == 2, let index = Self.wholeNumber(parts[0]),
      let count = Self.wholeNumber(parts[1]), (1...1000).contains(count),
      (1...count).contains(index)
    else { throw Self.wrong(name, text, "write I/N, such as 1/4; I from 1 to N") }
    return (index, count)
  }

  /// A moment in unix seconds: `1692230400` or `2023-08-17T00:00:00Z`, always UTC.
  public mutating func timestamp(_ name: String) throws(UsageError) -> UInt64? {
    guard let text = try value(name) else { return nil }
    let seconds = Self.wholeNumber(text) ?? UTCTime.parse(text)
    guard let seconds, seconds <= UTCTime.lastSecond else {
      throw Self.wrong(
        name, text, "must be unix seconds or a UTC time such as 2023-08-17T00:00:00Z")
    }
    return seconds
  }

  /// A length of time: `500ms`, `50s`, `10m`, `2h`, `1d`; at most seven days.
  public mutating func duration(_ name: String) throws(UsageError) -> Duration? {
    guard let text = try value(name) else { return nil }
    guard let duration = Self.parseDuration(text) else {
      throw Self.wrong(
        name, text, "must be a time such as 500ms, 50s, 10m or 2h, at most 7d")
    }
    return duration
  }

  /// One of a few words.
  public mutating func choice(
    _ name: String, among choices: [String]
  ) throws(UsageError) -> String? {
    guard let text = try value(name) else { return nil }
    guard choices.contains(text) else {
      throw Self.wrong(
        name, text,
        "must be one of \(choices.joined(separator: ", "))"
          + Suggestion.phrase(for: text, among: choices))
    }
    return text
  }

  /// An account or contract address; mixed case must carry a valid checksum.
  public mutating func address(_ name: String) throws(UsageError) -> Address? {
    guard let text = try value(name) else { return nil }
    guard let address = Address(text) else {
      throw Self.wrong(name, text, "must be 0x and 40 hex digits with a valid checksum")
    }
    return address
  }

  /// A market id or hash.
  public mutating func bytes32(_ name: String) throws(UsageError) -> Bytes32? {
    guard let text = try value(name) else { return nil }
    guard let bytes = Bytes32(text) else {
      throw Self.wrong(name, text, "must be 0x and 64 hex digits")
    }
    return bytes
  }

  static func wrong(_ name: String, _ text: String, _ remedy: String) -> UsageError {
    UsageError("\(name) \"\(VisibleText.cut(VisibleText.escape(text), columns: 80))\": \(remedy)")
  }
}

// MARK: - Reading text

extension Arguments {
  static func wholeNumber(_ text: String) -> UInt64? {
    let digits = text.utf8.filter { $0 != UInt8(ascii: "_") }
    guard let first = text.utf8.first, first >= 0x30, first <= 0x39, text.utf8.last != 0x5f
    else { return nil }
    var number: UInt64 = 0
    for digit in digits {
      guard digit >= 0x30, digit <= 0x39 else { return nil }
      let (product, isTooBig) = number.multipliedReportingOverflow(by: 10)
      let (sum, isTooBigAgain) = product.addingReportingOverflow(UInt64(digit - 0x30))
      if isTooBig || isTooBigAgain { return nil }
      number = sum
    }
    return number
  }

  /// A number with an optional unit; the result fits PostgreSQL's `bigint`.
  static func scaled(_ text: String, units: [(suffix: String, factor: UInt64)]) -> UInt64? {
    for (suffix, factor) in units where text.hasSuffix(suffix) {
      guard let number = wholeNumber(String(text.dropLast(suffix.count))) else { continue }
      let (product, isTooBig) = number.multipliedReportingOverflow(by: factor)
      return isTooBig || product > UInt64(Int64.max) ? nil : product
    }
    return nil
  }

  static func parseBlockNumber(_ text: String) -> UInt64? {
    scaled(text, units: [("k", 1_000), ("M", 1_000_000), ("", 1)])
  }

  static let durationMaxSeconds: UInt64 = 7 * 86_400

  static func parseDuration(_ text: String) -> Duration? {
    let units: [(suffix: String, factor: UInt64)] = [
      ("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000),
    ]
    guard let milliseconds = scaled(text, units: units), milliseconds > 0,
      milliseconds <= durationMaxSeconds * 1_000
    else { return nil }
    return .milliseconds(Int64(milliseconds))
  }
}
