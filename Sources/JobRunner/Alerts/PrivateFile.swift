import Glibc

/// A small file with a secret that only its owner may read.
enum PrivateFile {
  static let bytesMax = 4_096

  /// The one line of the file, without the space around it.
  ///
  /// - Throws: `ConfigError` that names the path, with code 77 where others may read the file.
  static func read(_ path: String, place: String, field: String) throws(ConfigError) -> String {
    var status = stat()
    if stat(path, &status) == 0, status.st_mode & 0o077 != 0 {
      throw ConfigError(
        place, field: field,
        remedy: "\(path): others may read or change the file; chmod 600 keeps it to its owner",
        exit: .permission)
    }
    let bytes = try TextFile.read(path, limit: bytesMax, place: place, field: field)
    let line = TextFile.trimmed(String(decoding: bytes, as: UTF8.self))
    guard !line.isEmpty, !line.contains(where: \.isNewline) else {
      throw ConfigError(place, field: field, remedy: "\(path): must hold the secret on one line")
    }
    return line
  }
}
