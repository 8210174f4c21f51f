/// A statement whose values are bound, never spliced.
///
///     let row: SQL = "select shares from position where market = \(market) and id = \(id)"
///
/// Each interpolated value becomes `$1`, `$2` and so on, sent apart from the text in binary form
/// with its type. Text comes only from literals in the source: there is no way to put a `String`
/// made at run time into a statement, so hostile text cannot become SQL.
public struct SQL: Sendable {
  /// The text between the values: always one more than there are values.
  fileprivate var pieces: [String] = [""]
  fileprivate(set) var values: [any Bindable] = []

  fileprivate init() {}

  /// The text with `$1` where values go.
  public var text: String {
    if values.isEmpty { return pieces[0] }
    var text = pieces[0]
    for (index, piece) in pieces.dropFirst().enumerated() { text += "$\(index + 1)" + piece }
    return text
  }

  /// Puts one statement's text and values after another's.
  public static func + (left: SQL, right: SQL) -> SQL {
    var joined = left
    joined.append(right)
    return joined
  }

  fileprivate mutating func append(text: String) {
    pieces[pieces.count - 1] += text
  }

  fileprivate mutating func append(value: any Bindable) {
    values.append(value)
    pieces.append("")
  }

  fileprivate mutating func append(_ other: SQL) {
    append(text: other.pieces[0])
    pieces += other.pieces.dropFirst()
    values += other.values
  }
}

extension SQL: ExpressibleByStringInterpolation {
  /// A statement without values. Takes only text written in the source.
  public init(stringLiteral text: StaticString) {
    pieces = [text.description]
  }

  /// A statement with values.
  public init(stringInterpolation: StringInterpolation) {
    self = stringInterpolation.sql
  }

  /// Collects literal text and bound values.
  public struct StringInterpolation: StringInterpolationProtocol {
    fileprivate var sql = SQL()

    public init(literalCapacity: Int, interpolationCount: Int) {
      sql.pieces.reserveCapacity(interpolationCount + 1)
      sql.values.reserveCapacity(interpolationCount)
    }

    /// Text written in the source.
    public mutating func appendLiteral(_ text: StaticString) {
      sql.append(text: text.description)
    }

    /// A value: becomes the next `$n`.
    public mutating func appendInterpolation(_ value: some Bindable) {
      sql.append(value: value)
    }

    /// A value that may be NULL. (Said apart because the compiler warns of an optional that falls
    /// into a generic place.)
    public mutating func appendInterpolation<Value: Bindable>(_ value: Value?) {
      sql.append(value: value)
    }

    /// A name written in the source, for a statement that serves several tables.
    public mutating func appendInterpolation(identifier: StaticString) {
      sql.append(text: identifier.description)
    }

    /// A part of a statement, with its own values.
    public mutating func appendInterpolation(_ part: SQL) {
      sql.append(part)
    }
  }
}
