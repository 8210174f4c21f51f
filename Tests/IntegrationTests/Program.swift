import Foundation
import TestKit

/// The built binary with a configuration of its own: run as cron runs it.
final class Program: @unchecked Sendable {
  struct Result {
    let exit: Int32
    let output: String
    let errors: String

    /// The result as a program reads it (`--json`).
    func json() throws -> [String: Any] {
      guard let object = try JSONSerialization.jsonObject(with: Data(output.utf8)) as? [String: Any]
      else { throw ProgramError(message: "not a JSON object: \(output)") }
      return object
    }
  }

  let directory: URL
  private var environment: [String: String]

  /// Takes the text of `plimsoll.json` and what PLIMSOLL_DATABASE says.
  init(configuration: String, database: String?) throws {
    directory = FileManager.default.temporaryDirectory
      .appending(path: "plimsoll-\(UUID().uuidString.prefix(8))")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    try Data(configuration.utf8).write(to: directory.appending(path: "plimsoll.json"))
    environment = ProcessInfo.processInfo.environment.filter { !$0.key.hasPrefix("PLIMSOLL_") }
    environment["PLIMSOLL_DATABASE"] = database
  }

  deinit { try? FileManager.default.removeItem(at: directory) }

  /// Beside the test bundle: `swift test` builds both into one folder.
  static let binary = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent()
    .appending(path: "plimsoll")

  /// Runs to the end.
  @discardableResult
  func run(_ arguments: String..., killAfter: Duration? = nil) throws -> Result {
    try run(arguments, killAfter: killAfter)
  }

  @discardableResult
  func run(_ arguments: [String], killAfter: Duration? = nil) throws -> Result {
    let process = start(arguments)
    try process.launch()
    if let killAfter {
      Thread.sleep(forTimeInterval: killAfter / .seconds(1))
      process.kill()
    }
    return process.wait()
  }

  /// Makes a process that has not been launched, with another way to the database if need be.
  func start(_ arguments: [String], database: String? = nil) -> Running {
    var environment = environment
    if let database { environment["PLIMSOLL_DATABASE"] = database }
    return Running(
      binary: Self.binary, arguments: arguments, directory: directory, environment: environment)
  }

  /// Consumes, and waits for the locks of a run that was killed: the server notices its end only
  /// when it has done what it was asked last.
  @discardableResult
  func consume(_ arguments: String...) throws -> Result {
    for _ in 0..<200 {
      let result = try run(["consume-events"] + arguments)
      guard result.exit == 0 else {
        throw ProgramError(message: "consume-events ended \(result.exit):\n\(result.errors)")
      }
      if !result.output.contains("skipped") { return result }
      Thread.sleep(forTimeInterval: 0.05)
    }
    throw ProgramError(message: "the deployment stays locked")
  }

  /// Runs and insists on an exit code.
  @discardableResult
  func succeed(_ arguments: String..., exit: Int32 = 0) throws -> Result {
    let result = try run(arguments)
    guard result.exit == exit else {
      throw ProgramError(
        message: "\(arguments.joined(separator: " ")) ended \(result.exit), not \(exit):\n"
          + "\(result.output)\n\(result.errors)")
    }
    return result
  }
}

/// One process of the binary.
final class Running: @unchecked Sendable {
  private let process = Process()
  private let output = Pipe()
  private let errors = Pipe()
  private let group = DispatchGroup()
  private var outputData = Data()
  private var errorData = Data()

  init(binary: URL, arguments: [String], directory: URL, environment: [String: String]) {
    process.executableURL = binary
    process.arguments = arguments
    process.currentDirectoryURL = directory
    process.environment = environment
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = output
    process.standardError = errors
  }

  var pid: Int32 { process.processIdentifier }

  func launch() throws {
    try process.run()
    DispatchQueue.global().async(group: group) { [self] in
      outputData = output.fileHandleForReading.readDataToEndOfFile()
    }
    DispatchQueue.global().async(group: group) { [self] in
      errorData = errors.fileHandleForReading.readDataToEndOfFile()
    }
  }

  func kill() { Foundation.kill(process.processIdentifier, SIGKILL) }
  func terminate() { Foundation.kill(process.processIdentifier, SIGTERM) }

  func wait() -> Program.Result {
    process.waitUntilExit()
    group.wait()
    let isSignal = process.terminationReason == .uncaughtSignal
    return Program.Result(
      exit: isSignal ? 128 + process.terminationStatus : process.terminationStatus,
      output: String(decoding: outputData, as: UTF8.self),
      errors: String(decoding: errorData, as: UTF8.self))
  }
}

struct ProgramError: Error, CustomStringConvertible {
  let message: String
  var description: String { message }
}
