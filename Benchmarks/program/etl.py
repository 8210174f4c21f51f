"""ethereum-etl, the peer: streams a node's logs into a table of PostgreSQL.

It asks for blocks with full transactions and for the receipt of each transaction, and stores the
logs in a table whose definition comes with it. How far it is stands in a text file.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from place import Database, Run

_ROOT = Path(__file__).resolve().parents[2]
_ENVIRONMENT = _ROOT / ".build/peer/bin"
_POLL_SECONDS = 0.005
_MINUTES = 20
_CREATE = """
import sys, sqlalchemy
from ethereumetl.streaming.postgres_tables import LOGS, metadata
metadata.create_all(sqlalchemy.create_engine(sys.argv[1]), tables=[LOGS])
"""


def prepare() -> str:
    """Makes its environment when there is none; its version."""
    subprocess.run([_ROOT / "scripts/peer-environment"], check=True)
    told = subprocess.run(
        [_ENVIRONMENT / "ethereumetl", "--version"], check=True, capture_output=True, text=True
    )
    return told.stdout.split()[-1]


class Etl:
    """One cursor file and one database. Starting it again goes on where the file says."""

    def __init__(self, database: Database, facts: dict[str, Any]) -> None:
        self.database = database
        self._facts = facts
        self._directory = database.place.directory / f"{database.name}_etl"
        self._directory.mkdir()
        self._output = self._directory / "output.txt"
        self.file = self._directory / "last_synced_block.txt"
        self._url = database.url.replace("postgresql://", "postgresql+psycopg2://", 1)
        subprocess.run([_ENVIRONMENT / "python", "-c", _CREATE, self._url], check=True)
        self.process = 0
        self.start_seconds = 0.0

    def start(self) -> None:
        """Starts it as its documentation says: with a first block only when it has no file."""
        command = [str(_ENVIRONMENT / "ethereumetl"), "stream", "-l", str(self.file)]
        command += ["-p", self._facts["rpc"], "-o", self._url]
        if not self.file.exists():
            command += ["-s", str(self._facts["first_block"])]
        command += ["-e", "log", "-b", "100", "-B", "100", "-w", "5"]
        with self._output.open("wb") as output:
            place = output.fileno()
            self.process = os.posix_spawn(
                command[0],
                command,
                os.environ,
                file_actions=[(os.POSIX_SPAWN_DUP2, place, 1), (os.POSIX_SPAWN_DUP2, place, 2)],
            )

    def kill(self) -> bool:
        """Kills it, and says whether it was still there."""
        alive = self.ended() is None
        if alive:
            os.kill(self.process, signal.SIGKILL)
            os.waitpid(self.process, 0)
        return alive

    def ended(self) -> str | None:
        """The last line it wrote, when it has ended by itself."""
        state = os.waitid(os.P_PID, self.process, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if state is None:
            return None
        lines = self._output.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"status {state.si_status}"

    def cursor(self) -> int | None:
        """The last block that it says it has."""
        try:
            return int(self.file.read_text())
        except (FileNotFoundError, ValueError):
            return None

    def run(self) -> Run:
        """Runs it until it has the last block, and kills it then, since it would wait for more."""
        before = self.database.place.server_seconds()
        start = time.perf_counter()
        self.start_seconds = 0
        self.start()
        deadline = start + _MINUTES * 60
        while self.cursor() != self._facts["last"]:
            if not self.start_seconds and self.file.exists():
                self.start_seconds = time.perf_counter() - start
            if (reason := self.ended()) is not None:
                raise SystemExit(f"ethereum-etl ended: {reason}")
            if time.perf_counter() > deadline:
                raise SystemExit(f"ethereum-etl took more than {_MINUTES} minutes")
            time.sleep(_POLL_SECONDS)
        seconds = time.perf_counter() - start
        os.kill(self.process, signal.SIGKILL)
        _, _, usage = os.wait4(self.process, 0)
        server = self.database.place.server_seconds() - before
        cpu = usage.ru_utime + usage.ru_stime
        return Run(seconds, cpu, usage.ru_maxrss / 1024, "", server)
