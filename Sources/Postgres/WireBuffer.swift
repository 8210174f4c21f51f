import Ethereum
import Glibc

/// Growing memory that is written in network byte order and sent to the server as it is.
///
/// One buffer serves many statements: `removeAll` keeps the memory, so that binding values or
/// copying rows in allocates nothing per value.
public struct WireBuffer: ~Copyable {
  private(set) var base: UnsafeMutablePointer<UInt8>
  private var capacity: Int
  /// Bytes written so far.
  public private(set) var count = 0

  init(capacity: Int) {
    self.capacity = capacity
    base = .allocate(capacity: capacity)
  }

  deinit { base.deallocate() }

  mutating func removeAll() { count = 0 }

  /// Makes room for `extra` bytes and gives the place where they go; they count as written.
  @inline(__always)
  mutating func extend(by extra: Int) -> UnsafeMutableRawPointer {
    if count + extra > capacity { grow(to: count + extra) }
    defer { count += extra }
    return UnsafeMutableRawPointer(base + count)
  }

  @inline(never)
  private mutating func grow(to needed: Int) {
    let larger = max(needed, capacity * 2)
    let moved = UnsafeMutablePointer<UInt8>.allocate(capacity: larger)
    moved.update(from: base, count: count)
    base.deallocate()
    base = moved
    capacity = larger
  }

  /// Appends an integer of a fixed width, most significant byte first.
  @inline(__always)
  public mutating func append(_ value: some FixedWidthInteger & BitwiseCopyable) {
    let width = value.bitWidth / 8
    extend(by: width).storeBytes(of: value.bigEndian, as: type(of: value))
  }

  /// Appends bytes as they are.
  @inline(__always)
  public mutating func append(bytes: UnsafeRawBufferPointer) {
    guard let source = bytes.baseAddress, !bytes.isEmpty else { return }
    extend(by: bytes.count).copyMemory(from: source, byteCount: bytes.count)
  }

  @inline(__always)
  mutating func append(_ address: Address) {
    append(address.word0)
    append(address.word1)
    append(address.word2)
  }

  @inline(__always)
  mutating func append(_ word: Bytes32) {
    append(word.word0)
    append(word.word1)
    append(word.word2)
    append(word.word3)
  }

  /// Overwrites four bytes written before, for a length that is known only afterwards.
  @inline(__always)
  mutating func overwrite(at offset: Int, with value: Int32) {
    precondition(offset >= 0 && offset + 4 <= count, "Only written bytes can be overwritten.")
    UnsafeMutableRawPointer(base + offset).storeBytes(of: value.bigEndian, as: Int32.self)
  }
}

extension UnsafeRawBufferPointer {
  /// Reads an integer of network byte order. The caller has checked that the bytes are there.
  @inline(__always)
  func bigEndian<Value: FixedWidthInteger & BitwiseCopyable>(
    at offset: Int = 0, as type: Value.Type
  ) -> Value {
    Value(bigEndian: loadUnaligned(fromByteOffset: offset, as: type))
  }
}
