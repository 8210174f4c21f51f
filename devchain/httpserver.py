"""A minimal HTTP/1.1 server for JSON-RPC: POST, keep-alive, pipelining, chunked bodies."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable
from typing import Protocol

from .jsonrpc import Buffer, Reply

_HEAD_END = b"\r\n\r\n"
_HEAD_LIMIT = 64 << 10

Handler = Callable[[bytes], Reply]


async def listen(handler: Handler, port: int, host: str = "127.0.0.1") -> asyncio.Server:
    """Starts serving; port 0 picks a free one (see `port_of`)."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: Connection(handler), host, port, backlog=256)


def port_of(server: asyncio.Server) -> int:
    return server.sockets[0].getsockname()[1]


class _Incomplete(Exception):
    """More bytes are needed before the request can be read."""


class Transport(Protocol):
    """What a connection needs of the way back to its client."""

    def write(self, data: Buffer) -> None: ...
    def writelines(self, pieces: Iterable[Buffer]) -> None: ...
    def is_closing(self) -> bool: ...
    def close(self) -> None: ...
    def abort(self) -> None: ...


class Connection(asyncio.Protocol):
    """One client. Requests are answered one after the other, in order."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._received = bytearray()
        self._waiting = False
        self._transport: Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport | Transport) -> None:
        self._transport = transport  # type: ignore[assignment]
        if isinstance(transport, asyncio.BaseTransport):
            client = transport.get_extra_info("socket")
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._serve()

    def _serve(self) -> None:
        while not self._waiting and self._transport and not self._transport.is_closing():
            try:
                method, keep_alive, body = self._next_request()
            except _Incomplete:
                return
            except ValueError:
                self._finish(Reply(400, b"bad request\n"), False)
                return
            if method != b"POST":
                self._finish(Reply(405, b"POST JSON-RPC here\n"), keep_alive)
                continue
            reply = self._handler(body)
            if reply.delay_seconds:
                self._waiting = True
                loop = asyncio.get_running_loop()
                loop.call_later(reply.delay_seconds, self._finish_late, reply, keep_alive)
            else:
                self._finish(reply, keep_alive)

    def _next_request(self) -> tuple[bytes, bool, bytes]:
        end = self._received.find(_HEAD_END)
        if end < 0:
            if len(self._received) > _HEAD_LIMIT:
                raise ValueError("request head too long")
            raise _Incomplete
        lines = bytes(self._received[:end]).split(b"\r\n")
        headers = _headers(lines[1:])
        start = end + len(_HEAD_END)
        if b"chunked" in headers.get(b"transfer-encoding", b"").lower():
            body, after = self._chunked_body(start)
        else:
            body, after = self._sized_body(start, headers)
        del self._received[:after]
        closing = headers.get(b"connection", b"").lower() == b"close"
        return lines[0].split(b" ")[0], not (closing or lines[0].endswith(b"/1.0")), body

    def _sized_body(self, start: int, headers: dict[bytes, bytes]) -> tuple[bytes, int]:
        after = start + int(headers.get(b"content-length", b"0"))
        if len(self._received) >= after:
            return bytes(self._received[start:after]), after
        expects = headers.get(b"expect", b"").lower() == b"100-continue"
        if expects and len(self._received) == start and self._transport:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        raise _Incomplete

    def _chunked_body(self, start: int) -> tuple[bytes, int]:
        body, at = b"", start
        while True:
            line_end = self._received.find(b"\r\n", at)
            if line_end < 0:
                raise _Incomplete
            size = int(bytes(self._received[at:line_end]).split(b";")[0], 16)
            after = line_end + 2 + size + 2
            if len(self._received) < after:
                raise _Incomplete
            if size == 0:
                return body, after
            body += self._received[line_end + 2 : after - 2]
            at = after

    def _finish_late(self, reply: Reply, keep_alive: bool) -> None:
        self._waiting = False
        self._finish(reply, keep_alive)
        self._serve()

    def _finish(self, reply: Reply, keep_alive: bool) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if reply.body is None:
            self._transport.abort()
            return
        self._transport.writelines((_response_head(reply, keep_alive), reply.body, *reply.rest))
        if not keep_alive:
            self._transport.close()


def _response_head(reply: Reply, keep_alive: bool) -> bytes:
    reason = "OK" if reply.status == 200 else "Fault"
    closing = "" if keep_alive else "connection: close\r\n"
    length = sum(map(len, reply.rest), len(reply.body or b""))
    return (
        f"HTTP/1.1 {reply.status} {reason}\r\ncontent-type: application/json\r\n"
        f"content-length: {length}\r\n{closing}\r\n"
    ).encode()


def _headers(lines: list[bytes]) -> dict[bytes, bytes]:
    pairs = (line.partition(b":") for line in lines)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}
