import Ethereum

/// The 2048-bit filter in a header that tells which addresses and topics its logs may have.
///
/// Source: Ethereum yellow paper, function M3:2048: an item sets three bits, each named by the
/// low eleven bits of one of the first three pairs of bytes of its hash.
struct Bloom: Equatable, Sendable {
  private let bytes: [UInt8]

  /// Exactly 256 bytes, or nil.
  init?(bytes: [UInt8]) {
    guard bytes.count == 256 else { return nil }
    self.bytes = bytes
  }

  /// Whether the item may be there; false is certain.
  func mayContain(_ item: Item) -> Bool {
    item.bits.allSatisfy { bit in bytes[255 - bit / 8] & (1 << UInt8(bit % 8)) != 0 }
  }

  /// An address or a topic as the filter sees it.
  struct Item: Equatable, Sendable {
    fileprivate let bits: [Int]

    init(_ address: Address) {
      self.init(hash: keccak256(address.bytes))
    }

    init(_ topic: Bytes32) {
      self.init(hash: keccak256(topic.bytes))
    }

    private init(hash: Bytes32) {
      bits = [hash.word0 >> 48, hash.word0 >> 32, hash.word0 >> 16].map { Int($0 & 0x7FF) }
    }
  }
}

extension LogFilter {
  /// The filter's addresses and topics as blooms see them.
  struct BloomItems {
    fileprivate let addresses: [Bloom.Item]
    fileprivate let topics: [Bloom.Item]
  }

  /// Hashes every address and topic once.
  var bloomItems: BloomItems {
    BloomItems(addresses: addresses.map(Bloom.Item.init), topics: topics0.map(Bloom.Item.init))
  }
}

extension Bloom {
  /// Whether a block with this bloom may hold a log that the filter asks for.
  func mayMatch(_ items: LogFilter.BloomItems) -> Bool {
    items.addresses.contains(where: mayContain)
      && (items.topics.isEmpty || items.topics.contains(where: mayContain))
  }

  /// Whether less than one block in `odds` that is as full as this one matches by chance.
  ///
  /// Each of an item's three bits is set by chance as often as any bit is: an item is there by
  /// chance in `ones`³ of 2048³ cases, and one of n items in at most n times as many.
  func tells(_ items: LogFilter.BloomItems, odds: UInt128) -> Bool {
    let all = UInt128(1) << 33
    let ones = UInt128(bytes.reduce(0) { $0 + $1.nonzeroBitCount })
    let address = min(all, UInt128(items.addresses.count) * ones * ones * ones)
    let topic =
      items.topics.isEmpty ? all : min(all, UInt128(items.topics.count) * ones * ones * ones)
    return address * topic * odds < all * all
  }
}
