/// What exact arithmetic cannot answer; each case is a place where a contract would revert.
///
/// Quantities never trap on a value that came from outside: an operation that has no exact
/// answer in its result type throws one of these.
public enum ArithmeticError: Error, Equatable, Hashable, Sendable {
  /// The exact result is larger than the result type.
  case overflow
  /// The exact result is below the smallest value of the result type.
  case underflow
  /// The divisor was zero.
  case divisionByZero
}
