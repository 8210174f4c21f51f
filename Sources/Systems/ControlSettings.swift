import Ethereum
import Quantities

/// The risk controls of a deployment, by configuration. As they are made here nothing is held back.
public struct ControlSettings: Sendable, Equatable {
  /// Waiting until a position has been over its line for a while.
  public struct Delay: Sendable, Equatable {
    /// How long, by the timestamps of judged blocks.
    public var seconds: UInt64 = 0
    /// In how many judged blocks, this one included; the block counts, not the scan.
    public var confirmations: Int = 1
    /// Only in these markets; none: in all.
    public var markets: Set<Bytes32> = []

    public init() {}
  }

  /// When a candidate belongs to the Liquidation Zone, where it is shown to everybody.
  public struct Zone: Sendable, Equatable {
    /// More debt than this, in USD with 8 decimals.
    public var valueUSD: U256 = 100_000_000_000_000
    /// Over the line for longer than this, by the timestamps of judged blocks.
    public var ageSeconds: UInt64 = 3_600
    /// So many attempts that failed.
    public var failedAttempts: Int = 1

    public init() {}
  }

  public var delay = Delay()
  /// Less debt than this is left alone, in USD with 8 decimals. Unknown is above it.
  public var minimumUSD: U256 = .zero
  /// How long a candidate that was named as open is not named again; 0: it is, each time.
  public var dedupSeconds: UInt64 = 0
  /// How long a delayed liquidation waits after the line was first crossed.
  public var graceSeconds: UInt64 = 86_400
  public var zone = Zone()

  public init() {}
}

/// Who may wait by LIP-024, and where: rows that the operator keeps.
public struct GuardList: Sendable, Equatable {
  /// The raised line of each market that takes part, times 1e18.
  public var raisedLines: [Bytes32: U256] = [:]
  /// How much debt of each borrower is protected, in USD with 8 decimals.
  public var capacities: [Address: U256] = [:]

  public init() {}
}

/// Where a borrower stands in a delayed liquidation.
public enum GuardState: String, CaseIterable, Sendable {
  /// Not eligible: neither the market nor the borrower is on the list, or only one of them.
  case none
  /// Over the line, in grace.
  case protected
  /// At or over the raised line.
  case raisedLineReached = "raised_line_reached"
  /// The grace is over.
  case graceOver = "grace_over"
  /// More debt than what is left of the borrower's capacity, or debt of unknown value.
  case capacityExceeded = "capacity_exceeded"
}

/// Why a candidate belongs to the Liquidation Zone.
public struct ZoneReasons: OptionSet, Hashable, Sendable, CustomStringConvertible {
  public let rawValue: UInt8

  public init(rawValue: UInt8) { self.rawValue = rawValue }

  public static let value = ZoneReasons(rawValue: 1)
  /// Its value in USD is not known, which counts as large.
  public static let valueUnknown = ZoneReasons(rawValue: 2)
  public static let age = ZoneReasons(rawValue: 4)
  public static let failedAttempts = ZoneReasons(rawValue: 8)
  /// An operator has flagged it.
  public static let manual = ZoneReasons(rawValue: 16)

  private static let names: [(ZoneReasons, String)] = [
    (.value, "value"), (.valueUnknown, "value_unknown"), (.age, "age"),
    (.failedAttempts, "failed_attempts"), (.manual, "manual"),
  ]

  /// The reasons joined by commas; empty if there are none.
  public var description: String {
    Self.names.filter { contains($0.0) }.map(\.1).joined(separator: ",")
  }
}
