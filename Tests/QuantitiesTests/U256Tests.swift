import Quantities
import Testing

@Suite struct U256Tests {
  @Test(arguments: [
    "", " ", "-1", "+1", "1 ", " 1", "0x10", "1_000", "1.0", "1e3", "١", "12３", "NaN", "\u{0}1",
    "115792089237316195423570985008687907853269984665640564039457584007913129639936",
    "1157920892373161954235709850086879078532699846656405640394575840079131296399350",
  ])
  func refusesTextThatIsNotAnUnsigned256BitDecimal(_ text: String) {
    #expect(U256(decimal: text) == nil)
  }

  @Test(arguments: ["", "-", "--1", "+1", "-+1", "1-", "- 1"])
  func refusesTextThatIsNotASigned256BitDecimal(_ text: String) {
    #expect(I256(decimal: text) == nil)
  }

  @Test func readsTheSmallestSignedTextButNotOneBelow() {
    let smallest = "-57896044618658097711785492504343953926634992332820282019728792003956564819968"
    #expect(I256(decimal: smallest) == I256.min)
    #expect(I256(decimal: smallest.dropLast() + "9") == nil)
    #expect(I256(decimal: smallest.dropFirst()) == nil)
  }

  @Test func readsLiteralsOfAnyLength() throws {
    #expect(
      0xffff_ffff_ffff_ffff_ffff_ffff_ffff_ffff_ffff_ffff_ffff_ffff_ffff_ffff_ffff_ffff == U256.max)
    let tenTo36 = try Ray.scale.multiplied(by: 1_000_000_000)
    #expect(
      1_000_000_000_000_000_000_000_000_000_000_000_000 as U256
        == tenTo36)
    #expect(-1 as I256 == I256(-1))
    #expect((-1 as I256).bits == .max)
    #expect(
      -0x8000_0000_0000_0000_0000_0000_0000_0000_0000_0000_0000_0000_0000_0000_0000_0000
        == I256.min)
  }

  @Test func takesUpTo32BytesMostSignificantFirst() {
    #expect(U256(bigEndianBytes: []) == .zero)
    #expect(U256(bigEndianBytes: [1, 0]) == 256)
    #expect(U256(bigEndianBytes: [UInt8](repeating: 255, count: 32)) == .max)
    #expect(U256(bigEndianBytes: [UInt8](repeating: 0, count: 33)) == nil)
    #expect(U256(0x0102).bigEndianBytes == [UInt8](repeating: 0, count: 30) + [1, 2])
  }

  @Test func narrowsOnlyWhatFits() throws {
    let beyond = try U256(UInt128.max).adding(.one)
    #expect(UInt128(exactly: U256(UInt128.max)) == .max)
    #expect(UInt128(exactly: beyond) == nil)
    #expect(throws: ArithmeticError.overflow) { try UInt128(narrowing: beyond) }
    #expect(UInt64(exactly: U256(UInt64.max)) == .max)
    #expect(UInt64(exactly: U256(UInt128(UInt64.max) + 1)) == nil)
    #expect(throws: ArithmeticError.underflow) { try U256(narrowing: I256(-1)) }
    #expect(throws: ArithmeticError.overflow) { try I256(narrowing: .max) }
  }

  @Test func dividingTheSmallestSignedByMinusOneOverflows() {
    #expect(throws: ArithmeticError.overflow) { try I256.min.dividedTowardZero(by: -1) }
    #expect(throws: ArithmeticError.overflow) { try I256.min.negated() }
    #expect(I256.min.magnitude == U256.one.shiftedLeft(by: 255))
  }

  @Test func roundsUpEvenWhenTheDividendIsTheLargest() throws {
    #expect(try U256.max.dividedUp(by: 2) == U256.one.shiftedLeft(by: 255))
    let beforeMax = try U256.max.subtracting(.one)
    #expect(throws: ArithmeticError.overflow) { try U256.mulDivUp(.max, 1, 2) }
    #expect(throws: ArithmeticError.overflow) { try U256.fullMulDivUp(.max, .max, beforeMax) }
  }
}
