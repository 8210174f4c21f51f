"""Planned misbehaviour of a node: what `dev_fault` and `dev_limits` ask for.

A fault applies to the next `count` requests (-1: for ever) that contain its `method` (any
method when absent), after `skip` of them have passed. Its kinds, which may be combined:

    status, body     answer this HTTP status and text          close      hang up
    sleep_ms         answer late                               error      answer this RPC error
    truncate         cut the answer in half                    fill_mb    a huge unfinished answer
    result           answer this result instead (null counts)  lag        see `lag` blocks less
    empty_logs       no logs                                   drop_log   without one log
    dup_log          one log twice                             swap_logs  two neighbours swapped
    set_log          overwrite fields of one log               wrong_hash other block hashes
    hide_log         without this log, in every answer         cap_logs   so many logs at most
    bloom_lies       a bloom full of logs for empty blocks     no_receipts no receipt methods
    wrong_receipts   receipts without their last log
`drop_log`, `dup_log`, `swap_logs` take true for the last log or a log's index; `set_log` takes an
object of fields, and `at` chooses its log. `hide_log` is {"blockNumber", "logIndex"}: the same log
is missing from every range. A cap says nothing of what it cuts off.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, fields
from typing import Any

_UNSET = object()


@dataclass(slots=True)
class Fault:
    """One planned fault; see the file's head for what each field does."""

    method: str | None = None
    count: int = 1
    skip: int = 0
    status: int = 0
    body: str = "fault"
    close: bool = False
    sleep_ms: float = 0
    error: dict[str, Any] | None = None
    truncate: bool = False
    fill_mb: int = 0
    result: Any = _UNSET
    lag: int = 0
    empty_logs: bool = False
    drop_log: bool | int | None = None
    dup_log: bool | int | None = None
    swap_logs: bool | int | None = None
    set_log: dict[str, Any] | None = None
    at: int | None = None
    wrong_hash: bool = False
    hide_log: dict[str, Any] | None = None
    cap_logs: int = 0
    bloom_lies: bool = False
    no_receipts: bool = False
    wrong_receipts: bool = False

    @classmethod
    def parse(cls, wanted: dict[str, Any]) -> Fault:
        """The fault that a JSON object names; an unknown key raises `ValueError`."""
        unknown = set(wanted) - {item.name for item in fields(cls)}
        if unknown:
            raise ValueError(f"unknown fault keys {sorted(unknown)}")
        return cls(**wanted)

    def replaces(self, method: str) -> bool:
        """Whether this fault puts its own result in place of this method's."""
        return self.result is not _UNSET and self.method in (None, method)

    @property
    def touches_logs(self) -> bool:
        chosen = (self.drop_log, self.dup_log, self.swap_logs, self.set_log, self.hide_log)
        whole = self.empty_logs or self.wrong_hash or self.cap_logs > 0
        return whole or any(item is not None for item in chosen)

    def mutate_logs(self, logs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The logs as the faulty node would tell them."""
        logs = [] if self.empty_logs else [entry for entry in logs if not self._hides(entry)]
        if self.cap_logs:
            logs = logs[: self.cap_logs]
        if not logs:
            return logs
        if self.set_log is not None:
            index = len(logs) - 1 if self.at is None else min(self.at, len(logs) - 1)
            logs[index] = logs[index] | self.set_log
        if self.wrong_hash:
            logs = [entry | {"blockHash": other_hash(entry["blockHash"])} for entry in logs]
        if self.swap_logs is not None and len(logs) > 1:
            index = max(1, _chosen(self.swap_logs, logs))
            logs[index - 1], logs[index] = logs[index], logs[index - 1]
        if self.dup_log is not None:
            index = _chosen(self.dup_log, logs)
            logs.insert(index, logs[index])
        if self.drop_log is not None:
            del logs[_chosen(self.drop_log, logs)]
        return logs

    def _hides(self, entry: dict[str, Any]) -> bool:
        wanted = self.hide_log
        return wanted is not None and all(
            int(str(wanted[key]), 0) == int(entry[key], 16) for key in ("blockNumber", "logIndex")
        )

    def mutate_receipts(self, receipts: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The receipts as the faulty node would tell them."""
        if not self.wrong_receipts:
            return receipts
        return [item | {"logs": item["logs"][:-1]} for item in receipts]


class FaultPlan:
    """The faults still to come, in the order they were asked for."""

    def __init__(self) -> None:
        self.waiting: list[Fault] = []
        self.applied: Counter[str] = Counter()

    def add(self, wanted: dict[str, Any]) -> int:
        """Plans one fault, or forgets all with `{"clear": true}`; returns how many wait."""
        wanted = dict(wanted)
        if wanted.pop("clear", False):
            self.waiting = []
        if wanted:
            self.waiting.append(Fault.parse(wanted))
        return len(self.waiting)

    def take(self, methods: set[str]) -> list[Fault]:
        """The faults that hit a request with these methods."""
        hits = []
        for fault in list(self.waiting):
            if fault.method and fault.method not in methods:
                continue
            if fault.skip > 0:
                fault.skip -= 1
                continue
            hits.append(fault)
            self.applied[fault.method or "*"] += 1
            if fault.count > 0:
                fault.count -= 1
                if fault.count == 0:
                    self.waiting.remove(fault)
        return hits


@dataclass(slots=True)
class Limits:
    """How much one `eth_getLogs` may ask for, and in whose words it is refused (0: no limit)."""

    range: int = 0
    logs: int = 0
    style: str = "geth"

    def __post_init__(self) -> None:
        if self.style not in _REFUSALS:
            raise ValueError(f"unknown style {self.style!r}; one of {sorted(_REFUSALS)}")

    def refusal_of_range(self, first: int, last: int) -> tuple[int, str] | None:
        """The error code and text when the range is too wide."""
        if not self.range or last - first + 1 <= self.range:
            return None
        code, text, _ = _REFUSALS[self.style]
        return code, self._fill(text, first, last)

    def refusal_of_count(self, count: int, first: int, last: int) -> tuple[int, str] | None:
        """The error code and text when there are too many logs."""
        if not self.logs or count <= self.logs:
            return None
        code, _, text = _REFUSALS[self.style]
        return code, self._fill(text, first, last)

    def _fill(self, text: str, first: int, last: int) -> str:
        middle = first + max(0, (last - first) // 2)
        return text.format(range=self.range, logs=self.logs, first=hex(first), last=hex(middle))


# Texts and codes as operators meet them; {first}..{last} is the range the provider suggests.
_REFUSALS: dict[str, tuple[int, str, str]] = {
    "geth": (
        -32005,
        "exceed maximum block range: {range}",
        "query returned more than {logs} results",
    ),
    "infura": (
        -32005,
        "range is too large, max is {range} blocks",
        "query returned more than {logs} results. Try with this block range [{first}, {last}].",
    ),
    "alchemy": (
        -32602,
        "Log response size exceeded. You can make eth_getLogs requests with up to a {range} block"
        " range. Based on your parameters, this block range should work: [{first}, {last}]",
        "Log response size exceeded. You can request any block range with a cap of {logs} logs in"
        " the response. Based on your parameters and the response size limit, this block range"
        " should work: [{first}, {last}]",
    ),
    "quicknode": (
        -32614,
        "eth_getLogs is limited to a {range} range",
        "eth_getLogs is limited to {logs} results",
    ),
    "ankr": (-32600, "block range is too wide", "query returned more than {logs} results"),
    "bsc": (-32005, "limit exceeded", "limit exceeded"),
}


def other_hash(value: str) -> str:
    """A well-formed hash that is not `value`, the same one each time."""
    return f"0x{random.Random(value).getrandbits(256):064x}"


def _chosen(wanted: bool | int, logs: list[Any]) -> int:
    return len(logs) - 1 if wanted is True else min(int(wanted), len(logs) - 1)
