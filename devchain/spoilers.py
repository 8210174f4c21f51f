"""The faults of the fault proxy: each says in its name what happens and in its signature what can
be set. A fault that finds nothing to spoil in an exchange gives False.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import struct
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import cache
from time import time
from typing import Any, Protocol

from .bloom import bloom_bits, bloom_text
from .encoding import parse_quantity
from .faults import Fault, Limits, other_hash

_PIECE = 64 << 10
_BLOCKS = ("eth_getBlockByNumber", "eth_getBlockByHash")


class Place(Protocol):
    """Where an exchange goes through, as far as a fault needs it."""

    addresses: set[str]

    async def forward(self, upstream: int, body: bytes) -> bytes:
        """What a node answers."""

    async def close_for(self, seconds: float) -> None:
        """Stops listening for a while; whoever is connected stays so."""


@dataclass(slots=True)
class Exchange:
    """One request through a door, and what is to go back."""

    place: Place
    reader: asyncio.StreamReader
    calls: list[dict[str, Any]]
    is_batch: bool
    rng: random.Random
    upstream: int = 0
    answers: list[dict[str, Any]] = field(default_factory=list)
    is_bare: bool = False
    body: bytes = b""
    status: int = 200
    headers: list[str] = field(default_factory=list)
    wire: Callable[[asyncio.StreamWriter], Awaitable[None]] | None = None

    def results(self, *methods: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """Each call of these methods with its answer, where that has a result."""
        by_id = {json.dumps(answer.get("id")): answer for answer in self.answers}
        pairs = [
            (call, by_id.get(json.dumps(call.get("id")), {}))
            for call in self.calls
            if call.get("method") in methods
        ]
        return [(call, answer) for call, answer in pairs if answer.get("result") is not None]

    def headers_told(self) -> list[dict[str, Any]]:
        """The answers that hold a block."""
        return [answer for _, answer in self.results(*_BLOCKS)]

    def logs_told(self) -> list[dict[str, Any]]:
        """The answers that hold logs, at least one."""
        return [answer for _, answer in self.results("eth_getLogs") if answer["result"]]

    async def ask(self, method: str, *parameters: Any) -> Any:
        """What the upstream answers to a question of the proxy's own."""
        call = {"jsonrpc": "2.0", "id": 0, "method": method, "params": parameters}
        return json.loads(await self.place.forward(self.upstream, compact(call))).get("result")


Spoiler = Callable[..., Any]
FAULTS: dict[str, tuple[str, Spoiler]] = {}
"""Every fault by its name: when it acts, and how."""


def _acts(stage: str) -> Callable[[Spoiler], Spoiler]:
    def register(function: Spoiler) -> Spoiler:
        FAULTS[function.__name__] = (stage, function)
        return function

    return register


_asking, _telling, _writing, _sending = (_acts(s) for s in ("ask", "tell", "write", "send"))

# MARK: which node is asked


@_asking
def upstream(at: Exchange, to: int = 1) -> None:
    """Another node answers behind the same URL: another chain, or another branch of it."""
    at.upstream = to


# MARK: what the answers say


@_telling
def chain_id(at: Exchange, value: str = "0x1") -> bool:
    told = at.results("eth_chainId")
    for _, answer in told:
        answer["result"] = value
    return bool(told)


@_telling
def other_genesis(at: Exchange) -> bool:
    told = [a for a in at.headers_told() if parse_quantity(a["result"]["number"]) == 0]
    for answer in told:
        answer["result"]["hash"] = other_hash(answer["result"]["hash"])
    return bool(told)


@_telling
async def behind(at: Exchange, blocks: int = 3) -> bool:
    """The head is so many blocks back, and nothing above it is known."""
    head = max(0, parse_quantity(await at.ask("eth_blockNumber")) - blocks)
    spoilt = False
    for call, answer in at.results(*_BLOCKS, "eth_blockNumber", "eth_getLogs"):
        match call["method"], call["params"]:
            case "eth_blockNumber", _:
                answer["result"], spoilt = hex(head), True
            case "eth_getBlockByNumber", ["latest", *_]:
                answer["result"] = await at.ask("eth_getBlockByNumber", hex(head), False)
                spoilt = True
            case "eth_getLogs", _:
                known = [e for e in answer["result"] if parse_quantity(e["blockNumber"]) <= head]
                spoilt |= len(known) < len(answer["result"])
                answer["result"] = known
            case _ if parse_quantity(answer["result"]["number"]) > head:
                answer["result"], spoilt = None, True
    return spoilt


