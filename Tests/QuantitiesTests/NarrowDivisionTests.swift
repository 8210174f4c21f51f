import Quantities
import TestKit
import Testing

@Suite struct NarrowDivisionTests {
  static let rounds = 50_000

  @Test(arguments: [31, 32] as [UInt64])
  func agreesWithTheFullWidthDivisionOrDeclines(seed: UInt64) throws {
    var random = EdgeBiasedGenerator(seed: seed)
    var answered = 0
    for _ in 0..<Self.rounds {
      let (x, y, d) = (random.u128(), random.u128(), random.u128())
      let down = try? U256.mulDivDown(U256(x), U256(y), U256(d))
      let up = try? U256.mulDivUp(U256(x), U256(y), U256(d))
      let fastDown = UInt128.mulDivDown(x, y, d)
      let fastUp = UInt128.mulDivUp(x, y, d)
      #expect(fastDown == down.flatMap { UInt128(exactly: $0) }, "seed \(seed): \(x) \(y) \(d)")
      #expect(fastUp == up.flatMap { UInt128(exactly: $0) }, "seed \(seed): \(x) \(y) \(d)")
      if fastDown != nil { answered += 1 }
    }
    #expect(answered > Self.rounds / 4)
  }

  @Test(arguments: [33] as [UInt64])
  func dividesByConstantsLikeAnyOtherDivisor(seed: UInt64) throws {
    var random = EdgeBiasedGenerator(seed: seed)
    let ten36: UInt128 = 1_000_000_000_000_000_000_000_000_000_000_000_000
    for _ in 0..<Self.rounds {
      let n = random.u256(bits: Int(random.next() % 257))
      let expected = UInt128(exactly: try n.dividedDown(by: U256(ten36)))
      #expect(n.narrowQuotient(dividingBy: ten36) == expected, "seed \(seed): \(n)")
    }
  }

  @Test func declinesADivisorOfZero() {
    #expect(UInt128.mulDivDown(0, 0, 0) == nil)
    #expect(UInt128.mulDivUp(1, 1, 0) == nil)
  }
}
