/// The root of the Merkle Patricia trie that holds values under their own places, 0, 1, …
///
/// This is how a block's header binds its receipts and its transactions: the key of a value is
/// the RLP of its place. Nothing is kept; the trie is built once from its sorted keys.
///
/// Source: Ethereum yellow paper, appendix D. Cost: about one hash a value.
public func orderedTrieRoot(_ values: [[UInt8]]) -> Bytes32 {
  var leaves: [TrieLeaf] = []
  leaves.reserveCapacity(values.count)
  for (place, value) in values.enumerated() {
    leaves.append(TrieLeaf(place: UInt64(place), value: value))
  }
  leaves.sort { $0.path.lexicographicallyPrecedes($1.path) }
  return keccak256(leaves.isEmpty ? [0x80] : node(of: leaves[...], depth: 0))
}

/// A value and the half-bytes of its key. No key of an ordered trie is the start of another, so
/// a value never stands in a branch.
private struct TrieLeaf {
  let path: [UInt8]
  let value: [UInt8]

  init(place: UInt64, value: [UInt8]) {
    path = RLP.encode(RLP.minimalBytes(place)).flatMap { [$0 >> 4, $0 & 15] }
    self.value = value
  }
}

/// The encoded node that holds the leaves, which agree on their first `depth` half-bytes.
private func node(of leaves: ArraySlice<TrieLeaf>, depth: Int) -> [UInt8] {
  guard let first = leaves.first, let last = leaves.last else { return [0x80] }
  guard leaves.count > 1 else {
    var members = RLP.encode(compact(first.path[depth...], isLeaf: true))
    RLP.append(first.value, to: &members)
    return RLP.list(members)
  }
  // The leaves are sorted: what the first and the last share, all share.
  let shared = zip(first.path[depth...], last.path[depth...]).prefix { $0 == $1 }.count
  guard shared == 0 else {
    let end = depth + shared
    var members = RLP.encode(compact(first.path[depth..<end], isLeaf: false))
    members += reference(to: node(of: leaves, depth: end))
    return RLP.list(members)
  }
  return branch(of: leaves, depth: depth)
}

/// A node with one child for each half-byte, and no value of its own.
private func branch(of leaves: ArraySlice<TrieLeaf>, depth: Int) -> [UInt8] {
  var members: [UInt8] = []
  var rest = leaves
  for half in 0..<UInt8(16) {
    let children = rest.prefix { $0.path[depth] == half }
    rest = rest.dropFirst(children.count)
    members += children.isEmpty ? [0x80] : reference(to: node(of: children, depth: depth + 1))
  }
  members.append(0x80)
  return RLP.list(members)
}

/// How a node is named in its parent: by its hash, or by itself when that is shorter.
private func reference(to node: [UInt8]) -> [UInt8] {
  node.count < 32 ? node : RLP.encode(keccak256(node).bytes)
}

/// Half-bytes as bytes, with a flag that says whether they lead to a leaf and are odd in number
/// (yellow paper, appendix C).
private func compact(_ path: ArraySlice<UInt8>, isLeaf: Bool) -> [UInt8] {
  let flag: UInt8 = isLeaf ? 2 : 0
  let halves = path.count % 2 == 1 ? [flag + 1] + path : [flag, 0] + path
  return stride(from: 0, to: halves.count, by: 2).map { halves[$0] << 4 | halves[$0 + 1] }
}