@_telling
def unknown_block(at: Exchange) -> bool:
    """A block that the node has is not known."""
    told = [a for call, a in at.results(*_BLOCKS) if call["params"][0] != "latest"]
    if told:
        at.rng.choice(told)["result"] = None
    return bool(told)


@_telling
def null_result(at: Exchange) -> bool:
    answer = at.rng.choice(at.answers)
    answer.pop("error", None)
    answer["result"] = None
    return True


@_telling
def no_result(at: Exchange) -> bool:
    answer = at.rng.choice(at.answers)
    return answer.pop("result", None) is not None


@_telling
def remote_error(at: Exchange, code: int = -32603, message: str = "internal error") -> bool:
    """Every answer is this error object."""
    at.answers = [_error(call, code, message) for call in at.calls]
    return True


@_telling
def wrong_id(at: Exchange) -> bool:
    answer = at.rng.choice(at.answers)
    answer["id"] = parse_quantity(answer["id"]) + 1_000_000
    return True


@_telling
def id_as_text(at: Exchange) -> bool:
    for answer in at.answers:
        answer["id"] = str(answer["id"])
    return True


@_telling
def no_id(at: Exchange) -> bool:
    del at.rng.choice(at.answers)["id"]
    return True


@_telling
def batch_reordered(at: Exchange) -> bool:
    at.answers.reverse()
    return len(at.answers) > 1


@_telling
def batch_partial(at: Exchange) -> bool:
    if len(at.answers) < 2:
        return False
    del at.answers[at.rng.randrange(len(at.answers))]
    return True


@_telling
def batch_extra(at: Exchange) -> bool:
    at.answers.append(dict(at.rng.choice(at.answers)))
    return at.is_batch


@_telling
def batch_bare(at: Exchange) -> bool:
    """One object where an array was asked for."""
    at.is_bare, at.answers = True, at.answers[:1]
    return at.is_batch


@_telling
def batch_refused(at: Exchange, limit: int = 1, message: str = "batch too large") -> bool:
    if len(at.calls) <= limit:
        return False
    at.is_bare, at.answers = True, [_error({"id": None}, -32600, message)]
    return True


# MARK: logs


@_telling
def capped(at: Exchange, logs: int = 10) -> bool:
    """No more logs than this, without a word."""
    told = [answer for answer in at.logs_told() if len(answer["result"]) > logs]
    for answer in told:
        answer["result"] = answer["result"][:logs]
    return bool(told)


@_telling
def too_many(at: Exchange, logs: int = 10, style: str = "geth") -> bool:
    """More logs than this are refused, in a provider's words (see `faults.py`)."""
    spoilt = False
    for call, answer in at.results("eth_getLogs"):
        wanted = call["params"][0]
        first, last = (parse_quantity(wanted[key]) for key in ("fromBlock", "toBlock"))
        refusal = Limits(logs=logs, style=style).refusal_of_count(
            len(answer["result"]), first, last
        )
        if refusal and first < last:
            answer.clear()
            answer |= _error(call, *refusal)
            spoilt = True
    return spoilt


def _mutated(at: Exchange, fault: Callable[[list[dict[str, Any]]], Fault]) -> bool:
    spoilt = False
    for answer in at.logs_told():
        logs = fault(answer["result"]).mutate_logs(answer["result"])
        spoilt |= logs != answer["result"]
        answer["result"] = logs
    return spoilt


def _place(at: Exchange, place: int | None, logs: list[Any]) -> int:
    return at.rng.randrange(len(logs)) if place is None else min(place, len(logs) - 1)


@_telling
def drop_log(at: Exchange, place: int | None = None) -> bool:
    return _mutated(at, lambda logs: Fault(drop_log=_place(at, place, logs)))


@_telling
def drop_block(at: Exchange) -> bool:
    """All logs of one block are missing."""
    told = at.logs_told()
    for answer in told:
        block = at.rng.choice(answer["result"])["blockNumber"]
        answer["result"] = [e for e in answer["result"] if e["blockNumber"] != block]
    return bool(told)


@_telling
def drop_all(at: Exchange) -> bool:
    return _mutated(at, lambda _: Fault(empty_logs=True))


@_telling
def double_log(at: Exchange) -> bool:
    return _mutated(at, lambda logs: Fault(dup_log=_place(at, None, logs)))


