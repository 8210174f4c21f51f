import Glibc

/// Where PostgreSQL's own programs are.
struct ClusterBinaries {
  /// The directory that holds `initdb`, `pg_ctl` and `postgres`.
  let directory: String

  private static let debianRoot = "/usr/lib/postgresql"
  private static let oldestMajor = 15
  private static let needed = ["initdb", "pg_ctl", "postgres"]

  /// Finds the programs for existing data (its own major version), or for a new cluster the
  /// newest: first where Debian puts them, then along PATH.
  init(forDataIn data: String) throws(ClusterError) {
    let existing = FileSystem.read(data + "/PG_VERSION", limit: 16)
      .flatMap { Int($0.filter(\.isNumber)) }
    if let found = Self.inDebianRoot(major: existing) ?? Self.inPath() {
      directory = found
      return
    }
    let package = existing.map { "postgresql-\($0)" } ?? "postgresql"
    throw ClusterError(
      .binariesMissing, "PostgreSQL is not installed. As root: apt-get install \(package)")
  }

  private static func inDebianRoot(major: Int?) -> String? {
    let installed = FileSystem.list(debianRoot).compactMap { Int($0) }
    let wanted = major.map { [$0] } ?? installed.filter { $0 >= oldestMajor }.sorted(by: >)
    return wanted.map { "\(debianRoot)/\($0)/bin" }.first(where: isComplete)
  }

  private static func inPath() -> String? {
    guard let path = getenv("PATH") else { return nil }
    let directories = String(cString: path).split(separator: ":").map(String.init)
    return directories.filter { $0.hasPrefix("/") }.first(where: isComplete)
  }

  private static func isComplete(_ directory: String) -> Bool {
    needed.allSatisfy { access("\(directory)/\($0)", X_OK) == 0 }
  }
}
