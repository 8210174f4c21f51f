import Ethereum
import Quantities
import TestKit
import Testing

@Suite struct Multicall3Tests {
  @Test func standsAtItsAddress() {
    #expect(Multicall3.canonicalAddress == Address("0xcA11bde05977b3631167028862bE2a173976CA11"))
    let data = Multicall3.aggregate3([], allowFailure: true)
    #expect(Hex.encode(data.prefix(4)) == "0x82ad56cb")
  }

  @Test func asksAndReadsAsTheContractDoes() throws {
    let fixture = try SigningFixture.load().multicall3
    let asked = try #require(Hex.decode(fixture.calldata))
    let answered = try #require(Hex.decode(fixture.returndata))

    let results = try Multicall3.decodeAggregate3(answered, count: 3)
    #expect(results.map(\.succeeded) == [true, false, true])
    #expect(results[0].data == U256(1).bigEndianBytes + [UInt8](repeating: 0, count: 128))
    #expect(Hex.encode(results[1].data.prefix(4)) == "0x08c379a0")
    #expect(
      try ABI.decode([.string], Array(results[1].data.dropFirst(4)))
        == [.string("Position is closed")])
    #expect(results[2].data == U256(0x68b9_b140).bigEndianBytes)

    let tuple = ABIType.tuple([.address, .bool, .bytes])
    let values = try ABI.decode([.array(tuple)], Array(asked.dropFirst(4)))
    #expect(asked.prefix(4) == ABI.selector("aggregate3((address,bool,bytes)[])")[...])
    #expect(ABI.encode(values) == Array(asked.dropFirst(4)))
  }

  @Test func refusesAnotherNumberOfAnswers() throws {
    let answered = try #require(Hex.decode(SigningFixture.load().multicall3.returndata))
    #expect(throws: ABIError.wrongCount(expected: 2, found: 3)) {
      try Multicall3.decodeAggregate3(answered, count: 2)
    }
    #expect(throws: ABIError.wrongCount(expected: 4, found: 3)) {
      try Multicall3.decodeAggregate3(answered, count: 4)
    }
    #expect(throws: ABIError.self) { try Multicall3.decodeAggregate3([], count: 0) }
  }

  @Test func encodesEachCallInItsPlace() throws {
    var random = SeededGenerator()
    let calls = (0..<40).map { Call(to: random.address(), data: random.bytes($0)) }
    let data = Multicall3.aggregate3(calls, allowFailure: true)
    let tuple = ABIType.tuple([.address, .bool, .bytes])
    let expected = calls.map { ABIValue.tuple([.address($0.to), .bool(true), .bytes($0.data)]) }
    #expect(try ABI.decode([.array(tuple)], Array(data.dropFirst(4))) == [.array(expected)])
  }
}
