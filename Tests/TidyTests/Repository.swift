import Foundation

/// The files of the clone that these tests stand in.
enum Repository {
  /// Where the clone is, without a slash at the end.
  static let root: String = {
    let parts = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3)
    return parts.joined(separator: "/")
  }()

  private static let folders = [
    ".ci", "Benchmarks", "Sources", "Tests", "devchain", "docs", "examples", "jobs", "scripts",
    "sql",
  ]
  private static let unread: Set<String> = [".build", ".venv", "__pycache__", "Fixtures"]

  /// Every text file of the project, as paths from the root, in order.
  static let files: [String] = {
    let manager = FileManager.default
    var found: [String] = []
    let top = (try? manager.contentsOfDirectory(atPath: root)) ?? []
    for name in top where !folders.contains(name) && isFile(name) { found.append(name) }
    for folder in folders {
      guard let walk = manager.enumerator(atPath: "\(root)/\(folder)") else { continue }
      while let name = walk.nextObject() as? String {
        let last = name.split(separator: "/").last.map(String.init) ?? name
        if unread.contains(last) { walk.skipDescendants() }
        if isFile("\(folder)/\(name)") { found.append("\(folder)/\(name)") }
      }
    }
    return found.filter { !$0.hasPrefix(".git/") && $0 != ".git" }.sorted()
  }()

  static func files(in folder: String = "", ending: String) -> [String] {
    files.filter { $0.hasPrefix(folder) && $0.hasSuffix(ending) }
  }

  /// The text of a file; nil when it is missing or no UTF-8.
  static func text(_ path: String) -> String? {
    try? String(contentsOfFile: "\(root)/\(path)", encoding: .utf8)
  }

  /// The lines of a file, each with its number.
  static func lines(_ path: String) -> [(number: Int, text: Substring)] {
    let text = text(path) ?? ""
    return text.split(separator: "\n", omittingEmptySubsequences: false).enumerated()
      .map { ($0.offset + 1, $0.element) }
  }

  private static func isFile(_ path: String) -> Bool {
    var isDirectory: ObjCBool = false
    let exists = FileManager.default.fileExists(
      atPath: "\(root)/\(path)", isDirectory: &isDirectory)
    return exists && !isDirectory.boolValue
  }
}

/// The targets of `Package.swift`, read from its text.
struct PackageTarget: Equatable {
  enum Kind: String {
    case library = "target"
    case program = "executableTarget"
    case tests = "testTarget"
    case system = "systemLibrary"
  }

  let kind: Kind
  let name: String
  let dependencies: Set<String>

  static func all() throws -> [PackageTarget] {
    let text = (Repository.text("Package.swift") ?? "")
      .split(separator: "\n").filter { !$0.drop { $0 == " " }.hasPrefix("//") }
      .joined(separator: "\n")
    let start = /\.(target|executableTarget|testTarget|systemLibrary)\(/
    return try text.matches(of: start).compactMap { match in
      guard let kind = Kind(rawValue: String(match.1)) else { return nil }
      let body = balanced(text[match.range.upperBound...])
      guard let name = body.firstMatch(of: /name: "([^"]+)"/)?.1 else { return nil }
      let list = try Regex(#"(?s)[^e]dependencies: \[(.*?)\]"#, as: (Substring, Substring).self)
      let names = (" " + body).firstMatch(of: list)?.1.matches(of: /"([^"]+)"/).map { String($0.1) }
      return PackageTarget(kind: kind, name: String(name), dependencies: Set(names ?? []))
    }
  }

  /// What stands between a parenthesis and its end.
  private static func balanced(_ text: Substring) -> Substring {
    var depth = 1
    for index in text.indices {
      if text[index] == "(" { depth += 1 }
      if text[index] == ")" { depth -= 1 }
      if depth == 0 { return text[..<index] }
    }
    return text
  }
}
