import Foundation

/// The cases of `generate_cases.py`, one line at a time while Python writes them.
struct PythonCases {
  /// What Python could not do.
  struct Failure: Error, CustomStringConvertible {
    var description: String
  }

  static let script = URL(filePath: #filePath)
    .deletingLastPathComponent()
    .appending(path: "../Fixtures/Quantities/generate_cases.py")
    .standardizedFileURL

  /// Hands each line's fields to `body`; throws when Python fails or writes more or fewer lines.
  static func forEach(
    _ operation: String, count: Int, seed: Int, _ body: ([Substring]) throws -> Void
  ) throws {
    let process = Process()
    let pipe = Pipe()
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = ["python3", script.path(), operation, "\(count)", "\(seed)"]
    process.standardOutput = pipe
    try process.run()
    var lines = 0
    try forEachLine(of: pipe.fileHandleForReading) { line in
      lines += 1
      try body(line.split(separator: " "))
    }
    process.waitUntilExit()
    guard process.terminationStatus == 0, lines == count else {
      throw Failure(
        description: "\(operation): \(lines) lines, exit status \(process.terminationStatus)")
    }
  }

  private static func forEachLine(
    of file: FileHandle, _ body: (Substring) throws -> Void
  ) throws {
    var rest: [UInt8] = []
    while let data = try file.read(upToCount: 1 << 16), !data.isEmpty {
      rest += data
      guard let end = rest.lastIndex(of: UInt8(ascii: "\n")) else { continue }
      let text = String(decoding: rest[..<end], as: UTF8.self)
      rest.removeSubrange(...end)
      for line in text.split(separator: "\n") { try body(line) }
    }
  }
}
