import Ethereum
import Quantities

/// The markets and positions that a deployment is said to have at a block in mid-chain.
public struct PositionList: Sendable, Equatable {
  /// Each once, in the order of the list.
  public private(set) var markets: [Bytes32] = []
  /// The index of each position's market; as long as `users`.
  public private(set) var marketOf: [Int32] = []
  public private(set) var users: [Address] = []

  /// Reads lines `market_id,user`, or `market_id` or `market_id,` for a market alone. A heading
  /// `market_id,user`, empty lines and lines that begin with `#` are passed over; what is said
  /// twice counts once.
  public init(csv bytes: some Collection<UInt8>) throws(PositionListError) {
    var reader = PositionListReader()
    var number = 0
    for line in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
      number += 1
      reader.read(line, number: number)
    }
    guard reader.badLines.isEmpty else {
      throw .badLines(reader.badLines, count: reader.badCount)
    }
    guard !reader.markets.isEmpty else { throw .empty }
    markets = reader.markets
    marketOf = reader.marketOf
    users = reader.users
  }
}

/// Why a list of positions cannot be read.
public enum PositionListError: Error, Equatable, CustomStringConvertible {
  /// The first bad lines, and how many there are.
  case badLines([Line], count: Int)
  case empty

  public struct Line: Equatable, Sendable {
    public let number: Int
    public let problem: String
  }

  /// Bad lines that are named.
  static let namedMax = 10

  public var description: String {
    switch self {
    case .badLines(let lines, let count):
      let named = lines.map { "line \($0.number): \($0.problem)" }.joined(separator: "; ")
      return count > lines.count ? "\(named); and \(count - lines.count) more bad lines" : named
    case .empty: return "it names no market"
    }
  }
}

/// Reads a list line by line.
private struct PositionListReader {
  var markets: [Bytes32] = []
  var marketOf: [Int32] = []
  var users: [Address] = []
  var badLines: [PositionListError.Line] = []
  var badCount = 0
  private var indexOf: [Bytes32: Int32] = [:]
  private var seen: Set<Place> = []

  private struct Place: Hashable {
    let market: Int32
    let user: Address
  }

  mutating func read(_ line: some Collection<UInt8>, number: Int) {
    let text = Self.trimmed(String(decoding: line, as: UTF8.self))
    if text.isEmpty || text.hasPrefix("#") { return }
    let fields = text.split(separator: ",", omittingEmptySubsequences: false).map(Self.trimmed)
    if markets.isEmpty, fields == ["market_id", "user"] { return }
    guard fields.count <= 2 else { return refuse(number, "more than a market and a user") }
    guard let market = Bytes32(fields[0]) else {
      return refuse(number, "the market must be 0x and 64 hex digits")
    }
    let index = index(of: market)
    guard fields.count == 2, !fields[1].isEmpty else { return }
    guard let user = Address(fields[1]) else {
      return refuse(number, "the user must be 0x and 40 hex digits with a valid checksum")
    }
    guard seen.insert(Place(market: index, user: user)).inserted else { return }
    marketOf.append(index)
    users.append(user)
  }

  private mutating func index(of market: Bytes32) -> Int32 {
    if let index = indexOf[market] { return index }
    let index = Int32(markets.count)
    indexOf[market] = index
    markets.append(market)
    return index
  }

  private mutating func refuse(_ number: Int, _ problem: String) {
    badCount += 1
    if badLines.count < PositionListError.namedMax {
      badLines.append(PositionListError.Line(number: number, problem: problem))
    }
  }

  private static func trimmed(_ text: some StringProtocol) -> String {
    let isSpace = { (character: Character) in character.isWhitespace }
    let tail = text.drop(while: isSpace).reversed().drop(while: isSpace)
    return String(tail.reversed())
  }
}

// MARK: - What the contracts say of a list

/// A whole state that was read at a block.
public struct BaseSummary: Sendable, Equatable {
  public let markets: Int
  /// Positions that are not empty.
  public let positions: Int
  /// Tokens of which the core contract holds more than the listed markets and positions account
  /// for.
  public let unaccounted: [Excess]

  /// Tokens that nobody listed has a claim on: sent by mistake, left by rounding, or of a market
  /// or a position of collateral alone that the list has not.
  public struct Excess: Sendable, Equatable {
    public let token: Address
    /// In units of the token.
    public let amount: U256

    public init(token: Address, amount: U256) {
      self.token = token
      self.amount = amount
    }
  }

  public init(markets: Int, positions: Int, unaccounted: [Excess]) {
    self.markets = markets
    self.positions = positions
    self.unaccounted = unaccounted
  }
}

/// Why a deployment cannot stand on a list of positions.
public enum BootstrapError: Error, Equatable, CustomStringConvertible {
  /// A contract did not answer a view that it must have.
  case noAnswer(view: String, market: Bytes32?)
  /// The contract has no such markets.
  case unknownMarkets([Bytes32])
  /// A market's parameters are not those that its id is the hash of.
  case wrongParameters(market: Bytes32)
  /// The positions do not add up to their market's totals.
  case incomplete([Shortfall])

  /// A total that the listed positions do not make.
  public struct Shortfall: Sendable, Equatable {
    public let market: Bytes32
    /// What is counted, such as `borrow_shares`.
    public let what: String
    public let listed: U256
    public let total: U256

    public init(market: Bytes32, what: String, listed: U256, total: U256) {
      self.market = market
      self.what = what
      self.listed = listed
      self.total = total
    }

    /// What no listed position has.
    public var missing: U256 { total.subtractingFlooredAtZero(listed) }
  }

  public var description: String {
    switch self {
    case .noAnswer(let view, let market):
      "the contract does not answer \(view)\(market.map { " of market \($0)" } ?? "")"
    case .unknownMarkets(let markets):
      "the contract has no market \(markets.prefix(5).map(\.description).joined(separator: ", "))"
        + (markets.count > 5 ? " and \(markets.count - 5) more" : "") + " at that block"
    case .wrongParameters(let market):
      "the contract's parameters of market \(market) do not make its id"
    case .incomplete(let shortfalls):
      "the list is not complete: the positions of \(Set(shortfalls.map(\.market)).count) markets "
        + "do not add up to their market's totals"
    }
  }
}
