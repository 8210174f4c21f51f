/// Repeated timings of one operation.
struct Measurement {
  static let rounds = 21

  /// Times `operations` runs of the operation in each call of `body`, after one call to warm up,
  /// and prints nanoseconds per operation.
  static func report(_ name: String, operations: Int, _ body: () -> UInt64) {
    keep(body())
    var times: [Double] = []
    for _ in 0..<rounds {
      let start = ContinuousClock.now
      let checksum = body()
      let elapsed = ContinuousClock.now - start
      keep(checksum)
      let nanoseconds =
        Double(elapsed.components.seconds) * 1e9 + Double(elapsed.components.attoseconds) / 1e9
      times.append(nanoseconds / Double(operations))
    }
    times.sort()
    print(
      column(name, 52), column(times[0]), column(times[rounds / 2]), column(times[rounds - 1]))
  }

  static func header(_ title: String) {
    print("\n\(title), ns per operation over \(rounds) rounds")
    print(column("", 52), "       min    median       max")
  }

  private static func column(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(0, width - text.count))
  }

  private static func column(_ value: Double) -> String {
    let hundredths = Int((value * 100).rounded())
    let cents = hundredths % 100
    let text = "\(hundredths / 100).\(cents < 10 ? "0" : "")\(cents)"
    return String(repeating: " ", count: max(0, 9 - text.count)) + text
  }

  /// Makes the optimizer believe that the value is used.
  @inline(never)
  @_optimize(none)
  private static func keep(_ value: UInt64) {}
}
