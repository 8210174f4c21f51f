import Ethereum
import Quantities
import TestKit
import Testing

@Suite struct ABITests {
  @Test func writesAndReadsWhatAnotherImplementationWrote() throws {
    let cases = try GoldenABI.load()
    #expect(cases.count > 200)
    for golden in cases {
      #expect(
        "(" + golden.types.map(\.description).joined(separator: ",") + ")" == golden.signature)
      #expect(ABI.encode(golden.values) == golden.encoded, "\(golden.signature)")
      #expect(try ABI.decode(golden.types, golden.encoded) == golden.values, "\(golden.signature)")
    }
  }

  @Test func readsWhatItWrites() throws {
    var random = SeededGenerator()
    for _ in 0..<2_000 {
      let types = random.abiTypes(0...4, depth: 3)
      let values = types.map { random.abiValue($0) }
      let bytes = ABI.encode(values)
      #expect(bytes.count % 32 == 0)
      #expect(try ABI.decode(types, bytes) == values, "\(types)")
    }
  }

  @Test func readsNoPartOfAnEncodingAsTheWhole() throws {
    var random = SeededGenerator()
    for _ in 0..<300 {
      let types = random.abiTypes(1...3, depth: 2)
      let bytes = ABI.encode(types.map { random.abiValue($0) })
      for cut in stride(from: 0, through: bytes.count - 32, by: 32) {
        #expect(throws: ABIError.self, "\(types)") { try ABI.decode(types, Array(bytes[..<cut])) }
      }
    }
  }

  @Test func makesACallOfItsSignatureAndArguments() throws {
    let fixture = try SigningFixture.load()
    let borrower = try #require(Address("0x70997970C51812dc3A010C7d01b50e0d17dc79C8"))
    let call = Call(
      to: .zero, signature: "liquidate(uint256,address)",
      arguments: [.uint(7), .address(borrower)])
    #expect(Hex.encode(call.data) == fixture.liquidateSevenCalldata)
  }

  @Test func encodesMarketParametersToTheMarketID() throws {
    struct Market: Decodable {
      let id, loan, coll, oracle, irm: String
      let lltv: UInt64
    }
    let markets = try Fixture.json("Moolah/markets_from_broadcast.json", as: [Market].self)
    #expect(markets.count == 62)
    for market in markets {
      let addresses = [market.loan, market.coll, market.oracle, market.irm]
      let parameters = try addresses.map { ABIValue.address(try #require(Address($0))) }
      let encoded = ABI.encode(parameters + [.uint(U256(market.lltv))])
      #expect(keccak256(encoded).description == market.id)
    }
  }
}