@_telling
def swap_logs(at: Exchange) -> bool:
    return _mutated(at, lambda logs: Fault(swap_logs=_place(at, None, logs)))


def _overwrite(at: Exchange, change: Callable[[dict[str, Any]], dict[str, Any]]) -> bool:
    def fault(logs: list[dict[str, Any]]) -> Fault:
        place = _place(at, None, logs)
        return Fault(set_log=change(logs[place]), at=place)

    return _mutated(at, fault)


@_telling
def wrong_address(at: Exchange) -> bool:
    return _overwrite(at, lambda entry: {"address": other_hash(entry["address"])[:42]})


@_telling
def wrong_topic(at: Exchange) -> bool:
    def change(entry: dict[str, Any]) -> dict[str, Any]:
        return {"topics": [other_hash(entry["topics"][0]), *entry["topics"][1:]]}

    return _overwrite(at, change)


@_telling
def wrong_data(at: Exchange) -> bool:
    def change(entry: dict[str, Any]) -> dict[str, Any]:
        text = entry["data"]
        return {"data": text[:-1] + ("1" if text.endswith("0") else "0")} if text != "0x" else {}

    return _overwrite(at, change)


@_telling
def removed(at: Exchange) -> bool:
    return _overwrite(at, lambda _: {"removed": True})


@_telling
def out_of_range(at: Exchange) -> bool:
    return _overwrite(at, lambda e: {"blockNumber": hex(parse_quantity(e["blockNumber"]) + 10**6)})


@_telling
def foreign_hash(at: Exchange) -> bool:
    return _overwrite(at, lambda entry: {"blockHash": other_hash(entry["blockHash"])})


# MARK: headers


def _header(
    at: Exchange, change: Callable[[dict[str, Any]], dict[str, Any]], place: int | None = None
) -> bool:
    told = at.headers_told()
    if told:
        answer = told[_place(at, place, told)]
        answer["result"] = answer["result"] | change(answer["result"])
    return bool(told)


@_telling
def header_parent(at: Exchange) -> bool:
    return _header(at, lambda header: {"parentHash": other_hash(header["parentHash"])})


@_telling
def header_hash(at: Exchange, place: int | None = None) -> bool:
    return _header(at, lambda header: {"hash": other_hash(header["hash"])}, place)


@_telling
def header_number(at: Exchange) -> bool:
    return _header(at, lambda header: {"number": hex(parse_quantity(header["number"]) + 1)})


@_telling
def header_time(at: Exchange) -> bool:
    return _header(at, lambda header: {"timestamp": hex(parse_quantity(header["timestamp"]) + 1)})


@_telling
def bloom_lies(at: Exchange) -> bool:
    """Blocks without transactions claim a log of each contract that was asked for."""
    wanted = at.place.addresses
    empty = [a["result"] for a in at.headers_told() if not a["result"].get("transactions")]
    for header in empty:
        bits = bloom_bits((address, []) for address in wanted)
        header["logsBloom"] = bloom_text(int(header["logsBloom"], 16) | bits)
    return bool(wanted and empty)


# MARK: the body


@_writing
def status(
    at: Exchange, code: int = 503, retry_after: str | None = None, body: str = "busy"
) -> None:
    """This status; `retry_after` as it is, or `in 5` for a date five seconds ahead."""
    at.status, at.body = code, body.encode()
    if retry_after is not None:
        word, _, seconds = retry_after.partition(" ")
        date = formatdate(time() + int(seconds or 0), usegmt=True)
        at.headers.append(f"Retry-After: {date if word == 'in' else retry_after}")


@_writing
def html(at: Exchange) -> None:
    at.body = b"<!DOCTYPE html><html><body><h1>Welcome</h1></body></html>"


@_writing
def empty_body(at: Exchange) -> None:
    at.body = b""


