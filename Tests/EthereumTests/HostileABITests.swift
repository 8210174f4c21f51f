import Ethereum
import Quantities
import TestKit
import Testing

/// Bytes that no honest contract answers.
@Suite struct HostileABITests {
  struct Attack: Sendable, CustomStringConvertible {
    let description: String
    let types: [ABIType]
    let words: [U256]
    let error: ABIError
  }

  static let attacks: [Attack] = [
    Attack(
      description: "an offset beyond the end", types: [.bytes], words: [64],
      error: .outOfBounds(offset: 0)),
    Attack(
      description: "an offset to the very end", types: [.bytes], words: [32],
      error: .outOfBounds(offset: 32)),
    Attack(
      description: "an offset of 2^256 - 1", types: [.bytes], words: [.max, 0],
      error: .outOfBounds(offset: 0)),
    Attack(
      description: "an offset of 2^63", types: [.bytes], words: [0x8000_0000_0000_0000, 0],
      error: .outOfBounds(offset: 0)),
    Attack(
      description: "an offset into the heads", types: [.bytes, .uint(256)], words: [32, 0],
      error: .overlap(offset: 32)),
    Attack(
      description: "an offset to itself", types: [.array(.array(.uint(256)))], words: [0, 1],
      error: .overlap(offset: 0)),
    Attack(
      description: "an inner offset that loops", types: [.array(.array(.uint(256)))],
      words: [32, 1, 0, 0], error: .overlap(offset: 64)),
    Attack(
      description: "two offsets to one tail", types: [.bytes, .bytes], words: [64, 64, 0, 0],
      error: .overlap(offset: 64)),
    Attack(
      description: "tails in the wrong order", types: [.bytes, .bytes], words: [96, 64, 0, 0],
      error: .overlap(offset: 64)),
    Attack(
      description: "an element count of 2^256 - 1", types: [.array(.uint(256))],
      words: [32, .max], error: .outOfBounds(offset: 32)),
    Attack(
      description: "an element count of 2^59, whose size wraps around", types: [.array(.uint(256))],
      words: [32, 0x0800_0000_0000_0000, 1, 2], error: .outOfBounds(offset: 32)),
    Attack(
      description: "one element more than there is", types: [.array(.uint(256))],
      words: [32, 3, 1, 2], error: .outOfBounds(offset: 32)),
    Attack(
      description: "a byte count beyond the end", types: [.bytes], words: [32, 33, 0],
      error: .outOfBounds(offset: 32)),
    Attack(
      description: "a text of 2^64 bytes", types: [.string],
      words: [32, 0x1_0000_0000_0000_0000, 0], error: .outOfBounds(offset: 32)),
    Attack(
      description: "a bool of 2", types: [.bool], words: [2], error: .invalidBool(offset: 0)),
    Attack(
      description: "a bool of 2^255", types: [.uint(8), .bool],
      words: [1, U256(w0: 0, w1: 0, w2: 0, w3: 0x8000_0000_0000_0000)],
      error: .invalidBool(offset: 32)),
    Attack(
      description: "a uint8 of 256", types: [.uint(8)], words: [256], error: .dirtyWord(offset: 0)),
    Attack(
      description: "a uint128 of 2^128", types: [.uint(128)],
      words: [U256(w0: 0, w1: 0, w2: 1, w3: 0)], error: .dirtyWord(offset: 0)),
    Attack(
      description: "an int8 of 128", types: [.int(8)], words: [128], error: .dirtyWord(offset: 0)),
    Attack(
      description: "an int8 of -129", types: [.int(8)], words: [I256(-129).bits],
      error: .dirtyWord(offset: 0)),
    Attack(
      description: "an address of 21 bytes", types: [.address],
      words: [U256(w0: 0, w1: 0, w2: 0x1_0000_0000, w3: 0)], error: .dirtyWord(offset: 0)),
    Attack(
      description: "a bytes4 of 5 bytes", types: [.fixedBytes(4)],
      words: [U256(w0: 0, w1: 0, w2: 0, w3: 0x0100_0000)], error: .dirtyWord(offset: 0)),
    Attack(
      description: "text that is not UTF-8", types: [.string],
      words: [32, 1, U256(w0: 0, w1: 0, w2: 0, w3: 0xff00_0000_0000_0000)],
      error: .invalidText(offset: 32)),
    Attack(
      description: "nothing at all", types: [.uint(256)], words: [],
      error: .outOfBounds(offset: 0)),
  ]

  @Test(arguments: attacks)
  func refuses(_ attack: Attack) {
    let bytes = attack.words.flatMap(\.bigEndianBytes)
    #expect(throws: attack.error) { try ABI.decode(attack.types, bytes) }
  }

