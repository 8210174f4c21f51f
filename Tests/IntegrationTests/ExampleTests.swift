import Foundation
import Testing

/// The configurations of `examples/`, as a user would copy them.
@Suite struct ExampleTests {
  private static let directory = URL(filePath: #filePath).deletingLastPathComponent()
    .appending(path: "../../examples").standardizedFileURL

  static let names: [String] = {
    let files = try? FileManager.default.contentsOfDirectory(atPath: directory.path)
    return (files ?? []).filter { $0.hasSuffix(".json") }.sorted()
  }()

  private static let urls = [
    "PLIMSOLL_DATABASE_URL": "postgresql://reader@db/plimsoll",
    "BSC_RPC_URL": "https://one.invalid",
    "BSC_BACKUP_RPC_URL": "https://two.invalid", "ETHEREUM_RPC_URL": "https://three.invalid",
    "ETHEREUM_BACKUP_RPC_URL": "https://four.invalid",
  ]

  private func check(_ name: String, _ environment: [String: String]) throws -> Program.Result {
    let running = Running(
      binary: Program.binary,
      arguments: ["config", "check", "--config", Self.directory.appending(path: name).path],
      directory: FileManager.default.temporaryDirectory, environment: environment)
    try running.launch()
    return running.wait()
  }

  @Test func thereIsOneForEachDeployedContract() {
    #expect(Self.names == ["bsc.json", "ethereum.json", "morpho-blue-ethereum.json"])
  }

  @Test(arguments: names)
  func anExampleIsValidOnceItsVariablesAreSet(_ name: String) throws {
    let valid = try check(name, Self.urls)
    #expect(valid.exit == 0, "\(valid.errors)")
    #expect(valid.output.contains("chains 1, deployments 1"))
    // It has no URL of its own: without the variables nothing can run.
    let bare = try check(name, [:])
    #expect(bare.exit == 78, "\(bare.output)")
    #expect(bare.errors.contains("is not set"))
  }
}
