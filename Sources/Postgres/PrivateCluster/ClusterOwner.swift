import Glibc

/// The unprivileged user that the server runs as.
///
/// PostgreSQL refuses to run as root. When we are root it is the owner of the existing data, else
/// the user `postgres`, else `nobody`; otherwise it is ourselves.
struct ClusterOwner: Equatable {
  let user: uid_t
  let group: gid_t

  /// Ourselves.
  static var current: ClusterOwner { ClusterOwner(user: geteuid(), group: getegid()) }

  /// The words before a command that make it run as this user; none when we are it.
  var prefix: [String] {
    guard geteuid() == 0, user != 0 else { return [] }
    return [
      "/usr/bin/setpriv", "--reuid=\(user)", "--regid=\(group)", "--clear-groups", "--",
    ]
  }

  /// The user for a cluster in `directory`, which may be empty.
  static func forCluster(in directory: String) throws(ClusterError) -> ClusterOwner {
    guard geteuid() == 0 else { return .current }
    if let data = FileSystem.attributes(directory + "/data"), data.owner.user != 0 {
      return data.owner
    }
    for name in ["postgres", "nobody"] {
      if let owner = named(name), owner.user != 0 { return owner }
    }
    throw ClusterError(
      .directory, "Root cannot run a private server, and there is no user postgres or nobody.")
  }

  private static func named(_ name: String) -> ClusterOwner? {
    var entry = passwd()
    var found: UnsafeMutablePointer<passwd>?
    return withUnsafeTemporaryAllocation(of: CChar.self, capacity: 16_384) { buffer in
      guard let memory = buffer.baseAddress,
        getpwnam_r(name, &entry, memory, buffer.count, &found) == 0, found != nil
      else { return nil }
      return ClusterOwner(user: entry.pw_uid, group: entry.pw_gid)
    }
  }
}
