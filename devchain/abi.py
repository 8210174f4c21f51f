"""Ethereum ABI coding from type strings such as `address,(uint256,bytes)[]`.

Python values: integers for `uint`/`int`, `bool`, lower-case `0x…` text for `address` and for
fixed bytes, `bytes` for `bytes`, `str` for `string`, lists or tuples for arrays and tuples.
Decoding is as strict as a contract's own decoder: dirty high bits are an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from .encoding import from_hex, keccak, to_hex

WORD = 32
_UINT256_MASK = (1 << 256) - 1


class AbiError(Exception):
    """The data is too short, or a value is out of its type's range."""


@dataclass(frozen=True, slots=True)
class Type:
    """One parsed ABI type. `words` is the size of its static part."""

    kind: str
    dynamic: bool
    words: int
    bits: int = 256
    children: tuple[Type, ...] = ()


@cache
def selector(signature: str) -> bytes:
    """The first four bytes of a function signature's hash."""
    return keccak(signature.encode())[:4]


@cache
def topic(signature: str) -> str:
    """The first topic of an event with this signature."""
    return to_hex(keccak(signature.encode()))


def call_data(signature: str, *arguments: Any) -> bytes:
    """The calldata of `signature`, for example `position(bytes32,address)`, with arguments."""
    return selector(signature) + encode(parameters_of(signature), arguments)


def parameters_of(signature: str) -> str:
    """The parameter list of a signature, without its outer parentheses."""
    return signature[signature.index("(") + 1 : -1]


def split_types(types: str) -> list[str]:
    """The top-level parts of a type list."""
    parts, depth, current = [], 0, ""
    for character in types:
        if character == "," and depth == 0:
            parts.append(current)
            current = ""
            continue
        depth += (character == "(") - (character == ")")
        current += character
    return parts + [current] if current else parts


@cache
def parse_type(text: str) -> Type:
    """The type that `text` names."""
    text = text.strip()
    if text.endswith("]"):
        opening = text.rindex("[")
        element, count = parse_type(text[:opening]), text[opening + 1 : -1]
        if not count:
            return Type("array", True, 1, children=(element,))
        return _tuple_type((element,) * int(count))
    if text.startswith("("):
        return _tuple_type(tuple(parse_type(part) for part in split_types(text[1:-1])))
    if text in ("bytes", "string"):
        return Type(text, True, 1)
    if text in ("address", "bool"):
        return Type(text, False, 1)
    if text.startswith("bytes"):
        return Type("fixed", False, 1, bits=8 * int(text[5:]))
    if text.startswith(("uint", "int")):
        kind = "uint" if text.startswith("u") else "int"
        return Type(kind, False, 1, bits=int(text[len(kind) :] or 256))
    raise ValueError(f"unknown ABI type {text!r}")


@cache
def parse_types(types: str) -> tuple[Type, ...]:
    """The types of a list such as `address,uint256`."""
    return tuple(parse_type(part) for part in split_types(types))


def encode(types: str, values: Sequence[Any]) -> bytes:
    """The values as ABI data, head then tail."""
    return _encode_sequence(parse_types(types), values)


def decode(types: str, data: bytes) -> list[Any]:
    """The values in ABI data; raises `AbiError` when the data cannot hold them."""
    return _decode_sequence(parse_types(types), bytes(data), 0)


def _tuple_type(children: tuple[Type, ...]) -> Type:
    dynamic = any(child.dynamic for child in children)
    words = 1 if dynamic else sum(child.words for child in children)
    return Type("tuple", dynamic, words, children=children)


def _encode_sequence(types: Sequence[Type], values: Sequence[Any]) -> bytes:
    if len(types) != len(values):
        raise ValueError(f"{len(values)} values for {len(types)} types")
    offset = WORD * sum(item.words for item in types)
    head, tail = [], []
    for item, value in zip(types, values):
        encoded = _encode_value(item, value)
        if item.dynamic:
            head.append(offset.to_bytes(WORD, "big"))
            tail.append(encoded)
            offset += len(encoded)
        else:
            head.append(encoded)
    return b"".join(head) + b"".join(tail)


def _encode_value(item: Type, value: Any) -> bytes:
    match item.kind:
        case "uint":
            return value.to_bytes(WORD, "big")
        case "int":
            return (value & _UINT256_MASK).to_bytes(WORD, "big")
        case "address":
            return from_hex(value).rjust(WORD, b"\0")
        case "bool":
            return int(bool(value)).to_bytes(WORD, "big")
        case "fixed":
            raw = from_hex(value) if isinstance(value, str) else bytes(value)
            return raw.ljust(WORD, b"\0")
        case "bytes" | "string":
            raw = value.encode() if isinstance(value, str) else bytes(value)
            return len(raw).to_bytes(WORD, "big") + raw + b"\0" * (-len(raw) % WORD)
        case "array":
            length = len(value).to_bytes(WORD, "big")
            return length + _encode_sequence(item.children * len(value), value)
        case _:
            return _encode_sequence(item.children, value)


def _decode_sequence(types: Sequence[Type], data: bytes, base: int) -> list[Any]:
    offset, values = base, []
    for item in types:
        if item.dynamic:
            pointer = _word(data, offset)
            if pointer > len(data):
                raise AbiError("a pointer leads past the end")
            values.append(_decode_value(item, data, base + pointer))
        else:
            values.append(_decode_value(item, data, offset))
        offset += WORD * item.words
    return values


def _decode_value(item: Type, data: bytes, offset: int) -> Any:
    if item.kind == "tuple":
        return _decode_sequence(item.children, data, offset)
    word = _word(data, offset)
    match item.kind:
        case "uint":
            return _bounded(word, item.bits)
        case "int":
            return word - (1 << 256) if word >> 255 else word
        case "address":
            return f"0x{_bounded(word, 160):040x}"
        case "bool":
            return _bounded(word, 1) == 1
        case "fixed":
            return to_hex(data[offset : offset + item.bits // 8])
        case "array":
            if word > len(data):
                raise AbiError("an array is longer than the data")
            return _decode_sequence(item.children * word, data, offset + WORD)
        case _:
            raw = data[offset + WORD : offset + WORD + word]
            if len(raw) < word:
                raise AbiError("a byte string is longer than the data")
            return raw if item.kind == "bytes" else raw.decode("utf-8", "replace")


def _word(data: bytes, offset: int) -> int:
    if offset + WORD > len(data):
        raise AbiError("the data ends early")
    return int.from_bytes(data[offset : offset + WORD], "big")


def _bounded(value: int, bits: int) -> int:
    if value >> bits:
        raise AbiError(f"a value does not fit {bits} bits")
    return value
