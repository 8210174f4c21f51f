import TestKit
import Testing

@testable import Ethereum

/// Hashes that bind a block's content, against those of real chains and of another way of
/// computing them.
@Suite struct BlockProofTests {
  @Test func prefixesSayHowLongAStringOrListIs() {
    // Yellow paper, appendix B: the borders between the forms.
    #expect(RLP.encode([]) == [0x80])
    #expect(RLP.encode([0x00]) == [0x00])
    #expect(RLP.encode([0x7F]) == [0x7F])
    #expect(RLP.encode([0x80]) == [0x81, 0x80])
    let short = [UInt8](repeating: 7, count: 55)
    #expect(RLP.encode(short) == [0xB7] + short)
    let long = [UInt8](repeating: 7, count: 56)
    #expect(RLP.encode(long) == [0xB8, 56] + long)
    let longer = [UInt8](repeating: 7, count: 1024)
    #expect(RLP.encode(longer) == [0xB9, 4, 0] + longer)
    #expect(RLP.list([]) == [0xC0])
    #expect(RLP.list(short) == [0xF7] + short)
    #expect(RLP.list(long) == [0xF8, 56] + long)
  }

  @Test func numbersHaveNoLeadingZeros() {
    func encoded(_ number: UInt64) -> [UInt8] {
      var output: [UInt8] = []
      RLP.append(number, to: &output)
      return output
    }
    #expect(encoded(0) == [0x80])
    #expect(encoded(127) == [0x7F])
    #expect(encoded(128) == [0x81, 0x80])
    #expect(encoded(256) == [0x82, 1, 0])
    #expect(encoded(.max) == [0x88] + [UInt8](repeating: 0xFF, count: 8))
  }

