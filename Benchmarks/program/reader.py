"""A client that reads everything and looks at nothing, to see what the node alone can do."""

from __future__ import annotations

import json
import socket
import time
from typing import Any
from urllib.parse import urlparse

_WINDOW = 2000
# A larger heap here would count as the next process's peak.
_BUFFER = bytearray(1 << 20)
_HEAD_END = b"\r\n\r\n"


def read_all(facts: dict[str, Any]) -> float:
    """Seconds for all logs of a log server, over one connection that is kept."""
    place = urlparse(facts["rpc"])
    received = 0
    with socket.create_connection((place.hostname or "", place.port or 0)) as node:
        start = time.perf_counter()
        for first in range(facts["first_block"], facts["last"] + 1, _WINDOW):
            last = min(first + _WINDOW - 1, facts["last"])
            received += _ask(node, {"fromBlock": hex(first), "toBlock": hex(last)})
        seconds = time.perf_counter() - start
    assert received > facts["logs"] * (facts["bytes_per_log"] - 1), received
    return seconds


def _ask(node: socket.socket, window: dict[str, str]) -> int:
    """Sends one request and takes its answer off the socket; how many bytes that was."""
    body = {"jsonrpc": "2.0", "id": 1, "method": "eth_getLogs", "params": [window]}
    text = json.dumps(body).encode()
    node.sendall(b"POST / HTTP/1.1\r\nhost: node\r\ncontent-length: %d\r\n\r\n" % len(text) + text)
    held = 0
    while (end := _BUFFER.find(_HEAD_END, 0, held)) < 0:
        held += _received(node, held)
    head = bytes(_BUFFER[:end]).lower()
    assert head.startswith(b"http/1.1 200"), head
    length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
    rest = end + len(_HEAD_END) + length - held
    while rest > 0:
        rest -= _received(node, 0)
    assert rest == 0, rest
    return length


def _received(node: socket.socket, offset: int) -> int:
    count = node.recv_into(memoryview(_BUFFER)[offset:])
    if count == 0:
        raise SystemExit("the log server hung up")
    return count
