/// Says how far a run is: on a terminal one line that changes, elsewhere a log line every ten
/// seconds.
public final class Progress {
  private let console: Console
  private let log: Logger
  private let now: () -> UInt64
  private let isLive: Bool

  private var label = ""
  private var unit = ""
  private var total: UInt64?
  private var done: UInt64 = 0
  private var startedAt: UInt64 = 0
  private var shownAt: UInt64?

  static let liveIntervalNanoseconds: UInt64 = 100_000_000
  static let lineIntervalNanoseconds: UInt64 = 10_000_000_000

  /// Live means on a terminal; `now` never goes back and counts nanoseconds.
  init(
    console: Console, log: Logger, isLive: Bool,
    now: @escaping () -> UInt64 = UTCTime.monotonicNanoseconds
  ) {
    self.console = console
    self.log = log
    self.isLive = isLive
    self.now = now
  }

  /// Begins a stretch of work of so many units; nil when nobody knows how many.
  public func start(_ label: String, of total: UInt64?, unit: String) {
    (self.label, self.total, self.unit) = (label, total, unit)
    done = 0
    startedAt = now()
    shownAt = isLive ? nil : startedAt
  }

  /// Says that `done` units of the total are done by now.
  public func reach(_ done: UInt64) {
    self.done = max(self.done, done)
    let time = now()
    let interval = isLive ? Self.liveIntervalNanoseconds : Self.lineIntervalNanoseconds
    if let shownAt, time - min(shownAt, time) < interval { return }
    shownAt = time
    show(at: time)
  }

  /// Adds to what is done.
  public func advance(by amount: UInt64 = 1) { reach(done &+ amount) }

  /// Ends the stretch and takes the changing line away.
  public func finish() { console.clearStatus() }

  private func show(at time: UInt64) {
    let milliseconds = (time - min(startedAt, time)) / 1_000_000
    let rate = Self.rate(done: done, milliseconds: milliseconds)
    let left = Self.secondsLeft(done: done, total: total, milliseconds: milliseconds)
    if isLive {
      console.status(Self.line(label, done: done, total: total, unit, rate: rate, left: left))
    } else {
      log.info(
        "progress",
        [
          "what": label, "done": done, "total": total.map(String.init) ?? "unknown",
          "unit": unit, "per_second": rate, "seconds_left": left.map(String.init) ?? "unknown",
        ])
    }
  }

  // MARK: - Figures

  static func rate(done: UInt64, milliseconds: UInt64) -> UInt64 {
    guard milliseconds > 0 else { return 0 }
    let product = done.multipliedFullWidth(by: 1_000)
    guard product.high < milliseconds else { return .max }
    return milliseconds.dividingFullWidth(product).quotient
  }

  /// Nil until there is a rate to reckon with.
  static func secondsLeft(done: UInt64, total: UInt64?, milliseconds: UInt64) -> UInt64? {
    guard let total, done > 0, milliseconds >= 1_000 else { return nil }
    let rest = total - min(done, total)
    let product = rest.multipliedFullWidth(by: milliseconds)
    guard product.high < done else { return nil }
    return done.dividingFullWidth(product).quotient / 1_000
  }

  static func line(
    _ label: String, done: UInt64, total: UInt64?, _ unit: String, rate: UInt64, left: UInt64?
  ) -> String {
    var line = "\(label) \(grouped(done))"
    if let total {
      line += "/\(grouped(total))"
      if total > 0 { line += " \(min(done, total).percent(of: total)) %" }
    }
    line += " \(unit), \(grouped(rate))/s"
    if let left { line += ", \(left / 60)m\(UTCTime.pad(Int(left % 60)))s left" }
    return line
  }

  /// Digits in groups of three.
  static func grouped(_ number: UInt64) -> String {
    var text = ""
    for (index, digit) in String(number).reversed().enumerated() {
      if index > 0 && index % 3 == 0 { text.append(" ") }
      text.append(digit)
    }
    return String(text.reversed())
  }
}

extension UInt64 {
  fileprivate func percent(of total: UInt64) -> UInt64 {
    total >= 100 ? self / (total / 100) > 100 ? 100 : self / (total / 100) : self * 100 / total
  }
}
