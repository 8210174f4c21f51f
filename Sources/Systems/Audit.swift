import Ethereum
import Quantities

/// What the tables say that one contract can be asked: a call, and what its answer should hold.
///
/// A system makes claims of its rows; who audits asks and compares, and needs to know nothing of
/// the system.
public struct Claim: Sendable {
  public let subject: AuditSubject
  public let call: Call
  public let fields: [ClaimedField]
  /// A call that only a contract of another kind answers. If it does and `call` does not, the
  /// contract keeps nothing of that sort.
  public let otherwise: Call?
  /// The markets whose events make these values; nil: those of every market.
  public let markets: Set<Bytes32>?
  /// One of the markets stands still, so that a difference is to be expected.
  public let isSetAside: Bool

  public init(
    _ subject: AuditSubject, call: Call, otherwise: Call? = nil, fields: [ClaimedField],
    markets: Set<Bytes32>?, isSetAside: Bool = false
  ) {
    self.subject = subject
    self.call = call
    self.otherwise = otherwise
    self.fields = fields
    self.markets = markets
    self.isSetAside = isSetAside
  }
}

/// What a claim is about.
public struct AuditSubject: Hashable, Sendable {
  public enum Kind: String, Sendable, CaseIterable {
    case core, market, position, token
    case rateModel = "rate_model"
  }

  public let kind: Kind
  /// Who is asked.
  public let contract: Address
  public let market: Bytes32?
  public let user: Address?

  public init(_ kind: Kind, _ contract: Address, market: Bytes32? = nil, user: Address? = nil) {
    self.kind = kind
    self.contract = contract
    self.market = market
    self.user = user
  }
}

/// One value of the tables, and where it stands in the answer.
public struct ClaimedField: Sendable {
  /// How a word of an answer is written.
  public enum Form: Sendable { case number, address }

  /// How the table's value should stand to the contract's.
  public enum Relation: String, Sendable {
    case equal
    case atMost = "at_most"
  }

  public let name: String
  /// Index of the word in the answer.
  public let word: Int
  public let form: Form
  public let relation: Relation
  /// Decimal digits or an address; nil: nothing is stored, which is zero to a contract.
  public let value: String?

  public init(
    _ name: String, word: Int, _ value: String?, as form: Form = .number,
    _ relation: Relation = .equal
  ) {
    self.name = name
    self.word = word
    self.value = value
    self.form = form
    self.relation = relation
  }
}

/// Claims in order: a few that stand in memory, and many that are made when they are asked for.
public struct Claims: RandomAccessCollection, Sendable {
  private let few: [Claim]
  private let manyCount: Int
  private let many: @Sendable (Int) -> Claim

  /// `many` makes the claim of each index below `manyCount`.
  public init(_ few: [Claim], manyCount: Int = 0, many: @escaping @Sendable (Int) -> Claim) {
    self.few = few
    self.manyCount = manyCount
    self.many = many
  }

  public var startIndex: Int { 0 }
  public var endIndex: Int { few.count + manyCount }

  public subscript(position: Int) -> Claim {
    position < few.count ? few[position] : many(position - few.count)
  }
}

/// How much of a mirror is held against the contracts.
public struct AuditScope: Sendable {
  /// If not empty, only these markets; what does not belong to one market is always asked.
  public var markets: Set<Bytes32> = []
  /// Only positions of this user, and then in every market, whether there is a row or not.
  public var user: Address?
  /// Positions drawn at random, beside the largest debts and the latest changes; nil: every one.
  public var sample: Int?
  /// The same seed draws the same positions from the same tables; nil: the block's hash.
  public var seed: Bytes32?
  /// Subjects that were found different before, to be asked again even if their row is gone.
  public var again: Set<AuditSubject> = []

  public init(sample: Int?, seed: Bytes32? = nil) {
    self.sample = sample
    self.seed = seed
  }

  public func admits(_ market: Bytes32) -> Bool { markets.isEmpty || markets.contains(market) }

  /// Whether a claim about the subject belongs here.
  public func admits(_ subject: AuditSubject) -> Bool {
    (subject.market.map(admits) ?? true)
      && (subject.user == nil || user == nil || subject.user == user)
  }
}

// MARK: - What was found

/// A field that the tables and the contract tell differently.
public struct Divergence: Hashable, Sendable {
  public let subject: AuditSubject
  public let field: String
  public let relation: ClaimedField.Relation
  /// The contract's value; nil: the contract keeps none.
  public let expected: String?
  /// The table's value; nil: none is stored.
  public let actual: String?
  /// The markets to derive again; nil: every one.
  public let markets: Set<Bytes32>?
  public let isSetAside: Bool

  public init(
    _ subject: AuditSubject, field: String, relation: ClaimedField.Relation = .equal,
    expected: String?, actual: String?, markets: Set<Bytes32>?, isSetAside: Bool = false
  ) {
    self.subject = subject
    self.field = field
    self.relation = relation
    self.expected = expected
    self.actual = actual
    self.markets = markets
    self.isSetAside = isSetAside
  }
}

/// A claim that no contract has answered: neither true nor false.
public struct UnansweredClaim: Hashable, Sendable {
  public enum Reason: String, Sendable {
    /// The call reverted.
    case reverted
    /// The answer has not the words that were asked for.
    case malformed
  }

  public let subject: AuditSubject
  public let reason: Reason

  public init(_ subject: AuditSubject, _ reason: Reason) {
    self.subject = subject
    self.reason = reason
  }
}

extension Claim {
  /// What came of a claim.
  public enum Outcome: Sendable, Equatable {
    /// Every field was compared; none of these is as it should be.
    case compared([Divergence])
    case unanswered(UnansweredClaim.Reason)
  }

  /// Holds the claim against the answer to its call, and to the call `otherwise` if it has one.
  /// Pure.
  public func held(against answer: CallResult, otherwise: CallResult?) -> Outcome {
    guard answer.succeeded else {
      // A contract that has no code succeeds with nothing: that excuses nobody.
      guard let otherwise, otherwise.succeeded, otherwise.data.count >= 32 else {
        return .unanswered(.reverted)
      }
      return .compared(
        fields.filter { $0.value != nil }.map { divergence(of: $0, expected: nil) })
    }
    let words = ABIWords(answer.data)
    var divergences: [Divergence] = []
    for field in fields {
      guard let expected = field.form.text(of: words, at: field.word) else {
        return .unanswered(.malformed)
      }
      if !field.holds(against: expected) {
        divergences.append(divergence(of: field, expected: expected))
      }
    }
    return .compared(divergences)
  }

  private func divergence(of field: ClaimedField, expected: String?) -> Divergence {
    Divergence(
      subject, field: field.name, relation: field.relation, expected: expected,
      actual: field.value, markets: markets, isSetAside: isSetAside)
  }
}

extension ClaimedField.Form {
  /// Nil if there is no such word, or it is none of the form.
  fileprivate func text(of words: ABIWords, at index: Int) -> String? {
    switch self {
    case .number: try? words.word(index).description
    case .address: try? words.address(index).description
    }
  }

  fileprivate var zero: String {
    switch self {
    case .number: "0"
    case .address: Address.zero.description
    }
  }
}

extension ClaimedField {
  fileprivate func holds(against expected: String) -> Bool {
    let value = value ?? form.zero
    switch relation {
    case .equal: return value == expected
    case .atMost:
      // A sum of rows may be negative where a row is wrong; no contract owes that.
      if value.hasPrefix("-") { return false }
      guard let value = U256(decimal: value), let expected = U256(decimal: expected) else {
        return false
      }
      return value <= expected
    }
  }
}
