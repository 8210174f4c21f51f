import Glibc

/// A moment on the monotonic clock, which wall-clock changes do not move.
public struct MonotonicInstant: Hashable, Comparable, Sendable {
  /// Nanoseconds since an arbitrary start, the same for the whole process.
  public var nanoseconds: UInt64

  /// The moment that many nanoseconds after the clock's start.
  public init(nanoseconds: UInt64) {
    self.nanoseconds = nanoseconds
  }

  /// This moment, by `CLOCK_MONOTONIC`.
  public static func now() -> MonotonicInstant {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return MonotonicInstant(
      nanoseconds: UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec))
  }

  /// The moment `duration` later; stops at the end of the clock instead of overflowing.
  public func advanced(by duration: Duration) -> MonotonicInstant {
    let (sum, overflow) = nanoseconds.addingReportingOverflow(duration.wholeNanoseconds)
    return MonotonicInstant(nanoseconds: overflow ? .max : sum)
  }

  /// How long from `earlier` to here; zero when `earlier` is later.
  public func duration(since earlier: MonotonicInstant) -> Duration {
    guard nanoseconds > earlier.nanoseconds else { return .zero }
    return .nanoseconds(Int64(clamping: nanoseconds - earlier.nanoseconds))
  }

  public static func < (left: MonotonicInstant, right: MonotonicInstant) -> Bool {
    left.nanoseconds < right.nanoseconds
  }
}

/// The moment at which a run must have ended.
public struct Deadline: Hashable, Sendable {
  /// When; the end of the clock means never.
  public var instant: MonotonicInstant

  /// A deadline at a moment.
  public init(_ instant: MonotonicInstant) {
    self.instant = instant
  }

  /// No deadline.
  public static let never = Deadline(MonotonicInstant(nanoseconds: .max))

  /// A deadline that much after `start`.
  public static func after(
    _ duration: Duration, from start: MonotonicInstant = .now()
  ) -> Deadline {
    Deadline(start.advanced(by: duration))
  }

  /// The time left at `now`; zero once reached.
  public func remaining(at now: MonotonicInstant) -> Duration {
    instant.duration(since: now)
  }

  /// Whether it is reached at `now`.
  public func isReached(at now: MonotonicInstant) -> Bool {
    now >= instant
  }
}

extension Duration {
  /// The duration in nanoseconds, rounded down; negative is 0, too long is the largest.
  public var wholeNanoseconds: UInt64 {
    let (seconds, attoseconds) = components
    guard seconds >= 0, attoseconds >= 0 else { return 0 }
    let (product, overflow) = UInt64(seconds).multipliedReportingOverflow(by: 1_000_000_000)
    let (sum, carry) = product.addingReportingOverflow(UInt64(attoseconds) / 1_000_000_000)
    return overflow || carry ? .max : sum
  }

  /// The duration in milliseconds, rounded up, so that a short positive one is not 0.
  public var wholeMilliseconds: Int {
    let nanoseconds = wholeNanoseconds
    let roundsUp = nanoseconds % 1_000_000 != 0
    return Int(clamping: nanoseconds / 1_000_000) + (roundsUp ? 1 : 0)
  }
}
