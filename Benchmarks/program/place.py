"""A temporary place with a private cluster, databases, nodes, and a stopwatch for processes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Run:
    """What one process took."""

    seconds: float
    cpu_seconds: float
    megabytes: float
    output: str
    server_seconds: float = 0


@dataclass(frozen=True)
class Sql:
    """What statements took."""

    seconds: float
    server_seconds: float


class Place:
    """Everything is gone when it ends."""

    def __init__(self, program: Path) -> None:
        self.program = str(program)

    def __enter__(self) -> Place:
        self.directory = Path(tempfile.mkdtemp(prefix="plimsoll-bench-"))
        self.directory.chmod(0o711)  # the cluster belongs to a user of its own
        self._settings = self.directory / "cluster.json"
        self._settings.write_text(
            json.dumps({"database": "private", "private_directory": str(self.directory / "pg")})
        )
        started = self._dev("start", "--json")
        self.url = json.loads(started)["url"]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._dev("stop")
        shutil.rmtree(self.directory, ignore_errors=True)

    def _dev(self, *words: str) -> str:
        command = [self.program, "dev", *words, "--config", str(self._settings)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def job(self, *words: str) -> Run:
        """Runs the program, and counts what the server did for it."""
        before = self.server_seconds()
        done = run([self.program, *words])
        return replace(done, server_seconds=self.server_seconds() - before)

    def database(self, name: str) -> Database:
        """A new database with the program's schema."""
        database = self.empty_database(name)
        run([self.program, "migrate", "--database", database.url])
        return database

    def empty_database(self, name: str) -> Database:
        self._psql(self.url, f"create database {name} template template0")
        return Database(self, name)

    def server_seconds(self) -> float:
        """CPU seconds of all sessions that have ended, which load from outside hardly changes."""
        time.sleep(0.1)  # the server has to notice that the last one ended
        pid = (self.directory / "pg/data/postmaster.pid").read_text().split()[0]
        return sum(_clock(int(pid))[2:])

    def drop(self, database: Database) -> None:
        self._psql(self.url, f"drop database {database.name} with (force)")

    @staticmethod
    def _psql(url: str, text: str) -> str:
        command = ["psql", url, "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]
        return subprocess.run(
            command, input=text, check=True, stdout=subprocess.PIPE, text=True
        ).stdout


class Database:
    """One database of the cluster, through psql."""

    def __init__(self, place: Place, name: str) -> None:
        self.place = place
        self.name = name
        self.url = re.sub(r"^postgresql:///[^?]*", f"postgresql:///{name}", place.url)

    def do(self, text: str) -> str:
        return self.place._psql(self.url, text).strip()

    def measure(self, text: str) -> Sql:
        """What the last statement of the text takes, as psql counts it, and the server's CPU."""
        before = self.place.server_seconds()
        output = self.do(f"\\timing on\n{text}")
        seconds = float(re.findall(r"^Time: ([\d.]+) ms", output, re.M)[-1]) / 1000
        return Sql(seconds, self.place.server_seconds() - before)

    def rest(self) -> None:
        """Gives each measurement the same start: nothing left to write or to clean up."""
        self.do("vacuum analyze")
        self.do("checkpoint")

    def size(self, relation: str) -> int:
        return int(self.do(f"select pg_total_relation_size('{relation}')"))

    def wal(self) -> int:
        """Bytes of write-ahead log since the cluster was made."""
        return int(self.do("select pg_current_wal_insert_lsn() - '0/0'::pg_lsn"))


class Node:
    """A log server in a process of its own."""

    def __init__(
        self, place: Place, logs: int, markets: int, users: int = 1, *, has_receipts: bool = False
    ) -> None:
        command = [sys.executable, "-m", "devchain.logserver", "--logs", str(logs)]
        command += ["--markets", str(markets), "--users", str(users)]
        start = time.perf_counter()
        self._process = subprocess.Popen(
            command + ["--receipts"] * has_receipts,
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("the log server did not start")
        self.start_seconds = time.perf_counter() - start
        self.facts: dict[str, Any] = json.loads(line)
        self._place = place

    def __enter__(self) -> Node:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()

    def megabytes(self) -> float:
        """Its peak until now."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024

    def cpu_seconds(self) -> float:
        """What it has used until now."""
        return sum(_clock(self._process.pid)[:2])

    def settings(self, database: Database, extra: dict[str, Any] | None = None) -> list[str]:
        """The flags of a job that reads this node into that database."""
        path = self._place.directory / f"{database.name}.json"
        chain = {
            "chain_id": self.facts["chain_id"],
            "endpoints": [{"name": "local", "url": self.facts["rpc"]}],
            "max_head_age_seconds": 0,
        }
        deployment = {
            "chain": "bench",
            "system": "moolah",
            "address": self.facts["core"],
            "first_block": self.facts["first_block"],
        }
        settings = {
            "database": database.url,
            "chains": {"bench": chain | (extra or {})},
            "deployments": {"bench": deployment},
        }
        path.write_text(json.dumps(settings))
        return ["--config", str(path), "--json", "--quiet", "--deadline", "600s"]


def _clock(pid: int) -> list[float]:
    """CPU seconds of a process: its own in two parts, then those of children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return [int(ticks) / os.sysconf("SC_CLK_TCK") for ticks in fields[11:15]]


def run(command: list[str]) -> Run:
    """Runs a process to its end; anything but success ends the measurement."""
    out, into = os.pipe()
    start = time.perf_counter()
    pid = os.posix_spawnp(
        command[0],
        command,
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_DUP2, into, 1),
            (os.POSIX_SPAWN_CLOSE, out),
            (os.POSIX_SPAWN_CLOSE, into),
        ],
    )
    os.close(into)
    with os.fdopen(out) as reader:
        output = reader.read()
    _, status, usage = os.wait4(pid, 0)
    seconds = time.perf_counter() - start
    if os.waitstatus_to_exitcode(status) != 0:
        sys.exit(f"{' '.join(command)}: ended with {os.waitstatus_to_exitcode(status)}\n{output}")
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, output)
