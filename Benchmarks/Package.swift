// swift-tools-version: 6.2
import PackageDescription

/// Measures the program's hot paths; kept apart so that building the program never builds it.
///
///     cd Benchmarks && swift run -c release bench quantities
let package = Package(
  name: "benchmarks",
  products: [.executable(name: "bench", targets: ["bench"])],
  dependencies: [.package(name: "plimsoll", path: "..")],
  targets: [
    .executableTarget(
      name: "bench",
      dependencies: [
        .product(name: "Quantities", package: "plimsoll"),
        .product(name: "RiskCore", package: "plimsoll"),
        .product(name: "Moolah", package: "plimsoll"),
        .product(name: "Chain", package: "plimsoll"),
      ],
      path: "Sources/Bench",
      swiftSettings: [
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("MemberImportVisibility"),
        .treatAllWarnings(as: .error),
      ])
  ],
  swiftLanguageModes: [.v6]
)
