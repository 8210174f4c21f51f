/// Why bytes are not the encoding that was expected. Offsets count bytes from the start.
public enum ABIError: Error, Hashable, Sendable {
  /// A value, offset or length reaches beyond the end of the bytes.
  case outOfBounds(offset: Int)
  /// An offset points into bytes that another value has used, or before them.
  case overlap(offset: Int)
  /// A word has bits set that its type does not have.
  case dirtyWord(offset: Int)
  /// A truth value is neither 0 nor 1.
  case invalidBool(offset: Int)
  /// A string is not UTF-8.
  case invalidText(offset: Int)
  /// There are more values than the limit allows.
  case tooManyValues(limit: Int)
  /// Types are nested deeper than the limit allows.
  case tooDeep(limit: Int)
  /// The type does not exist in the ABI, or no value of it could be within the limits.
  case unsupportedType(String)
  /// A list has another length than what it answers.
  case wrongCount(expected: Int, found: Int)
}

extension ABIError: CustomStringConvertible {
  /// One line for a log.
  public var description: String {
    switch self {
    case .outOfBounds(let offset): "ABI value at byte \(offset) reaches beyond the end"
    case .overlap(let offset): "ABI offset points back into used bytes, to byte \(offset)"
    case .dirtyWord(let offset): "ABI word at byte \(offset) has bits outside its type"
    case .invalidBool(let offset): "ABI bool at byte \(offset) is neither 0 nor 1"
    case .invalidText(let offset): "ABI string at byte \(offset) is not UTF-8"
    case .tooManyValues(let limit): "ABI bytes hold more than \(limit) values"
    case .tooDeep(let limit): "ABI type is nested deeper than \(limit)"
    case .unsupportedType(let name): "ABI type \(name) is not supported"
    case .wrongCount(let expected, let found): "expected \(expected) ABI values, found \(found)"
    }
  }
}