@_writing
def truncated(at: Exchange) -> None:
    """Half of the text, with the length of that half."""
    at.body = at.body[: max(1, len(at.body) // 2)]


@_writing
def deep(at: Exchange, depth: int = 100_000) -> None:
    at.body = b'{"jsonrpc":"2.0","id":1,"result":' + b"[" * depth + b"]" * depth + b"}"


@_writing
def bad_text(at: Exchange) -> None:
    """Bytes that are no UTF-8, in place of the last ones."""
    at.body = at.body[:-3] + b"\xff\xfe\x80"


@_writing
def double_keys(at: Exchange) -> None:
    """Each answer has its result twice, the second time as null."""
    texts = [compact(answer)[:-1] + b',"result":null}' for answer in at.answers]
    at.body = b"[" + b",".join(texts) + b"]" if at.is_batch else texts[0]


@_writing
def false_gzip(at: Exchange) -> None:
    """Plain text that is said to be compressed."""
    at.headers.append("Content-Encoding: gzip")


@_writing
def gzip_bomb(at: Exchange, mb: int = 1024) -> None:
    """A small body that decompresses to that much."""
    at.headers.append("Content-Encoding: gzip")
    at.body = b"\x1f\x8b\x08\0\0\0\0\0\0\x03" + _zeros_deflated() * mb


@cache
def _zeros_deflated() -> bytes:
    """A megabyte of zeros that stands for itself wherever it is put in a stream."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(b"0" * (1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)


# MARK: the connection


def _sender(at: Exchange) -> Callable[[Spoiler], None]:
    def set_it(function: Spoiler) -> None:
        at.wire = function

    return set_it


@_sending
def reset(at: Exchange) -> None:
    """A reset in place of the answer."""

    @_sender(at)
    async def _(to: asyncio.StreamWriter) -> None:
        _abort(to)


@_sending
def refuse(at: Exchange, seconds: float = 0.3) -> None:
    """A reset, and then nobody listens for a while."""

    @_sender(at)
    async def _(to: asyncio.StreamWriter) -> None:
        await at.place.close_for(seconds)
        _abort(to)


@_sending
def hang(at: Exchange) -> None:
    """Nothing, until the client goes away."""

    @_sender(at)
    async def _(to: asyncio.StreamWriter) -> None:
        await at.reader.read(1)


@_sending
def slow_head(at: Exchange, seconds: float = 1.0) -> None:
    """A byte of the whole answer at a time, from the status line on."""
    _sender(at)(lambda to: _drip(to, head(at) + at.body, seconds))


@_sending
def slow_body(at: Exchange, seconds: float = 1.0) -> None:
    """The head at once, then a byte of the body at a time."""

    @_sender(at)
    async def _(to: asyncio.StreamWriter) -> None:
        to.write(head(at))
        await _drip(to, at.body, seconds)


@_sending
def half_body(at: Exchange, with_reset: bool = False) -> None:
    """The length of the whole, half of it, then the end."""

    @_sender(at)
    async def _(to: asyncio.StreamWriter) -> None:
        to.write(head(at) + at.body[: len(at.body) // 2])
        await to.drain()
        if with_reset:
            _abort(to)


@_sending
def wrong_length(at: Exchange, by: int = -7) -> None:
    """A stated length that is short (or long) by so many bytes."""

    @_sender(at)
    async def _(to: asyncio.StreamWriter) -> None:
        to.write(head(at, max(0, len(at.body) + by)) + at.body)


@_sending
def flood(at: Exchange, mb: int = 1024, states_length: bool = False) -> None:
    """An answer of that size, a piece at a time."""

    @_sender(at)
    async def _(to: asyncio.StreamWriter) -> None:
        start = b'{"jsonrpc":"2.0","id":1,"result":"0x'
        to.write(head(at, mb << 20) if states_length else head(at, None))
        for piece in [start] + [b"0" * _PIECE] * (mb * ((1 << 20) // _PIECE)):
            to.write(piece)
            await to.drain()


async def _drip(to: asyncio.StreamWriter, text: bytes, seconds: float) -> None:
    for byte in text:
        if to.is_closing():
            return
        to.write(bytes([byte]))
        await to.drain()
        await asyncio.sleep(seconds)


def _abort(to: asyncio.StreamWriter) -> None:
    linger = struct.pack("ii", 1, 0)
    to.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    to.transport.abort()


# MARK: texts


def head(at: Exchange | None, length: int | None = -1) -> bytes:
    """A response's head; a length of -1 is the body's, None leaves it out."""
    lines = [f"HTTP/1.1 {at.status if at else 200} Told", "Content-Type: application/json"]
    if length is None:
        lines.append("Connection: close")
    else:
        lines.append(f"Content-Length: {len(at.body) if at and length == -1 else length}")
    return ("\r\n".join(lines + (at.headers if at else [])) + "\r\n\r\n").encode()


def _error(call: dict[str, Any], code: int, message: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": call["id"], "error": {"code": code, "message": message}}


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
