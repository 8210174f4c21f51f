import Glibc

/// Unix seconds to ISO-8601 and back, in UTC and in the Gregorian calendar only.
public enum UTCTime {
  /// 9999-12-31T23:59:59Z: the last second that four digits of year can write.
  static let lastSecond: UInt64 = 253_402_300_799

  /// `2026-01-02T03:04:05Z`. A second past the year 9999 is written as the plain number.
  public static func format(_ seconds: UInt64) -> String {
    guard seconds <= lastSecond else { return String(seconds) }
    let date = civil(fromDays: Int(seconds / 86_400))
    let rest = Int(seconds % 86_400)
    return "\(pad(date.year, 4))-\(pad(date.month))-\(pad(date.day))T"
      + "\(pad(rest / 3_600)):\(pad(rest / 60 % 60)):\(pad(rest % 60))Z"
  }

  /// Seconds since 1970 of `2026-01-02`, `2026-01-02T03`, `…T03:04` or `…T03:04:05`, each with or
  /// without a final `Z`. Any other offset, a leap second or a day that does not exist is nil.
  public static func parse(_ text: String) -> UInt64? {
    var bytes = Array(text.utf8)
    if bytes.last == UInt8(ascii: "Z") && bytes.contains(UInt8(ascii: "T")) { bytes.removeLast() }
    let shape = Array("0000-00-00T00:00:00".utf8)
    guard [10, 13, 16, 19].contains(bytes.count) else { return nil }
    for (byte, sign) in zip(bytes, shape) {
      let isDigit = byte >= 0x30 && byte <= 0x39
      if sign == 0x30 ? !isDigit : byte != sign { return nil }
    }
    func number(_ from: Int, _ count: Int) -> Int {
      guard from + count <= bytes.count else { return 0 }
      return bytes[from..<from + count].reduce(0) { $0 * 10 + Int($1 - 0x30) }
    }
    let (year, month, day) = (number(0, 4), number(5, 2), number(8, 2))
    let (hour, minute, second) = (number(11, 2), number(14, 2), number(17, 2))
    guard year >= 1970, (1...12).contains(month), day >= 1, day <= daysIn(month, of: year),
      hour < 24, minute < 60, second < 60
    else { return nil }
    let days = days(fromYear: year, month: month, day: day)
    return UInt64(days * 86_400 + hour * 3_600 + minute * 60 + second)
  }

  /// The wall clock, in unix seconds.
  public static func now() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return UInt64(max(0, time.tv_sec))
  }

  /// The wall clock with milliseconds, for log lines.
  public static func nowWithMilliseconds() -> (seconds: UInt64, milliseconds: Int) {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return (UInt64(max(0, time.tv_sec)), Int(time.tv_nsec / 1_000_000))
  }

  /// A clock that never goes back, in nanoseconds since some moment before this process.
  public static func monotonicNanoseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(max(0, time.tv_sec)) * 1_000_000_000 + UInt64(max(0, time.tv_nsec))
  }

  static func pad(_ number: Int, _ width: Int = 2) -> String {
    let text = String(number)
    return String(repeating: "0", count: max(0, width - text.count)) + text
  }

  // MARK: - Calendar

  // Days are counted in eras of 400 years that begin on 1 March, so that the leap day is the last
  // of its year and month lengths follow one formula.
  private static let daysInEra = 146_097
  private static let daysBeforeEpoch = 719_468

  private static func civil(fromDays days: Int) -> (year: Int, month: Int, day: Int) {
    let shifted = days + daysBeforeEpoch
    let era = shifted / daysInEra
    let dayOfEra = shifted % daysInEra
    let leaps = dayOfEra / 1_460 - dayOfEra / 36_524 + dayOfEra / 146_096
    let yearOfEra = (dayOfEra - leaps) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let monthFromMarch = (5 * dayOfYear + 2) / 153
    let day = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
    let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
    return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day)
  }

  private static func days(fromYear year: Int, month: Int, day: Int) -> Int {
    let year = month <= 2 ? year - 1 : year
    let (era, yearOfEra) = (year / 400, year % 400)
    let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
    let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
    return era * daysInEra + dayOfEra - daysBeforeEpoch
  }

  private static func daysIn(_ month: Int, of year: Int) -> Int {
    let isLeap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0
    return [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1]
  }
}
