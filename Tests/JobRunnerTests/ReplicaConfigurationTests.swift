import Foundation
import Testing

@testable import JobRunner

/// Where a standby is, and how far it may be behind.
@Suite struct ReplicaConfigurationTests {
  private func load(_ keys: String) throws -> Configuration {
    let directory = try ScratchDirectory()
    var flags = Configuration.Flags()
    flags.config = try directory.write("plimsoll.json", "{ \(keys) }")
    return try Configuration.load(flags: flags, environment: [:], systems: ["moolah"])
  }

  private func refusal(_ keys: String) -> String? {
    do {
      _ = try load(keys)
      return nil
    } catch {
      return "\(error)"
    }
  }

  @Test func readsWhereAStandbyIsWithoutItsURL() throws {
    let configuration = try load(
      #""read_url": { "url_env": "STANDBY_URL" }, "max_replica_lag": 7"#)
    #expect(configuration.readURL == .url(.environment("STANDBY_URL")))
    #expect(configuration.maxReplicaLag == 7)
    let shown = configuration.settings.first { $0.field == "read_url" }
    #expect(shown?.value == "environment STANDBY_URL")
  }

  @Test func withoutOneThePrimaryIsRead() throws {
    let configuration = try load("")
    #expect(configuration.readURL == nil)
    #expect(configuration.maxReplicaLag == nil)
  }

  @Test(arguments: [
    (#""read_url": "private""#, "read_url"),
    (#""read_url": "postgresql://me:secret@host/db""#, "carries a password"),
    (#""read_url": { "url": "postgresql:///x" }"#, "url_env or url_file"),
    (#""read_url": 7"#, "read_url"),
    (#""max_replica_lag": -1"#, "max_replica_lag"),
  ])
  func whatCannotBeOneIsRefusedWithoutBeingShown(_ keys: String, _ says: String) throws {
    let line = try #require(refusal(keys))
    #expect(line.contains(says), "\(line)")
    #expect(!line.contains("secret"))
  }
}
