import Glibc

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
      times.append(elapsed.nanoseconds / Double(operations))
    }
    line(name, times)
  }

  /// Takes the time of operations that each read `bytes` bytes, in turn, so that a slow moment of
  /// the machine hits all, and prints gigabytes a second, of the clock on the wall and of CPU time;
  /// a gigabyte is 10^9 bytes.
  static func compareThroughput(
    bytes: Int, _ operations: [(name: String, body: () -> UInt64)]
  ) {
    for operation in operations { keep(operation.body()) }
    var wall = operations.map { _ in [Double]() }
    var computing = wall
    for _ in 0..<rounds {
      for (index, operation) in operations.enumerated() {
        let start = (ContinuousClock.now, cpuNanoseconds)
        let checksum = operation.body()
        let elapsed = (ContinuousClock.now - start.0, cpuNanoseconds - start.1)
        keep(checksum)
        wall[index].append(Double(bytes) / elapsed.0.nanoseconds)
        computing[index].append(Double(bytes) / elapsed.1)
      }
    }
    for (index, operation) in operations.enumerated() {
      line(operation.name, wall[index])
      line("  of CPU time", computing[index])
    }
  }

  /// What this process has computed so far.
  private static var cpuNanoseconds: Double {
    var time = timespec()
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return Double(time.tv_sec) * 1e9 + Double(time.tv_nsec)
  }

  static func header(_ title: String, unit: String = "ns per operation") {
    print("\n\(title), \(unit) over \(rounds) rounds")
    print(column("", 52), "       min    median       max")
  }

  /// Minimum, median and maximum.
  private static func line(_ name: String, _ values: [Double]) {
    let sorted = values.sorted()
    print(
      column(name, 52), column(sorted[0]), column(sorted[rounds / 2]), column(sorted[rounds - 1]))
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

extension Duration {
  fileprivate var nanoseconds: Double {
    Double(components.seconds) * 1e9 + Double(components.attoseconds) / 1e9
  }
}
