import Foundation

/// How long the tests may take: short in CI, long behind `make test-long`.
public enum Length {
  public static let isLong = ProcessInfo.processInfo.environment["PLIMSOLL_TEST_LONG"] == "1"

  public static func pick<Value>(short: Value, long: Value) -> Value { isLong ? long : short }
}
