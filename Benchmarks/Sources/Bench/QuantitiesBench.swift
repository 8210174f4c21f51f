import Quantities

/// Products and divisions of 256-bit integers.
enum QuantitiesBench {
  static let count = 4_096
  static let repeats = 50

  static func run() {
    multiply()
    for (words, divisorWords) in [(4, 4), (3, 3), (2, 2), (2, 1)] {
      divide(words: words, divisorWords: divisorWords)
    }
    text()
  }

  private static func operands(words: Int) -> [U256] {
    var random = Random(state: UInt64(words))
    return (0..<count).map { _ in random.u256(words: words) }
  }

  private static func multiply() {
    let (x, y) = (operands(words: 4), operands(words: 4))
    Measurement.header("256 x 256 -> 512 bits")
    each("U256.multipliedFullWidth") { i in
      let product = x[i].multipliedFullWidth(by: y[count - 1 - i])
      return product.high.w3 ^ product.high.w0 ^ product.low.w3 ^ product.low.w0
    }
    each("reference: four UInt128.multipliedFullWidth") { i in
      halves(x[i], y[count - 1 - i])
    }
    guard let gmp = GMP() else { return }
    withWords(x, y, words: 4) { a, b, result in
      each("reference: GMP mpn_mul_n") { i in
        gmp.multiplyEqual(result, a + 4 * i, b + 4 * (count - 1 - i), 4)
        return result[7] ^ result[4] ^ result[3] ^ result[0]
      }
    }
  }

  /// The product out of the standard library's 128-bit products.
  @inline(__always)
  private static func halves(_ x: U256, _ y: U256) -> UInt64 {
    let low = x.low.multipliedFullWidth(by: y.low)
    let (a, b) = (x.low.multipliedFullWidth(by: y.high), x.high.multipliedFullWidth(by: y.low))
    let high = x.high.multipliedFullWidth(by: y.high)
    let (s1, c1) = low.high.addingReportingOverflow(a.low)
    let (s2, c2) = s1.addingReportingOverflow(b.low)
    let (t1, d1) = a.high.addingReportingOverflow(b.high)
    let (t2, d2) = t1.addingReportingOverflow(high.low)
    let (t3, d3) = t2.addingReportingOverflow((c1 ? 1 : 0) + (c2 ? 1 : 0))
    let top = high.high &+ (d1 ? 1 : 0) &+ (d2 ? 1 : 0) &+ (d3 ? 1 : 0)
    return UInt64(truncatingIfNeeded: top >> 64) ^ UInt64(truncatingIfNeeded: t3)
      ^ UInt64(truncatingIfNeeded: s2 >> 64) ^ UInt64(truncatingIfNeeded: low.low)
  }

  private static func divide(words: Int, divisorWords: Int) {
    let (x, y) = (operands(words: words), operands(words: words))
    // A factor without its top bit keeps every quotient within 256 bits.
    let factors = y.map { $0.shiftedRight(by: 1) }
    let divisors = operands(words: divisorWords)
    Measurement.header("mulDiv, \(words)-word factors, \(divisorWords)-word divisor")
    each("U256.fullMulDivDown") { i in
      let j = count - 1 - i
      guard let q = try? U256.fullMulDivDown(x[i], factors[j], divisors[i]) else { return 1 }
      return q.w0 ^ q.w3
    }
    if words == 2, divisorWords == 2 {
      each("UInt128.mulDivDown") { i in
        UInt128.mulDivDown(x[i].low, factors[count - 1 - i].low, divisors[i].low)
          .map { UInt64(truncatingIfNeeded: $0) } ?? 1
      }
      each("reference: UInt128.dividingFullWidth") { i in
        let product = x[i].low.multipliedFullWidth(by: factors[count - 1 - i].low)
        if product.high >= divisors[i].low { return 1 }
        return UInt64(truncatingIfNeeded: divisors[i].low.dividingFullWidth(product).quotient)
      }
    }
    guard let gmp = GMP() else { return }
    withWords(x, factors, words: words) { a, b, product in
      withWords(divisors, divisors, words: divisorWords) { d, _, scratch in
        let quotient = scratch
        let remainder = scratch + 16
        each("reference: GMP mpn_mul_n + mpn_tdiv_qr") { i in
          gmp.multiplyEqual(product, a + words * i, b + words * (count - 1 - i), words)
          gmp.divideWithRemainder(
            quotient, remainder, 0, product, 2 * words, d + divisorWords * i, divisorWords)
          return quotient[0]
        }
      }
    }
  }

  private static func text() {
    let values = operands(words: 4)
    let texts = values.map(\.description)
    Measurement.header("decimal text, 77 or 78 digits")
    each("U256.description") { i in UInt64(values[i].description.utf8.count) }
    each("U256(decimal:)") { i in U256(decimal: texts[i])?.w0 ?? 0 }
  }

  private static func each(_ name: String, _ body: (Int) -> UInt64) {
    Measurement.report(name, operations: count * repeats) {
      var checksum: UInt64 = 0
      for _ in 0..<repeats {
        for i in 0..<count { checksum ^= body(i) }
      }
      return checksum
    }
  }

  /// Lays both operands out as words, with 32 more for results.
  private static func withWords(
    _ x: [U256], _ y: [U256], words: Int, _ body: (GMP.Words, GMP.Words, GMP.Words) -> Void
  ) {
    func flat(_ values: [U256]) -> [UInt64] {
      values.flatMap { [$0.w0, $0.w1, $0.w2, $0.w3].prefix(words) }
    }
    var (a, b, result) = (flat(x), flat(y), [UInt64](repeating: 0, count: 32))
    a.withUnsafeMutableBufferPointer { a in
      b.withUnsafeMutableBufferPointer { b in
        result.withUnsafeMutableBufferPointer { result in
          guard let a = a.baseAddress, let b = b.baseAddress, let result = result.baseAddress
          else { return }
          body(a, b, result)
        }
      }
    }
  }
}
