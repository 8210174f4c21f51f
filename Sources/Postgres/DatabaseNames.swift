/// Making and dropping whole databases and schemas, for the tests' temporary ones.
///
/// Names cannot be bound, so only names that need no quoting are taken: a-z, 0-9 and _, at most
/// 63, not a digit first. Others throw kind `encoding`.
extension Connection {
  /// Creates a database as a copy of another, to which nobody may be connected.
  public func createDatabase(
    _ name: String, copyOf template: String = "template0"
  ) throws(PostgresError) {
    try runScript("create database \(checked(name)) template \(checked(template))")
  }

  /// Gives a database to which nobody is connected another name.
  public func renameDatabase(_ name: String, to newName: String) throws(PostgresError) {
    try runScript("alter database \(checked(name)) rename to \(checked(newName))")
  }

  /// Drops a database and ends the sessions in it; nothing happens when there is none.
  public func dropDatabase(_ name: String) throws(PostgresError) {
    try runScript("drop database if exists \(checked(name)) with (force)")
  }

  /// Whether there is a database of this name.
  public func hasDatabase(_ name: String) throws(PostgresError) -> Bool {
    !Rows(try run("select 1 from pg_database where datname = \(name)")).isEmpty
  }

  /// Creates an empty schema.
  public func createSchema(_ name: String) throws(PostgresError) {
    try runScript("create schema \(checked(name))")
  }

  /// Drops a schema with all that is in it; nothing happens when there is none.
  public func dropSchema(_ name: String) throws(PostgresError) {
    try runScript("drop schema if exists \(checked(name)) cascade")
  }

  private func checked(_ name: String) throws(PostgresError) -> String {
    let isPlain = name.utf8.allSatisfy { byte in
      (0x61...0x7a).contains(byte) || (0x30...0x39).contains(byte) || byte == 0x5f
    }
    let startsWell = name.utf8.first.map { !(0x30...0x39).contains($0) } ?? false
    guard isPlain, startsWell, name.utf8.count <= 63 else {
      throw PostgresError(.encoding, "A name has only a-z, 0-9 and _, and at most 63 of them.")
    }
    return name
  }
}

extension ConnectionInfo {
  /// The same database, with a schema whose tables are meant when no schema is named.
  public func searching(schema name: String) -> ConnectionInfo {
    var other = self
    other.parameters["options"] = "-c search_path=\(name)"
    return other
  }
}
