"""Logs a second beside ethereum-etl: the same node, the same PostgreSQL, the same minutes."""

from __future__ import annotations

import contents
import etl
import figures
from place import Node, Place, Run

_USERS = 2_000


def peer(place: Place, rounds: int, is_long: bool) -> None:
    version = etl.prepare()
    logs = 300_000 if is_long else 60_000
    with Node(place, logs, markets=40, users=_USERS, has_receipts=True) as node:
        count = node.facts["logs"]
        ours: list[Run] = []
        theirs: list[Run] = []
        starts, node_cpu = [], []
        for number in range(rounds):
            database = place.database(f"ours_{number}")
            ours.append(place.job("consume-events", *node.settings(database)))
            events = contents.our_events(database)
            assert events.rows == events.places == count, events
            place.drop(database)
            database = place.empty_database(f"theirs_{number}")
            stream = etl.Etl(database, node.facts)
            before = node.cpu_seconds()
            theirs.append(stream.run())
            node_cpu.append(node.cpu_seconds() - before)
            starts.append(stream.start_seconds)
            assert contents.peer_logs(database) == events, "the two tables differ"
            place.drop(database)
    seconds = [run.seconds for run in ours]
    at_work = [run.seconds - start for run, start in zip(theirs, starts, strict=True)]
    figures.header(f"beside ethereum-etl {version}: {count:,} logs, in both tables the same")
    # Events, positions, operations, ledger and cursor here; there the logs alone.
    figures.line("consume-events, logs/s", [count / s for s in seconds], 0)
    figures.line("ethereum-etl, logs/s", [count / run.seconds for run in theirs], 0)
    figures.line("  without its start", [count / s for s in at_work], 0)
    figures.ratios("ratio", [run.seconds for run in theirs], seconds)
    figures.ratios("  without its start", at_work, seconds)
    figures.ratios("  the same in CPU, program and server", *map(_cpu, (theirs, ours)))
    for name, runs in (("consume-events", ours), ("ethereum-etl", theirs)):
        figures.line(f"{name}: CPU seconds of the program", [r.cpu_seconds for r in runs], 2)
        figures.line("  CPU seconds of the server", [r.server_seconds for r in runs], 2)
        figures.line("  peak memory of the program, MB", [r.megabytes for r in runs])
    figures.line("  seconds until it asked for a block", starts, 2)
    figures.line("  CPU seconds of the node", node_cpu, 2)


def _cpu(runs: list[Run]) -> list[float]:
    return [run.cpu_seconds + run.server_seconds for run in runs]
