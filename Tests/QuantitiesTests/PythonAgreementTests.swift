import Quantities
import Testing

/// An operation of `generate_cases.py`, and how many cases of it a run takes.
enum Operation: String, CaseIterable {
  case add, subtract, subtractFlooredAtZero, multiply, multiplyFullWidth
  case divideDown, divideUp, quotientAndRemainder, divideByWord
  case mulDivDown, mulDivUp, fullMulDivDown, fullMulDivUp
  case wideAdd, wideSubtract, wideMultiply, wideDivide, wideDivideUp
  case shiftLeft, shiftRight, compare, narrow, text
  case signedAdd, signedSubtract, signedMultiply, signedDivide, signedRemainder, signedCompare

  var count: Int {
    switch self {
    case .quotientAndRemainder, .fullMulDivDown, .fullMulDivUp, .wideDivide: 15_000
    default: 4_000
    }
  }
}

@Suite struct PythonAgreementTests {
  static let seed = 20_260_101

  @Test(arguments: Operation.allCases)
  func agreesWithPythonIntegers(_ operation: Operation) throws {
    var wrong: [String] = []
    try PythonCases.forEach(operation.rawValue, count: operation.count, seed: Self.seed) { fields in
      let given = try operation.evaluate(fields)
      if given.results != Array(fields.dropFirst(given.operands)).map(String.init) {
        wrong.append("\(fields.joined(separator: " ")) but got \(given.results)")
      }
    }
    #expect(
      wrong.isEmpty, "seed \(Self.seed): \(wrong.count) wrong, first: \(wrong.first ?? "")")
  }

  @Test func takesMoreThanAHundredThousandCases() {
    #expect(Operation.allCases.map(\.count).reduce(0, +) >= 100_000)
  }
}

/// A case evaluated here: how many fields were operands, and what came out.
struct Evaluation {
  var operands: Int
  var results: [String]
}

extension Operation {
  func evaluate(_ fields: [Substring]) throws -> Evaluation {
    if self == .text { return try evaluateText(fields) }
    let operands = fields.prefix(arity)
    let results =
      if rawValue.hasPrefix("signed") {
        refusals(in: try operands.map { try #require(I256(decimal: $0)) }, signedResults)
      } else {
        refusals(in: try operands.map { try #require(U256(decimal: $0)) }, unsignedResults)
      }
    return Evaluation(operands: arity, results: results)
  }

  private func refusals<Value>(
    in operands: [Value], _ evaluate: ([Value]) throws(ArithmeticError) -> [String]
  ) -> [String] {
    do { return try evaluate(operands) } catch { return ["\(error)"] }
  }

  private var arity: Int {
    switch self {
    case .narrow: 1
    case .mulDivDown, .mulDivUp, .fullMulDivDown, .fullMulDivUp: 3
    case .wideMultiply, .wideDivide, .wideDivideUp: 3
    case .wideAdd, .wideSubtract: 4
    default: 2
    }
  }

  private func evaluateText(_ fields: [Substring]) throws -> Evaluation {
    guard let value = U256(decimal: fields[0]) else {
      return Evaluation(operands: 1, results: ["overflow"])
    }
    let hex = value.bigEndianBytes.map { byte in
      let digits = String(byte, radix: 16)
      return digits.count == 1 ? "0" + digits : digits
    }
    try #require(U256(bigEndianBytes: value.bigEndianBytes) == value)
    return Evaluation(operands: 1, results: [value.description, hex.joined()])
  }

  private func unsignedResults(_ x: [U256]) throws(ArithmeticError) -> [String] {
    switch self {
    case .add: [try x[0].adding(x[1])].texts
    case .subtract: [try x[0].subtracting(x[1])].texts
    case .subtractFlooredAtZero: [x[0].subtractingFlooredAtZero(x[1])].texts
    case .multiply: [try x[0].multiplied(by: x[1])].texts
    case .multiplyFullWidth: x[0].multipliedFullWidth(by: x[1]).halves.texts
    case .divideDown: [try x[0].dividedDown(by: x[1])].texts
    case .divideUp: [try x[0].dividedUp(by: x[1])].texts
    case .quotientAndRemainder: try pair(x[0].quotientAndRemainder(dividingBy: x[1]))
    case .divideByWord: try word(x[0].quotientAndRemainder(dividingBy: x[1].w0))
    case .mulDivDown: [try U256.mulDivDown(x[0], x[1], x[2])].texts
    case .mulDivUp: [try U256.mulDivUp(x[0], x[1], x[2])].texts
    case .fullMulDivDown: [try U256.fullMulDivDown(x[0], x[1], x[2])].texts
    case .fullMulDivUp: [try U256.fullMulDivUp(x[0], x[1], x[2])].texts
    case .shiftLeft: [x[0].shiftedLeft(by: Int(x[1].w0))].texts
    case .shiftRight: [x[0].shiftedRight(by: Int(x[1].w0))].texts
    case .narrow: ["\(try UInt128(narrowing: x[0]))"]
    case .compare:
      [x[0] < x[1] ? "1" : "0", x[0] == x[1] ? "1" : "0", "\(x[0].bitWidth)", "\(x[1].bitWidth)"]
    default: try wideResults(x)
    }
  }

  private func wideResults(_ x: [U256]) throws(ArithmeticError) -> [String] {
    let wide = U512(high: x[0], low: x[1])
    switch self {
    case .wideAdd: return try wide.adding(U512(high: x[2], low: x[3])).halves.texts
    case .wideSubtract: return try wide.subtracting(U512(high: x[2], low: x[3])).halves.texts
    case .wideMultiply: return try wide.multiplied(by: x[2]).halves.texts
    case .wideDivideUp: return try wide.dividedUp(by: x[2]).halves.texts
    default:
      let (quotient, remainder) = try wide.quotientAndRemainder(dividingBy: x[2])
      return (quotient.halves + [remainder]).texts
    }
  }

  private func signedResults(_ x: [I256]) throws(ArithmeticError) -> [String] {
    switch self {
    case .signedAdd: ["\(try x[0].adding(x[1]))"]
    case .signedSubtract: ["\(try x[0].subtracting(x[1]))"]
    case .signedMultiply: ["\(try x[0].multiplied(by: x[1]))"]
    case .signedDivide: ["\(try x[0].dividedTowardZero(by: x[1]))"]
    case .signedRemainder: ["\(try x[0].remainderTowardZero(by: x[1]))"]
    default:
      [x[0] < x[1] ? "1" : "0", x[0] == x[1] ? "1" : "0"] + [x[0].magnitude, x[1].magnitude].texts
    }
  }

  private func pair(_ answer: (quotient: U256, remainder: U256)) -> [String] {
    [answer.quotient, answer.remainder].texts
  }

  private func word(_ answer: (quotient: U256, remainder: UInt64)) -> [String] {
    [answer.quotient, U256(answer.remainder)].texts
  }
}

extension U512 {
  fileprivate var halves: [U256] { [high, low] }
}

extension [U256] {
  fileprivate var texts: [String] { map(\.description) }
}
