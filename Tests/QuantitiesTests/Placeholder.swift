import Quantities
import Testing

@Test func smoke() throws {
  let a: U256 = 0xffff_ffff_ffff_ffff_ffff_ffff_ffff_ffff_ffff_ffff_ffff_ffff_ffff_ffff_ffff_ffff
  #expect(a == U256.max)
  let m = try U256.fullMulDivDown(.max, .max, .max)
  #expect(m == .max)
  #expect(U256.max.description == "115792089237316195423570985008687907853269984665640564039457584007913129639935")
  #expect(U256(decimal: U256.max.description) == .max)
  let x: U256 = 123456789012345678901234567890123456789012345678901234567890
  #expect(try x.dividedDown(by: 1_000_000_000_000_000_000_000_000_000_000) == 123456789012345678901234567890)
  let n: I256 = -5
  #expect(try n.dividedTowardZero(by: 2) == -2)
  #expect(I256.min.description == "-57896044618658097711785492504343953926634992332820282019728792003956564819968")
  #expect(Wad(raw: 865_000_000_000_000_000).description == "0.865")
}
