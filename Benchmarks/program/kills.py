"""The same random kills for consume-events and for ethereum-etl, on the same node and server.

Both get the same draws, each scaled with the time that the program takes when nobody disturbs it:
so both are hit at their start and at work, though one takes a second for the whole and the other a
minute. Both commit after a hundred blocks. Then each runs to its end.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import time
from collections.abc import Callable
from math import sqrt
from pathlib import Path
from typing import NamedTuple

import contents
import etl
from place import Database, Node, Place

_USERS = 2_000
_WINDOW = ("--window", "100")
_LAST_RUNS = 20
_LOCK_SECONDS = 0.2
_AIM_SECONDS = 120
_REFUSAL_SECONDS = 60


class Schedule(NamedTuple):
    """Moments to kill at, as parts of a program's own time."""

    seed: int
    draws: list[float]

    def delays(self, start: float, whole: float) -> list[float]:
        """Seconds after each start, between zero and a limit.

        With this limit what comes after the start is, on average, one part of the work, of as
        many parts as there are kills: the work ends about when the kills do.
        """
        part = max(0.0, whole - start) / len(self.draws)
        limit = start + part + sqrt(part * (part + 2 * start))
        return [limit * draw for draw in self.draws]


class Disturbance(NamedTuple):
    """What the kills came to."""

    kills: int
    advances: int
    ended_by_itself: int
    refused_starts: int
    repairs: int


class Outcome(NamedTuple):
    """What became of one program's tables, and what it took."""

    kills: int
    advances: int  # how often the cursor had moved from one kill to the next
    last_runs: int
    ended_by_itself: int
    refused_starts: int
    repairs: int
    lost: int
    doubled: int
    differing: list[str]


def kills(place: Place, *, count: int, seed: int, is_long: bool) -> None:
    version = etl.prepare()
    rng = random.Random(seed)
    schedule = Schedule(seed, [rng.random() for _ in range(count)])
    logs = 300_000 if is_long else 200_000
    with Node(place, logs, markets=40, users=_USERS, has_receipts=True) as node:
        print(f"\nrandom kills: {count}, seed {seed}, {node.facts['logs']:,} logs", flush=True)
        _tell("consume-events", _ours(place, node, schedule))
        database = place.empty_database("undisturbed")
        stream = etl.Etl(database, node.facts)
        whole = stream.run()
        expected = contents.peer_logs(database)
        place.drop(database)
        delays = schedule.delays(stream.start_seconds, whole.seconds)
        _tell(f"ethereum-etl {version}", _theirs(place, node, delays, expected))
        _tell("  killed while its cursor file was empty", _aimed(place, node, expected))


def _tell(name: str, outcome: Outcome) -> None:
    rows = outcome._asdict() | {"differing": ", ".join(outcome.differing) or "nothing"}
    told = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in rows.items())
    print(f"{name}: {told}", flush=True)


# MARK: ours


def _ours(place: Place, node: Node, schedule: Schedule) -> Outcome:
    database = place.database("undisturbed")
    whole = place.job("consume-events", *node.settings(database), *_WINDOW)
    expected = _all_of(database)
    idle = place.job("consume-events", *node.settings(database))
    place.drop(database)

    database = place.database("killed")
    command = [place.program, "consume-events", *node.settings(database), *_WINDOW]
    hits, seen = 0, [-1]
    for delay in schedule.delays(idle.seconds, whole.seconds):
        if seen[-1] == node.facts["last"]:
            break  # a run with nothing to do is no mark
        hits += _killed_after(command, delay)
        seen.append(_cursor(database))
    runs = 1
    while _cursor(database) != node.facts["last"]:
        if runs > _LAST_RUNS:
            raise SystemExit(f"consume-events did not end in {_LAST_RUNS} runs")
        last = place.job("consume-events", *node.settings(database))
        if json.loads(last.output)["status"] == "skipped_locked":
            time.sleep(_LOCK_SECONDS)  # the server has not noticed yet that the holder is gone
        runs += 1
    found = _all_of(database)
    place.drop(database)
    lost, doubled = _difference(expected["event"], found["event"])
    differing = [name for name in expected if expected[name] != found[name]]
    advances = len(set(seen)) - 1
    return Outcome(hits, advances, runs - 1, 0, 0, 0, lost, doubled, differing)


