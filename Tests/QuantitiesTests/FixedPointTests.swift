import Quantities
import Testing

@Suite struct FixedPointTests {
  @Test func takesAPartOfAnAmountWithTheRoundingNamed() throws {
    let fee = Wad(raw: 250_000_000_000_000_000)
    #expect(try fee.mulDown(7) == 1)
    #expect(try fee.mulUp(7) == 2)
    #expect(try Ray.one.mulUp(7) == 7)
    #expect(try BasisPoints(raw: 50).mulDown(10_000) == 50)
  }

  @Test func findsWhatPartOneAmountIsOfAnother() throws {
    #expect(try Wad.divDown(1, by: 3).raw == 333_333_333_333_333_333)
    #expect(try Wad.divUp(1, by: 3).raw == 333_333_333_333_333_334)
    #expect(try BasisPoints.divUp(2, by: 3).raw == 6_667)
    #expect(throws: ArithmeticError.divisionByZero) { try Ray.divDown(1, by: 0) }
  }

  @Test func throwsWhereASolidityProductWouldRevert() {
    #expect(throws: ArithmeticError.overflow) { try Wad.one.mulDown(.max) }
    #expect(throws: ArithmeticError.overflow) { try Ray.divUp(.max, by: .max) }
  }

  @Test(arguments: [
    (Wad(raw: 865_000_000_000_000_000).description, "0.865"),
    (Wad.one.description, "1"), (Wad.zero.description, "0"),
    (Wad(raw: 1).description, "0.000000000000000001"),
    (Ray(raw: 1_050_000_000_000_000_000_000_000_000).description, "1.05"),
    (BasisPoints(raw: 123_456).description, "12.3456"),
  ])
  func readsAsADecimalFraction(_ text: String, _ expected: String) {
    #expect(text == expected)
  }
}
