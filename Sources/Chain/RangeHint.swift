/// How many blocks a provider's refusal says it would accept.
///
/// Texts differ and change, so a hint only ever makes a window smaller; the caller checks that
/// it does.
struct RangeHint: Equatable {
  /// The length of a range that the text proposes, such as `[0x10, 0x1f]` or `16-31`.
  var suggestedBlocks: UInt64?

  /// The largest range that the text says is allowed, such as `limited to 10,000 blocks`.
  var maximumBlocks: UInt64?

  /// The smaller of the two.
  var smallest: UInt64? { [suggestedBlocks, maximumBlocks].compactMap(\.self).min() }

  init(suggestedBlocks: UInt64? = nil, maximumBlocks: UInt64? = nil) {
    self.suggestedBlocks = suggestedBlocks
    self.maximumBlocks = maximumBlocks
  }

  /// Reads a refusal in lower case.
  init(text: String) {
    let numbers = Number.all(in: text)
    suggestedBlocks = Self.suggestion(in: numbers)
    guard suggestedBlocks == nil, text.contains("range") || text.contains("block") else { return }
    maximumBlocks = Self.maximum(in: numbers)
  }

  /// The smallest number above zero, for texts that speak of one thing only.
  static func smallestNumber(in text: String) -> UInt64? {
    Number.all(in: text).map(\.value).filter { $0 > 0 }.min()
  }

  /// Two numbers joined by a comma or a hyphen, the second not smaller.
  private static func suggestion(in numbers: [Number]) -> UInt64? {
    for (first, second) in zip(numbers, numbers.dropFirst()) {
      guard ["-", ", ", ","].contains(second.before), first.value <= second.value else { continue }
      // "0 - 10000" of a stated maximum is not a proposal of blocks 0 to 10000.
      guard first.value > 0, first.before.contains("range") || first.before.hasSuffix("[") else {
        continue
      }
      return second.value - first.value &+ 1
    }
    return nil
  }

  /// A number next to words that make it a number of blocks. When a text names both what was
  /// asked and what is allowed, the smaller one is what is allowed.
  private static func maximum(in numbers: [Number]) -> UInt64? {
    numbers.filter(\.countsBlocks).map(\.value).filter { $0 > 0 }.min()
  }
}

/// A number in a text, with the words around it.
private struct Number {
  var value: UInt64

  /// The text between the number before, or the start, and this one.
  var before: String

  /// The text between this number and the next one, or the end.
  var after: String

  /// Whether the words say that blocks are counted, and not logs or bytes.
  var countsBlocks: Bool {
    let following = after.drop { $0 == " " }
    if ["result", "log", "byte", "event", "mb", "ms", "second"].contains(where: following.hasPrefix)
    {
      return false
    }
    if following.hasPrefix("block") || following.hasPrefix("range") { return true }
    // "(49999 > 2000)": what was asked for, and what is allowed.
    if before == " > " || before == ">" { return true }
    return ["limit", "max", "exceed", "over", "up to", "greater"].contains(where: before.contains)
  }

  /// The numbers of a text: decimal with commas between thousands, `10k`, or `0x` hexadecimal.
  static func all(in text: String) -> [Number] {
    var numbers: [Number] = []
    var rest = text[...]
    var before = ""
    while let character = rest.first {
      guard character.isASCII, character.isNumber else {
        before.append(rest.removeFirst())
        continue
      }
      guard let value = takeValue(&rest) else { continue }
      if !numbers.isEmpty { numbers[numbers.count - 1].after = before }
      numbers.append(Number(value: value, before: before, after: ""))
      before = ""
    }
    if !numbers.isEmpty { numbers[numbers.count - 1].after = before }
    return numbers
  }

  /// Takes the number at the start of `rest`; nil, with the digits taken, when it is too long.
  private static func takeValue(_ rest: inout Substring) -> UInt64? {
    if rest.hasPrefix("0x") {
      let digits = rest.dropFirst(2).prefix(while: \.isHexDigit)
      rest = rest.dropFirst(2 + digits.count)
      return UInt64(digits, radix: 16)
    }
    var digits = ""
    while let character = rest.first, character.isASCII, character.isNumber {
      digits += rest.prefix { $0.isASCII && $0.isNumber }
      rest = rest.drop { $0.isASCII && $0.isNumber }
      let thousands = rest.dropFirst().prefix { $0.isASCII && $0.isNumber }
      if rest.first == ",", thousands.count == 3 { rest.removeFirst() }
    }
    guard let value = UInt64(digits) else { return nil }
    guard rest.first == "k" else { return value }
    rest.removeFirst()
    return value.multipliedReportingOverflow(by: 1000).overflow ? nil : value * 1000
  }
}
