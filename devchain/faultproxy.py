"""A proxy in front of JSON-RPC nodes that spoils their answers as planned, and counts it.

    python -m devchain.faultproxy --upstream URL [--upstream URL] [--doors 3] [--plan FILE|-]

Each door is a port of its own in front of the first upstream. The first line printed is
`{"doors": [41234, …]}`. A plan is `{"seed": 1, "faults": [{"fault": "reset", …}, …]}`. With
`--plan -` each line of standard input is a command and gets one line back:

    {"do": "plan", "seed": 1, "faults": […]}    a new plan; what is counted starts anew
    {"do": "counts"}                            injected (by fault), requests (by door), left

`GET /counts` at any door answers the same. Beside its own parameters a fault has

    method   hits only requests that contain this method    door    hits only at this door
    skip     lets so many of those pass first (0)           every   hits each n-th after them (1)
    chance   hits with so many per cent (100)               count   at most so often (1), -1: always

A fault that finds nothing to spoil in a request does not count, and stays. `spoilers.py` has the
faults.
"""

from __future__ import annotations

import argparse
import asyncio
import inspect
import json
import random
import socket
import sys
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .lifetime import Lifetime
from .spoilers import FAULTS, Exchange, compact, head


class Entry:
    """One fault of a plan: whom it hits, and how often still."""

    def __init__(self, wanted: dict[str, Any]) -> None:
        wanted = dict(wanted)
        self.name = wanted.pop("fault")
        if self.name not in FAULTS:
            raise ValueError(f"unknown fault {self.name!r}; one of {sorted(FAULTS)}")
        self.stage, self.function = FAULTS[self.name]
        self.method, self.door = wanted.pop("method", None), wanted.pop("door", None)
        self.skip, self.every = wanted.pop("skip", 0), wanted.pop("every", 1)
        self.chance, self.left = wanted.pop("chance", 100), wanted.pop("count", 1)
        self.parameters = wanted
        inspect.signature(self.function).bind(None, **wanted)
        self._seen = 0

    def hits(self, door: int, methods: set[str], rng: random.Random) -> bool:
        """Whether this request is one to spoil."""
        if self.left == 0 or self.door not in (None, door):
            return False
        if self.method is not None and self.method not in methods:
            return False
        self._seen += 1
        after = self._seen - 1 - self.skip
        return after >= 0 and after % self.every == 0 and rng.randrange(100) < self.chance


