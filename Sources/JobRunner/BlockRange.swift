/// The blocks a run was asked to read, both ends included; an end that was not given is open.
public struct BlockRange: Hashable, Sendable {
  public let first: UInt64?
  public let last: UInt64?

  /// Nil when the range is upside down.
  public init?(first: UInt64?, last: UInt64?) {
    if let first, let last, first > last { return nil }
    self.first = first
    self.last = last
  }

  /// No end given: from where the cursor stands to the head.
  public static let open = BlockRange()

  private init() {
    first = nil
    last = nil
  }

  /// True when neither end was given.
  public var isOpen: Bool { first == nil && last == nil }
}
