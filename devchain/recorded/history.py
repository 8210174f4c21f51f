"""Values that change from block to block, and what they were at any of them."""

from __future__ import annotations

from bisect import bisect_right
from typing import Any, Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class History(Generic[Key, Value]):
    """For each key, the blocks at which its value changed. Blocks must not go back."""

    def __init__(self) -> None:
        self._changes: dict[Key, tuple[list[int], list[Value]]] = {}

    def set(self, key: Key, block: int, value: Value) -> None:
        blocks, values = self._changes.setdefault(key, ([], []))
        if blocks and blocks[-1] == block:
            values[-1] = value
        else:
            blocks.append(block)
            values.append(value)

    def at(self, key: Key, block: int, default: Any = None) -> Any:
        """The value after this block."""
        if key not in self._changes:
            return default
        blocks, values = self._changes[key]
        index = bisect_right(blocks, block)
        return values[index - 1] if index else default

    def latest(self, key: Key, default: Any = None) -> Any:
        return self._changes[key][1][-1] if key in self._changes else default

    def before_last(self, key: Key, default: Any = 0) -> Any:
        """The value before the latest change."""
        values = self._changes[key][1]
        return values[-2] if len(values) > 1 else default

    def __contains__(self, key: Key) -> bool:
        return key in self._changes
