import Glibc

/// The few file operations that the private cluster needs, without Foundation.
enum FileSystem {
  /// What `lstat` says about a path.
  struct Attributes {
    let owner: ClusterOwner
    let mode: mode_t
    let inode: UInt64
    let size: Int

    var isDirectory: Bool { mode & S_IFMT == S_IFDIR }
    var isPrivate: Bool { mode & 0o077 == 0 }
  }

  /// The attributes, of a symbolic link itself, or nil when there is nothing that we may see.
  static func attributes(_ path: String) -> Attributes? {
    var info = stat()
    guard lstat(path, &info) == 0 else { return nil }
    return Attributes(
      owner: ClusterOwner(user: info.st_uid, group: info.st_gid), mode: info.st_mode,
      inode: UInt64(info.st_ino), size: Int(info.st_size))
  }

  /// The names in a directory, without `.` and `..`; none when it cannot be read.
  static func list(_ path: String) -> [String] {
    guard let handle = opendir(path) else { return [] }
    defer { closedir(handle) }
    var names: [String] = []
    while let entry = readdir(handle) {
      let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
        String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names
  }

  /// The first `limit` bytes of a file as text.
  static func read(_ path: String, limit: Int) -> String? {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return nil }
    defer { close(file) }
    return read(file, limit: limit)
  }

  /// The last `limit` bytes of a file as text.
  static func readEnd(of path: String, limit: Int) -> String? {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return nil }
    defer { close(file) }
    let size = lseek(file, 0, SEEK_END)
    lseek(file, max(0, size - off_t(limit)), SEEK_SET)
    return read(file, limit: limit)
  }

  private static func read(_ file: Int32, limit: Int) -> String? {
    var bytes = [UInt8](repeating: 0, count: limit)
    var used = 0
    while used < limit {
      let count = bytes.withUnsafeMutableBytes { buffer in
        Glibc.read(file, buffer.baseAddress.map { $0 + used }, limit - used)
      }
      if count < 0 && errno == EINTR { continue }
      guard count >= 0 else { return nil }
      if count == 0 { break }
      used += count
    }
    return String(decoding: bytes.prefix(used), as: UTF8.self)
  }

  /// Replaces a file in one step, so that a reader or a crash sees the old or the new one.
  static func write(_ text: String, to path: String) throws(ClusterError) {
    let draft = path + ".new"
    unlink(draft)
    let file = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
    guard file >= 0 else { throw failure("create", draft) }
    defer { close(file) }
    var text = text
    let isWritten = text.withUTF8 { bytes in
      Glibc.write(file, bytes.baseAddress, bytes.count) == bytes.count
    }
    guard isWritten, fsync(file) == 0, rename(draft, path) == 0 else {
      throw failure("write", path)
    }
  }

  /// Makes a directory that only its owner enters, and its parents; keeps an existing one.
  static func makeDirectory(_ path: String, mode: mode_t = 0o700) throws(ClusterError) {
    if mkdir(path, mode) == 0 || errno == EEXIST { return }
    guard errno == ENOENT, let parent = parent(of: path) else { throw failure("create", path) }
    try makeDirectory(parent, mode: 0o755)
    guard mkdir(path, mode) == 0 || errno == EEXIST else { throw failure("create", path) }
  }

  private static func parent(of path: String) -> String? {
    guard let slash = path.lastIndex(of: "/"), slash != path.startIndex else { return nil }
    return String(path[..<slash])
  }

  /// The path without symbolic links, or nil when it does not exist.
  static func realPath(_ path: String) -> String? {
    guard let real = realpath(path, nil) else { return nil }
    defer { free(real) }
    return String(cString: real)
  }

  /// Where a symbolic link points, or nil.
  static func destination(ofLink path: String) -> String? {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: 4096) { buffer in
      guard let memory = buffer.baseAddress else { return nil }
      let length = readlink(path, memory, buffer.count)
      guard length >= 0 else { return nil }
      return String(decoding: UnsafeRawBufferPointer(start: memory, count: length), as: UTF8.self)
    }
  }

  /// An error with the system's own words.
  static func failure(_ verb: String, _ path: String) -> ClusterError {
    ClusterError(.directory, "Cannot \(verb) \(path): \(String(cString: strerror(errno)))")
  }
}
