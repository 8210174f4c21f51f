import Foundation

/// Files of `Tests/Fixtures`, by their path below it: `Fixture.bytes("Moolah/topics.json")`.
///
/// They are found from this source file, so tests run from any directory.
public enum Fixture {
  /// Where the file is; it need not exist.
  public static func url(_ name: String) -> URL {
    root.appending(path: name)
  }

  /// The content of the file.
  public static func bytes(_ name: String) throws -> [UInt8] {
    Array(try Data(contentsOf: url(name)))
  }

  /// The content of a UTF-8 file.
  public static func text(_ name: String) throws -> String {
    try String(contentsOf: url(name), encoding: .utf8)
  }

  /// The contents of a file that `gzip` has compressed.
  public static func gunzipped(_ name: String) throws -> Data {
    let process = Process()
    let output = Pipe()
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = ["gzip", "-dc", url(name).path]
    process.standardOutput = output
    try process.run()
    let data = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return data
  }

  /// A JSON file as a `Decodable` type.
  public static func json<Value: Decodable>(
    _ name: String, as type: Value.Type = Value.self
  ) throws -> Value {
    try JSONDecoder().decode(type, from: Data(contentsOf: url(name)))
  }

  /// The folder of `Package.swift`.
  public static let packageRoot = URL(filePath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

  private static let root = packageRoot.appending(path: "Tests/Fixtures")
}
