import Glibc

/// A file that an option names, read whole.
public enum InputFile {
  /// The bytes of a file of at most `limit` bytes.
  ///
  /// - Throws: `ConfigError` that names the option and the file.
  public static func read(
    _ path: String, limit: Int, option: String
  ) throws(ConfigError) -> [UInt8] {
    var status = stat()
    let size = stat(path, &status) == 0 ? Int(status.st_size) : 0
    return try TextFile.read(path, limit: min(limit, size), place: "\(option) \(path)")
  }
}