  @Test func anOrderedTrieHasTheRootOfAnotherWayToBuildIt() throws {
    struct Case: Decodable {
      let count: Int
      let size: Int
      let root: String
    }
    let cases = try Fixture.json("Ethereum/tries.json", as: [Case].self)
    #expect(cases.count > 100)
    for expected in cases {
      let values = (0..<expected.count).map { place in
        (0..<(1 + (7 * place + expected.count) % expected.size)).map { index in
          UInt8((31 * place + 17 * index + expected.size) % 256)
        }
      }
      #expect(
        "\(orderedTrieRoot(values))" == expected.root, "\(expected.count), \(expected.size)")
    }
  }

  @Test func ethereumsFirstBlockHasItsHash() {
    #expect(
      Self.genesis().hash?.description
        == "0xd4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3")
  }

  /// Blocks of every upgrade from Berlin to Prague as geth made them, with their receipts where
  /// those are known: `ethereum/execution-apis` at 033ca6e, `tests`, in the public domain.
  @Test func blocksOfEveryUpgradeHaveTheirHashesAndTheRootsOfTheirReceipts() throws {
    struct Block: Decodable {
      struct Receipt: Decodable {
        let type, cumulativeGasUsed, logsBloom: String
        let status: String?
        let root: String?
        let logs: [Log]
      }
      struct Log: Decodable {
        let address, data: String
        let topics: [String]
      }
      let header: [String: String]
      let receipts: [Receipt]?
    }
    let blocks = try Fixture.json("Ethereum/blocks.json", as: [Block].self)
    #expect(blocks.count == 8)
    for block in blocks {
      let fields = Self.fields(block.header)
      #expect(fields.hash?.description == block.header["hash"])
      guard let told = block.receipts else { continue }
      let receipts = try told.map { receipt in
        Receipt(
          type: UInt8(try #require(Hex.parseQuantity(receipt.type))),
          outcome: receipt.root.flatMap { Bytes32($0) }.map(Receipt.Outcome.state)
            ?? (receipt.status == "0x1" ? .succeeded : .failed),
          cumulativeGasUsed: try #require(Hex.parseQuantity(receipt.cumulativeGasUsed)),
          bloom: Self.bytes(receipt.logsBloom),
          logs: try receipt.logs.map { log in
            Log(
              address: try #require(Address(log.address)),
              topics: log.topics.compactMap { Bytes32($0) }, data: Self.bytes(log.data),
              blockNumber: 0, blockHash: .zero, transactionHash: .zero, transactionIndex: 0,
              logIndex: 0)
          })
      }
      #expect(receiptsRoot(receipts) == fields.word(.receiptsRoot))
    }
    #expect(blocks.count { $0.receipts != nil } == 2)
    #expect(blocks.compactMap(\.receipts).joined().contains { !$0.logs.isEmpty })
  }

  @Test func aHeaderWithAGapHasNoHash() {
    var fields = Self.genesis()
    fields[.baseFee] = [7]
    fields[.withdrawalsRoot] = orderedTrieRoot([]).bytes
    fields[.blobGasUsed] = []
    let whole = fields
    #expect(whole.hash != nil)
    var early = whole
    early[.gasUsed] = nil
    #expect(early.hash == nil)
    var late = whole
    late[.withdrawalsRoot] = nil
    #expect(late.hash == nil)
    var shorter = whole
    shorter[.blobGasUsed] = nil
    #expect(shorter.hash != nil)
    #expect(shorter.hash != whole.hash)
  }

  @Test func everythingInAReceiptCountsForTheRoot() {
    let log = Log(
      address: Address(word0: 1, word1: 2, word2: 3),
      topics: [Bytes32(word0: 1, word1: 0, word2: 0, word3: 0)],
      data: [1, 2, 3], blockNumber: 1, blockHash: .zero, transactionHash: .zero,
      transactionIndex: 0, logIndex: 0)
    let receipt = Receipt(
      type: 2, outcome: .succeeded, cumulativeGasUsed: 21_000, bloom: Self.emptyBloom, logs: [log])
    var others = Array(repeating: receipt, count: 8)
    others[0].type = 1
    others[1].outcome = .failed
    others[2].outcome = .state(.zero)
    others[3].cumulativeGasUsed += 1
    others[4].bloom[0] = 1
    others[5].logs = []
    others[6].logs[0].data = [1, 2]
    others[7].logs[0].topics = []
    let roots = ([receipt] + others).map { receiptsRoot([$0]) }
    #expect(Set(roots).count == 9)
    #expect(!roots.contains(nil))
    #expect(receiptsRoot([receipt, others[0]]) != receiptsRoot([others[0], receipt]))
  }

  @Test func aReceiptOfAnUnknownTypeProvesNothing() {
    let receipt = Receipt(
      type: 5, outcome: .succeeded, cumulativeGasUsed: 0, bloom: Self.emptyBloom, logs: [])
    #expect(receipt.trieValue == nil)
    #expect(receiptsRoot([receipt]) == nil)
    #expect(receiptsRoot([]) == orderedTrieRoot([]))
  }

  private static func genesis() -> HeaderFields {
    var fields = HeaderFields()
    let empty = bytes("0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421")
    fields[.parentHash] = Bytes32.zero.bytes
    fields[.uncles] = noUncles
    fields[.beneficiary] = Address.zero.bytes
    fields[.stateRoot] = bytes(
      "0xd7f8974fb5ac78d9ac099b9ad5018bedc2ce0a72dad1827a1709da30580f0544")
    fields[.transactionsRoot] = empty
    fields[.receiptsRoot] = empty
    fields[.bloom] = emptyBloom
    fields[.difficulty] = bytes("0x0400000000")
    fields[.number] = []
    fields[.gasLimit] = bytes("0x1388")
    fields[.gasUsed] = []
    fields[.timestamp] = []
    fields[.extraData] = bytes(
      "0x11bbe8db4e347b4e8c937c1c8370e4b5ed33adb3db69cbdb7a38e1e50b1b82fa")
    fields[.mixHash] = Bytes32.zero.bytes
    fields[.nonce] = bytes("0x0000000000000042")
    return fields
  }

  /// The fields of a block as JSON-RPC names them.
  private static func fields(_ header: [String: String]) -> HeaderFields {
    let names: [(String, HeaderFields.Field)] = [
      ("parentHash", .parentHash), ("sha3Uncles", .uncles), ("miner", .beneficiary),
      ("stateRoot", .stateRoot), ("transactionsRoot", .transactionsRoot),
      ("receiptsRoot", .receiptsRoot), ("logsBloom", .bloom), ("extraData", .extraData),
      ("mixHash", .mixHash), ("nonce", .nonce), ("withdrawalsRoot", .withdrawalsRoot),
      ("parentBeaconBlockRoot", .beaconRoot), ("requestsHash", .requestsHash),
    ]
    let numbers: [(String, HeaderFields.Field)] = [
      ("difficulty", .difficulty), ("number", .number), ("gasLimit", .gasLimit),
      ("gasUsed", .gasUsed), ("timestamp", .timestamp), ("baseFeePerGas", .baseFee),
      ("blobGasUsed", .blobGasUsed), ("excessBlobGas", .excessBlobGas),
    ]
    var fields = HeaderFields()
    for (name, field) in names { fields[field] = header[name].map(bytes) }
    for (name, field) in numbers {
      fields[field] = header[name].flatMap { Hex.parseQuantity($0) }.map(RLP.minimalBytes)
    }
    return fields
  }

  private static let emptyBloom = [UInt8](repeating: 0, count: 256)

  private static let noUncles = bytes(
    "0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347")

  private static func bytes(_ hex: String) -> [UInt8] {
    Hex.decode(hex) ?? []
  }
}
