import Ethereum
import Testing

@testable import Moolah

@Suite struct EventSignatureTests {
  private func log(_ topics: [Bytes32]) -> Log {
    Log(
      address: .zero, topics: topics, data: [], blockNumber: 1, blockHash: .zero,
      transactionHash: .zero, transactionIndex: 0, logIndex: 0)
  }

  @Test func findsEachEventByItsTopic() {
    for signature in EventSignature.allCases {
      #expect(EventSignature(of: log([signature.topic, .zero])) == signature)
    }
    #expect(Set(EventSignature.allCases.map(\.topic)).count == EventSignature.allCases.count)
    #expect(
      EventSignature.supply.topic == ABI.topic("Supply(bytes32,address,address,uint256,uint256)"))
  }

  @Test func knowsNoOtherTopic() {
    #expect(EventSignature(of: log([])) == nil)
    #expect(EventSignature(of: log([.zero, EventSignature.supply.topic])) == nil)
    for signature in EventSignature.allCases {
      var topic = signature.topic
      topic.word3 ^= 1
      #expect(EventSignature(of: log([topic])) == nil)
      topic = signature.topic
      topic.word0 ^= 1
      #expect(EventSignature(of: log([topic])) == nil)
    }
    // Every first slot, also the free ones.
    for bits in 0..<64 as Range<UInt64> {
      let topic = Bytes32(word0: bits << 58, word1: 0, word2: 0, word3: 0)
      #expect(EventSignature(of: log([topic])) == nil)
    }
  }
}