class Proxy:
    """All doors, the nodes behind them, the plan, and what was counted."""

    def __init__(self, upstreams: list[str]) -> None:
        self.upstreams = [urlsplit(url) for url in upstreams]
        self.doors: list[Door] = []
        self.addresses: set[str] = set()
        self._idle: dict[int, list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]] = {}
        self.plan({})

    def plan(self, wanted: dict[str, Any]) -> None:
        """Starts anew with these faults."""
        self.entries = [Entry(item) for item in wanted.get("faults", [])]
        self.rng = random.Random(wanted.get("seed", 0))
        self.injected: Counter[str] = Counter()
        self.requests: Counter[int] = Counter()

    def counts(self) -> dict[str, Any]:
        return {
            "injected": dict(self.injected),
            "requests": [self.requests[door.number] for door in self.doors],
            "left": sum(entry.left for entry in self.entries if entry.left > 0),
        }

    async def spoil(self, at: Exchange, stage: str, hits: list[Entry]) -> None:
        """Lets the faults of one stage do their work, and counts those that found some."""
        for entry in hits:
            if entry.stage == stage and entry.left != 0:
                done = entry.function(at, **entry.parameters)
                if (await done if inspect.isawaitable(done) else done) is not False:
                    self.injected[entry.name] += 1
                    entry.left -= entry.left > 0

    async def forward(self, upstream: int, body: bytes) -> bytes:
        """What a node answers; a kept connection that is stale is made anew once."""
        url = self.upstreams[upstream]
        request = (
            f"POST {url.path or '/'} HTTP/1.1\r\nHost: {url.netloc}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode() + body
        idle = self._idle.setdefault(upstream, [])
        while True:
            is_kept = bool(idle)
            pair = idle.pop() if idle else await asyncio.open_connection(url.hostname, url.port)
            try:
                pair[1].write(request)
                _, answer = await _read_message(pair[0])
            except (OSError, EOFError):
                pair[1].close()
                if not is_kept:
                    raise
                continue
            idle.append(pair)
            return answer

    def close(self) -> None:
        """Lets go of the doors and of the kept connections."""
        for door in self.doors:
            door.close()
        for _, writer in (pair for idle in self._idle.values() for pair in idle):
            writer.close()

    async def obey(self, line: str) -> dict[str, Any]:
        """Carries out one command of the line protocol."""
        command = json.loads(line)
        match command.get("do"):
            case "plan":
                self.plan(command)
                return {}
            case "counts":
                return self.counts()
        raise ValueError(f"unknown command {command.get('do')!r}")


class Door:
    """One port."""

    def __init__(self, proxy: Proxy, number: int) -> None:
        self.proxy, self.number, self.port = proxy, number, 0
        self.addresses, self.forward = proxy.addresses, proxy.forward

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Stops listening."""
        self._server.close()

    async def close_for(self, seconds: float) -> None:
        """Stops listening; whoever is connected stays so."""
        self.close()
        asyncio.get_running_loop().call_later(
            seconds, lambda: asyncio.ensure_future(self.open())
        )

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while await self._answer(reader, writer):
                pass
        except (OSError, EOFError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answers one request; False when the connection ends with it."""
        line, body = await _read_message(reader)
        if line.startswith(b"GET"):
            text = compact(self.proxy.counts())
            writer.write(head(None, len(text)) + text)
            return False
        proxy, request = self.proxy, json.loads(body)
        calls = request if isinstance(request, list) else [request]
        proxy.requests[self.number] += 1
        for call in calls:
            if call["method"] == "eth_getLogs":
                proxy.addresses.update(call["params"][0].get("address", []))
        at = Exchange(self, reader, calls, isinstance(request, list), proxy.rng)
        methods = {call["method"] for call in calls}
        hits = [entry for entry in proxy.entries if entry.hits(self.number, methods, proxy.rng)]
        await self._fill(at, body, hits)
        if at.wire:
            await at.wire(writer)
            return False
        writer.write(head(at) + at.body)
        await writer.drain()
        return True

    async def _fill(self, at: Exchange, body: bytes, hits: list[Entry]) -> None:
        spoil = self.proxy.spoil
        await spoil(at, "ask", hits)
        at.body = await self.proxy.forward(at.upstream, body)
        if hits:
            told = json.loads(at.body)
            at.answers = told if isinstance(told, list) else [told]
            await spoil(at, "tell", hits)
            is_array = at.is_batch and not at.is_bare
            at.body = compact(at.answers if is_array else at.answers[0])
            await spoil(at, "write", hits)
            await spoil(at, "send", hits)


async def _read_message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """The first line and the body of an HTTP message that states its length."""
    head = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
    fields = dict(line.lower().split(b":", 1) for line in head[1:] if b":" in line)
    return head[0], await reader.readexactly(int(fields.get(b"content-length", b"0")))


async def run(upstreams: list[str], doors: int, plan: str | None) -> None:
    """Serves until the parent ends, standard input ends, or a signal comes."""
    lifetime = Lifetime()
    proxy = Proxy(upstreams)
    if plan not in (None, "-"):
        proxy.plan(json.loads(Path(plan).read_text()))
    proxy.doors = [Door(proxy, number) for number in range(doors)]
    for door in proxy.doors:
        await door.open()
    _tell({"doors": [door.port for door in proxy.doors]})

    def obey(line: str) -> None:
        async def answer() -> None:
            try:
                _tell({"ok": True} | await proxy.obey(line))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                _tell({"ok": False, "error": f"{type(error).__name__}: {error}"})

        asyncio.ensure_future(answer())

    await lifetime.until_over(obey if plan == "-" else None)
    proxy.close()


def _tell(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="devchain.faultproxy", description=__doc__.split("\n", maxsplit=1)[0]
    )
    parser.add_argument("--upstream", action="append", required=True, metavar="URL")
    parser.add_argument("--doors", type=int, default=1, help="how many ports to open")
    parser.add_argument("--plan", help="a file, or - for commands on standard input")
    options = parser.parse_args()
    asyncio.run(run(options.upstream, options.doors, options.plan))


if __name__ == "__main__":
    main()
