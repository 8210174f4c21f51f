"""The tries of `tries.py` for a chain of a million transactions: from sorted keys, RLP by hand.

The two ways share nothing but the hash, and a test holds one against the other.
"""

from __future__ import annotations

from .encoding import from_hex, keccak, minimal_bytes, to_hex
from .tries import EMPTY_ROOT

Halves = tuple[int, ...]


def string(data: bytes) -> bytes:
    """The RLP of bytes."""
    if len(data) == 1 and data[0] < 0x80:
        return data
    return _head(0x80, len(data)) + data


def sequence(*encoded: bytes) -> bytes:
    """The RLP of a list whose items are encoded already."""
    body = b"".join(encoded)
    return _head(0xC0, len(body)) + body


def _head(base: int, length: int) -> bytes:
    if length < 56:
        return bytes((base + length,))
    size = minimal_bytes(length)
    return bytes((base + 55 + len(size),)) + size


def ordered_root(values: list[bytes]) -> str:
    """As `tries.ordered_root`; no value may be empty."""
    if not values:
        return EMPTY_ROOT
    return to_hex(keccak(_node(sorted(zip(map(_key, range(len(values))), values)), 0)))


def _key(place: int) -> Halves:
    return tuple(half for byte in string(minimal_bytes(place)) for half in (byte >> 4, byte & 15))


def _node(items: list[tuple[Halves, bytes]], depth: int) -> bytes:
    """The node of items in order whose keys are alike up to a depth. No key begins another."""
    first, value = items[0]
    if len(items) == 1:
        return sequence(_path(first[depth:], 2), string(value))
    last, end = items[-1][0], depth
    while first[end] == last[end]:
        end += 1
    if end > depth:
        return sequence(_path(first[depth:end], 0), _named(_node(items, end)))
    children = [b"\x80"] * 17
    start = 0
    while start < len(items):
        half, after = items[start][0][depth], start + 1
        while after < len(items) and items[after][0][depth] == half:
            after += 1
        children[half] = _named(_node(items[start:after], depth + 1))
        start = after
    return sequence(*children)


def _named(node: bytes) -> bytes:
    return node if len(node) < 32 else b"\xa0" + keccak(node)


def _path(halves: Halves, kind: int) -> bytes:
    """A run of half-bytes; the kind is 2 at a leaf, 0 before a branch."""
    even = (kind + 1, *halves) if len(halves) % 2 else (kind, 0, *halves)
    return string(bytes(high << 4 | low for high, low in zip(even[::2], even[1::2])))


def receipt_bytes(
    kind: int, cumulative_gas: int, bloom: bytes, logs: list[tuple[str, tuple[str, ...], str]]
) -> bytes:
    """As `tries.receipt_bytes` of a typed transaction that succeeded; hex without `0x` is right."""
    entries = [
        sequence(
            string(from_hex(address)),
            sequence(*[string(from_hex(item)) for item in topics]),
            string(from_hex(data)),
        )
        for address, topics, data in logs
    ]
    gas = string(minimal_bytes(cumulative_gas))
    return bytes((kind,)) + sequence(b"\x01", gas, string(bloom), sequence(*entries))
