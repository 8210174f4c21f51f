// swift-tools-version: 6.2
import PackageDescription

let strict: [SwiftSetting] = [
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .treatAllWarnings(as: .error),
]

/// Targets import only lower levels; `make check` builds with the dependency-import check, so an
/// arrow that is not written here does not compile. `docs/architecture.md` shows the same graph.
let package = Package(
  name: "plimsoll",
  products: [
    // For Benchmarks, a package of its own.
    .library(name: "Quantities", targets: ["Quantities"]),
    .library(name: "RiskCore", targets: ["RiskCore"]),
    .library(name: "Moolah", targets: ["Moolah"]),
    .library(name: "Chain", targets: ["Chain"]),
  ],
  targets: [
    // C libraries.
    .systemLibrary(name: "CLibPQ", pkgConfig: "libpq", providers: [.apt(["libpq-dev"])]),
    .systemLibrary(
      name: "CSecp256k1", pkgConfig: "libsecp256k1", providers: [.apt(["libsecp256k1-dev"])]),
    .target(name: "CCurl"),  // libcurl itself is loaded at run time

    // 0-1: pure.
    .target(name: "Quantities", swiftSettings: strict),
    .target(name: "RiskCore", dependencies: ["Quantities"], swiftSettings: strict),
    .target(name: "Ethereum", dependencies: ["Quantities", "CSecp256k1"], swiftSettings: strict),

    // 2: doors to the network and the database.
    .target(name: "HTTP", dependencies: ["CCurl"], swiftSettings: strict),
    .target(
      name: "Postgres", dependencies: ["CLibPQ", "Quantities", "Ethereum"], swiftSettings: strict),
    .target(
      name: "Schema", dependencies: ["Postgres"], path: "sql",
      resources: [.embedInCode("migrations")], swiftSettings: strict),

    // 3: the chain, the shared tables, and what a system promises to the jobs.
    .target(
      name: "Chain", dependencies: ["HTTP", "Ethereum", "Quantities"], swiftSettings: strict),
    .target(
      name: "Store", dependencies: ["Postgres", "Schema", "Ethereum", "Quantities"],
      swiftSettings: strict),
    .target(
      name: "Systems", dependencies: ["RiskCore", "Ethereum", "Postgres", "Quantities"],
      swiftSettings: strict),

    // 4-5: from blocks to rows, the runner, the systems, the jobs.
    .target(
      name: "Ingest", dependencies: ["Systems", "Chain", "Store", "Postgres", "Ethereum"],
      swiftSettings: strict),
    .target(
      name: "JobRunner",
      dependencies: [
        "Systems", "Chain", "Store", "Postgres", "HTTP", "RiskCore", "Ethereum", "Quantities",
      ],
      swiftSettings: strict),
    .target(
      name: "Moolah",
      dependencies: ["Systems", "RiskCore", "Ethereum", "Postgres", "Quantities"],
      swiftSettings: strict),
    .target(
      name: "Jobs",
      dependencies: [
        "JobRunner", "Ingest", "Systems", "Chain", "Store", "Postgres", "RiskCore", "Ethereum",
        "Quantities",
      ],
      path: "jobs", swiftSettings: strict),

    // 6: the composition root.
    .executableTarget(
      name: "plimsoll",
      dependencies: [
        "Jobs", "JobRunner", "Ingest", "Moolah", "Systems", "Store", "HTTP", "Schema",
      ],
      swiftSettings: strict),

    // Tests.
    .target(
      name: "TestKit",
      dependencies: ["Postgres", "Schema", "HTTP", "Ethereum", "Quantities"],
      swiftSettings: strict),
    .testTarget(
      name: "QuantitiesTests", dependencies: ["Quantities", "TestKit"], swiftSettings: strict),
    .testTarget(
      name: "RiskCoreTests", dependencies: ["RiskCore", "Quantities", "TestKit"],
      swiftSettings: strict),
    .testTarget(
      name: "EthereumTests", dependencies: ["Ethereum", "Quantities", "TestKit"],
      swiftSettings: strict),
    .testTarget(name: "HTTPTests", dependencies: ["HTTP", "TestKit"], swiftSettings: strict),
    .testTarget(
      name: "ChainTests", dependencies: ["Chain", "HTTP", "Ethereum", "Quantities", "TestKit"],
      swiftSettings: strict),
    .testTarget(
      name: "PostgresTests",
      dependencies: ["Postgres", "Schema", "Ethereum", "Quantities", "TestKit"],
      swiftSettings: strict),
    .testTarget(
      name: "StoreTests",
      dependencies: ["Store", "Postgres", "Ethereum", "Quantities", "TestKit"],
      swiftSettings: strict),
    .testTarget(
      name: "MoolahTests",
      dependencies: [
        "Moolah", "Systems", "RiskCore", "Ethereum", "Quantities", "Postgres", "TestKit",
      ],
      swiftSettings: strict),
    .testTarget(
      name: "JobRunnerTests",
      dependencies: [
        "JobRunner", "Moolah", "Systems", "Chain", "Store", "Schema", "Postgres", "HTTP",
        "Ethereum",
        "TestKit",
      ],
      swiftSettings: strict),
    .testTarget(
      name: "IntegrationTests",
      dependencies: [
        "Jobs", "JobRunner", "Ingest", "Moolah", "Systems", "Chain", "Store", "Schema", "Postgres",
        "HTTP", "Ethereum", "Quantities", "TestKit",
      ],
      swiftSettings: strict),
    .testTarget(name: "TidyTests", dependencies: [], swiftSettings: strict),
  ],
  swiftLanguageModes: [.v6]
)
