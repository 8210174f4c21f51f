import Ethereum

/// The 2048-bit filter in a header that tells which addresses and topics its logs may have.
///
/// Source: Ethereum yellow paper, function M3:2048: an item sets three bits, each named by the
/// low eleven bits of one of the first three pairs of bytes of its hash.
struct Bloom: Equatable, Sendable {
  private let bytes: [UInt8]

  /// Whether it says that the block has no logs at all. Some chains say so of every block.
  var isEmpty: Bool { !bytes.contains { $0 != 0 } }

  /// Exactly 256 bytes, or nil.
  init?(bytes: [UInt8]) {
    guard bytes.count == 256 else { return nil }
    self.bytes = bytes
  }

  /// Whether the item may be there; false is certain.
  func mayContain(_ item: Item) -> Bool {
    for shift: UInt64 in [0, 16, 32] {
      let bit = Int(item.bits >> shift & 0x7FF)
      if bytes[255 - bit / 8] & (1 << UInt8(bit % 8)) == 0 { return false }
    }
    return true
  }

  /// An address or a topic as the filter sees it.
  struct Item: Equatable, Sendable {
    /// The places of three bits, eleven bits each.
    fileprivate let bits: UInt64

    init(_ address: Address) {
      self.init(hash: keccak256(address.bytes))
    }

    init(_ topic: Bytes32) {
      self.init(hash: keccak256(topic.bytes))
    }

    private init(hash: Bytes32) {
      bits = hash.word0 >> 16
    }
  }
}

/// The items of addresses and topics that have been met, so that they are hashed only once: a few
/// contracts and users make most of the logs.
final class BloomBits {
  /// What is kept at most, of each kind.
  static let itemsMax = 1 << 16

  private var addresses: [Address: Bloom.Item] = [:]
  private var topics: [Bytes32: Bloom.Item] = [:]

  func item(of address: Address) -> Bloom.Item {
    if let item = addresses[address] { return item }
    if addresses.count >= Self.itemsMax { addresses = [:] }
    let item = Bloom.Item(address)
    addresses[address] = item
    return item
  }

  func item(of topic: Bytes32) -> Bloom.Item {
    if let item = topics[topic] { return item }
    if topics.count >= Self.itemsMax { topics = [:] }
    let item = Bloom.Item(topic)
    topics[topic] = item
    return item
  }

  /// Whether the block with this bloom may hold the log; false is certain.
  func mayHold(_ log: Log, _ bloom: Bloom) -> Bool {
    bloom.mayContain(item(of: log.address))
      && log.topics.allSatisfy { bloom.mayContain(item(of: $0)) }
  }
}

extension LogFilter {
  /// The filter's addresses and topics as blooms see them.
  struct BloomItems {
    fileprivate let addresses: [Bloom.Item]
    fileprivate let topics: [Bloom.Item]
    fileprivate let topicWords: [Bytes32]
  }

  /// Hashes every address and topic once.
  var bloomItems: BloomItems {
    BloomItems(
      addresses: addresses.map(Bloom.Item.init), topics: topics0.map(Bloom.Item.init),
      topicWords: topics0)
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
    let address = chances(items.addresses.count)
    let topic = items.topics.isEmpty ? Self.allChances : chances(items.topics.count)
    return address * topic * odds < Self.allChances * Self.allChances
  }

  /// Whether one of the filter's topics is told of that is not among the first topics of the
  /// block's logs, and by chance in less than one block in `odds`.
  ///
  /// Only a hint: another contract may have written the event.
  func hintsAtTopic(
    of items: LogFilter.BloomItems, notIn logs: ArraySlice<Log>, odds: UInt128
  ) -> Bool {
    guard chances(items.topics.count) * odds < Self.allChances else { return false }
    return zip(items.topicWords, items.topics).contains { word, item in
      mayContain(item) && !logs.contains { $0.topics.first == word }
    }
  }

  private static let allChances = UInt128(1) << 33

  /// How many of all chances let one of so many items be there by chance.
  private func chances(_ count: Int) -> UInt128 {
    let ones = UInt128(bytes.reduce(0) { $0 + $1.nonzeroBitCount })
    return min(Self.allChances, UInt128(count) * ones * ones * ones)
  }
}
