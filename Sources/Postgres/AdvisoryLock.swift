/// The name of an advisory lock: a number that says what kind of thing is locked, and the hash of
/// a text that says which.
///
/// Two texts may share a hash, once in about 4 billion pairs; they then merely exclude each other.
public struct AdvisoryKey: Hashable, Sendable {
  /// Shown as `classid` in `pg_locks`.
  public let namespace: Int32
  /// Shown as `objid` in `pg_locks`.
  public let hash: Int32

  /// Hashes with 32-bit FNV-1a, the same in every process and version.
  public init(namespace: Int32, hashOf text: String) {
    self.namespace = namespace
    var hash: UInt32 = 2_166_136_261
    for byte in text.utf8 { hash = (hash ^ UInt32(byte)) &* 16_777_619 }
    self.hash = Int32(bitPattern: hash)
  }

  /// The statement that tries to take it for the session: one row with whether it is ours now.
  public var trying: SQL { "select pg_try_advisory_lock(\(namespace), \(hash))" }
}

extension Connection {
  /// Takes a lock that ends with the session, or gives false at once when another session holds
  /// it. Taking it twice needs unlocking twice.
  public func tryAdvisoryLock(_ key: AdvisoryKey) throws(PostgresError) -> Bool {
    let rows = Rows(try run(key.trying))
    return try rows[0].get(0, Bool.self)
  }

  /// Gives back all locks of this session.
  public func unlockAll() throws(PostgresError) {
    _ = try control("select pg_advisory_unlock_all()")
  }

  /// Gives a lock back. Gives false when this session does not hold it.
  @discardableResult
  public func unlock(_ key: AdvisoryKey) throws(PostgresError) -> Bool {
    let rows = Rows(try run("select pg_advisory_unlock(\(key.namespace), \(key.hash))"))
    return try rows[0].get(0, Bool.self)
  }
}
