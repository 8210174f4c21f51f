"""Log blooms: the 2,048-bit filter of a block header that says which logs cannot be in it.

Each address and topic sets three bits, taken from the first three 16-bit words of its
Keccak-256 hash (Ethereum Yellow Paper, section 4.3.1).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from .encoding import from_hex, keccak

EMPTY_BLOOM = "0x" + "00" * 256


@lru_cache(maxsize=1 << 18)
def item_bits(item: str) -> int:
    """The bits of one address or topic, as a 2,048-bit number."""
    digest = keccak(from_hex(item))
    bits = 0
    for start in (0, 2, 4):
        bits |= 1 << (int.from_bytes(digest[start : start + 2], "big") % 2048)
    return bits


def bloom_bits(logs: Iterable[tuple[str, list[str]]]) -> int:
    """The bits of logs given as (address, topics)."""
    bits = 0
    for address, topics in logs:
        bits |= item_bits(address)
        for entry in topics:
            bits |= item_bits(entry)
    return bits


def bloom_text(bits: int) -> str:
    """The header field `logsBloom` for these bits."""
    return f"0x{bits:0512x}"
