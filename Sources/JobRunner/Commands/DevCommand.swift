import Glibc
import Postgres

/// The private PostgreSQL of this directory: for development and trials, never for production.
struct DevCommand: Command {
  static let name = "dev"
  static let summary = "Start, stop or enter the private PostgreSQL of this directory."
  static let usage = Usage(
    examples: [
      .init("plimsoll dev start", "makes the cluster when there is none, starts it, shows its URL"),
      .init("plimsoll dev psql -- -c 'table run'", "opens psql; what follows -- is psql's"),
      .init("plimsoll dev stop", "stops it; the data stay"),
    ],
    details: """
      dev start | stop | status | url | psql. The cluster lives under private_directory
      (default .plimsoll), belongs to an unprivileged user, listens on a socket only and
      writes durably. No other cluster of the machine is touched. Nothing but this
      subcommand, "database": "private", the demo and the tests ever starts it.
      """)

  private enum Action: String, CaseIterable { case start, stop, status, url, psql }

  private let action: Action
  private let trailing: [String]

  init(arguments: inout Arguments) throws(UsageError) {
    let words = Action.allCases.map(\.rawValue)
    let word = arguments.word() ?? ""
    guard let action = Action(rawValue: word) else {
      throw UsageError(
        "dev needs one of \(words.joined(separator: ", "))"
          + Suggestion.phrase(for: word, among: words))
    }
    self.action = action
    trailing = arguments.trailing
    if !trailing.isEmpty && action != .psql {
      throw UsageError("only dev psql takes arguments after --")
    }
  }

  func run(in context: CommandContext) throws -> ExitCode {
    let directory = try context.configuration().privateDirectory
    switch action {
    case .start:
      let cluster = try PrivateCluster.start(in: directory)
      try tell("running", directory, url: Self.url(of: cluster), in: context)
    case .stop:
      let wasRunning = try PrivateCluster.stop(in: directory)
      try tell(wasRunning ? "stopped" : "was not running", directory, url: nil, in: context)
    case .status:
      try tell(
        Self.word(for: try PrivateCluster.status(in: directory)), directory, url: nil, in: context)
    case .url:
      try context.console.result(Self.url(of: try PrivateDatabase.use(in: directory)) + "\n")
    case .psql:
      try enter(Self.url(of: try PrivateDatabase.use(in: directory)))
    }
    return .done
  }

  private static func word(for status: ClusterStatus) -> String {
    switch status {
    case .absent: "absent"
    case .stopped: "stopped"
    case .running(_, isReady: true): "running"
    case .running(_, isReady: false): "starting or stopping"
    }
  }

  /// A URL without a secret: the socket's directory is what keeps others out.
  private static func url(of cluster: PrivateCluster) -> String {
    let name = PrivateCluster.databaseName
    let host = cluster.socketDirectory.utf8.map { byte in
      let isPlain =
        byte < 0x80 && Character(Unicode.Scalar(byte)).isLetter
        || (0x30...0x39).contains(byte) || "/-_.".utf8.contains(byte)
      let digits = String(byte, radix: 16, uppercase: true)
      return isPlain ? String(Unicode.Scalar(byte)) : "%" + (byte < 16 ? "0" : "") + digits
    }.joined()
    return "postgresql:///\(name)?host=\(host)&port=5432&user=\(name)"
  }

  private func tell(
    _ state: String, _ directory: String, url: String?, in context: CommandContext
  ) throws {
    guard context.common.isJSON else {
      let line = "private PostgreSQL in \(VisibleText.escape(directory)): \(state)\n"
      return try context.console.result(line + (url.map { $0 + "\n" } ?? ""))
    }
    let object = JSONValue.object([
      .init("schema_version", .integer(ResultDocument.schemaVersion)),
      .init("directory", .string(directory)), .init("state", .string(state)),
      .init("url", url.map { .string($0) } ?? .null),
    ])
    try context.console.result(object.pretty + "\n")
  }

  /// Becomes psql.
  private func enter(_ url: String) throws {
    let words = ["psql", url] + trailing
    let pointers: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
    execvp("psql", pointers)
    let reason = errno
    for pointer in pointers { free(pointer) }
    throw Failure(
      .configuration, "psql: cannot be started (error \(reason)); install postgresql-client")
  }
}
