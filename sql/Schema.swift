import Postgres

/// The history of the schema, embedded in the binary.
///
/// The files are `migrations/vNNNN_name.sql`. A new one is listed here; a test compares this list
/// with the directory.
public enum Schema {
  /// In order, numbered from 1.
  public static let migrations: [Migration] = [
    migration(1, "shared", PackageResources.v0001_shared_sql),
    migration(2, "moolah", PackageResources.v0002_moolah_sql),
    migration(3, "roles", PackageResources.v0003_roles_sql),
    migration(4, "ledger", PackageResources.v0004_ledger_sql),
    migration(5, "write_path", PackageResources.v0005_write_path_sql),
    migration(6, "endpoints", PackageResources.v0006_endpoints_sql),
    migration(7, "audit", PackageResources.v0007_audit_sql),
    migration(8, "bootstrap", PackageResources.v0008_bootstrap_sql),
    migration(9, "foreign", PackageResources.v0009_foreign_sql),
    migration(10, "completeness", PackageResources.v0010_completeness_sql),
    migration(11, "brokers", PackageResources.v0011_brokers_sql),
    migration(12, "prices", PackageResources.v0012_prices_sql),
    migration(13, "controls", PackageResources.v0013_controls_sql),
    migration(14, "alerts", PackageResources.v0014_alerts_sql),
    migration(15, "reads", PackageResources.v0015_reads_sql),
  ]

  /// What a migration's file is called.
  public static func fileName(of migration: Migration) -> String {
    let digits = String(migration.version)
    let zeros = String(repeating: "0", count: max(0, 4 - digits.count))
    return "v\(zeros)\(digits)_\(migration.name).sql"
  }

  private static func migration(_ version: Int, _ name: String, _ text: [UInt8]) -> Migration {
    Migration(version: version, name: name, sql: String(decoding: text, as: UTF8.self))
  }
}
