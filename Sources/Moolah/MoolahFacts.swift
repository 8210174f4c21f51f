import Ethereum
import Quantities

/// What a fact is about.
enum FactSubject: Hashable, Sendable {
  case irm(Address)
  /// A market under its rate model: another model may hold other numbers for the same id.
  case market(Bytes32, irm: Address)
  case contract(Address)

  /// The key in table `fact`: the contract's address, then the market's id.
  var bytes: [UInt8] {
    switch self {
    case .irm(let irm): irm.bytes
    case .contract(let contract): contract.bytes
    case .market(let market, let irm): irm.bytes + market.bytes
    }
  }
}

/// Facts that have no column of their own, by their name in table `fact`.
enum FactName: String, CaseIterable, Sendable {
  /// Adaptive model: highest rate of a market, WAD per second; 0: the model's default.
  case rateCap = "rate_cap"
  /// Adaptive model: lowest rate of a market, WAD per second.
  case rateFloor = "rate_floor"
  /// Adaptive model: lowest cap, WAD per second.
  case minCap = "min_cap"
  /// Fixed model: the stored rate of a market, WAD per second.
  case fixedRate = "fixed_rate"
  /// The fee of a market whose creation did not tell it, WAD.
  case fee
  /// What sort of broker a contract is: 1 lending, 2 credit.
  case brokerKind = "broker_kind"
  /// Core contract: the smallest loan that may be left, USD with 8 decimals.
  case minLoanValue = "min_loan_value"
  /// Core contract: 1 while it is paused.
  case paused
}

/// Facts by subject and name, as of one block.
///
/// What a contract did not answer is no fact: a call may fail for many reasons, so it is asked
/// again at the next block.
struct Facts: Sendable {
  struct Key: Hashable, Sendable {
    let subject: [UInt8]
    let name: String
  }

  private(set) var known: [Key: U256] = [:]
  /// Facts that were asked for and are not stored yet.
  private(set) var new: [(key: Key, value: U256)] = []

  init(_ known: [Key: U256] = [:]) {
    self.known = known
  }

  subscript(_ name: FactName, _ subject: FactSubject) -> U256? {
    known[Key(subject: subject.bytes, name: name.rawValue)]
  }

  /// Nil is no answer, and teaches nothing.
  mutating func learn(_ name: FactName, of subject: FactSubject, _ value: U256?) {
    guard let value else { return }
    let key = Key(subject: subject.bytes, name: name.rawValue)
    known[key] = value
    new.append((key, value))
  }
}
