/// A moment, as `timestamptz` stores it: whole microseconds, UTC.
///
/// For the times of runs and rows. Blocks carry their own seconds as `UInt64`.
public struct Timestamp: Hashable, Sendable {
  public var microsecondsSince1970: Int64

  public init(microsecondsSince1970: Int64) {
    self.microsecondsSince1970 = microsecondsSince1970
  }

  /// The server counts from the first day of 2000.
  private static let serverEpoch: Int64 = 946_684_800_000_000
}

extension Timestamp: Comparable {
  public static func < (left: Timestamp, right: Timestamp) -> Bool {
    left.microsecondsSince1970 < right.microsecondsSince1970
  }
}

extension Timestamp: Bindable, BindableElement {
  public static var postgresType: PostgresType { .timestamptz }

  public func encode(into wire: inout WireBuffer) throws(PostgresError) {
    let (value, overflow) = microsecondsSince1970.subtractingReportingOverflow(Self.serverEpoch)
    if overflow { throw PostgresError(.encoding, "A moment is out of timestamptz's range.") }
    wire.append(value)
  }
}

extension Timestamp: Readable, ReadableElement {
  public static func read(_ value: WireValue) throws(PostgresError) -> Timestamp {
    let bytes = try value.bytes(of: .timestamptz)
    guard bytes.count == 8 else { throw PostgresError(.decoding, "is malformed") }
    let stored = bytes.bigEndian(as: Int64.self)
    let (moment, overflow) = stored.addingReportingOverflow(serverEpoch)
    if overflow || stored == .min { throw PostgresError(.decoding, "is infinite") }
    return Timestamp(microsecondsSince1970: moment)
  }
}
