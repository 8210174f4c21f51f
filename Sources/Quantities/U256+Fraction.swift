extension U256 {
  /// The value times 10^-`digits` as decimal text, without trailing zeros: `865` with three
  /// digits is `0.865`.
  public func decimalFraction(digits: Int) -> String {
    precondition(digits >= 0, "A fraction cannot have a negative number of digits.")
    let text = description
    let padded = String(repeating: "0", count: Swift.max(0, digits + 1 - text.count)) + text
    let whole = padded.dropLast(digits)
    var fraction = padded.suffix(digits)
    while fraction.last == "0" { fraction.removeLast() }
    return fraction.isEmpty ? String(whole) : "\(whole).\(fraction)"
  }
}
