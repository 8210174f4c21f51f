/// The Keccak-256 hash of `bytes`, as Ethereum uses it for topics, selectors, storage slots and
/// addresses.
///
/// This is Keccak with its original padding, not the SHA3-256 of FIPS 202. Nothing is allocated
/// when the bytes are contiguous (arrays, spans' owners, UTF-8 views of native strings).
@inlinable
public func keccak256(_ bytes: some Sequence<UInt8>) -> Bytes32 {
  if let hash = bytes.withContiguousStorageIfAvailable({ keccak256($0.span) }) { return hash }
  return keccak256(Array(bytes).span)
}

/// The Keccak-256 hash of a borrowed run of bytes.
public func keccak256(_ bytes: borrowing Span<UInt8>) -> Bytes32 {
  var state = KeccakState(repeating: 0)
  var offset = 0
  while bytes.count - offset >= rateBytes {
    absorb(lanes: rateLanes, of: bytes.bytes, from: offset, into: &state)
    permute(&state)
    offset += rateBytes
  }
  absorbLastBlock(of: bytes, from: offset, into: &state)
  permute(&state)
  return Bytes32(
    word0: state[0].byteSwapped, word1: state[1].byteSwapped,
    word2: state[2].byteSwapped, word3: state[3].byteSwapped)
}

/// Bytes absorbed per permutation: 1600 bits of state less twice the 256 bits of strength.
private let rateBytes = 136
private let rateLanes = 17

/// Adds the 0 to 135 bytes that are left and the padding `0x01 … 0x80`.
private func absorbLastBlock(
  of bytes: borrowing Span<UInt8>, from offset: Int, into state: inout KeccakState
) {
  let lanes = (bytes.count - offset) / 8
  absorb(lanes: lanes, of: bytes.bytes, from: offset, into: &state)
  var last: UInt64 = 1
  for index in stride(from: bytes.count - 1, through: offset + 8 * lanes, by: -1) {
    last = last &<< 8 | UInt64(bytes[index])
  }
  state[lanes] ^= last
  state[rateLanes - 1] ^= 1 << 63
}

/// Adds whole lanes, which the caller has checked to be there.
private func absorb(
  lanes: Int, of raw: borrowing RawSpan, from offset: Int, into state: inout KeccakState
) {
  for lane in 0..<lanes {
    let word = raw.unsafeLoadUnaligned(fromByteOffset: offset + 8 * lane, as: UInt64.self)
    state[lane] ^= UInt64(littleEndian: word)
  }
}
