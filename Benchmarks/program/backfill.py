"""Logs a second: a node's logs into events, positions, operations and the cursor."""

from __future__ import annotations

from typing import Any

import figures
from place import Database, Node, Place, Run, Sql
from reader import read_all


def backfill(place: Place, rounds: int, is_long: bool) -> None:
    logs = 1_000_000 if is_long else 300_000
    # One position for every few logs, as on the chains that are followed.
    with Node(place, logs, markets=40, users=2_000) as node:
        facts = node.facts
        alone = [read_all(facts) for _ in range(rounds)]
        node_megabytes = node.megabytes()
        jobs: list[Run] = []
        events: list[Sql] = []
        all_rows: list[list[Sql]] = []
        wal, bare_wal = [], []
        rows: dict[str, int] = {}
        for number in range(rounds):
            database = place.database(f"backfill_{number}")
            database.do("checkpoint")
            before = database.wal()
            jobs.append(place.job("consume-events", *node.settings(database)))
            wal.append((database.wal() - before) / 1e6)
            rows = _check(database, facts)
            before = database.wal()
            events.append(_bare_copy(database, "event"))
            bare_wal.append((database.wal() - before) / 1e6)
            others = ("position", "user_operation", "block")
            all_rows.append([events[-1], *(_bare_copy(database, name) for name in others)])
            place.drop(database)
    count, seconds = facts["logs"], [job.seconds for job in jobs]
    written = sum(rows.values())
    event_seconds = [copy.seconds for copy in events]
    row_seconds = [sum(copy.seconds for copy in copies) for copies in all_rows]
    row_cpu = [sum(copy.server_seconds for copy in copies) for copies in all_rows]
    cpu = [job.cpu_seconds + job.server_seconds for job in jobs]
    figures.header(
        f"backfill: {count:,} logs of {facts['bytes_per_log']} bytes, {rows['position']:,} "
        f"positions, {rows['user_operation']:,} operations, {rows['block']:,} headers"
    )
    figures.line("consume-events, logs/s", [count / s for s in seconds], 0)
    figures.line("  rows/s", [written / s for s in seconds], 0)
    figures.line("bare COPY of the event rows, rows/s", [count / s for s in event_seconds], 0)
    figures.line("bare COPY of all these rows, rows/s", [written / s for s in row_seconds], 0)
    figures.ratios("ratio to the bare COPY of events", event_seconds, seconds)
    figures.ratios("ratio to the bare COPY of all rows", row_seconds, seconds)
    figures.ratios("  the same in CPU, program and server", row_cpu, cpu)
    figures.line("the node alone, logs/s", [count / s for s in alone], 0)
    figures.line("  seconds until it was ready", [node.start_seconds])
    figures.line("  memory of the node, MB", [node_megabytes])
    figures.line("  CPU seconds of the program", [job.cpu_seconds for job in jobs], 2)
    figures.line("  CPU seconds of the server", [job.server_seconds for job in jobs], 2)
    figures.line("  peak memory of the program, MB", [job.megabytes for job in jobs])
    figures.line("  write-ahead log, MB", wal)
    figures.line("  write-ahead log of the bare COPY of events, MB", bare_wal)


def _check(database: Database, facts: dict[str, Any]) -> dict[str, int]:
    """The rows of each table; every log must be there and applied."""
    tables = ("event", "position", "user_operation", "block", "set_aside")
    rows = {name: int(database.do(f"select count(*) from {name}")) for name in tables}
    assert rows["event"] == facts["logs"], rows
    assert rows["set_aside"] == 0, rows
    return rows


def _bare_copy(database: Database, table: str) -> Sql:
    """Copies a table's rows into an empty one with the same types, checks and indexes."""
    path = database.place.directory / "rows.copy"
    database.do(f"\\copy {table} to '{path}' (format binary)")
    database.do(f"create table {table}_bare (like {table} including all)")
    database.do("checkpoint")
    taken = database.measure(f"\\copy {table}_bare from '{path}' (format binary)")
    path.unlink()
    return taken