  @Test func readsTheNarrowestNumbers() throws {
    let words: [U256] = [255, 127, I256(-128).bits]
    let values = try ABI.decode([.uint(8), .int(8), .int(8)], words.flatMap(\.bigEndianBytes))
    #expect(values == [.uint(255), .int(I256(127)), .int(I256(-128))])
  }

  @Test func toleratesWhatAContractTolerates() throws {
    let sizes: [U256] = [32, 3]
    let unpadded = sizes.flatMap(\.bigEndianBytes) + [1, 2, 3] as [UInt8]
    #expect(try ABI.decode([.bytes], unpadded) == [.bytes([1, 2, 3])])
    let gap: [U256] = [64, 0, 0, 7]
    #expect(try ABI.decode([.bytes], gap.flatMap(\.bigEndianBytes)) == [.bytes([])])
  }

  @Test func refusesTypesWithoutWordsOrWithoutEnd() {
    let zeros = [UInt8](repeating: 0, count: 64)
    let wrong: [ABIType] = [
      .uint(0), .uint(7), .uint(264), .int(-8), .fixedBytes(0), .fixedBytes(33), .tuple([]),
      .fixedArray(.bool, 0), .fixedArray(.bool, -1), .fixedArray(.bool, .max),
      .fixedArray(.fixedArray(.fixedArray(.bool, 1 << 20), 1 << 20), 1 << 20),
      .array(.tuple([])), .array(.fixedArray(.bytes, 0)),
      .tuple([ABIType](repeating: .fixedArray(.bool, 1 << 20), count: 2)),
    ]
    for type in wrong {
      #expect(throws: ABIError.self, "\(type)") { try ABI.decode([type], zeros) }
    }
  }

  @Test func stopsAtItsLimits() throws {
    var deep = ABIType.uint(8)
    for _ in 0..<20 { deep = .array(deep) }
    #expect(throws: ABIError.tooDeep(limit: 16)) { try ABI.decode([deep], []) }

    let numbers = ABI.encode([.array([.uint(1), .uint(2), .uint(3)])])
    let limits = ABILimits(depth: 4, values: 4)
    #expect(throws: Never.self) { try ABI.decode([.array(.uint(8))], numbers, limits: limits) }
    let tighter = ABILimits(depth: 4, values: 3)
    #expect(throws: ABIError.tooManyValues(limit: 3)) {
      try ABI.decode([.array(.uint(8))], numbers, limits: tighter)
    }
  }

  /// Whatever the bytes, decoding ends in an error or in values that take no more room than the
  /// bytes had, and that are read back the same.
  @Test func survivesMutatedBodies() throws {
    var random = SeededGenerator()
    var bodies = 0
    var accepted = 0
    while bodies < 200_000 {
      let types = random.abiTypes(1...3, depth: 2)
      let honest = ABI.encode(types.map { random.abiValue($0) })
      for _ in 0..<100 {
        bodies += 1
        let bytes = random.mutated(honest)
        guard let values = try? ABI.decode(types, bytes) else { continue }
        accepted += 1
        let canonical = ABI.encode(values)
        if canonical.count > bytes.count + 31 || (try? ABI.decode(types, canonical)) != values {
          Issue.record("\(types) of \(Hex.encode(bytes))")
        }
      }
    }
    #expect(accepted > bodies / 100)
    #expect(accepted < bodies)
  }
}

extension SeededGenerator {
  /// The bytes with one to four of them, or of their words, changed, lost or doubled.
  fileprivate mutating func mutated(_ honest: [UInt8]) -> [UInt8] {
    var bytes = honest
    for _ in 0..<Int.random(in: 1...4, using: &self) where !bytes.isEmpty {
      let index = Int.random(in: bytes.indices, using: &self)
      let wordStart = index / 32 * 32
      let word = wordStart..<min(wordStart + 32, bytes.count)
      switch Int.random(in: 0..<8, using: &self) {
      case 0: bytes[index] = UInt8(truncatingIfNeeded: next())
      case 1: bytes[index] ^= 1 << UInt8.random(in: 0..<8, using: &self)
      case 2: bytes.removeLast(bytes.count - index)
      case 3: bytes.replaceSubrange(word, with: [UInt8](repeating: 0xff, count: word.count))
      case 4: bytes.insert(contentsOf: bytes[word], at: wordStart)
      case 5: bytes.removeSubrange(word)
      case 6: bytes[word.upperBound - 1] = UInt8(32 * Int.random(in: 0..<8, using: &self))
      default: bytes[word.upperBound - 1] &+= 1
      }
    }
    return bytes
  }
}
