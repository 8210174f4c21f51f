/// Prints what the program's hot paths cost on this machine, beside a reference in the same run.
@main
struct Bench {
  static let suites: [(name: String, run: @Sendable () -> Void)] = [
    ("quantities", QuantitiesBench.run),
    ("health", HealthBench.run),
    ("scanner", ScannerBench.run),
  ]

  static func main() {
    let wanted = CommandLine.arguments.dropFirst()
    let names = suites.map(\.name)
    guard !wanted.isEmpty, wanted.allSatisfy(names.contains) else {
      print("usage: bench \(names.joined(separator: "|")) ...")
      return
    }
    for suite in suites where wanted.contains(suite.name) { suite.run() }
  }
}
