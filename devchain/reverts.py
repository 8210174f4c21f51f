"""Revert data as text: `Error(string)`, `Panic(uint256)`, and custom errors by their selector."""

from __future__ import annotations

from .abi import AbiError, decode, encode, selector
from .encoding import to_hex

_ERROR = selector("Error(string)")
_PANIC = selector("Panic(uint256)")


def revert_text(data: bytes) -> str:
    """The reason that the data carries: a string, `Panic(0x11)`, a selector, or nothing."""
    try:
        if data[:4] == _ERROR:
            return decode("string", data[4:])[0]
        if data[:4] == _PANIC:
            return f"Panic({hex(decode('uint256', data[4:])[0])})"
    except AbiError:
        return to_hex(data[:4])
    return to_hex(data[:4]) if len(data) >= 4 else ""


class Revert(Exception):
    """A contract-level revert, with its data."""

    def __init__(self, data: bytes = b"") -> None:
        super().__init__(revert_text(data))
        self.data = data


def error_string(text: str) -> Revert:
    """What `require(condition, text)` gives."""
    return Revert(_ERROR + encode("string", [text]))


def panic(code: int) -> Revert:
    """What a checked operation gives: 0x11 overflow, 0x12 division by zero."""
    return Revert(_PANIC + encode("uint256", [code]))


def custom_error(signature: str) -> Revert:
    """A custom error without arguments, such as `EnforcedPause()`."""
    return Revert(selector(signature))
