/// Rows of a result: for people as a table, for programs as JSON objects.
public struct ResultTable: Sendable {
  /// One column of the table and one member of each JSON object.
  public struct Column: Sendable {
    public enum Alignment: Sendable { case left, right }
    /// Who sees a column: exact raw amounts are for programs, rounded ones for people.
    public enum Audience: Sendable { case everyone, people, programs }

    /// The member's name in JSON: lower case, words joined by `_`.
    public var key: String
    /// The heading in the table.
    public var title: String
    public var alignment: Alignment
    public var audience: Audience

    public init(
      _ key: String, title: String? = nil, alignment: Alignment = .left,
      audience: Audience = .everyone
    ) {
      self.key = key
      self.title = title ?? key.split(separator: "_").joined(separator: " ")
      self.alignment = alignment
      self.audience = audience
    }
  }

  /// The name in JSON, and the heading above the table.
  public var name: String
  public var columns: [Column]
  /// One cell a column; nil is `null` in JSON and `-` in the table.
  public private(set) var rows: [[String?]]
  /// Rows that exist but were cut off by a limit.
  public var omitted: Int

  public init(name: String, columns: [Column], rows: [[String?]] = [], omitted: Int = 0) {
    self.name = name
    self.columns = columns
    self.rows = []
    self.omitted = omitted
    for row in rows { append(row) }
  }

  /// Adds a row; it has one cell for each column.
  public mutating func append(_ row: [String?]) {
    precondition(row.count == columns.count, "a row has one cell for each column")
    rows.append(row)
  }

  /// Wider cells are cut in the table; JSON always has them whole.
  static let cellColumnsMax = 80
}

// MARK: - For people

extension ResultTable {
  /// The table as lines of plain text, hidden characters written out; every line ends in `\n`.
  public var text: String {
    let shown = columns.indices.filter { columns[$0].audience != .programs }
    let titles = shown.map { columns[$0].title }
    let cells = rows.map { row in shown.map { Self.cell(row[$0]) } }
    let widths = titles.indices.map { column in
      cells.reduce(VisibleText.columns(titles[column])) {
        max($0, VisibleText.columns($1[column]))
      }
    }
    var text = "\(name) (\(rows.count + omitted))\n"
    if rows.isEmpty { return text }
    text += line(titles, widths: widths, of: shown)
    text += line(widths.map { String(repeating: "-", count: $0) }, widths: widths, of: shown)
    for row in cells { text += line(row, widths: widths, of: shown) }
    if omitted > 0 { text += "… and \(omitted) more\n" }
    return text
  }

  private static func cell(_ value: String?) -> String {
    guard let value else { return "-" }
    return VisibleText.cut(VisibleText.escape(value), columns: cellColumnsMax)
  }

  private func line(_ cells: [String], widths: [Int], of shown: [Int]) -> String {
    var line = ""
    for (index, cell) in cells.enumerated() {
      let space = String(repeating: " ", count: widths[index] - VisibleText.columns(cell))
      line += columns[shown[index]].alignment == .left ? cell + space : space + cell
      line += "  "
    }
    while line.last == " " { line.removeLast() }
    return line + "\n"
  }
}

// MARK: - For programs

extension ResultTable {
  /// One object a row; numbers stay the decimal strings they are.
  public var json: JSONValue { .array(objects) }

  var objects: [JSONValue] {
    let shown = columns.indices.filter { columns[$0].audience != .people }
    return rows.map { row in
      .object(shown.map { .init(columns[$0].key, row[$0].map { .string($0) } ?? .null) })
    }
  }
}
