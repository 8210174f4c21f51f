/// The texts of `--help`.
enum Help {
  /// A subcommand as the overview lists it.
  struct Entry: Sendable {
    let name: String
    let summary: String
  }

  static func overview(_ entries: [Entry]) -> String {
    let width = entries.reduce(0) { max($0, $1.name.count) }
    let list = entries.map { entry in
      "  " + entry.name + String(repeating: " ", count: width - entry.name.count) + "  "
        + entry.summary + "\n"
    }
    return """
      Plimsoll keeps lending positions in PostgreSQL and names the liquidatable ones exactly.

      usage: plimsoll <subcommand> [options]

      \(list.joined())
      plimsoll <subcommand> --help   options and examples
      plimsoll --version             the versions of the program and of its schema

      Exit codes: \(codes)

      """
  }

  static func subcommand(
    _ name: String, summary: String, usage: Usage, common: [Usage.Option]
  ) -> String {
    var text = "\(summary)\n\nExamples:\n"
    for example in usage.examples {
      text += "  \(example.command)\n      \(example.explanation)\n"
    }
    if !usage.details.isEmpty { text += "\n\(usage.details)\n" }
    if !usage.options.isEmpty { text += "\nOptions of \(name):\n" + list(usage.options) }
    return text + "\nCommon options:\n" + list(common)
  }

  private static func list(_ options: [Usage.Option]) -> String {
    let width = options.reduce(0) { max($0, $1.form.count) }
    return options.map { option in
      "  " + option.form + String(repeating: " ", count: width - option.form.count) + "  "
        + option.explanation + "\n"
    }.joined()
  }

  private static var codes: String {
    ExitCode.allCases.map { "\($0.rawValue) \($0.meaning)" }.joined(separator: "; ")
  }
}
