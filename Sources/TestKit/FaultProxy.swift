import Foundation

/// `devchain/faultproxy.py`: doors to a node that spoil its answers as planned, and count it.
public final class FaultProxy: Sendable {
  /// A URL for each door.
  public let doors: [String]
  private let process: PythonProcess

  /// Doors to the first of these nodes; faults may lead to the others.
  public init(to nodes: [String], doors: Int = 1) throws {
    process = try PythonProcess(
      module: "devchain.faultproxy",
      arguments: nodes.flatMap { ["--upstream", $0] } + ["--doors", String(doors), "--plan", "-"])
    guard let ports = process.greeting["doors"] as? [Int] else {
      throw PythonError(message: "an incomplete greeting: \(process.greeting)")
    }
    self.doors = ports.map { "http://127.0.0.1:\($0)" }
  }

  /// Puts a new plan in force; counting starts anew.
  public func plan(_ faults: [PlannedFault], seed: UInt64 = 0) throws {
    try process.ask([
      "do": "plan", "seed": seed & 0x7fff_ffff, "faults": faults.map(\.json),
    ])
  }

  /// What has happened since the plan came into force.
  public func counts() throws -> FaultCounts { try FaultCounts(process.ask(["do": "counts"])) }
}

/// What a fault proxy did.
public struct FaultCounts: Sendable, Equatable {
  /// How often each fault was injected.
  public var injected: [String: Int]
  /// Requests at each door.
  public var requests: [Int]
  /// Injections that the plan still holds; faults that last for ever are not counted.
  public var left: Int

  public var total: Int { injected.values.reduce(0, +) }

  init(_ answer: [String: Any]) throws {
    guard let injected = answer["injected"] as? [String: Int],
      let requests = answer["requests"] as? [Int], let left = answer["left"] as? Int
    else { throw PythonError(message: "incomplete counts: \(answer)") }
    (self.injected, self.requests, self.left) = (injected, requests, left)
  }
}

/// One line of a fault proxy's plan: `devchain/spoilers.py` has the faults and their parameters.
public struct PlannedFault: Sendable, CustomStringConvertible {
  public enum Parameter: Sendable, ExpressibleByIntegerLiteral, ExpressibleByStringLiteral,
    ExpressibleByBooleanLiteral
  {
    case number(Int)
    case text(String)
    case flag(Bool)

    public init(integerLiteral value: Int) { self = .number(value) }
    public init(stringLiteral value: String) { self = .text(value) }
    public init(booleanLiteral value: Bool) { self = .flag(value) }

    fileprivate var json: Any {
      switch self {
      case .number(let value): value
      case .text(let value): value
      case .flag(let value): value
      }
    }
  }

  public var name: String
  /// The fault's own parameters.
  public var parameters: KeyValuePairs<String, Parameter>
  /// Hits only requests with this method.
  public var method: String?
  /// Hits only at this door.
  public var door: Int?
  /// Requests that pass before the first one that is hit.
  public var skip = 0
  /// Hits each n-th of the others.
  public var every = 1
  /// Of these, so many per cent.
  public var chance = 100
  /// At most so often; -1 is for ever.
  public var count = 1

  public init(
    _ name: String, _ parameters: KeyValuePairs<String, Parameter> = [:], method: String? = nil
  ) {
    self.name = name
    self.parameters = parameters
    self.method = method
  }

  /// The same at other times and places.
  public func with(
    count: Int? = nil, skip: Int? = nil, every: Int? = nil, chance: Int? = nil, door: Int? = nil
  ) -> PlannedFault {
    var other = self
    other.count = count ?? self.count
    other.skip = skip ?? self.skip
    other.every = every ?? self.every
    other.chance = chance ?? self.chance
    other.door = door ?? self.door
    return other
  }

  /// The name and what it was given.
  public var description: String {
    let words = parameters.map { "\($0.key)=\($0.value.json)" }
    return ([name] + words).joined(separator: " ")
  }

  fileprivate var json: [String: Any] {
    var object: [String: Any] = [
      "fault": name, "skip": skip, "every": every, "chance": chance, "count": count,
    ]
    for (key, value) in parameters { object[key] = value.json }
    object["method"] = method
    object["door"] = door
    return object
  }
}
