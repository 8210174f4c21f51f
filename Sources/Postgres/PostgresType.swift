/// A type of the server, by its object identifier in `pg_type`.
///
/// The built-in identifiers never change. Source: PostgreSQL's `src/include/catalog/pg_type.dat`.
@frozen
public struct PostgresType: Hashable, Sendable {
  public let oid: UInt32

  @inlinable
  public init(oid: UInt32) { self.oid = oid }

  public static let bool = PostgresType(oid: 16)
  public static let bytea = PostgresType(oid: 17)
  public static let int8 = PostgresType(oid: 20)
  public static let int2 = PostgresType(oid: 21)
  public static let int4 = PostgresType(oid: 23)
  public static let text = PostgresType(oid: 25)
  public static let numeric = PostgresType(oid: 1700)
  public static let timestamptz = PostgresType(oid: 1184)

  static let char = PostgresType(oid: 18)
  static let name = PostgresType(oid: 19)
  static let json = PostgresType(oid: 114)
  static let unknown = PostgresType(oid: 705)
  static let bpchar = PostgresType(oid: 1042)
  static let varchar = PostgresType(oid: 1043)
  static let uuid = PostgresType(oid: 2950)
  static let jsonb = PostgresType(oid: 3802)

  /// The type of one-dimensional arrays of this type, for those the program binds and reads.
  var array: PostgresType? {
    switch self {
    case .bool: PostgresType(oid: 1000)
    case .bytea: PostgresType(oid: 1001)
    case .int2: PostgresType(oid: 1005)
    case .int4: PostgresType(oid: 1007)
    case .text: PostgresType(oid: 1009)
    case .int8: PostgresType(oid: 1016)
    case .timestamptz: PostgresType(oid: 1185)
    case .numeric: PostgresType(oid: 1231)
    default: nil
    }
  }
}

extension PostgresType: CustomStringConvertible {
  /// The name SQL uses, or `oid n`.
  public var description: String {
    switch self {
    case .bool: "bool"
    case .bytea: "bytea"
    case .int2: "int2"
    case .int4: "int4"
    case .int8: "int8"
    case .text: "text"
    case .numeric: "numeric"
    case .timestamptz: "timestamptz"
    case .varchar: "varchar"
    case .name: "name"
    case .json: "json"
    case .jsonb: "jsonb"
    case .uuid: "uuid"
    default: "oid \(oid)"
    }
  }
}