def _killed_after(command: list[str], delay: float) -> bool:
    """Whether it was still there to be killed."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        status = process.wait(delay)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return True
    assert status == 0, f"{command} ended with {status}"
    return False


def _all_of(database: Database) -> dict[str, contents.Sum | str]:
    return {"event": contents.our_events(database), **contents.derived(database)}


def _cursor(database: Database) -> int:
    told = database.do("select block_number from cursor where job = 'consume-events'")
    return int(told or -1)


# MARK: theirs


def _theirs(place: Place, node: Node, delays: list[float], expected: contents.Sum) -> Outcome:
    def disturb(stream: etl.Etl) -> Disturbance:
        hits = ended = refused = repairs = 0
        seen: list[int | None] = [None]
        for delay in delays:
            if seen[-1] == node.facts["last"]:
                break
            stream.start()
            time.sleep(delay)
            if (reason := stream.ended()) is None and stream.kill():
                hits += 1
            else:
                # Why it ended is told, and no repair is counted that its file does not need.
                ended += 1
                print(f"  ended by itself within {delay:.2f} s: {reason}", flush=True)
                print(f"  its cursor file: {_text(stream.file)!r}", flush=True)
            if stream.file.exists() and stream.cursor() is None:
                refused, repairs = refused + _is_refused(stream), repairs + 1
                _repair(stream, node.facts["first_block"])
            seen.append(stream.cursor())
        return Disturbance(hits, len(set(seen)) - 1, ended, refused, repairs)

    return _disturbed(place, node, "killed_etl", expected, disturb)


def _aimed(place: Place, node: Node, expected: contents.Sum) -> Outcome:
    """One kill between the moments when its cursor file is emptied and when it is written."""

    def disturb(stream: etl.Etl) -> Disturbance:
        stream.start()
        deadline = time.perf_counter() + _AIM_SECONDS
        while not (_is_empty(stream.file) and stream.kill() and _is_empty(stream.file)):
            if time.perf_counter() > deadline:
                raise SystemExit("its cursor file was never seen empty")
            if stream.ended() is not None or stream.cursor() == node.facts["last"]:
                raise SystemExit("it came to its end without being hit")
        return Disturbance(1, 1, 0, 0, 0)

    return _disturbed(place, node, "aimed_etl", expected, disturb)


def _disturbed(
    place: Place,
    node: Node,
    name: str,
    expected: contents.Sum,
    disturb: Callable[[etl.Etl], Disturbance],
) -> Outcome:
    """Runs it to its end after the kills, with the repairs that its refusals ask for."""
    database = place.empty_database(name)
    stream = etl.Etl(database, node.facts)
    told = disturb(stream)
    refused, repairs, runs = told.refused_starts, told.repairs, 0
    while stream.cursor() != node.facts["last"]:
        runs += 1
        if stream.file.exists() and stream.cursor() is None:
            refused, repairs = refused + _is_refused(stream), repairs + 1
            _repair(stream, node.facts["first_block"])
        stream.run()
    found = contents.peer_logs(database)
    place.drop(database)
    lost, doubled = _difference(expected, found)
    differing = [] if found == expected else ["logs"]
    return Outcome(
        told.kills,
        told.advances,
        runs,
        told.ended_by_itself,
        refused,
        repairs,
        lost,
        doubled,
        differing,
    )


def _is_refused(stream: etl.Etl) -> bool:
    """Whether it does not start with the file as it is; prints its own words."""
    stream.start()
    deadline = time.perf_counter() + _REFUSAL_SECONDS
    while (reason := stream.ended()) is None:
        if time.perf_counter() > deadline:
            stream.kill()
            return False
        time.sleep(0.05)
    print(f"  it does not start: {reason}", flush=True)
    return True


def _repair(stream: etl.Etl, first_block: int) -> None:
    """What an operator does: puts the last block that is surely there into the file."""
    told = stream.database.do("select max(block_number) from logs")
    stream.file.write_text(f"{int(told) - 1 if told else first_block - 1}\n")


def _text(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


def _is_empty(path: Path) -> bool:
    try:
        return os.stat(path).st_size == 0
    except FileNotFoundError:
        return False


def _difference(expected: contents.Sum, found: contents.Sum) -> tuple[int, int]:
    """Rows lost, and rows doubled."""
    return expected.places - found.places, found.rows - found.places
