"""Keccak-256, hex and quantities: the conversions that every other file uses."""

from __future__ import annotations

from Crypto.Hash import keccak as _keccak

ZERO_ADDRESS = "0x" + "00" * 20
ZERO_HASH = "0x" + "00" * 32


def keccak(data: bytes) -> bytes:
    """The 32-byte Keccak-256 digest, as Ethereum uses it."""
    return _keccak.new(data=data, digest_bits=256).digest()


def to_hex(data: bytes) -> str:
    """Bytes as `0x…`, two digits a byte."""
    return "0x" + bytes(data).hex()


def from_hex(text: str) -> bytes:
    """Bytes of a hex string, with or without `0x`; an odd digit count gets a leading zero."""
    digits = text[2:] if text[:2] in ("0x", "0X") else text
    return bytes.fromhex(digits if len(digits) % 2 == 0 else "0" + digits)


def parse_quantity(value: str | int) -> int:
    """A JSON-RPC quantity: `0x…` text or a plain number."""
    return int(value, 16) if isinstance(value, str) else int(value)


def minimal_bytes(value: int) -> bytes:
    """Big-endian bytes without leading zeros, as RLP stores integers."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def address_at(word: bytes | str) -> str:
    """The address in the low 20 bytes of a 32-byte word or topic."""
    return "0x" + (word[-40:].lower() if isinstance(word, str) else word[-20:].hex())
