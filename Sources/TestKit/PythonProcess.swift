import Foundation

/// A Python module of `devchain/` that speaks one JSON object a line, as a child process.
///
/// It ends with its standard input, so it never outlives the test.
public final class PythonProcess: @unchecked Sendable {
  /// The first line that it printed.
  public private(set) var greeting: [String: Any] = [:]

  private let process = Process()
  private let input = Pipe()
  private let output = Pipe()
  private var buffered = Data()
  private let lock = NSLock()

  /// Starts `python -m module arguments` and waits for its first line.
  public init(module: String, arguments: [String]) throws {
    process.executableURL = Fixture.packageRoot.appending(path: ".venv/bin/python")
    process.arguments = ["-u", "-m", module] + arguments
    process.currentDirectoryURL = Fixture.packageRoot
    process.standardInput = input
    process.standardOutput = output
    try process.run()
    greeting = try readObject()
  }

  deinit {
    // It ends with its input, and was never there if it could not be started.
    try? input.fileHandleForWriting.close()
    if process.isRunning { process.terminate() }
  }

  /// Sends one command and gives its answer, or throws what it answered as an error.
  @discardableResult
  public func ask(_ command: [String: Any]) throws -> [String: Any] {
    try lock.withLock {
      var line = try JSONSerialization.data(withJSONObject: command)
      line.append(UInt8(ascii: "\n"))
      try input.fileHandleForWriting.write(contentsOf: line)
      let answer = try readObject()
      guard answer["ok"] as? Bool == true else {
        throw PythonError(message: "\(command): \(answer["error"] ?? answer)")
      }
      return answer
    }
  }

  private func readObject() throws -> [String: Any] {
    while true {
      if let end = buffered.firstIndex(of: UInt8(ascii: "\n")) {
        let line = buffered[buffered.startIndex..<end]
        buffered = Data(buffered[buffered.index(after: end)...])
        guard let object = try JSONSerialization.jsonObject(with: line) as? [String: Any] else {
          throw PythonError(message: "not a JSON object: \(String(decoding: line, as: UTF8.self))")
        }
        return object
      }
      let more = output.fileHandleForReading.availableData
      if more.isEmpty { throw PythonError(message: "\(process.arguments ?? []) ended early") }
      buffered.append(more)
    }
  }
}

public struct PythonError: Error, CustomStringConvertible {
  public let message: String
  public var description: String { message }
}
