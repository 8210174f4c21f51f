import Testing

/// What the files, the package and the documents say of each other.
@Suite struct LayoutTests {
  private struct JobFile {
    let path: String
    let name: String
    let isScheduled: Bool
  }

  private static let jobs: [JobFile] = Repository.files(in: "jobs/", ending: ".swift").map { path in
    let text = Repository.text(path) ?? ""
    let name = text.firstMatch(of: /static (?:let|var) name(?:: String)? = "([^"]*)"/)?.1 ?? ""
    return JobFile(
      path: path, name: String(name), isScheduled: !text.contains("access = JobAccess.reads"))
  }

  private static func kebab(_ path: String) -> String {
    let file = path.split(separator: "/").last?.split(separator: ".").first ?? ""
    return file.reduce(into: "") { text, letter in
      if letter.isUppercase && !text.isEmpty { text.append("-") }
      text += letter.lowercased()
    }
  }

  @Test func aFileInJobsIsNamedAfterItsJob() {
    #expect(!Self.jobs.isEmpty)
    for job in Self.jobs { #expect(job.name == Self.kebab(job.path), "\(job.path)") }
  }

  @Test func everyJobIsInTheReadmeAndEveryWritingOneInTheCrontab() throws {
    let readme = try #require(Repository.text("README.md"))
    let crontab = try #require(Repository.text("crontab.example"))
    for job in Self.jobs {
      #expect(readme.contains("| `\(job.name)` |"), "README.md has no row for \(job.name)")
      if job.isScheduled {
        #expect(
          crontab.contains("plimsoll \(job.name)"), "crontab.example does not run \(job.name)")
      }
    }
  }

  @Test func everyMigrationIsListedInTheSchema() throws {
    let schema = try #require(Repository.text("sql/Schema.swift"))
    let files = Repository.files(in: "sql/migrations/", ending: ".sql")
    #expect(!files.isEmpty)
    for (index, path) in files.enumerated() {
      let name = path.split(separator: "/").last?.dropLast(4) ?? ""
      let number = String(index + 1)
      let zeros = String(repeating: "0", count: 4 - number.count)
      #expect(name.hasPrefix("v\(zeros)\(number)_"), "\(path) is not number \(number)")
      #expect(schema.contains("PackageResources.\(name)_sql"), "\(path) is not in Schema.swift")
    }
  }

  @Test func architectureShowsTheArrowsOfThePackage() throws {
    let text = try #require(Repository.text("docs/architecture.md"))
    var shown: [String: Set<String>] = [:]
    for match in text.matches(of: /(?m)^([A-Za-z0-9]+) +-> (.+)$/) {
      shown[String(match.1)] = Set(match.2.split(separator: " ").map(String.init))
    }
    let targets = try PackageTarget.all().filter { $0.kind != .tests && $0.name != "TestKit" }
    #expect(targets.count > 10)
    let real = targets.filter { !$0.dependencies.isEmpty }
    #expect(Set(shown.keys) == Set(real.map(\.name)))
    for target in real {
      #expect(shown[target.name] == target.dependencies, "\(target.name)")
    }
  }

  @Test func everyDependencyIsExplained() throws {
    let text = try #require(Repository.text("docs/dependencies.md"))
    let manifest = try #require(Repository.text("Package.swift"))
    let bootstrap = try #require(Repository.text("scripts/bootstrap"))
    var names = manifest.matches(of: /\.apt\(\["([^"]+)"\]\)/).map { String($0.1) }
    let list = try #require(bootstrap.firstMatch(of: /packages=\(([^)]*)\)/))
    names += list.1.split(whereSeparator: \.isWhitespace).map(String.init)
    let python = Repository.text("devchain/requirements.txt") ?? ""
    names += python.matches(of: /(?m)^([A-Za-z0-9_-]+)==/).map { String($0.1) }
    #expect(names.count > 5)
    for name in names { #expect(text.contains("`\(name)`"), "\(name)") }
  }
}

/// What the documents say of the program.
@Suite struct DocumentTests {
  private static let documents = Repository.files(ending: ".md")

  @Test(arguments: documents)
  func aDocumentHasOneTitleAndItComesFirst(path: String) {
    var isCode = false
    let titles = Repository.lines(path).filter { line in
      if line.text.hasPrefix("```") { isCode.toggle() }
      return !isCode && line.text.hasPrefix("# ")
    }
    #expect(titles.map(\.number) == [1])
  }

  @Test(arguments: documents)
  func linksToFilesLeadSomewhere(path: String) {
    let folder =
      path.contains("/") ? path.split(separator: "/").dropLast().joined(separator: "/") : ""
    for match in (Repository.text(path) ?? "").matches(of: /\]\(([^)#\s]+)[^)]*\)/) {
      let target = String(match.1)
      if target.contains("://") { continue }
      let joined = Self.resolved("\(folder)/\(target)")
      let exists = Repository.files.contains { $0 == joined || $0.hasPrefix("\(joined)/") }
      #expect(exists, "\(path) links to \(target)")
    }
  }

  private static func resolved(_ path: String) -> String {
    var parts: [Substring] = []
    for part in path.split(separator: "/") {
      if part == ".." { parts = parts.dropLast() } else if part != "." { parts.append(part) }
    }
    return parts.joined(separator: "/")
  }

  @Test(arguments: documents)
  func commandsInTheTextExist(path: String) throws {
    let makefile = try #require(Repository.text("Makefile"))
    let targets = Set(makefile.matches(of: /(?m)^([a-z-]+):/).map { String($0.1) })
    let commands =
      Repository.files(in: "Sources/JobRunner/Commands/", ending: ".swift")
      + Repository.files(in: "jobs/", ending: ".swift")
    let names = Set(
      commands.compactMap { path in
        Repository.text(path)?.firstMatch(of: /static (?:let|var) name(?:: String)? = "([^"]*)"/)
          .map { String($0.1) }
      } + ["help"])
    let text = Repository.text(path) ?? ""
    for match in text.matches(of: /`make ([a-z-]+)/) {
      #expect(targets.contains(String(match.1)), "make \(match.1)")
    }
    for match in text.matches(of: /(?m)(?:^|`|&& |; |\/)plimsoll ([a-z][a-z-]+)(?:[ `\n])/) {
      #expect(names.contains(String(match.1)), "plimsoll \(match.1)")
    }
  }
}
