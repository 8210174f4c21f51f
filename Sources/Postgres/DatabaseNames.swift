/// Making and dropping whole databases, for the tests' temporary ones.
///
/// Names of databases cannot be bound, so only names that need no quoting are taken.
extension Connection {
  /// Creates a database as a copy of another, to which nobody may be connected.
  public func createDatabase(
    _ name: String, copyOf template: String = "template1"
  ) throws(PostgresError) {
    try runScript("create database \(checked(name)) template \(checked(template))")
  }

  /// Drops a database and ends the sessions in it; nothing happens when there is none.
  public func dropDatabase(_ name: String) throws(PostgresError) {
    try runScript("drop database if exists \(checked(name)) with (force)")
  }

  /// Whether there is a database of this name.
  public func hasDatabase(_ name: String) throws(PostgresError) -> Bool {
    !Rows(try run("select 1 from pg_database where datname = \(name)")).isEmpty
  }

  private func checked(_ name: String) throws(PostgresError) -> String {
    let isPlain = name.utf8.allSatisfy { byte in
      (0x61...0x7a).contains(byte) || (0x30...0x39).contains(byte) || byte == 0x5f
    }
    let startsWell = name.utf8.first.map { !(0x30...0x39).contains($0) } ?? false
    guard isPlain, startsWell, name.utf8.count <= 63 else {
      throw PostgresError(.encoding, "A database's name has only a-z, 0-9 and _, at most 63.")
    }
    return name
  }
}
