import Quantities
import TestKit
import Testing

@testable import Ethereum

@Suite struct KeccakTests {
  @Test func hashesEveryLengthAroundABlock() throws {
    struct Case: Decodable {
      let length: Int
      let hash: String
    }
    let cases = try Fixture.json("Ethereum/keccak.json", as: [Case].self)
    #expect(cases.contains { $0.length == 136 })
    for expected in cases {
      let content = (0..<expected.length).map { UInt8((7 * $0 + 3) % 251) }
      #expect(keccak256(content).description == expected.hash, "\(expected.length) bytes")
    }
  }

  @Test func hashesNoBytes() {
    #expect(
      keccak256([]).description
        == "0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470")
  }

  @Test func hashesBytesThatAreNotContiguous() {
    let content = (0..<300).map { UInt8($0 % 256) }
    #expect(keccak256(content.lazy.map { $0 }) == keccak256(content))
    #expect(keccak256(content[10..<200]) == keccak256(Array(content[10..<200])))
    #expect(keccak256("transfer".utf8) == keccak256(Array("transfer".utf8)))
  }

  @Test func namesEventsAndFunctionsAsTheContractsDo() throws {
    typealias Names = [String: [[String]]]
    let names = try Fixture.json("Ethereum/topics.json", as: [String: Names].self)
    let events = try #require(names["events"]).values.joined()
    let functions = try #require(names["functions"]).values.joined()
    #expect(events.count > 50)
    #expect(functions.count > 50)
    for event in events { #expect(ABI.topic(event[0]).description == event[1], "\(event[0])") }
    for function in functions {
      #expect(Hex.encode(ABI.selector(function[0])) == function[1], "\(function[0])")
    }
  }

  @Test func refusesSignaturesThatWouldNameNothing() {
    let wrong = [
      "", "transfer", "()", "(address)", "transfer(address, uint256)", "transfer(address,uint)",
      "transfer(int[])", "transfer(uint256", "transfer(uint256))", "transfer(address to)",
      "transfer(address)view", "a(b(c))", "transfer((uint,bool))",
    ]
    for signature in wrong { #expect(!ABI.isCanonical(signature.utf8), "\(signature)") }
    let right = ["f()", "_a$1(uint8[2][],(bytes32,(bool,int24)[])[3],string)", "market(bytes32)"]
    for signature in right { #expect(ABI.isCanonical(signature.utf8), "\(signature)") }
  }
}
