"""Logs a second: a node's logs into events, positions, operations and the cursor."""

from __future__ import annotations

import json
import time
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlparse

import figures
from place import Database, Node, Place, run

_WINDOW = 2000


def backfill(place: Place, rounds: int, is_long: bool) -> None:
    logs = 1_000_000 if is_long else 300_000
    with Node(place, logs, markets=40) as node:
        facts = node.facts
        alone = [_read_all(facts) for _ in range(rounds)]
        seconds, cpu, memory, copies, wal, bare_wal = [], [], [], [], [], []
        rows: dict[str, int] = {}
        for number in range(rounds):
            database = place.database(f"backfill_{number}")
            database.do("checkpoint")
            before = database.wal()
            job = run([place.program, "consume-events", *node.settings(database)])
            wal.append((database.wal() - before) / 1e6)
            seconds.append(job.seconds)
            cpu.append(job.cpu_seconds)
            memory.append(job.megabytes)
            rows = _check(database, facts)
            before = database.wal()
            copies.append(_bare_copy(database))
            bare_wal.append((database.wal() - before) / 1e6)
            place.drop(database)
    count = facts["logs"]
    figures.header(
        f"backfill: {count:,} logs of {facts['bytes_per_log']} bytes, {rows['position']:,} "
        f"positions, {rows['user_operation']:,} operations, {rows['block']:,} headers"
    )
    figures.line("consume-events, logs/s", [count / s for s in seconds], 0)
    figures.line("  rows/s of event, position and user_operation", [
        (count + rows["position"] + rows["user_operation"]) / s for s in seconds], 0)
    figures.line("bare COPY of the event rows, same indexes, rows/s", [count / s for s in copies], 0)
    figures.ratios("ratio to the bare COPY", copies, seconds)
    figures.line("the node alone, logs/s", [count / s for s in alone], 0)
    figures.line("CPU seconds of the program", cpu, 2)
    figures.line("peak memory of the program, MB", memory)
    figures.line("write-ahead log, MB", wal)
    figures.line("write-ahead log of the bare COPY, MB", bare_wal)


def _read_all(facts: dict[str, Any]) -> float:
    """Seconds that a reader who looks at nothing needs for all logs."""
    place = urlparse(facts["rpc"])
    connection = HTTPConnection(place.hostname or "", place.port)
    start = time.perf_counter()
    for first in range(facts["first_block"], facts["last"] + 1, _WINDOW):
        window = {"fromBlock": hex(first), "toBlock": hex(min(first + _WINDOW - 1, facts["last"]))}
        body = {"jsonrpc": "2.0", "id": 1, "method": "eth_getLogs", "params": [window]}
        connection.request("POST", "/", json.dumps(body))
        connection.getresponse().read()
    return time.perf_counter() - start


def _check(database: Database, facts: dict[str, Any]) -> dict[str, int]:
    """The rows of each table; every log must be there and applied."""
    tables = ("event", "position", "user_operation", "block", "set_aside")
    rows = {name: int(database.do(f"select count(*) from {name}")) for name in tables}
    assert rows["event"] == facts["logs"], rows
    assert rows["set_aside"] == 0, rows
    return rows


def _bare_copy(database: Database) -> float:
    path = database.place.directory / "event.copy"
    database.do(f"\\copy event to '{path}' (format binary)")
    database.do("create table event_bare (like event including all)")
    database.do("checkpoint")
    seconds = database.seconds(f"\\copy event_bare from '{path}' (format binary)")
    path.unlink()
    return seconds
