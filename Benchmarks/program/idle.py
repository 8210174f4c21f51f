"""Wall time of a run that finds nothing to do, as cron starts it every minute."""

from __future__ import annotations

import sys

import figures
from place import Node, Place, Run, run

_RUNS = 50


def idle(place: Place, rounds: int, is_long: bool) -> None:  # noqa: ARG001
    with Node(place, logs=2_000, markets=4, users=100) as node:
        database = place.database("idle")
        job = [place.program, "consume-events", *node.settings(database)]
        run(job)
        commands = {
            "consume-events at the head": job,
            "plimsoll --version": [place.program, "--version"],
            "psql -c 'select 1'": ["psql", database.url, "-X", "-c", "select 1"],
            "python3 -c pass": [sys.executable, "-c", "pass"],
            "true": ["/bin/true"],
        }
        found: dict[str, list[Run]] = {name: [] for name in commands}
        for _ in range(_RUNS):  # in turn, so that a slow moment hits all
            for name, command in commands.items():
                found[name].append(run(command))
        place.drop(database)
    figures.header(f"a run with nothing to do, ms over {_RUNS} runs")
    for name, runs in found.items():
        figures.line(name, [r.seconds * 1000 for r in runs])
    ours, psql = found["consume-events at the head"], found["psql -c 'select 1'"]
    figures.ratios("ratio to psql", [r.seconds for r in ours], [r.seconds for r in psql])
    figures.line("  CPU of the program, ms", [r.cpu_seconds * 1000 for r in ours])
