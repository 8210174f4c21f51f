"""Receipts and the tries that a block header binds them with.

A trie is built by inserting one value after the other, as the Yellow Paper's appendix D tells it,
and not from sorted keys: the tests hold the program's own way of building against this one.
"""

from __future__ import annotations

from typing import Any

import rlp

from .encoding import from_hex, keccak, minimal_bytes, to_hex

EMPTY_ROOT = to_hex(keccak(rlp.encode(b"")))


class _Node:
    """A branch: children by half-byte, and the value that ends here."""

    __slots__ = ("children", "value")

    def __init__(self) -> None:
        self.children: dict[int, _Node] = {}
        self.value = b""


def ordered_root(values: list[bytes]) -> str:
    """The root of the trie that holds each value under the RLP of its place."""
    if not values:
        return EMPTY_ROOT
    root = _Node()
    for place, value in enumerate(values):
        node = root
        for byte in rlp.encode(minimal_bytes(place)):
            for half in (byte >> 4, byte & 15):
                node = node.children.setdefault(half, _Node())
        node.value = value
    return to_hex(keccak(rlp.encode(_folded(root))))


def _folded(node: _Node) -> list[Any]:
    """The node as the trie stores it: runs of single children become one path."""
    path = []
    while len(node.children) == 1 and not node.value:
        [(half, node)] = node.children.items()
        path.append(half)
    if not node.children:
        return [_compact(path, True), node.value]
    branch = [_named(node.children[half]) if half in node.children else b"" for half in range(16)]
    branch.append(node.value)
    return [_compact(path, False), _shortened(branch)] if path else branch


def _named(node: _Node) -> Any:
    return _shortened(_folded(node))


def _shortened(content: list[Any]) -> Any:
    encoded = rlp.encode(content)
    return content if len(encoded) < 32 else keccak(encoded)


def _compact(path: list[int], is_leaf: bool) -> bytes:
    head = (2 if is_leaf else 0) + len(path) % 2
    halves = ([head] if len(path) % 2 else [head, 0]) + path
    return bytes(high << 4 | low for high, low in zip(halves[::2], halves[1::2]))


def receipt_bytes(
    kind: int, succeeded: bool, cumulative_gas: int, bloom: int, logs: list[Any]
) -> bytes:
    """A receipt as it stands in the trie; `logs` are (address, topics, data) in hex."""
    entries = [
        [from_hex(address), [from_hex(item) for item in topics], from_hex(data)]
        for address, topics, data in logs
    ]
    body = rlp.encode([int(succeeded), cumulative_gas, bloom.to_bytes(256, "big"), entries])
    return bytes([kind]) + body if kind else body
